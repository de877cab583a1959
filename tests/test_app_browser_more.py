"""Compare, explain, models and about in a real browser, with two more models beside the embedded ones."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_models
from app_pages import VIEWS, Visit, camera_browser, camera_film, flaws, two_faces, visiting
from app_server import ROOT, running
from playwright.sync_api import Browser, expect

from fer_hub.hub import DEFAULT_MODEL, zoo_models

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def models(folder: Path) -> list[str]:
    """A copy of an embedded model, and a tiny one of which nothing is stated."""
    shutil.copytree(ROOT / "fer_hub" / "zoo" / DEFAULT_MODEL, folder / "second")
    return [path.name for path in (folder / "second", tiny_models.network(folder / "tiny", seed=1))]


@pytest.fixture(scope="module")
def url(folder: Path, models: list[str]) -> Iterator[str]:
    with running(*(str(folder / name) for name in models)) as app:
        yield app.url


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    with camera_browser(camera_film(folder / "camera.y4m", fps=10)) as chromium:
        yield chromium


@pytest.fixture
def visit(browser: Browser, url: str) -> Iterator[Visit]:
    with visiting(browser, url) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def pair(folder: Path) -> Path:
    return two_faces(folder / "two.png")


def compare(visit: Visit, photo: Path) -> None:
    visit.goto("compare")
    visit.upload("#compare-photo", photo)
    expect(visit.page.locator("#compare-table table")).to_be_visible()


def open_explain(visit: Visit, photo: Path) -> None:
    visit.goto("explain")
    visit.upload("#explain-photo", photo)
    expect(visit.page.locator("#explain-face input")).to_have_count(2)


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_compare_explain_models_and_about_are_whole_in_every_language_width_and_colour(
    browser: Browser, url: str, pair: Path, view: tuple[str, int, str]
) -> None:
    with visiting(browser, url, *view) as visit:
        compare(visit, pair)
        visit.shoot("compare")
        assert flaws(visit) == []
        open_explain(visit, pair)
        visit.page.locator("#explain-run").click()
        expect(visit.page.locator("#explain-grid figcaption")).to_have_count(3)
        visit.shoot("explain")
        assert flaws(visit) == []
        visit.goto("models")
        expect(visit.page.locator("#board tbody tr")).to_have_count(len(zoo_models()) + 2)
        visit.shoot("models")
        assert flaws(visit) == []
        visit.goto("about")
        about = visit.page.locator("#about")
        expect(about).to_contain_text(DEFAULT_MODEL)
        expect(about).to_contain_text("70.5 %" if visit.language == "en" else "%70,5")
        expect(about).not_to_contain_text("{")
        visit.shoot("about")
        assert flaws(visit) == []


def test_the_table_has_a_column_for_each_model_and_their_average(visit: Visit, pair: Path, models: list[str]) -> None:
    compare(visit, pair)
    table = visit.page.locator("#compare-table table")
    visit.add_model(models[1])
    expect(table.locator("thead th")).to_have_text(["Model", *[*zoo_models(), *models][:2], models[1]])
    for row in ("Accuracy", "Latency, all faces", "File size"):
        expect(table.get_by_role("rowheader", name=row, exact=True)).to_be_visible()
    expect(table.locator("tr.fer-group")).to_have_count(2)
    expect(table.locator("tr.fer-group").first).to_contain_text(re.compile(r"Face 1.*[23] of 3 models say Happy"))
    visit.page.locator("#compare-ensemble input").check()
    expect(table.locator("thead th")).to_have_count(5)


def test_a_model_that_cannot_be_had_is_told_and_the_others_stay(visit: Visit, pair: Path) -> None:
    compare(visit, pair)
    visit.add_model("nobody/nothing")
    expect(visit.toast()).to_contain_text("nobody/nothing")
    visit.shoot("compare-unknown-model")
    expect(visit.page.locator("#compare-table thead th")).to_have_count(3)
    visit.dismiss()
    visit.add_model("/etc/passwd")
    expect(visit.toast()).to_contain_text("nor an id of the Hub")
    expect(visit.page.locator("#compare-table thead th")).to_have_count(3)


def test_models_are_compared_on_the_live_camera(visit: Visit) -> None:
    visit.goto("compare")
    visit.page.get_by_role("tab", name=visit.say("compare.camera"), exact=True).click()
    visit.start_camera("compare-camera")
    live = visit.page.locator("#compare-live-table")
    expect(live.locator("thead th")).to_have_count(3)
    expect(live.locator("tr.fer-group").first).to_contain_text("Person 1")
    tables = set()
    for _ in range(100):
        tables.add(live.inner_text())
        if len(tables) > 3:
            break
        visit.page.wait_for_timeout(200)
    assert len(tables) > 3, "the table does not follow the camera"
    visit.shoot("compare-camera")
    assert flaws(visit) == []


def test_the_chosen_face_and_expression_are_explained_for_two_models(visit: Visit, pair: Path) -> None:
    open_explain(visit, pair)
    page = visit.page
    page.locator("#explain-face").get_by_label("Face 2").check()
    page.get_by_label(visit.say("explain.label"), exact=True).click()
    page.get_by_role("option", name="Sad").click()
    page.get_by_label(visit.say("explain.models")).click()
    page.get_by_role("option", name="second").click()
    page.keyboard.press("Escape")
    page.locator("#explain-run").click()
    expect(page.locator(".progress-text").filter(visible=True).first).to_be_visible()
    grid = page.locator("#explain-grid")
    expect(grid.locator("figcaption")).to_have_count(6)
    expect(grid.locator("tbody tr")).to_have_count(2)
    for method in ("Grad-CAM", "LIME", "Occlusion"):
        alt = visit.say("explain.map_alt", method=method, model=DEFAULT_MODEL, label="Sad")
        expect(grid.get_by_alt_text(alt)).to_be_visible()
    assert all(text.startswith("Sad, ") for text in grid.locator("figcaption").all_inner_texts())
    expect(page.locator("#fer-news")).to_have_text(re.compile(rf"^{DEFAULT_MODEL}: Sad, .+ %\. second: Sad, .+ %\.$"))
    visit.shoot("explain-two")
    assert flaws(visit) == []


def test_an_explanation_can_be_cancelled(visit: Visit, pair: Path) -> None:
    open_explain(visit, pair)
    visit.page.locator("#explain-run").click()
    expect(visit.page.locator("#explain-grid .fer-waiting").first).to_be_visible()
    visit.page.locator("#explain-cancel").click()
    expect(visit.page.locator(".progress-text").filter(visible=True)).to_have_count(0)
    visit.page.wait_for_timeout(3_000)  # more than any of the methods takes
    expect(visit.page.locator("#explain-grid .fer-waiting").first).to_be_visible()
    visit.page.locator("#explain-run").click()
    expect(visit.page.locator("#explain-grid figcaption")).to_have_count(3)


def test_the_leaderboard_measures_latency_and_shows_cards(visit: Visit, models: list[str]) -> None:
    visit.goto("models")
    board = visit.page.locator("#board tbody tr")
    expect(board).to_have_count(len(zoo_models()) + len(models))
    expect(board.first).to_contain_text(f"{DEFAULT_MODEL}")
    expect(board.first.locator("td").last).to_have_text("–")
    visit.page.locator("#measure").click()
    expect(board.last.locator("td").last).to_have_text(re.compile(r"^\d+\.\d\d$"))
    expect(board.first.locator("td").last).to_have_text(re.compile(r"^\d+\.\d\d$"))
    card = visit.page.locator("#card")
    expect(card.get_by_role("heading", name=DEFAULT_MODEL, exact=True)).to_be_visible()
    sources = card.locator("img").evaluate_all("all => all.map(each => each.src)")
    assert all(source.startswith(("data:", visit.page.url)) for source in sources), sources


def test_the_model_is_chosen_for_all_tabs(visit: Visit, models: list[str]) -> None:
    visit.page.locator("#model input").click()
    visit.page.get_by_role("option", name=models[1]).click()
    about = visit.page.locator("#about-model textarea, #about-model input").first
    expect(about).to_have_value("tiny, input 8×8, accuracy not stated")
