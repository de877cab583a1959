from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

import numpy as np
import pytest

from fer_hub.chart_paths import CELLS, TALL, UNITS, Span, area_paths, cells_of, name_places, ribbon_paths
from fer_hub.charts import legend, people_chart, timeline_chart
from fer_hub.labels import COLORS, labels_of
from fer_hub.timeline import Timeline
from fer_hub.timeline_bins import means
from fer_hub.types import Prediction

SEVEN = labels_of("fer2013-7")
SVG = "{http://www.w3.org/2000/svg}"


def filled(
    face: Callable[[float], dict[int, Sequence[float]]], seconds: float, fps: float = 10, labels: Sequence[str] = SEVEN
) -> Timeline:
    """A timeline of what `face` says at every frame: scores by person."""
    timeline = Timeline(labels)
    for k in range(round(seconds * fps)):
        faces = {p: Prediction.of(dict(zip(labels, s, strict=True)), None) for p, s in face(k / fps).items()}
        timeline.add(k / fps, list(faces.items()))
    return timeline


def on_top(label: str, confidence: float = 0.7) -> list[float]:
    return [confidence if name == label else (1 - confidence) / 6 for name in SEVEN]


def noise(seconds: float, people: Sequence[int] = (1,)) -> Timeline:
    """Scores that differ from frame to frame: the largest drawing."""
    rng = np.random.default_rng(0)
    return filled(lambda time: {person: rng.dirichlet(np.ones(7)).tolist() for person in people}, seconds)


def coming_and_going(time: float) -> dict[int, Sequence[float]]:
    """Happy, away from 10 to 20, then sad and uncertain."""
    return {} if 10 <= time < 20 else {1: on_top("happy") if time < 10 else on_top("sad", 0.4)}


def parsed(chart: str) -> ElementTree.Element:
    return ElementTree.fromstring(chart)


def words(chart: str) -> str:
    return parsed(chart).findtext(f"{SVG}desc") or ""


def texts(chart: str) -> list[str]:
    return [element.text or "" for element in parsed(chart).iter(f"{SVG}text")]


def corners(path: str) -> list[tuple[int, int]]:
    """The points of an area's path, absolute."""
    points: list[tuple[int, int]] = []
    for left, up, line in re.findall(rf"M(\d+) {TALL}V(\d+)l([-\d ]+)V{TALL}z", path):
        x, y = int(left), int(up)
        steps = [int(number) for number in re.findall(r"-?\d+", line)]
        for dx, dy in zip(steps[::2], steps[1::2], strict=True):
            x, y = x + dx, y + dy
            points.append((x, y))
    return points


@pytest.mark.parametrize("window", [30.0, None])
@pytest.mark.parametrize("language", ["en", "tr"])
def test_a_chart_is_one_svg_that_needs_nothing_else(window: float | None, language: str) -> None:
    chart = timeline_chart(noise(30), 1, window, language, least=0.4)
    root = parsed(chart)
    assert (root.tag, root.get("role"), root.get("fill")) == (f"{SVG}svg", "img", "currentColor")
    assert root.findtext(f"{SVG}title") == {"en": "Person 1", "tr": "Kişi 1"}[language]
    assert not {element.tag for element in root.iter()} & {f"{SVG}script", f"{SVG}image", f"{SVG}foreignObject"}
    assert not re.search(r"\bid=|href|url\(|\bon\w+=", chart)  # ids of several charts in one page would clash


@pytest.mark.parametrize(("seconds", "window"), [(40, 30.0), (600, None), (600, 600.0)])
def test_the_largest_drawing_is_below_25_kilobytes(seconds: float, window: float | None) -> None:
    assert len(timeline_chart(noise(seconds), 1, window, least=0.3).encode()) < 25_000


def test_areas_are_stacked_in_the_order_of_the_labels() -> None:
    timeline = filled(lambda time: {1: (0.5, 0.3, 0.2)}, 10, labels=("happy", "sad", "neutral"))
    span = Span(0, 10)
    paths = area_paths(cells_of(timeline.rows(1), 0.1, span), span)
    assert [{y for _, y in corners(path)} for path in paths] == [{100}, {40}, {0}]
    assert [x for x, _ in corners(paths[0])][-1] == UNITS


def test_the_drawn_levels_are_the_scores() -> None:
    timeline, span = noise(30), Span(0, 30)
    rows = timeline.rows(1)
    for label, path in enumerate(area_paths(cells_of(rows, 0.1, span), span)):
        levels = [y for _, y in corners(path)][:-1]
        assert levels == pytest.approx(TALL * (1 - means(rows)[:, : label + 1].sum(axis=1)), abs=0.51)


@pytest.mark.parametrize(("fps", "stretches"), [(30, 1), (10, 1), (8, 1), (5, 1), (2, 1), (0.2, 4)])
def test_a_face_in_every_frame_has_no_gap_however_slow_the_frames(fps: float, stretches: int) -> None:
    timeline = filled(lambda time: {1: on_top("happy")}, 20, fps)
    cells = cells_of(timeline.rows(1), timeline.step, Span(0, 20))
    assert len(list(cells.stretches())) == stretches


def test_nothing_is_drawn_where_the_face_was_not_seen() -> None:
    timeline, span = filled(coming_and_going, 30), Span(0, 30)
    cells = cells_of(timeline.rows(1), 0.1, span)
    assert cells.gaps(0, 30) == [pytest.approx((10, 20), abs=1e-6)]
    away = (UNITS / 3 + 1, UNITS * 2 / 3 - 1)
    for path in area_paths(cells, span):
        assert path.count("M") == 2
        assert not [x for x, _ in corners(path) if away[0] < x < away[1]]
    assert texts(timeline_chart(timeline, 1)).count("not seen") == 1


def test_what_came_before_the_first_frame_is_not_called_an_absence() -> None:
    timeline = filled(lambda time: {1: on_top("happy")}, 5)
    assert "not seen" not in texts(timeline_chart(timeline, 1))
    assert texts(timeline_chart(timeline, 2)) == ["−30 s", "−20 s", "−10 s", "now"]


def test_the_ribbon_shows_the_label_on_top_and_what_is_uncertain() -> None:
    timeline, span = filled(coming_and_going, 30), Span(0, 30)
    cells = cells_of(timeline.rows(1), 0.1, span)
    assert ribbon_paths(cells, span, 0.5) == {3: "M0 0h400v8h-400z", -1: "M800 4h400"}
    assert ribbon_paths(cells, span, 0.0) == {3: "M0 0h400v8h-400z", 4: "M800 0h400v8h-400z"}
    assert "stroke-dasharray" in timeline_chart(timeline, 1, least=0.5)
    assert "stroke-dasharray" not in timeline_chart(timeline, 1)


@pytest.mark.parametrize(
    ("window", "least", "language", "wanted"),
    [
        (30.0, 0.0, "en", "Person 1, last 30 s: mostly Happy (50 % of the time), then Sad (50 %)."),
        (20.0, 0.0, "en", "Person 1, last 20 s: mostly Sad (100 % of the time)."),
        (5.0, 0.5, "en", "Person 1, last 5 s: mostly Sad (100 % of the time); uncertain 100 % of the time."),
        (
            None,
            0.5,
            "tr",
            "Kişi 1, 0:00–0:29 arası: en çok Mutlu (süre payı %50), sonra Üzgün (%50); sürenin %50 kadarı belirsiz.",
        ),
    ],
)
def test_the_chart_is_said_in_words(window: float | None, least: float, language: str, wanted: str) -> None:
    assert words(timeline_chart(filled(coming_and_going, 30), 1, window, language, least)).startswith(wanted)


@pytest.mark.parametrize("window", [30.0, None])
@pytest.mark.parametrize("person", [1, 9])
def test_an_empty_timeline_and_a_person_not_seen_are_drawn_and_said(person: int, window: float | None) -> None:
    assert words(timeline_chart(Timeline(SEVEN), person, window)).endswith("not seen.")
    assert words(timeline_chart(noise(3), 9, window)).endswith("not seen.")
    assert people_chart(Timeline(SEVEN)).count("Nobody was seen.") == 1


@pytest.mark.parametrize("window", [30.0, None])
def test_one_sample_is_visible(window: float | None) -> None:
    timeline = filled(lambda time: {1: on_top("fear")}, 0.1)
    chart = timeline_chart(timeline, 1, window)
    assert "mostly Fear (100 % of the time)." in words(chart)
    drawn = next(e for e in parsed(chart).iter(f"{SVG}path") if e.get("fill") == COLORS["fear"])
    assert int(re.findall(r"h(\d+)", drawn.get("d") or "")[0]) >= 4


@pytest.mark.parametrize(
    ("span", "marks"),
    [
        (Span(-30, 0), [-30, -20, -10, 0]),
        (Span(0, 7), [0, 2, 4, 6]),
        (Span(3, 3.1), [3, 3.1]),
        (Span(0, 600), [0, 120, 240, 360, 480, 600]),
        (Span(100, 7300), [1800, 3600, 5400, 7200]),
        (Span(0, 1e6), [0, 2e5, 4e5, 6e5, 8e5, 1e6]),
    ],
)
def test_an_axis_has_few_marks_at_round_times(span: Span, marks: list[float]) -> None:
    assert span.marks() == pytest.approx(marks)


def test_a_video_s_axis_is_in_minutes_and_hours() -> None:
    timeline = Timeline(SEVEN)
    for second in range(0, 3 * 3600 + 1, 10):
        timeline.add(second, [(1, Prediction.of(dict(zip(SEVEN, on_top("sad"), strict=True)), None))])
    chart = timeline_chart(timeline, 1, None)
    assert [text for text in texts(chart) if ":" in text] == ["0:00", "1:00:00", "2:00:00", "3:00:00"]


def test_names_lie_within_their_area_and_in_readable_ink() -> None:
    timeline = filled(lambda time: {1: on_top("happy" if time < 15 else "sad")}, 30)
    span = Span(0, 30)
    cells = cells_of(timeline.rows(1), 0.1, span)
    places = name_places(cells, span, list(SEVEN), 640, 89)
    assert [(label, round(middle)) for label, middle, _ in places] == [(3, 8), (4, 22)]
    for label, _, y in places:
        below = 1 - means(timeline.rows(1))[50 if label == 3 else 250, : label + 1].cumsum()
        assert 89 * below[label] + 7 <= y <= 89 * below[label - 1] - 7
    inks = {e.text: e.get("fill") for e in parsed(timeline_chart(timeline, 1)).iter(f"{SVG}text")}
    assert (inks["Happy"], inks["Sad"]) == ("#000", "#fff")


@pytest.mark.parametrize(
    ("confidence", "seconds", "named"), [(0.5, 30, True), (0.2, 30, False), (0.9, 4, False), (0.9, 5, True)]
)
def test_a_name_is_left_out_where_its_area_is_too_low_or_too_short(
    confidence: float, seconds: float, named: bool
) -> None:
    timeline, span = filled(lambda time: {1: on_top("happy", confidence)}, seconds), Span(0, 30)
    cells = cells_of(timeline.rows(1), 0.1, span)  # "happy" takes 43 px: 4.3 s of 30 in 300 px
    assert bool(name_places(cells, span, list(SEVEN), 300, 60)) == named


def test_a_long_video_is_drawn_from_few_cells_whose_mean_is_kept() -> None:
    timeline = noise(600)
    cells = cells_of(timeline.rows(1), timeline.step, Span(0, 600))
    assert 0.9 * CELLS <= len(cells.begin) <= CELLS + 1
    assert cells.scores.mean(axis=0) == pytest.approx(means(timeline.rows(1)).mean(axis=0), abs=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"window": 0}, "0.5 or more"), ({"window": float("nan")}, "0.5 or more"), ({"height": 10}, "at least 100×60")],
)
def test_a_chart_that_cannot_be_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        timeline_chart(noise(1), 1, **options)  # type: ignore[arg-type]


def test_every_person_of_a_video_has_a_row_and_the_axis_is_shared() -> None:
    timeline = filled(lambda time: {p: on_top("happy") for p in (5, 2, 8) if time * 10 > p}, 20)
    chart = people_chart(timeline, "tr", least=0.5)
    figure = parsed(chart.replace("<figure", f'<figure xmlns="{SVG[1:-1]}"', 1))
    charts = figure.findall(f"{SVG}svg")
    assert [one.findtext(f"{SVG}title") for one in charts] == ["Kişi 2", "Kişi 5", "Kişi 8"]
    assert [sum(":" in (e.text or "")[:2] for e in one.iter(f"{SVG}text")) for one in charts] == [0, 0, 4]
    assert "Belirsiz (&lt; %50)" in chart
    assert all(f"background:{COLORS[label]}" in chart for label in SEVEN)


def test_of_many_persons_those_seen_longest_are_drawn_and_the_rest_is_counted() -> None:
    timeline = filled(lambda time: {p: on_top("sad") for p in range(1, 21) if time < 0.2 * p}, 5)
    chart = people_chart(timeline, most=3)
    assert re.findall("<title>(.*?)</title>", chart) == ["Person 18", "Person 19", "Person 20"]
    assert "17 more people" in chart


def test_names_of_labels_are_escaped() -> None:
    labels = ("<b>&", "sad")
    timeline = filled(lambda time: {1: (0.9, 0.1)}, 30, labels=labels)
    assert "<b>&" in words(timeline_chart(timeline, 1))
    assert "<b>&" in texts(timeline_chart(timeline, 1))
    assert "<b>" not in people_chart(timeline) + legend(labels)


def test_a_window_shows_what_is_in_it_and_drawing_it_does_not_depend_on_the_length_of_the_session() -> None:
    short, long = noise(31), noise(900)
    drawn = [len(cells_of(t.rows(1, t.last - 30), t.step, Span(t.last - 30, t.last)).begin) for t in (short, long)]
    assert drawn[0] == drawn[1] <= CELLS + 1
