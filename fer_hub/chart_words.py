"""A timeline chart in words: its axis, and what is read aloud to those who do not see it."""

from __future__ import annotations

from .chart_paths import Cells, Span
from .labels import display
from .languages import number, percent, say
from .timeline import Timeline
from .timeline_bins import Rows, summarise


def ago(seconds: float, language: str) -> str:
    """A time before now, `seconds` at most 0: "−10 s", "now"."""
    if seconds > -0.05:
        return say("chart.now", language)
    return say("chart.ago", language, seconds=_short(-seconds, language))


def _short(value: float, language: str) -> str:
    return number(value, 0 if abs(value - round(value)) < 0.05 else 1, language)


def clock(seconds: float, step: float) -> str:
    """``m:ss`` or ``h:mm:ss``; tenths where the steps are smaller than a second."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths // 10, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    return f"{text}.{tenths % 10}" if step < 1 else text


def span_words(span: Span, window: float | None, language: str) -> str:
    """What the chart shows: "last 30 s", "0:00 to 1:30"."""
    if window is not None:
        return say("chart.last", language, seconds=_short(window, language))
    return say("chart.span", language, start=clock(span.start, 1), stop=clock(span.stop, 1))


def sentence(timeline: Timeline, person: int, rows: Rows, cells: Cells, span: str, language: str, least: float) -> str:
    """The chart in words: the two labels that were on top longest, and how long it was uncertain."""
    values = {"person": say("camera.person", language, number=person), "span": span}
    shares = summarise(rows, timeline.labels, timeline.step)["shares"]
    ranked = sorted((label for label in shares if shares[label] >= 0.005), key=lambda label: -shares[label])
    if not ranked:
        return say("chart.unseen", language, **values)
    named = [{"label": display(label, language), "share": percent(shares[label], 0, language)} for label in ranked[:2]]
    words = say("chart.mostly", language, **values, **named[0])
    if len(named) > 1:
        words += say("chart.then", language, **named[1])
    lasted = cells.end - cells.begin
    unsure = float(lasted[cells.scores.max(axis=1) < least].sum() / max(lasted.sum(), 1e-9))
    if unsure >= 0.005:
        words += say("chart.uncertain", language, share=percent(unsure, 0, language))
    return f"{words}."
