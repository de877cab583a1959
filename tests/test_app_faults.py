"""What goes wrong is said in a toast, in words, and the app goes on: in a real browser, the Hub played on loopback."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from app_pages import PHOTO, Visit, visiting
from app_server import App, running
from browser import launched
from hub_server import HubServer
from PIL import Image as PILImage
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.slow

NASTY = "<img src=x onerror=window.fooled=1>"


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def app(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app with that Hub and an empty cache."""
    home = str(tmp_path_factory.mktemp("home"))
    with running(HF_HUB_OFFLINE="0", HF_ENDPOINT=hub.url, HF_HOME=home, HF_HUB_CACHE=f"{home}/hub") as started:
        yield started
        log = started.log()
        assert "Traceback" not in log, log


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as chromium:
        yield chromium


@pytest.fixture
def visit(browser: Browser, app: App) -> Iterator[Visit]:
    with visiting(browser, app.url) as visitor:
        yield visitor


def empty_film(path: Path) -> Path:
    """A film that says how large its frames are, and has none."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()
    return path


def text_file(path: Path) -> Path:
    path.write_text("This is a text file.\n" * 10, encoding="utf-8")
    return path


def huge_picture(path: Path) -> Path:
    """200 megapixels in a small file."""
    PILImage.new("1", (20_000, 10_000)).save(path)
    return path


def goes_on(visit: Visit) -> None:
    """The same page still finds a face in a photo."""
    visit.dismiss()
    visit.goto("image")
    remove = visit.page.locator("#photo").get_by_label("Remove Image")
    if remove.is_visible():
        remove.click()
    visit.upload("#photo", PHOTO)
    expect(visit.page.locator("#faces .fer-title").first).to_contain_text(visit.say("label.happy"))


def told(visit: Visit, *words: str) -> None:
    """A toast in words, without a path of the server or a line of code."""
    said = "".join(rf"(?=.*{re.escape(word)})" for word in words)
    unsaid = "|".join(re.escape(word) for word in ("Traceback", "/tmp", 'File "', "None"))
    expect(visit.toast()).to_contain_text(re.compile(rf"^{said}(?!.*(?:{unsaid}))", re.DOTALL))  # at once: it soon goes


def test_a_text_file_named_jpg(visit: Visit, tmp_path: Path) -> None:
    visit.upload("#photo", text_file(tmp_path / "notes.jpg"))
    told(visit, "This picture cannot be used", "notes.jpg is not an image that can be read")
    visit.shoot("fault-image")
    goes_on(visit)


def test_a_picture_of_200_megapixels(visit: Visit, tmp_path: Path) -> None:
    visit.upload("#photo", huge_picture(tmp_path / "huge.png"))
    told(visit, "This picture cannot be used", "megapixels")
    goes_on(visit)


@pytest.mark.parametrize("make", [text_file, empty_film])
def test_a_clip_that_is_none(visit: Visit, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    visit.goto("video")
    visit.upload("#clip", make(tmp_path / "clip.mp4"))
    expect(visit.page.locator("#clip video")).to_be_attached()
    visit.page.locator("#video-start").click()
    told(visit, "This clip cannot be used", "clip.mp4")
    visit.shoot(f"fault-{make.__name__}")
    goes_on(visit)


def test_no_clip_at_all(visit: Visit) -> None:
    visit.goto("video")
    visit.page.locator("#video-start").click()
    told(visit, "clip")
    goes_on(visit)


def test_nothing_to_explain(visit: Visit) -> None:
    visit.goto("explain")
    visit.page.locator("#explain-run").click()
    told(visit, "Choose a photo and a face first.")
    goes_on(visit)


def test_a_file_above_the_limit_is_not_taken(visit: Visit, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(101 * 1024 * 1024)
    visit.upload("#photo", large)
    told(visit, "size")
    visit.shoot("fault-large")
    goes_on(visit)


def test_a_file_name_with_html_in_it_is_text(visit: Visit, tmp_path: Path) -> None:
    visit.upload("#photo", text_file(tmp_path / f"{NASTY}.jpg"))
    told(visit, "This picture cannot be used")
    visit.goto("compare")
    visit.add_model(f"{NASTY}/name")
    visit.page.wait_for_timeout(1_000)
    assert visit.page.evaluate("window.fooled") is None
    assert visit.page.locator("img[src=x]").count() == 0
    goes_on(visit)


def test_a_model_that_the_hub_does_not_have(visit: Visit) -> None:
    visit.goto("compare")
    visit.add_model("nobody/nothing")
    told(visit, "This model cannot be used", "nobody/nothing")
    visit.shoot("fault-unknown-model")
    goes_on(visit)


def test_errors_are_told_in_turkish_too(browser: Browser, app: App, tmp_path: Path) -> None:
    with visiting(browser, app.url, "tr", 390) as visit:
        visit.upload("#photo", text_file(tmp_path / "notes.jpg"))
        told(visit, "Bu resim kullanılamıyor", "notes.jpg")
        visit.shoot("fault-image")


def test_a_hub_that_cannot_be_reached(visit: Visit, hub: HubServer) -> None:
    hub.close()
    visit.goto("compare")
    visit.add_model("someone/something")
    told(visit, "This model cannot be used", "someone/something")
    visit.shoot("fault-no-hub")
    goes_on(visit)
