"""Charts of what a face showed over time, as SVG that brings everything with it and reads on light and on dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from .chart_paths import LETTER, TALL, UNITS, Cells, Span, area_paths, cells_of, name_places, ribbon_paths
from .chart_words import ago, clock, sentence, span_words
from .labels import UNCERTAIN, color_of_label, display, ink
from .languages import count_of, percent, say
from .timeline import Timeline
from .timeline_bins import NEAR, summarise

NARROW = 340
"""CSS pixels of the narrowest page: a name with room there is written on every page."""
WIDE_PAGE = 1000
"""CSS pixels of a page from which on names are written that have room only at a chart's full width."""
RIBBON, BETWEEN, AXIS, HEAD = 8, 3, 20, 20
"""Pixels: height of the ribbon, of the space below it, of the axis, and of the line above a person's row."""
ROW = 52
"""Pixels of a person's areas and ribbon among others."""
UNSCALED = 'vector-effect="non-scaling-stroke"'
"""A line keeps its width where the drawing is stretched."""
STYLE = f"<style>@media(max-width:{WIDE_PAGE - 1}px){{.fer-wide{{display:none}}}}</style>"


def timeline_chart(
    timeline: Timeline,
    person: int,
    window: float | None = 30.0,
    language: str = "en",
    least: float = 0.0,
    width: int = 640,
    height: int = 120,
) -> str:
    """What a person's face showed over time: label probabilities as stacked areas, the label on top as a ribbon.

    The drawing takes the width of its place, and its text stays 12 px high: only the areas are stretched. Where the
    face was not seen, nothing is drawn.

    Args:
        timeline: What was seen.
        person: Of whom.
        window: The latest so many seconds, the axis counting back from now; None: all of it, the axis in mm:ss.
        language: Of the words.
        least: Below this confidence the ribbon is hatched grey: uncertain.
        width: CSS pixels that the chart has on a wide page; narrower pages are reckoned with by themselves.
        height: CSS pixels.

    Returns:
        An ``<svg>`` element, to put into a page or a file.

    Raises:
        ValueError: The window, the width or the height is too small.
    """
    if window is not None and not 0.5 <= window < 1e6:
        raise ValueError(f"The window is {window} s; it must be 0.5 or more. 30 is usual; None shows all of it.")
    if width < 100 or height < 60:
        raise ValueError(f"The chart is {width}×{height} px; it must be at least 100×60.")
    span = _span(timeline, window)
    rows = timeline.rows(person, span.start - timeline.step / 2)  # a bin that lies half in it, too
    cells = cells_of(rows, timeline.step, span)
    areas = height - RIBBON - BETWEEN - AXIS
    words = sentence(timeline, person, rows, cells, span_words(span, window, language), language, least)
    body = (
        _plot(timeline, cells, span, language, least, width, areas),
        f'<g transform="translate(0 {RIBBON + BETWEEN + areas})">{_axis(span, window is not None, language)}</g>',
    )
    return _svg("".join(body), say("camera.person", language, number=person), words, width, height)


def told(timeline: Timeline, person: int, language: str = "en", least: float = 0.0) -> str:
    """What the chart of all that was seen of a person shows, as plain text."""
    span, rows = _span(timeline, None), timeline.rows(person)
    cells = cells_of(rows, timeline.step, span)
    return sentence(timeline, person, rows, cells, span_words(span, None, language), language, least)


def people_chart(timeline: Timeline, language: str = "en", least: float = 0.0, width: int = 640, most: int = 12) -> str:
    """All persons of a video, a row each, over the same time, with a legend.

    Args:
        timeline: What was seen.
        language: Of the words.
        least: Below this confidence the ribbon is hatched grey: uncertain.
        width: CSS pixels that the chart has on a wide page.
        most: Persons that are drawn at most: those seen longest. A line says how many are not.

    Returns:
        A ``<figure>``: an ``<svg>`` for each person, and the legend as text beside patches.
    """
    shown = timeline.longest(most)
    if not shown:
        return f'<figure class="fer-people"><p>{escape(say("chart.nobody", language))}</p></figure>'
    span = _span(timeline, None)
    charts = [_row(timeline, person, span, language, least, width, last=person == shown[-1]) for person in shown]
    left = len(timeline.people()) - len(shown)
    note = f"<p>{escape(count_of('chart.more', left, language))}</p>" if left else ""
    body = "".join(charts) + note + legend(timeline.labels, language, least)
    return f'<figure class="fer-people" style="margin:0">{body}</figure>'


def legend(labels: Sequence[str], language: str = "en", least: float = 0.0) -> str:
    """The labels beside their colours as an HTML list, and how "uncertain" is drawn where `least` is above 0."""
    patches = [(display(label, language), color_of_label(label)) for label in labels]
    if least > 0:
        stripes = "repeating-linear-gradient(90deg,currentColor 0 2px,transparent 2px 4px)"
        patches.append((f"{say('uncertain', language)} (< {percent(least, 0, language)})", stripes))
    patch = "display:inline-block;width:1em;height:.8em;border:1px solid #8888;border-radius:2px;margin-right:.35em"
    items = "".join(
        f'<li><span style="{patch};background:{color}"></span>{escape(name)}</li>' for name, color in patches
    )
    style = "display:flex;flex-wrap:wrap;gap:.2em 1em;list-style:none;margin:.4em 0;padding:0;font-size:12px"
    return f'<ul class="fer-legend" style="{style}">{items}</ul>'


def _span(timeline: Timeline, window: float | None) -> Span:
    if window is None:
        return Span(timeline.first, max(timeline.last, timeline.first + timeline.step))
    stop = (math.floor(timeline.last / timeline.step + NEAR) + 1) * timeline.step  # the newest bin is whole
    return Span(stop - window, stop)


def _row(timeline: Timeline, person: int, span: Span, language: str, least: float, width: int, last: bool) -> str:
    """One person among others: name and most frequent label, ribbon, areas; the axis below the last."""
    rows = timeline.rows(person)
    cells = cells_of(rows, timeline.step, span)
    shares = summarise(rows, timeline.labels, timeline.step)["shares"]
    top = max(shares, key=shares.__getitem__)
    name = say("camera.person", language, number=person)
    line = f"{name}: {display(top, language)} {percent(shares[top], 0, language)}"
    words = sentence(timeline, person, rows, cells, span_words(span, None, language), language, least)
    areas = ROW - RIBBON - BETWEEN
    marks = f'<g transform="translate(0 {ROW})">{_axis(span, False, language)}</g>' if last else ""
    body = (
        f'<text y="14" font-weight="600">{escape(line)}</text>',
        f'<g transform="translate(0 {HEAD})">{_plot(timeline, cells, span, language, least, width, areas)}{marks}</g>',
    )
    return _svg("".join(body), name, words, width, HEAD + ROW + (AXIS if last else 6))


def _svg(body: str, title: str, words: str, width: int, height: int) -> str:
    """The element: as wide as its place in a page (the style), `width` px in a viewer of files (the attribute)."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" class="fer-chart" width="{width}" height="{height}" '
        'style="display:block;width:100%" fill="currentColor" font-family="system-ui,sans-serif" font-size="12">'
        f"<title>{escape(title)}</title><desc>{escape(words)}</desc>{STYLE}{body}</svg>"
    )


def _plot(timeline: Timeline, cells: Cells, span: Span, language: str, least: float, width: int, height: int) -> str:
    """Ribbon, areas below it, and the names in them; `height` is that of the areas."""
    colors = [color_of_label(label) for label in timeline.labels]
    ribbon = "".join(
        f'<path d="{path}" fill="{colors[label]}"/>'
        if label >= 0
        else f'<path d="{path}" stroke="{UNCERTAIN}" stroke-opacity=".35" stroke-width="8" {UNSCALED}/>'
        f'<path d="{path}" stroke="currentColor" stroke-opacity=".7" stroke-width="8" stroke-dasharray="2" {UNSCALED}/>'
        for label, path in sorted(ribbon_paths(cells, span, least).items())
    )
    areas = "".join(
        f'<path d="{path}" fill="{color}" {UNSCALED}/>'
        for path, color in reversed(list(zip(area_paths(cells, span), colors, strict=True)))
        if path
    )
    top = RIBBON + BETWEEN
    words = _names(timeline, cells, span, language, width, height) + _absences(timeline, cells, span, language, height)
    return (
        f'<svg width="100%" height="{RIBBON}" viewBox="0 0 {UNITS} 8" preserveAspectRatio="none">{ribbon}</svg>'
        f'<svg y="{top}" width="100%" height="{height}" viewBox="0 0 {UNITS} {TALL}" preserveAspectRatio="none">'
        f'<g stroke="#000" stroke-opacity=".3" stroke-width=".6">{areas}</g></svg>'
        f'<g transform="translate(0 {top})" text-anchor="middle" dominant-baseline="central">'
        f"{words}</g>"
    )


def _names(timeline: Timeline, cells: Cells, span: Span, language: str, width: int, height: int) -> str:
    """Labels written into their areas: those with room on every page, and those with room on a wide one."""
    names = [display(label, language) for label in timeline.labels]
    narrow = name_places(cells, span, names, NARROW, height)
    taken = [span.percent(middle) * width / 100 for _, middle, _ in narrow]
    wide = [
        (label, middle, y)
        for label, middle, y in name_places(cells, span, names, width, height)
        if all(abs(span.percent(middle) * width / 100 - x) > 60 for x in taken)
    ]
    texts = []
    for places, kind in ((narrow, ""), (wide if width > NARROW else [], ' class="fer-wide"')):
        for label, middle, y in places:
            fill = ink(color_of_label(timeline.labels[label]))
            at = f'x="{span.percent(middle):.1f}%" y="{y:.0f}" fill="{fill}"'
            texts.append(f"<text {at}{kind}>{escape(names[label])}</text>")
    return "".join(texts)


def _absences(timeline: Timeline, cells: Cells, span: Span, language: str, height: int) -> str:
    """Words in the gaps that have room for them."""
    text = say("chart.absent", language)
    room = (len(text) * LETTER + 8) / NARROW * span.seconds
    gaps = cells.gaps(max(span.start, timeline.first), span.stop)
    return "".join(
        f'<text x="{span.percent((a + b) / 2):.1f}%" y="{height / 2:.0f}" fill-opacity=".7">{escape(text)}</text>'
        for a, b in gaps
        if b - a >= room
    )


def _axis(span: Span, live: bool, language: str) -> str:
    """A line, marks and their times, below the areas."""
    parts = ['<rect width="100%" height="1" fill-opacity=".4"/>']
    counted = Span(-span.seconds, 0.0) if live else span
    marks = counted.marks()
    steps = [b - a for a, b in pairwise(marks)]
    for mark in marks:
        at = counted.percent(mark)
        anchor = "start" if at < 4 else "end" if at > 96 else "middle"
        text = ago(mark, language) if live else clock(mark, min(steps, default=1.0))
        parts.append(f'<rect x="{min(at, 99.8):.1f}%" width="1" height="5" fill-opacity=".6"/>')
        parts.append(f'<text x="{at:.1f}%" y="16" text-anchor="{anchor}" fill-opacity=".85">{escape(text)}</text>')
    return "".join(parts)
