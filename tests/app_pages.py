"""The app's pages in real Chromium, for tests: its tabs in a language and a width, and what holds of every page."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app_server import ROOT
from browser import launched
from films import PHOTO, Person, faces, pictures, scene, y4m
from PIL import Image as PILImage
from playwright.sync_api import Browser, Locator, Page, expect

from fer_hub.languages import LANGUAGES, say

SHOTS = Path(os.environ.get("FER_HUB_SHOTS", ROOT / "runs" / "screenshots"))
PATIENCE = 60_000
"""Milliseconds: generous, since a busy machine is no failure."""
LOCALES = {"en": "en-GB", "tr": "tr-TR"}
VIEWS = (("en", 390, "light"), ("en", 1440, "dark"), ("tr", 390, "dark"), ("tr", 1440, "light"))
"""Language, width in pixels, colour scheme."""
ACROSS = "[document.documentElement.scrollWidth, innerWidth]"
SEEN = """() => {
  const card = document.querySelector('#card');
  const skipped = new Set(card?.offsetParent ? card.innerText.split('\\n') : []);
  const inputs = [...document.querySelectorAll('input, textarea')].filter(each => each.offsetParent);
  return document.body.innerText.split('\\n').filter(line => !skipped.has(line)).concat(
    inputs.flatMap(each => [each.value, each.placeholder])).map(text => text.trim()).filter(Boolean) }"""
"""What can be read in the page, line by line, but for the card of a model, which is English."""
MUTE = """() => [...document.querySelectorAll('img')].filter(each => each.checkVisibility()
  && !each.alt && !each.closest('[aria-hidden=true], button[aria-label]')).map(each => each.outerHTML.slice(0, 200))"""
"""Pictures that a screen reader cannot tell."""
NAMELESS = re.compile(r"^\s*- (?:button|link|checkbox|combobox|radio|slider|spinbutton|tab|textbox)\b(?! \").*$", re.M)
RAW = re.compile(rf"\b(?:{'|'.join({key.split('.')[0] for key in LANGUAGES['en'] if '.' in key})})\.[a-z_]+\b")


@dataclass(frozen=True)
class Visit:
    """A visitor's page.

    Attributes:
        page: In the browser.
        language: Of the visitor's browser: a key of LOCALES.
        view: Language, width and colours, for names of screenshots.
    """

    page: Page
    language: str
    view: str

    def say(self, key: str, **values: object) -> str:
        """A text of the app in the visitor's language."""
        return say(key, self.language, **values)

    def goto(self, tab: str) -> None:
        """Open a tab of the app; on a narrow page it may be in the menu of those that have no room."""
        name = self.say(f"tab.{tab}")
        found = self.page.get_by_role("tab", name=name, exact=True).first
        if found.is_visible():
            return found.click()
        self.page.locator(".overflow-menu > button").first.click()
        return self.page.locator(".overflow-dropdown button").filter(has_text=name).first.click()

    def upload(self, place: str, file: Path) -> None:
        """Give a file to an input."""
        self.page.locator(f"{place} input[type=file]").set_input_files(str(file))

    def add_model(self, name: str) -> None:
        """Type a model's name into Compare."""
        field = self.page.locator("#compare-models input")
        field.fill(name)
        field.press("Enter")
        field.press("Escape")

    def toast(self) -> Locator:
        """What the app tells the visitor in passing."""
        return self.page.locator(".toast-body").first

    def dismiss(self) -> None:
        """Close all toasts; one may go by itself meanwhile."""
        shown = self.page.locator(".toast-close")
        shown.evaluate_all("all => all.forEach(each => each.click())")
        expect(shown).to_have_count(0)

    def shoot(self, name: str) -> None:
        """A screenshot of the whole page, to be looked at."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(250)  # until what moves has come to rest
        self.page.screenshot(path=SHOTS / f"{name}-{self.view}.png", full_page=True)

    def start_camera(self, name: str = "camera") -> None:
        """Let the page see the camera, and begin."""
        self.page.locator(f"#{name} [title='grant webcam access'] button").click()
        self.page.locator(f"#{name} .button-wrap button").first.click()


def flaws(visit: Visit) -> list[str]:
    """What is wrong with the page: its width, its language, names and descriptions for those who cannot see it."""
    page = visit.page
    across, width = page.evaluate(ACROSS)
    seen: list[str] = page.evaluate(SEEN)
    found = [f"scrolls sideways: {across} of {width} pixels"] if across > width else []
    found += [f"another language: {line}" for line in foreign(seen, visit.language)]
    found += [f"no text, but its key: {line}" for line in seen if RAW.search(line)]
    found += [f"a picture without words: {picture}" for picture in page.evaluate(MUTE)]
    return found + [f"no name: {line}" for line in NAMELESS.findall(page.locator("body").aria_snapshot())]


def foreign(lines: Sequence[str], language: str) -> list[str]:
    """Lines that are texts of another language only."""
    own = {text for text in LANGUAGES[language].values()}
    others = {text for name, texts in LANGUAGES.items() if name != language for text in texts.values()} - own
    forms = [form(text) for text in others if len(re.sub(r"{\w+}|\W", "", text)) > 2]
    ours = [form(text) for text in own if len(re.sub(r"{\w+}|\W", "", text)) > 2]
    return [
        line for line in lines if any(f.fullmatch(line) for f in forms) and not any(f.fullmatch(line) for f in ours)
    ]


def form(text: str) -> re.Pattern[str]:
    """A text, anything in place of its placeholders."""
    return re.compile(".+".join(re.escape(part) for part in re.split(r"{\w+}", text)))


@contextmanager
def visiting(
    browser: Browser, url: str, language: str = "en", width: int = 1440, scheme: str = "light"
) -> Iterator[Visit]:
    """A visitor; at the end nothing was asked of another host, and no script has failed."""
    context = browser.new_context(
        locale=LOCALES[language],
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        permissions=["camera"],
        reduced_motion="reduce",
    )
    page = context.new_page()
    elsewhere: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: elsewhere.append(request.url) if not is_local(request.url, url) else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    try:
        page.goto(url)
        expect(page.get_by_role("tab", name=say("tab.image", language), exact=True).first).to_be_visible()
        line = page.locator("#about-model textarea, #about-model input").first
        expect(line).not_to_have_value("")  # the page is alive
        yield Visit(page, language, f"{language}-{width}-{scheme}")
    finally:
        context.close()
    assert not elsewhere + errors, f"requests to other hosts: {elsewhere}; errors of the page: {errors}"


def is_local(address: str, url: str) -> bool:
    """Whether this is the app's own, or held in the page."""
    return address.startswith((f"{url}/", "data:", "blob:"))


@contextmanager
def camera_browser(film: Path) -> Iterator[Browser]:
    """Chromium, its camera played from a film, without asking."""
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with launched(*camera, f"--use-file-for-fake-video-capture={film}") as chromium:
        yield chromium


def happy_and_surprised() -> tuple[Person, Person]:
    """Two people beside each other; one smiling face twice where FER2013_DIR is not set."""
    found = faces(6)
    return Person((found[3],), (40, 130)), Person((found[5],), (380, 130))


def changing() -> Person:
    """Someone who moves, and smiles and is surprised in turn, four seconds each."""
    found = faces(6)
    return Person((found[3], found[5]), (200, 110), (40, 10), each=4.0)


def camera_film(path: Path, seconds: int = 8, fps: int = 30) -> Path:
    """A film of one who changes, for the camera."""
    return y4m(path, pictures([changing()], [i / fps for i in range(seconds * fps)]), fps=fps)


def two_faces(path: Path) -> Path:
    """A picture of two people."""
    PILImage.fromarray(scene(0.0, happy_and_surprised())[0]).save(path)
    return path


__all__ = ["PHOTO", "VIEWS", "Visit", "camera_browser", "camera_film", "flaws", "two_faces", "visiting"]
