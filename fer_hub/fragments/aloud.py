"""What a screen reader is told when a result has come: a sentence for each face, not the whole panel.

The words are hidden; ``assets/announce.js`` puts them where a screen reader waits for news.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..comparison import Comparison
from ..languages import count_of
from ..types import Prediction
from .maps import caption
from .parts import face_name, title
from .tables import agreement

if TYPE_CHECKING:
    from ..explain import Explanation

MOST = 5
"""Faces that are told of one by one; all are counted."""


def faces_aloud(predictions: Sequence[Prediction], language: str = "en", least: float = 0.0) -> str:
    """Of the faces of a photo, or the whole image: "2 faces. Face 1: Happy 96 %. Face 2: Sad 51 %."

    Args:
        predictions: None: nothing is told.
        language: Of the names and numbers.
        least: Below this confidence, 0 to 1, a face is called uncertain.
    """
    told = [
        title(face_name(number, language, each.face is None), each, language, least)
        for number, each in enumerate(predictions, 1)
    ]
    return _hidden(told, language)


def comparison_aloud(comparison: Comparison, language: str = "en") -> str:
    """Of several models' answers on each face: how many of them agree, or what the only one says."""
    if not comparison.answered:
        return ""
    told = []
    for number, first in enumerate(comparison.answered[0].predictions):
        name, votes = face_name(number + 1, language, first.face is None), agreement(comparison, number, language)
        told.append(f"{name}: {votes}" if votes else title(name, first, language, 0.0))
    return _hidden(told, language)


def maps_aloud(rows: Mapping[str, Mapping[str, Explanation | str]], language: str = "en") -> str:
    """Of the heat maps of one face: what each model says of the label that they explain.

    Args:
        rows: As `heat_grid` takes them, none still to come.
        language: Of the names and numbers.
    """
    told = []
    for model, found in rows.items():
        made = [each for each in found.values() if not isinstance(each, str)]
        told += [f"{model}: {caption(each, language)}" for each in made[:1]]
    return _hidden(told)


def _hidden(sentences: Sequence[str], language: str = "") -> str:
    """The sentences after their number, which is left out where there is but one."""
    counted = [count_of("face.count", len(sentences), language)] if language and len(sentences) > 1 else []
    words = " ".join(f"{each}." for each in [*counted, *sentences[:MOST]])
    return f'<p class="fer-said" hidden>{html.escape(words)}</p>' if words else ""
