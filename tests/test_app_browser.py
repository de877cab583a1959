"""Image, webcam and video in a real browser, the camera played from a film."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_pages import VIEWS, Visit, camera_browser, camera_film, changing, flaws, two_faces, visiting
from app_server import App, running
from films import even_times, mp4, pictures
from PIL import Image as PILImage
from playwright.sync_api import Browser, Locator, Request, expect

pytestmark = pytest.mark.slow

WATCH = """() => {
  window.seen = []
  const note = () => {
    const picture = document.querySelector('#live img')?.src
    if (picture === window.seen.at(-1)?.picture) return
    window.seen.push({picture, time: performance.now(),
      title: document.querySelector('#live-bars .fer-title')?.innerText ?? ''})
  }
  new MutationObserver(note).observe(document.body, {subtree: true, childList: true, attributes: true})
}"""
"""Notes every picture that the page shows, when, and what it says of it."""
SECONDS = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[App]:
    for name in ("temporary", "uploads"):
        (folder / name).mkdir()
    with running(TMPDIR=str(folder / "temporary"), GRADIO_TEMP_DIR=str(folder / "uploads")) as started:
        yield started


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    with camera_browser(camera_film(folder / "camera.y4m")) as chromium:
        yield chromium


@pytest.fixture
def visit(browser: Browser, app: App) -> Iterator[Visit]:
    with visiting(browser, app.url) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def pair(folder: Path) -> Path:
    return two_faces(folder / "two.png")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    times = even_times(3, 10)
    return mp4(folder / "clip.mp4", pictures([changing()], times), times)


def saved(visit: Visit, button: Locator) -> tuple[str, bytes]:
    """Name and content of what a button or a link saves."""
    with visit.page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_image_webcam_and_video_are_whole_in_every_language_width_and_colour(
    browser: Browser, app: App, pair: Path, clip: Path, view: tuple[str, int, str]
) -> None:
    with visiting(browser, app.url, *view) as visit:
        visit.upload("#photo", pair)
        expect(visit.page.locator("#faces .fer-pick")).to_have_count(2)
        visit.shoot("image")
        assert flaws(visit) == []
        visit.goto("webcam")
        assert flaws(visit) == []
        visit.start_camera()
        expect(visit.page.locator("#live-charts svg").first).to_be_visible()
        visit.page.wait_for_timeout(1_500)
        visit.shoot("webcam")
        assert flaws(visit) == []
        visit.goto("video")
        visit.shoot("video-empty")
        visit.upload("#clip", clip)
        expect(visit.page.locator("#clip video")).to_be_visible()
        visit.page.locator("#video-start").click()
        expect(visit.page.locator("#video-charts .fer-button")).to_have_count(3)
        visit.shoot("video")
        assert flaws(visit) == []


def test_the_example_is_one_happy_face(visit: Visit) -> None:
    visit.page.locator("#photo-examples .thumbnail-item").first.click()
    panel = visit.page.locator("#faces")
    expect(panel.locator(".fer-title").first).to_have_text(re.compile(r"Face 1: Happy \d+ %"))
    expect(panel.locator(".fer-bars").first.locator("li")).to_have_count(7)


def test_a_screen_reader_is_told_of_each_result_and_each_error_in_a_region_that_was_there_before(
    visit: Visit, pair: Path, tmp_path: Path
) -> None:
    news = visit.page.locator("#fer-news[role=status]")
    expect(news).to_have_count(1)
    expect(news).to_have_text("")
    visit.upload("#photo", pair)
    expect(news).to_have_text(re.compile(r"^2 faces\. Face 1: [A-Z][a-z]+ \d+ %\. Face 2: [A-Z][a-z]+ \d+ %\.$"))
    expect(visit.page.locator("#faces .fer-said")).to_be_hidden()
    PILImage.new("RGB", (200, 200), "gray").save(tmp_path / "nobody.png")
    visit.goto("compare")
    visit.upload("#compare-photo", tmp_path / "nobody.png")
    expect(news).to_have_text(visit.say("image.none"))
    visit.page.locator("#compare-photo-examples .thumbnail-item").first.click()
    expect(news).to_have_text("Face 1: 2 of 2 models say Happy.")


def test_the_face_that_is_pointed_at_or_picked_shows_its_scores(visit: Visit, pair: Path) -> None:
    visit.upload("#photo", pair)
    titles = visit.page.locator("#faces .fer-title")
    expect(titles.filter(visible=True)).to_have_text(re.compile("^Face 1"))
    visit.page.locator("#image-pick-2").hover()
    expect(titles.filter(visible=True)).to_have_text(re.compile("^Face 2"))
    visit.page.mouse.move(0, 0)
    expect(titles.filter(visible=True)).to_have_text(re.compile("^Face 1"))
    visit.page.locator("#image-pick-1").focus()
    visit.page.keyboard.press("ArrowRight")
    expect(titles.filter(visible=True)).to_have_text(re.compile("^Face 2"))
    visit.page.locator("#image-row-1").click()
    expect(titles.filter(visible=True)).to_have_text(re.compile("^Face 1"))


def test_the_tab_key_reaches_tabs_upload_switch_faces_and_downloads(visit: Visit, pair: Path) -> None:
    visit.upload("#photo", pair)
    expect(visit.page.locator("#faces .fer-pick")).to_have_count(2)
    reached = set()
    for _ in range(40):
        visit.page.keyboard.press("Tab")
        reached |= set(
            visit.page.evaluate(
                """['[role=tab]', '#photo button', '#whole input', '#faces .fer-pick', '#faces a[download]',
                '#photo-examples button'].filter(each => document.activeElement.matches(each))"""
            )
        )
    assert len(reached) == 6, reached


def test_downloads_agree_with_the_page(visit: Visit, pair: Path) -> None:
    visit.upload("#photo", pair)
    rows = visit.page.locator("#faces .fer-list .fer-row")
    expect(rows).to_have_count(2)
    shown = rows.all_inner_texts()
    links = visit.page.locator("#faces a[download]")
    (_, data), (_, table), (name, picture) = (saved(visit, links.nth(i)) for i in range(3))
    faces, lines = json.loads(data), list(csv.DictReader(io.StringIO(table.decode())))
    for each, face, line in zip(shown, faces, lines, strict=True):
        label, confidence = re.findall(r"Face \d: (\w+) (\d+) %", each)[0]
        assert (face["label"], round(100 * face["confidence"])) == (label.lower(), int(confidence))
        assert (line["label"], float(line["confidence"])) == (face["label"], face["confidence"])
        assert float(line[face["label"]]) == face["scores"][face["label"]]
    assert name == "faces.jpg"
    assert PILImage.open(io.BytesIO(picture)).size == (640, 480)


def test_a_picture_without_a_face_says_so_and_can_be_taken_whole(visit: Visit, tmp_path: Path) -> None:
    PILImage.new("RGB", (200, 200), (40, 80, 120)).save(tmp_path / "blue.png")
    visit.upload("#photo", tmp_path / "blue.png")
    expect(visit.page.locator("#faces")).to_contain_text("No face found")
    visit.page.get_by_label(visit.say("image.whole")).first.check()
    expect(visit.page.locator("#faces .fer-bars li")).to_have_count(7)
    expect(visit.page.locator("#faces .fer-title")).to_contain_text("Whole image")


def test_the_camera_page_follows_a_face_that_changes_and_moves(fer2013_dir: Path, visit: Visit) -> None:
    visit.goto("webcam")
    visit.page.evaluate(WATCH)
    visit.start_camera()
    expect(visit.page.locator("#live-bars .fer-title")).to_be_visible()
    visit.page.wait_for_timeout(1000 * SECONDS)
    seen = visit.page.evaluate("window.seen.slice(1)")
    titles = [each["title"] for each in seen if each["title"]]
    assert {found for title in titles for found in re.findall("Happy|Surprise", title)} == {"Happy", "Surprise"}
    assert {title.split(":")[0] for title in titles} == {"Person 1"}, "the face did not keep its number"
    rate = 1000 * (len(seen) - 1) / (seen[-1]["time"] - seen[0]["time"])
    print(f"\n{rate:.1f} frames/s in the page over {SECONDS} s")
    assert rate > 3
    told = re.findall(r"([\d.]+) frames/s", visit.page.locator("#live-bars .fer-status").inner_text())
    assert float(told[0]) > 0
    expect(visit.page.locator("#live-charts svg[role=img]")).to_have_count(1)
    least = visit.page.get_by_label(f"number input for {visit.say('camera.least')}").filter(visible=True)
    least.fill("0.95")
    least.press("Enter")
    expect(visit.page.locator("#live-bars .fer-title")).to_contain_text("uncertain")


def test_the_camera_can_be_paused_kept_exported_and_forgotten(visit: Visit) -> None:
    visit.goto("webcam")
    visit.start_camera()
    page, picture = visit.page, visit.page.locator("#live img")
    expect(page.locator("#live-charts svg").first).to_be_visible()
    page.locator("#pause").click()
    expect(page.locator("#pause")).to_have_text(visit.say("camera.resume"))
    frozen = still(visit, picture)
    name, data = saved(visit, page.locator("#snapshot"))
    assert (name, PILImage.open(io.BytesIO(data)).size) == ("fer_hub.jpg", (640, 480))
    page.locator("#pause").click()
    expect(picture).not_to_have_attribute("src", frozen)
    name, data = saved(visit, page.locator("#export"))
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert name == "fer_hub.csv"
    assert rows and "happy" in rows[0]
    page.locator("#pause").click()
    expect(page.locator("#pause")).to_have_text(visit.say("camera.resume"))
    still(visit, picture)
    page.locator("#clear").click()
    expect(page.locator("#live-bars .fer-title")).to_have_count(0)
    expect(page.locator("#live-charts svg")).to_have_count(0)


def still(visit: Visit, picture: Locator) -> str:
    """What a picture shows when it has come to rest; frames that were under way may still change it."""
    for _ in range(20):
        before = picture.get_attribute("src") or ""
        visit.page.wait_for_timeout(1_500)
        if picture.get_attribute("src") == before:
            return before
    raise AssertionError("the picture does not come to rest")


def test_a_video_comes_back_annotated_with_its_timeline(visit: Visit, clip: Path, folder: Path) -> None:
    visit.goto("video")
    visit.upload("#clip", clip)
    expect(visit.page.locator("#clip video")).to_be_visible()
    visit.page.locator("#video-start").click()
    expect(visit.page.locator(".progress-text, .progress-level").filter(visible=True).first).to_be_visible()
    links = visit.page.locator("#video-charts a[download]")
    expect(links).to_have_count(3)
    film = "document.querySelector('#video-result video')"
    visit.page.wait_for_function(f"{film}?.readyState > 0")
    assert visit.page.evaluate(f"{film}.duration") == pytest.approx(3, abs=0.3)
    visit.page.evaluate(f"{film}.play()")
    visit.page.wait_for_function(f"{film}.currentTime > 0.2")
    expect(visit.page.locator("#video-charts svg[role=img]")).to_have_count(1)
    expect(visit.page.locator("#fer-news")).to_have_text(re.compile(r"^Person 1, .+: mostly .+\.$"))
    (csv_name, table), (json_name, data) = (saved(visit, links.nth(i)) for i in range(2))
    assert (csv_name, json_name) == ("clip.csv", "clip.json")
    assert saved(visit, links.nth(2))[1].startswith(b"<svg")
    assert len(list(csv.DictReader(io.StringIO(table.decode())))) > 10
    assert len(json.loads(data)["people"]) == 1
    assert not list((folder / "temporary").rglob("*.mp4*")), "a film is left behind"


def test_a_cancelled_video_leaves_nothing_half_made_and_the_page_goes_on(
    visit: Visit, clip: Path, folder: Path, tmp_path: Path
) -> None:
    times = even_times(20, 30)
    frames = list(pictures([changing()], times[:60]))
    long = mp4(tmp_path / "long.mp4", (frames[i % 60] for i in range(len(times))), times)
    visit.goto("video")
    visit.upload("#clip", long)
    expect(visit.page.locator("#clip video")).to_be_visible()
    visit.page.locator("#video-start").click()
    expect(visit.page.locator("#video-preview img")).to_be_visible()
    assert list((folder / "temporary").glob("fer-hub-*")), "it was over before it could be cancelled"
    visit.page.locator("#video-cancel").click()
    for _ in range(100):
        if not list((folder / "temporary").glob("fer-hub-*")):
            break
        visit.page.wait_for_timeout(200)
    assert not list((folder / "temporary").glob("fer-hub-*"))
    assert not list((folder / "uploads").rglob("long-fer_hub*"))
    visit.page.locator("#clip").get_by_label(re.compile("^(Clear|Remove.*)$")).first.click()
    visit.upload("#clip", clip)
    expect(visit.page.locator("#clip video")).to_be_visible()
    visit.page.locator("#video-start").click()
    expect(visit.page.locator("#video-charts a[download]")).to_have_count(3)


def test_over_a_slow_link_one_frame_at_a_time_is_sent_so_that_none_grows_old(browser: Browser, app: App) -> None:
    with visiting(browser, app.url) as visit:
        asked: list[Request] = []
        done: list[Request] = []
        visit.page.on("request", lambda request: asked.append(request) if is_frame(request) else None)
        visit.page.on("requestfinished", lambda request: done.append(request) if is_frame(request) else None)
        link = visit.page.context.new_cdp_session(visit.page)
        slow = {"offline": False, "latency": 20, "downloadThroughput": -1, "uploadThroughput": 300_000}
        visit.goto("webcam")
        visit.start_camera()
        expect(visit.page.locator("#live-bars .fer-status")).to_be_visible()
        link.send("Network.emulateNetworkConditions", slow)
        asked.clear(), done.clear()
        visit.page.wait_for_timeout(6000)
        assert len(done) >= 4
        assert len(asked) - len(done) <= 1
        assert all(json.loads(request.post_data or "")["event_data"] is None for request in asked)


def is_frame(request: Request) -> bool:
    """Whether this is a frame of the camera on its way to the server."""
    return re.search(r"/gradio_api/stream/\w+$", request.url) is not None
