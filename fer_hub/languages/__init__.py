"""What the app says, by language. One file with one dict and one page ``about.xx.md`` are a language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .en import TEXTS as ENGLISH
from .tr import TEXTS as TURKISH

LANGUAGES: dict[str, dict[str, str]] = {"en": ENGLISH, "tr": TURKISH}
"""Texts by language (ISO 639-1) and key; all languages have the same keys, with the same placeholders."""


def say(key: str, language: str = "en", **values: Any) -> str:
    """A text in a language, its placeholders filled in.

    Args:
        key: As in `LANGUAGES`: "tab.image".
        language: English where it is unknown.
        values: What stands for the text's placeholders.

    Raises:
        KeyError: There is no such text, or a placeholder has no value; named.
    """
    texts = LANGUAGES.get(language, ENGLISH)
    if key not in texts:
        raise KeyError(f"There is no text {key!r}. fer_hub/languages/en.py lists all of them.")
    return texts[key].format_map(values)


def count_of(key: str, n: int, language: str = "en") -> str:
    """A number with its noun: ``count_of("face.count", 2)`` is "2 faces".

    Args:
        key: Of two texts, ``key.one`` and ``key.many``, whose placeholder is ``{count}``.
        n: How many; 0 is many.
        language: English where it is unknown.

    Raises:
        KeyError: There are no such texts.
    """
    return say(f"{key}.one" if n == 1 else f"{key}.many", language, count=number(n, 0, language))


def number(value: float, digits: int = 0, language: str = "en") -> str:
    """A number as the language writes it: 3589 is "3,589", in Turkish "3.589"."""
    texts = LANGUAGES.get(language, ENGLISH)
    marks = str.maketrans({",": texts["thousands"], ".": texts["decimal"]})
    return f"{value:,.{digits}f}".translate(marks)


def percent(share: float, digits: int = 0, language: str = "en") -> str:
    """A share from 0 to 1 as the language writes per cent: "89 %", in Turkish "%89"."""
    return say("percent", language, value=number(100 * share, digits, language))


def language_of(accept_language: str | None) -> str:
    """The first language of a visitor's browser; English where it is not known.

    The browser itself shows the page's fixed texts in its first language (``navigator.language``), or in English. What
    the server says follows it, so that a page is never of two languages.

    Args:
        accept_language: The header of the request, as in "tr-TR,tr;q=0.9,en;q=0.8": browsers name the first one first.
    """
    first = (accept_language or "").split(",")[0].split(";")[0]
    language = first.strip().lower().split("-")[0]
    return language if language in LANGUAGES else "en"


def about(language: str = "en", **values: Any) -> str:
    """The page about the app, as Markdown; English where the language is unknown.

    Args:
        language: Of `LANGUAGES`.
        values: Of the page's placeholders: ``model``, ``accuracy``, ``low``, ``high``, ``n``, ``seed``, ``chosen_n``,
            ``ece``, as text. Without any the page is returned as it is written, placeholders and all.

    Raises:
        KeyError: Some values were given, but not all.
    """
    known = language if language in LANGUAGES else "en"
    page = Path(__file__).with_name(f"about.{known}.md").read_text(encoding="utf-8")
    return page.format_map(values) if values else page
