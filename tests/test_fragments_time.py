"""fer_hub.fragments.pages: what the live camera and a video show over time."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from test_fragments import EVIL, HAPPY, PICTURE, SEVEN, UNSURE, Page, answer, decoded

from fer_hub.charts import timeline_chart
from fer_hub.comparison import Comparison
from fer_hub.fragments import CSV, camera_charts, camera_panel, timeline_aloud, video_panel
from fer_hub.live import Frame
from fer_hub.timeline import Timeline


def frame(ids: Sequence[int], error: str = "") -> Frame:
    """A frame with these people, on whom the model failed or not."""
    predictions = [] if error else [HAPPY for _ in ids]
    comparison = Comparison(PICTURE.shape[:2], (HAPPY.face,) * len(ids), 0.01, (answer("m", predictions, error),))
    return Frame(tuple(ids), comparison, 0.02, 17.0)


def seen(*spans: tuple[int, float, float], until: float = 0.0, capacity: int = 20_000) -> Timeline:
    """Persons, each from a second to another."""
    timeline, last = Timeline(SEVEN, capacity=capacity), max(until, *(stop for _, _, stop in spans))
    for tick in range(int(last * 10) + 1):
        timeline.add(tick / 10, [(who, UNSURE) for who, start, stop in spans if start <= tick / 10 < stop])
    return timeline


def drawn(text: str) -> list[str]:
    return [each["text"] for each in Page(text).of("p", "fer-whose")]


def test_the_camera_says_how_fast_it_goes_and_what_each_face_shows() -> None:
    page = Page(camera_panel(frame([3, 7])))
    assert [each["text"] for each in page.of("span")][:3] == ["17.0 frames/s", "20 ms a frame", "2 faces"]
    assert [each["text"] for each in page.of("p", "fer-title")] == ["Person 3: Happy 89 %", "Person 7: Happy 89 %"]


def test_a_model_that_fails_is_no_empty_room() -> None:
    page = Page(camera_panel(frame([3, 7], EVIL)))
    (said,) = page.of("p", "fer-none")
    assert said["text"] == f"The model gave no answer: {EVIL}"
    assert page.of("span")[2]["text"] == "2 faces"
    assert Page(camera_panel(frame([]))).of("p", "fer-none")[0]["text"] == "No face in sight."


def test_before_the_first_frame_there_is_no_chart() -> None:
    assert camera_charts(None, frame([])) == ""


@pytest.mark.parametrize(
    ("spans", "ids", "charts", "more"),
    [
        ([(1, 0, 40), (2, 0, 5), (3, 12, 15)], [1], [1, 3], []),
        ([(1, 0, 40), (2, 0, 40)], [2], [1, 2], []),
        ([(n, 20 + n, 40) for n in range(1, 6)], [4, 5], [1, 2, 4, 5], ["1 more person was seen"]),
        ([(n, 30 - n, 30) for n in range(1, 8)], [], [4, 5, 6, 7], ["3 more people were seen"]),
        ([(1, 0, 2)], [], [], []),
    ],
)
def test_who_left_a_moment_ago_still_has_a_chart(
    spans: list[tuple[int, float, float]], ids: list[int], charts: list[int], more: list[str]
) -> None:
    text = camera_charts(seen(*spans, until=40), frame(ids))
    assert drawn(text) == [f"Person {number}" for number in charts]
    notes = [each["text"] for each in Page(text).of("p") if "fer-whose" not in (each.get("class") or "")]
    assert [note.startswith(words) for note, words in zip(notes, more, strict=True)] == [True] * len(more)


def test_a_face_that_no_model_named_has_a_chart_that_says_so() -> None:
    assert drawn(camera_charts(seen((1, 0, 1)), frame([1, 9], "It failed."))) == ["Person 1", "Person 9"]


def test_a_video_gives_a_table_figures_and_the_charts_of_those_seen_longest() -> None:
    timeline = seen(*[(number, 0, number) for number in range(1, 7)])
    page = Page(video_panel("clip", timeline, "tr"))
    links = {each["download"]: decoded(each["href"]) for each in page.of("a")}
    assert list(links) == ["clip.csv", "clip.json", *(f"clip-{number}.svg" for number in (3, 4, 5, 6))]
    assert links["clip.csv"] == (CSV, timeline.csv().encode())
    assert json.loads(links["clip.json"][1]) == timeline.to_dict()
    kind, chart = links["clip-6.svg"]
    assert kind == "image/svg+xml"
    (drawing,) = [each for each in Page(chart.decode()).of("svg") if each.get("role") == "img"]
    assert "Kişi 6" in drawing["text"]
    assert "↓ Kişi 6: grafik (SVG)" in [each["text"] for each in page.of("a")]


def test_of_a_video_those_seen_longest_are_told_aloud_in_the_words_of_their_charts() -> None:
    timeline = seen(*[(number, 0, number) for number in range(1, 8)])
    (told,) = Page(timeline_aloud(timeline)).of("p", "fer-said")
    sentences = told["text"].split(". ")
    assert [words.split(",")[0] for words in sentences] == [f"Person {number}" for number in (3, 4, 5, 6, 7)]
    (chart,) = [each for each in Page(timeline_chart(timeline, 7, None)).of("svg") if each.get("role") == "img"]
    assert f"{sentences[-1].removesuffix('.')}." in chart["text"]
    (nobody,) = Page(timeline_aloud(Timeline(SEVEN), "tr")).of("p", "fer-said")
    assert (nobody["text"], "hidden" in nobody) == ("Kimse görülmedi.", True)


def test_what_a_video_was_too_long_for_is_said() -> None:
    crowded = Timeline(SEVEN, capacity=10)
    for tick in range(40):
        crowded.add(tick / 10, [(tick, HAPPY)])
    assert crowded.dropped
    assert "beginning of the timeline is left out" in Page(video_panel("clip", crowded)).of("p", "fer-none")[-1]["text"]
    assert not Page(video_panel("clip", seen((1, 0, 1)))).of("p", "fer-none")
