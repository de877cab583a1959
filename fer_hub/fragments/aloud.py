"""What a screen reader is told when a result has come: a sentence for each face, not the whole panel.

The words are hidden; ``assets/announce.js`` puts them where a screen reader waits for news.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .. import charts
from ..comparison import Comparison
from ..languages import count_of, say
from ..timeline import Timeline
from ..types import Prediction
from .maps import caption
from .parts import face_name, title
from .tables import agreement

if TYPE_CHECKING:
    from ..explain import Explanation

MOST = 5
"""Faces, or persons in a video, that are told of one by one."""


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
    return _hidden(_counted(told, language))


def comparison_aloud(comparison: Comparison, language: str = "en") -> str:
    """Of several models' answers on each face: how many of them agree, or what the only one says."""
    if not comparison.answered:
        return ""
    told = []
    for number, first in enumerate(comparison.answered[0].predictions):
        name, votes = face_name(number + 1, language, first.face is None), agreement(comparison, number, language)
        told.append(f"{name}: {votes}" if votes else title(name, first, language, 0.0))
    return _hidden(_counted(told, language))


def maps_aloud(rows: Mapping[str, Mapping[str, Explanation | str]], language: str = "en") -> str:
    """Of the heat maps of one face: what each model says of the label that they explain.

    Args:
        rows: As `heat_grid` takes them, none still to come.
        language: Of the names and numbers.
    """
    told = []
    for model, found in rows.items():
        made = [each for each in found.values() if not isinstance(each, str)]
        told += [f"{model}: {caption(each, language)}." for each in made[:1]]
    return _hidden(told)


def timeline_aloud(timeline: Timeline, language: str = "en", least: float = 0.0) -> str:
    """Of a video that is done: what the charts of those who were seen for the longest show, or that nobody was seen."""
    told = [charts.told(timeline, person, language, least) for person in timeline.longest(MOST)]
    return _hidden(told or [say("chart.nobody", language)])


def _counted(faces: Sequence[str], language: str) -> list[str]:
    """How many faces there are, where they are several, and what is said of the first few, as sentences."""
    count = [count_of("face.count", len(faces), language)] if len(faces) > 1 else []
    return [f"{words}." for words in [*count, *faces[:MOST]]]


def _hidden(sentences: Sequence[str]) -> str:
    words = html.escape(" ".join(sentences))
    return f'<p class="fer-said" hidden>{words}</p>' if words else ""
