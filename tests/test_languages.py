"""fer_hub.languages: nothing missing, nothing left in English, and the language that a browser asks for."""

from __future__ import annotations

import re
import string
import subprocess
import sys
from pathlib import Path

import pytest

from fer_hub.labels import LABEL_SPACES
from fer_hub.languages import LANGUAGES, about, count_of, language_of, number, percent, say

ENGLISH = LANGUAGES["en"]
OTHERS = sorted(LANGUAGES.keys() - {"en"})
SAME = {
    "tr": {
        "thousands",
        "decimal",
        "model",
        "tab.video",
        "face.title",
        "explain.method.grad-cam",
        "explain.method.lime",
        "explain.caption",
        "models.size",
        "download.json",
        "download.csv",
    }
}
"""Keys whose texts may be the English ones, by language."""
BUILT = ("label.", "tab.", "explain.method.", "camera.", "models.")
"""Begins of keys that are put together in an f-string; what follows stands somewhere by itself."""
PAGE = {
    "model": "fer-x",
    "accuracy": "12.34 %",
    "low": "10.00 %",
    "high": "15.00 %",
    "n": "77",
    "seed": "3",
    "chosen_n": "66",
    "ece": "1.5 %",
}


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_exactly_the_keys_of_english(language: str) -> None:
    assert list(LANGUAGES[language]) == list(ENGLISH)


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("key", ENGLISH)
def test_every_text_has_the_placeholders_of_the_english_one(language: str, key: str) -> None:
    assert placeholders(LANGUAGES[language][key]) == placeholders(ENGLISH[key])


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_empty_or_has_stray_space_or_anything_that_a_formatter_of_messages_would_stumble_over(
    language: str,
) -> None:
    for key, text in LANGUAGES[language].items():
        assert text and text == " ".join(text.split()), key
        assert not re.search("[<>#]", text), key


@pytest.mark.parametrize("language", OTHERS)
def test_only_listed_texts_are_the_english_ones(language: str) -> None:
    same = {key for key, text in LANGUAGES[language].items() if text == ENGLISH[key]}
    assert same <= SAME[language]


def test_every_label_has_a_name_in_every_language() -> None:
    labels = {label for space in LABEL_SPACES.values() for label in space}
    for texts in LANGUAGES.values():
        assert {key.removeprefix("label.") for key in texts if key.startswith("label.")} == labels


def test_every_text_is_used_somewhere() -> None:
    root = Path(__file__).parents[1]
    files = [root / "app.py", *(path for path in (root / "fer_hub").rglob("*.py") if path.stem not in LANGUAGES)]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files).replace("'", '"')
    assert all(f'f"{begin}{{' in code for begin in BUILT)
    ways = {
        key: {key, re.sub(r"\.(one|many)$", "", key), *(key.removeprefix(begin) for begin in BUILT)} for key in ENGLISH
    }
    assert [key for key in ENGLISH if not any(f'"{way}"' in code for way in ways[key])] == []


def test_an_unknown_language_is_english() -> None:
    assert say("tab.image", "xx") == "Image"
    assert percent(0.5, language="xx") == "50 %"
    assert about("xx") == about("en")


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(KeyError, match=r"no text 'tab\.music'.*en\.py"):
        say("tab.music")


def test_a_placeholder_without_a_value_is_named() -> None:
    with pytest.raises(KeyError, match="number"):
        say("face")


@pytest.mark.parametrize(
    ("language", "n", "text"),
    [
        ("en", 0, "0 faces"),
        ("en", 1, "1 face"),
        ("en", 2, "2 faces"),
        ("en", 1234, "1,234 faces"),
        ("tr", 1, "1 yüz"),
        ("tr", 2, "2 yüz"),
        ("tr", 1234, "1.234 yüz"),
    ],
)
def test_numbers_take_the_noun_that_the_language_gives_them(language: str, n: int, text: str) -> None:
    assert count_of("face.count", n, language) == text


@pytest.mark.parametrize(
    ("share", "digits", "english", "turkish"),
    [(0.7055, 2, "70.55 %", "%70,55"), (1, 0, "100 %", "%100"), (0, 1, "0.0 %", "%0,0"), (0.894, 0, "89 %", "%89")],
)
def test_shares_are_written_as_the_language_writes_them(share: float, digits: int, english: str, turkish: str) -> None:
    assert percent(share, digits, "en") == english
    assert percent(share, digits, "tr") == turkish


def test_points_and_commas_change_places_in_turkish() -> None:
    assert number(1234567.89, 1) == "1,234,567.9"
    assert number(1234567.89, 1, "tr") == "1.234.567,9"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("tr", "tr"),
        ("TR-tr", "tr"),
        ("tr-TR,tr;q=0.9,en;q=0.8", "tr"),
        ("en-GB,en;q=0.9,tr;q=0.8", "en"),
        ("de-DE,de;q=0.9,tr;q=0.4", "en"),
        ("de, tr;q=.5", "en"),
        ("de-DE,de;q=0.9", "en"),
        (" tr ; Q = 0.3", "tr"),
        ("tr;q=high, en;q=0.1", "tr"),
        ("*", "en"),
        ("*;q=0.9, tr;q=0.1", "en"),
        (",,;;=,tr;level=1;q=0.2", "en"),
        ("x" * 10_000, "en"),
    ],
)
def test_the_language_is_the_browsers_first_one_like_that_of_the_fixed_texts(header: str | None, language: str) -> None:
    assert language_of(header) == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_about_the_app_takes_its_figures_from_outside(language: str) -> None:
    page = about(language, **PAGE)
    assert all(value in page for value in PAGE.values())
    assert set(placeholders(about(language))) == PAGE.keys()
    with pytest.raises(KeyError, match="accuracy"):
        about(language, **{name: value for name, value in PAGE.items() if name != "accuracy"})


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_about_the_app_has_the_parts_and_sources_of_the_english_one(language: str) -> None:
    english, page = about("en"), about(language)
    assert page.count("\n## ") == english.count("\n## ")
    assert re.findall(r"\((https://[^)\s]+)\)", page) == re.findall(r"\((https://[^)\s]+)\)", english)
    for article in ("5(1)(f)", "50(3)", "1(c)", "2024/1689"):
        assert article in page


def test_every_language_has_a_page_and_every_page_a_language() -> None:
    folder = Path(__file__).parents[1] / "fer_hub" / "languages"
    assert {path.name.split(".")[1] for path in folder.glob("about.*.md")} == LANGUAGES.keys()


def test_languages_need_the_standard_library_alone() -> None:
    code = (
        "import sys, importlib.util as u; "
        "s = u.spec_from_file_location('languages', 'fer_hub/languages/__init__.py', "
        "submodule_search_locations=['fer_hub/languages']); "
        "m = u.module_from_spec(s); sys.modules['languages'] = m; s.loader.exec_module(m); "
        "print(m.say('tab.about', 'tr'), [n for n in ('numpy', 'PIL', 'fer_hub', 'gradio') if n in sys.modules])"
    )
    root = Path(__file__).parents[1]
    result = subprocess.run([sys.executable, "-X", "utf8", "-c", code], capture_output=True, check=True, cwd=root)
    assert result.stdout.decode().strip() == "Hakkında []"
