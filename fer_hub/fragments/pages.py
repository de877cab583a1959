"""Larger pieces: a line on a model, the page about the app, what a video shows."""

from __future__ import annotations

import html
import json

from ..charts import legend, people_chart, timeline_chart
from ..languages import about, count_of, number, percent, say
from ..listing import dataset_of, figures_of
from ..live import Frame
from ..timeline import Timeline
from ..types import ModelInfo
from .live import live_panel, status_line
from .parts import CSV, accuracy, download_link, downloads, said

CHARTS = 4
"""Persons on the live camera whose timelines are drawn, and of a video whose charts can be saved, at most."""
WINDOW = 30.0
"""Seconds of the live camera that are drawn."""


def model_line(info: ModelInfo, language: str = "en") -> str:
    """One line on a model, as plain text: network, input, measured accuracy."""
    measured = accuracy(figures_of(info), dataset_of(info), 1, language)
    facts = {"network": info.architecture, "width": info.input.size[1], "height": info.input.size[0]}
    if not measured:
        return say("model_line_unmeasured", language, **facts)
    return say("model_line", language, accuracy=measured, **facts)


def about_page(info: ModelInfo, language: str = "en") -> str:
    """The page on limits, law, privacy and training, as Markdown, with the figures of an embedded model.

    Raises:
        KeyError: The model's config does not state a figure.
    """
    figures = info.fer["metrics"]
    test, (low, high) = figures["test"], figures["test"]["accuracy_95"]
    return about(
        language,
        model=info.name,
        accuracy=percent(test["accuracy"], 1, language),
        low=percent(low, 1, language),
        high=percent(high, 1, language),
        n=number(test["n"], 0, language),
        seed=info.fer["seed"],
        chosen_n=number(figures["validation"]["n"], 0, language),
        ece=percent(test["ece"], 1, language),
    )


def camera_panel(seen: Frame, language: str = "en", least: float = 0.0) -> str:
    """Rate, latency, and the bars of every face in a frame of the live camera; or why there are none."""
    status = status_line(seen.rate, seen.seconds * 1000, len(seen.ids), language)
    if not seen.error:
        return status + live_panel(seen.people, language, least)
    words = say("camera.failed", language, error=seen.error)
    return status + said(words)


def camera_charts(timeline: Timeline | None, seen: Frame, language: str = "en", least: float = 0.0) -> str:
    """The last 30 s of everybody who was seen in them: those in the picture first, then those seen for the longest."""
    if timeline is None:
        return ""
    rows = timeline.rows(start=timeline.last - WINDOW)
    spent = {person: float(rows["spent"][rows["person"] == person].sum()) for person in set(rows["person"].tolist())}
    ranked = sorted(spent.keys() | set(seen.ids), key=lambda person: (person not in seen.ids, -spent.get(person, 0.0)))
    left = len(ranked) - CHARTS
    more = f"<p>{html.escape(count_of('camera.more', left, language))}</p>" if left > 0 else ""
    charts = "".join(
        f'<p class="fer-whose">{html.escape(say("camera.person", language, number=person))}</p>'
        f"{timeline_chart(timeline, person, WINDOW, language, least)}"
        for person in sorted(ranked[:CHARTS])
    )
    return charts + more + legend(timeline.labels, language, least)


def video_panel(name: str, timeline: Timeline, language: str = "en", least: float = 0.0) -> str:
    """Everybody's timeline in a video, and its files to take away: table, JSON, charts of those seen for the longest.

    Args:
        name: Of the files, without a suffix.
        timeline: Of the whole video.
        language: Of the words and numbers.
        least: Below this confidence, 0 to 1, a face is called uncertain.
    """
    data = json.dumps(timeline.to_dict(), ensure_ascii=False).encode()
    links = download_link(say("video.csv", language), f"{name}.csv", timeline.csv().encode(), CSV)
    links += download_link(say("video.json", language), f"{name}.json", data, "application/json")
    for person in timeline.longest(CHARTS):
        chart = timeline_chart(timeline, person, None, language, least).encode()
        words = say("download.chart", language, person=say("camera.person", language, number=person))
        links += download_link(words, f"{name}-{person}.svg", chart, "image/svg+xml")
    lost = f'<p class="fer-none">{html.escape(say("video.dropped", language))}</p>' if timeline.dropped else ""
    return people_chart(timeline, language, least) + lost + downloads(links, language)
