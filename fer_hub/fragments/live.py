"""The live camera in words and bars."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ..languages import count_of, number, say
from ..types import Prediction
from .parts import card


def live_panel(rows: Sequence[tuple[int, Prediction]], language: str = "en", least: float = 0.0) -> str:
    """A compact card for each tracked person.

    Args:
        rows: The identity of each and its prediction.
        language: Of the names and numbers.
        least: Below this confidence, 0 to 1, a face is called uncertain.
    """
    if not rows:
        return f'<p class="fer-none">{html.escape(say("camera.none", language))}</p>'
    cards = "".join(
        f'<div class="fer-card fer-compact">'
        f"{card(say('camera.person', language, number=identity), prediction, language, least)}</div>"
        for identity, prediction in rows
    )
    return f'<div class="fer-live">{cards}</div>'


def status_line(fps: float, latency_ms: float, faces: int, language: str = "en") -> str:
    """How fast it goes and how many faces there are, in one line.

    Args:
        fps: Frames a second.
        latency_ms: Milliseconds from a frame to its answer.
        faces: How many.
        language: Of the words and numbers.
    """
    parts = (
        say("camera.fps", language, fps=number(fps, 1, language)),
        say("camera.latency", language, ms=number(latency_ms, 0, language)),
        count_of("face.count", faces, language),
    )
    spans = "".join(f"<span>{html.escape(part)}</span>" for part in parts)
    return f'<p class="fer-status">{spans}</p>'
