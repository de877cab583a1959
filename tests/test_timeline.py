from __future__ import annotations

import csv
import io
import json
import math
import threading
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from fer_hub.labels import labels_of
from fer_hub.timeline import LATE, LONGEST, Timeline
from fer_hub.timeline_bins import means, merge
from fer_hub.types import Prediction

LABELS = ("happy", "sad", "neutral")
HAPPY, SAD, NEUTRAL = (0.8, 0.1, 0.1), (0.2, 0.7, 0.1), (0.1, 0.2, 0.7)


def prediction(scores: Sequence[float], labels: Sequence[str] = LABELS) -> Prediction:
    return Prediction.of(dict(zip(labels, scores, strict=True)), None)


def timeline_of(frames: Sequence[tuple[float, dict[int, Sequence[float]]]], **options: float) -> Timeline:
    """A timeline from (time, scores by person)."""
    timeline = Timeline(LABELS, **options)  # type: ignore[arg-type]
    for time, faces in frames:
        timeline.add(time, [(person, prediction(scores)) for person, scores in faces.items()])
    return timeline


def series(
    timeline: Timeline, person: int, start: float | None = None, stop: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Begins of a person's bins, and the scores in them."""
    rows = timeline.rows(person, start, stop)
    return rows["time"], means(rows)


def random_frames(n: int, people: Sequence[int], seed: int = 0) -> list[tuple[float, dict[int, Sequence[float]]]]:
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(3), (n, len(people)))
    return [(i / 20, dict(zip(people, row.tolist(), strict=True))) for i, row in enumerate(scores)]


def test_frames_of_a_bin_are_averaged() -> None:
    timeline = timeline_of([(0.0, {1: HAPPY}), (0.05, {1: SAD}), (0.1, {1: NEUTRAL}), (0.31, {1: SAD, 2: HAPPY})])
    times, scores = series(timeline, 1)
    assert times == pytest.approx([0.0, 0.1, 0.3])
    assert scores == pytest.approx(np.array([(0.5, 0.4, 0.1), NEUTRAL, SAD]))
    assert timeline.rows(1)["frames"].tolist() == [2, 1, 1]
    assert series(timeline, 2)[0] == pytest.approx([0.3])
    assert timeline.people() == [1, 2]


def test_a_time_that_is_a_multiple_of_the_step_begins_its_own_bin() -> None:
    """0.3 / 0.1 is below 3 in floating point."""
    timeline = timeline_of([(k / 10, {1: HAPPY}) for k in range(40_000)], capacity=40_000)
    assert set(timeline.rows()["frames"].tolist()) == {1}
    assert timeline.csv().splitlines()[-1].startswith("3999.900,1,1,")


def test_a_frame_speaks_for_the_time_since_the_one_before_but_not_for_a_pause() -> None:
    frames = [(0.0, {1: HAPPY}), (0.5, {1: SAD}), (0.7, {1: HAPPY}), (100.0, {1: SAD})]
    summary = timeline_of(frames).summary(1)
    seconds = 0.1 + 0.5 + 0.2 + LONGEST
    assert summary["seconds"] == pytest.approx(seconds)
    assert summary["shares"] == pytest.approx({"happy": 0.3 / seconds, "sad": 1.5 / seconds, "neutral": 0}, abs=1e-4)
    assert summary["scores"]["happy"] == pytest.approx(0.5)


def test_frames_without_faces_let_time_go_on_but_count_for_nobody() -> None:
    timeline = timeline_of([(2.0, {1: HAPPY}), (2.1, {}), (2.2, {}), (2.3, {1: HAPPY})])
    assert (timeline.first, timeline.last) == (2.0, 2.3)
    assert timeline.seconds == pytest.approx(0.3)
    assert timeline.summary(1)["seconds"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("start", "stop", "wanted"),
    [
        (None, None, [0, 1, 2, 3]),
        (1, None, [1, 2, 3]),
        (None, 2, [0, 1]),
        (0.5, 2.5, [1, 2]),
        (9, None, []),
        (3, 1, []),
    ],
)
def test_a_series_is_cut_to_bins_that_begin_in_between(start: float, stop: float, wanted: list[float]) -> None:
    timeline = timeline_of([(t, {1: HAPPY, 2: SAD}) for t in range(4)])
    times, scores = series(timeline, 1, start, stop)
    assert times.tolist() == wanted
    assert scores.shape == (len(wanted), 3)


def test_people_come_in_order_of_first_appearance_even_after_bins_merged() -> None:
    frames = [(i / 10, {9: HAPPY, 4: SAD} if i < 20 else {4: SAD, 7: HAPPY, 9: SAD}) for i in range(40)]
    timeline = timeline_of(frames, capacity=24)
    assert timeline.step > 0.1
    assert timeline.people() == [9, 4, 7]


@pytest.mark.parametrize("time", [math.nan, math.inf, -math.inf, -0.1, 1e10])
def test_a_time_out_of_range_is_refused_and_nothing_is_added(time: float) -> None:
    timeline = timeline_of([(1.0, {1: HAPPY})])
    before = timeline.csv()
    with pytest.raises(ValueError, match=r"must be 0 to 1e\+09 seconds"):
        timeline.add(time, [(1, prediction(SAD))])
    assert (timeline.csv(), timeline.last) == (before, 1.0)


def test_a_frame_a_little_late_counts_at_the_latest_time() -> None:
    timeline = timeline_of([(5.0, {1: HAPPY}), (5.0 - LATE / 2, {1: SAD})])
    assert timeline.rows()["frames"].tolist() == [2]
    assert timeline.rows()["time"].tolist() == [5.0]
    assert timeline.last == 5.0


def test_time_that_runs_backwards_further_says_to_start_anew() -> None:
    timeline = timeline_of([(5.0, {1: HAPPY})])
    with pytest.raises(ValueError, match=r"0\.000 s after 5\.000 s.*Start a new Timeline"):
        timeline.add(0.0, [(1, prediction(SAD))])


@pytest.mark.parametrize("labels", [labels_of("fer2013-7"), ("happy", "sad"), ("happy", "sad", "fear")])
def test_scores_of_other_labels_are_refused_and_nothing_of_the_frame_is_added(labels: tuple[str, ...]) -> None:
    timeline = timeline_of([(0.0, {1: HAPPY})])
    other = prediction([1 / len(labels)] * len(labels), labels)
    with pytest.raises(ValueError, match=r"holds happy, sad, neutral\. Start a new Timeline when the model changes"):
        timeline.add(1.0, [(1, prediction(SAD)), (2, other)])
    assert timeline.rows()["frames"].tolist() == [1]


def test_scores_in_another_order_are_the_same_scores() -> None:
    timeline = Timeline(LABELS)
    timeline.add(0, [(1, prediction((0.1, 0.2, 0.7), ("neutral", "sad", "happy")))])
    assert series(timeline, 1)[1] == pytest.approx(np.array([(0.7, 0.2, 0.1)]))


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        Timeline(LABELS).add(0, [(1, Prediction("sad", 1.0, {"happy": math.nan, "sad": 1.0, "neutral": 0.0}, None))])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ()}, "at least one"),
        ({"labels": ("sad", "sad")}, "each once"),
        ({"step": 0}, r"0\.001 to 3600"),
        ({"step": math.nan}, r"0\.001 to 3600"),
        ({"capacity": 0}, "1 or more"),
    ],
)
def test_a_timeline_that_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Timeline(**({"labels": LABELS} | options))  # type: ignore[arg-type]


def test_more_faces_than_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="Got 3 faces in a frame; at most 2"):
        timeline_of([(0.0, {1: SAD, 2: SAD, 3: SAD})], capacity=2)


def test_merged_bins_are_weighted_by_their_frames() -> None:
    timeline = timeline_of(
        [(0.0, {1: HAPPY}), (0.01, {1: HAPPY}), (0.02, {1: HAPPY}), (0.1, {1: SAD}), (0.2, {1: SAD})]
    )
    merged = merge(timeline.rows(), 0.2)
    assert merged["time"] == pytest.approx([0.0, 0.2])
    assert merged["frames"].tolist() == [4, 1]
    assert merged["sums"][0] / 4 == pytest.approx((3 * np.array(HAPPY) + SAD) / 4)
    assert merged["spent"].sum(axis=0) == pytest.approx(timeline.rows()["spent"].sum(axis=0))


@pytest.mark.parametrize("capacity", [8, 50, 333])
def test_when_bins_merge_frames_scores_and_shares_of_time_stay(capacity: int) -> None:
    frames = random_frames(3000, (1, 2))
    whole, small = timeline_of(frames), timeline_of(frames, capacity=capacity)
    assert small.dropped == 0
    assert len(small.rows()) <= capacity < len(whole.rows())
    assert math.log2(small.step / 0.1) == pytest.approx(round(math.log2(small.step / 0.1)))
    for person in (1, 2):
        a, b = whole.summary(person), small.summary(person)
        assert a["frames"] == b["frames"] == 3000
        assert a["seconds"] == pytest.approx(b["seconds"], abs=2e-3)
        for key in ("shares", "scores"):
            assert a[key] == pytest.approx(b[key], abs=2e-4)


def test_a_person_has_one_row_in_a_bin_after_merging_too() -> None:
    rows = timeline_of(random_frames(997, (3, 1, 2)), capacity=40).rows()
    assert len(np.unique(rows[["person", "time"]])) == len(rows)
    assert (np.diff(rows["time"]) >= 0).all()


def test_of_very_many_persons_the_oldest_are_dropped_and_counted() -> None:
    timeline = timeline_of([(float(i), {i: HAPPY}) for i in range(1000)], capacity=100)
    people = timeline.people()
    assert people == list(range(timeline.dropped, 1000))
    assert len(people) <= 100
    assert timeline.to_dict()["dropped"] == timeline.dropped > 0
    assert timeline.step <= 0.2


def add_hour(timeline: Timeline, hour: int) -> None:
    """An hour of two persons at 20 frames a second."""
    cycle = [prediction(scores) for scores in np.random.default_rng(0).dirichlet(np.ones(3), 97).tolist()]
    for i in range(72_000):
        timeline.add(3600 * hour + i / 20, [(1, cycle[i % 97]), (2, cycle[i % 89])])


def test_two_hours_at_20_frames_a_second_hold_no_more_than_one() -> None:
    timeline, held = Timeline(LABELS), []
    for hour in range(2):
        add_hour(timeline, hour)
        held.append(len(timeline.rows()))
    assert max(held) <= timeline.capacity < 2 * max(held)
    assert timeline.summary(2)["frames"] == 144_000
    assert timeline.summary(2)["seconds"] == pytest.approx(7200.05, rel=1e-4)


@pytest.mark.slow
def test_the_second_hour_leaves_no_memory_behind() -> None:
    timeline, held = Timeline(LABELS), []
    tracemalloc.start()
    for hour in range(2):
        add_hour(timeline, hour)
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[1] - held[0] < 20_000 < held[0] < 3e6


def test_the_csv_reads_back() -> None:
    timeline = timeline_of([(0.0, {1: HAPPY}), (0.05, {1: SAD}), (61.2345, {3: NEUTRAL})])
    text = timeline.csv()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert text.startswith("time_s,frames,person,label,confidence,happy,sad,neutral\r\n")
    assert rows[0] == {
        "time_s": "0.000",
        "frames": "2",
        "person": "1",
        "label": "happy",
        "confidence": "0.5000",
        "happy": "0.5000",
        "sad": "0.4000",
        "neutral": "0.1000",
    }
    assert (rows[1]["time_s"], rows[1]["label"], rows[1]["person"]) == ("61.200", "neutral", "3")
    assert len(rows) == 2


def test_a_label_with_a_comma_or_a_quote_is_quoted_in_the_csv() -> None:
    timeline = Timeline(("a,b", 'c"d'))
    timeline.add(0, [(1, prediction((0.9, 0.1), timeline.labels))])
    header, row = csv.reader(io.StringIO(timeline.csv(), newline=""))
    assert header[-2:] == ["a,b", 'c"d']
    assert row[3] == "a,b"


def test_an_empty_timeline_has_a_header_and_no_people() -> None:
    timeline = Timeline(LABELS)
    assert timeline.csv() == "time_s,frames,person,label,confidence,happy,sad,neutral\r\n"
    assert (timeline.people(), timeline.seconds, timeline.to_dict()["people"]) == ([], 0.0, [])
    assert series(timeline, 1)[1].shape == (0, 3)
    assert timeline.summary(1)["frames"] == 0


def test_the_dict_is_json_and_holds_every_sample() -> None:
    timeline = timeline_of([(0.0, {2: HAPPY}), (0.1, {2: HAPPY, 1: SAD})])
    found = json.loads(json.dumps(timeline.to_dict(), allow_nan=False))
    assert [person["person"] for person in found["people"]] == [2, 1]
    second = found["people"][1]
    assert second["samples"] == {"time_s": [0.1], "frames": [1], "scores": [[0.2, 0.7, 0.1]]}
    assert (second["first_s"], second["last_s"], second["seconds"]) == (0.1, 0.2, 0.1)
    assert second["shares"] == {"happy": 0.0, "sad": 1.0, "neutral": 0.0}
    assert (found["labels"], found["step_s"]) == (list(LABELS), 0.1)


def test_what_was_handed_out_does_not_change_when_more_is_added() -> None:
    timeline = timeline_of([(0.0, {1: HAPPY})])
    whole, part = timeline.rows(), timeline.rows(1)
    timeline.add(0.01, [(1, prediction(SAD))])
    for rows in (whole, part):
        assert rows["frames"].tolist() == [1]
        assert means(rows)[0] == pytest.approx(HAPPY)
    assert series(timeline, 1)[1][0] == pytest.approx((0.5, 0.4, 0.1))


def test_an_export_from_another_thread_sees_whole_frames_in_order() -> None:
    timeline, frames, wrong = Timeline(LABELS, capacity=60), random_frames(6000, (1, 2)), []
    going = threading.Event()
    going.set()

    def export() -> None:
        while going.is_set():
            rows = list(csv.DictReader(io.StringIO(timeline.csv(), newline="")))
            times = [float(row["time_s"]) for row in rows]
            wrong.extend(row for row in rows if abs(sum(float(row[label]) for label in LABELS) - 1) > 0.01)
            wrong.extend(row for row in rows if int(row["frames"]) < 1)
            seen = [sum(int(row["frames"]) for row in rows if row["person"] == person) for person in ("1", "2")]
            if times != sorted(times) or len(rows) > 60 or seen[0] != seen[1]:
                wrong.append({"times": times, "seen": seen})

    reader = threading.Thread(target=export)
    reader.start()
    for time, faces in frames:
        timeline.add(time, [(person, prediction(scores)) for person, scores in faces.items()])
    going.clear()
    reader.join()
    assert wrong == []
