"""What the region for screen readers holds as results come and go, in a page whose clock the test turns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from app_server import ROOT
from browser import launched
from playwright.sync_api import Page

SCRIPT = (ROOT / "fer_hub" / "assets" / "announce.js").read_text(encoding="utf-8")
SECOND = 1000


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """Counts how often the region was given words."""
    with launched() as browser:
        page = browser.new_page()
        page.clock.install(time=0)
        page.clock.pause_at(SECOND)
        page.set_content("<main></main>")
        page.add_script_tag(content=SCRIPT)
        page.evaluate("""() => {
            window.told = [];
            const region = document.getElementById("fer-news");
            new MutationObserver(() => region.textContent && told.push(region.textContent))
                .observe(region, {childList: true});
        }""")
        yield page


def comes(page: Page, words: str) -> None:
    """A result takes the place of the one before."""
    html = f'<div><p class="fer-said" hidden>{words}</p></div>'
    page.evaluate("html => { document.querySelector('main').innerHTML = html; }", html)
    page.clock.run_for(200)


@pytest.mark.parametrize(
    ("results", "told"),
    [
        pytest.param([(0, "Happy"), (0, "Sad")], ["Happy", "Sad"], id="each new result"),
        pytest.param([(0, "Happy"), (5, "Happy")], ["Happy", "Happy"], id="the same of another photo, later"),
        pytest.param([(0, "Dark")] + [(1, "Dark")] * 9, ["Dark"], id="the same with every frame: once"),
        pytest.param([(0, "Happy"), (0, ""), (5, "Happy")], ["Happy", "Happy"], id="nothing in between"),
        pytest.param([(0, "Happy"), (0, "Sad"), (0, "Happy")], ["Happy", "Sad", "Happy"], id="back again, at once"),
    ],
)
def test_a_result_is_told_when_it_comes_and_not_while_it_comes_again_and_again(
    page: Page, results: list[tuple[int, str]], told: list[str]
) -> None:
    page.clock.run_for(10 * SECOND)
    page.evaluate("told.length = 0")
    for pause, words in results:
        page.clock.run_for(pause * SECOND)
        comes(page, words)
    assert page.evaluate("told") == told
