"""The app in a real browser, its camera played from a file."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import launched
from PIL import Image as PILImage
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "fer_hub" / "assets" / "examples" / "astronaut.jpg"
SHOTS = Path(os.environ.get("FER_HUB_SHOTS", ROOT / "runs" / "screenshots"))
PATIENCE = 60_000
"""Milliseconds: generous, since a busy machine is no failure."""


def y4m(path: Path, frames: int = 24, size: tuple[int, int] = (640, 480)) -> Path:
    """A camera's film: the photo, drifting over a plain ground, as raw 4:2:0 frames."""
    photo = PILImage.open(PHOTO).resize((400, 400))
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{size[0]} H{size[1]} F10:1 Ip A1:1 C420jpeg\n".encode())
        for frame in range(frames):
            scene = PILImage.new("RGB", size, (90, 110, 100))
            scene.paste(photo, (20 + 8 * min(frame, frames - frame), 40 + 2 * min(frame, frames - frame)))
            planes = np.asarray(scene.convert("YCbCr"))
            file.write(b"FRAME\n" + planes[..., 0].tobytes())
            for channel in (1, 2):
                file.write(planes[::2, ::2, channel].tobytes())
    return path


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The app on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1", "NO_PROXY": "127.0.0.1"}
    with subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            wait_for(address, process)
            yield address
        finally:
            process.terminate()


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "the app ended by itself"
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the app did not answer within a minute")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    film = y4m(tmp_path_factory.mktemp("camera") / "camera.y4m")
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with launched(*camera, f"--use-file-for-fake-video-capture={film}") as chromium:
        yield chromium


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(permissions=["camera"], viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    opened.goto(url)
    expect(opened.get_by_role("tab", name="Image")).to_be_visible()
    yield opened
    context.close()


def shoot(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


@pytest.mark.slow
def test_an_example_photo_shows_one_happy_face_with_its_scores(page: Page) -> None:
    page.locator("#examples .thumbnail-item").first.click()
    bars = page.locator("#bars")
    expect(bars).to_contain_text(re.compile(r"Face 1: Happy \d+%"))
    expect(bars.locator(".score")).to_have_count(7)
    expect(bars).to_contain_text("1 face")
    expect(page.locator("#annotated img")).to_be_visible()
    shoot(page, "image")


@pytest.mark.slow
def test_an_uploaded_photo_gives_a_result_and_a_bad_file_a_toast(page: Page, tmp_path: Path) -> None:
    upload = page.locator("#photo input[type=file]")
    broken = tmp_path / "notes.jpg"
    broken.write_text("this is a text file")
    upload.set_input_files(str(broken))
    toast = page.locator(".toast-body, .toast-wrap").first
    expect(toast).to_contain_text("notes.jpg is not an image that can be read")
    expect(toast).not_to_contain_text(str(tmp_path.anchor) + "tmp")
    expect(toast).to_be_visible()
    shoot(page, "image-error")
    page.reload()
    page.locator("#photo input[type=file]").set_input_files(str(PHOTO))
    expect(page.locator("#bars")).to_contain_text("Face 1: Happy")


@pytest.mark.slow
def test_a_picture_without_a_face_says_so_and_the_whole_image_can_be_taken(page: Page, tmp_path: Path) -> None:
    PILImage.new("RGB", (200, 200), (40, 80, 120)).save(tmp_path / "blue.png")
    page.locator("#photo input[type=file]").set_input_files(str(tmp_path / "blue.png"))
    expect(page.locator("#bars")).to_contain_text("No face found")
    page.get_by_label("Take the whole image as one face").check()
    expect(page.locator("#bars .score")).to_have_count(7)


@pytest.mark.slow
def test_the_camera_shows_the_right_label_on_a_moving_face(page: Page) -> None:
    page.get_by_role("tab", name="Webcam").click()
    page.locator("#camera").get_by_text(re.compile("Click to Access Webcam", re.I)).click()
    page.locator("#camera button[aria-label='capture photo'], #camera .button-wrap button").first.click()
    expect(page.locator("#live-bars")).to_contain_text(re.compile(r"Face 1: Happy \d+%"))
    live = page.locator("#live img")
    expect(live).to_be_visible()
    pictures = set()
    for _ in range(100):
        pictures.add(live.get_attribute("src"))
        if len(pictures) >= 4:
            break
        page.wait_for_timeout(200)
    assert len(pictures) >= 4, "the live picture does not move"
    shoot(page, "webcam")
