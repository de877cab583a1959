"""train.evaluation.panels: faces chosen by rule, explained for the right labels, drawn whole."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries, slic

from fer_hub import ModelError
from fer_hub.classifier import classify, load_classifier
from fer_hub.explain import AGAINST, FOR, Explanation, _lime, explain
from fer_hub.image import to_array
from fer_hub.types import Face, Image
from train.evaluation import panels, panels_figures
from train.evaluation.panels import Panel, alignment, examples, explained, mean_maps, sample, seen

METHODS = ("grad-cam", "lime", "occlusion")
RNG = np.random.default_rng(5)
IMAGES: NDArray[np.uint8] = np.clip(
    np.kron(RNG.integers(40, 215, (8, 8, 8)), np.ones((6, 6))) + RNG.normal(0, 12, (8, 48, 48)), 0, 255
).astype(np.uint8)
"""Coarse blocks: faces of nobody."""


@pytest.fixture(scope="module")
def model() -> Any:
    return load_classifier(threads=1)


@pytest.fixture(scope="module")
def truth(model: Any) -> NDArray[np.int64]:
    """Even images are read rightly, odd ones wrongly: their true label is the least probable one."""
    scores = classify(model, list(IMAGES))
    return np.where(np.arange(8) % 2 == 0, scores.argmax(1), scores.argmin(1))


@pytest.fixture(scope="module")
def panel(model: Any, truth: NDArray[np.int64]) -> Panel:
    return explained(model, IMAGES, chosen(model, truth), samples=40)


def chosen(model: Any, truth: NDArray[np.int64]) -> dict[str, Any]:
    """One right image and one wrong one, of whatever classes."""
    rows: dict[str, dict[str, list[int]]] = {label: {"right": [], "wrong": []} for label in model.info.labels}
    rows[model.info.labels[truth[0]]]["right"].append(0)
    rows[model.info.labels[truth[1]]]["wrong"].append(1)
    return {"rule": "the first two", "seed": 0, "rows": rows}


def axes_of(figure: Figure) -> Axes:
    (axes,) = figure.axes
    return axes


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in axes_of(figure).texts]


# ── which rows ───────────────────────────────────────────────────────────────────────────────────────────────────────

CONFIDENCE = [(0, 0.9), (0, 0.5), (0, 0.7), (1, 0.8), (1, 0.6), (1, 0.95), (0, 0.55)]
"""Predicted label and its probability; rows 0 to 4 are truly of class 0, the others of class 1."""
P = np.array([[p, 1 - p, 0] if guess == 0 else [1 - p, p, 0] for guess, p in CONFIDENCE])
LABELS = np.array([0, 0, 0, 0, 0, 1, 1])
NAMES = ("angry", "happy", "sad")


@pytest.mark.parametrize(
    ("options", "angry", "happy"),
    [
        ({}, {"right": [2], "wrong": [3]}, {"right": [5], "wrong": [6]}),
        ({"each": 2}, {"right": [2, 1], "wrong": [3, 4]}, {"right": [5], "wrong": [6]}),
        ({"each": 9}, {"right": [0, 2, 1], "wrong": [3, 4]}, {"right": [5], "wrong": [6]}),
        ({"right": "surest"}, {"right": [0], "wrong": [3]}, {"right": [5], "wrong": [6]}),
        ({"wrong": "median"}, {"right": [2], "wrong": [4]}, {"right": [5], "wrong": [6]}),
    ],
)
def test_rows_are_chosen_by_the_rule(options: dict[str, Any], angry: dict[str, Any], happy: dict[str, Any]) -> None:
    found = examples(P, LABELS, NAMES, **options)
    assert found["rows"] == {"angry": angry, "happy": happy, "sad": {"right": [], "wrong": []}}
    assert json.loads(json.dumps(found)) == found


def test_the_rule_is_said() -> None:
    said = examples(P, LABELS, NAMES)["rule"]
    assert said.startswith("of each true class the right prediction of median confidence")
    assert said.endswith("and the wrong one of the highest confidence")


def test_random_rows_follow_the_seed_and_stay_among_the_right_ones() -> None:
    p, labels = np.tile(P[:1], (50, 1)), np.zeros(50, int)
    p[25:] = P[3]
    drawn = [examples(p, labels, NAMES, 3, seed, "drawn", "drawn")["rows"]["angry"] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for rows in drawn:
        assert len(set(rows["right"])) == len(set(rows["wrong"])) == 3
        assert max(rows["right"]) < 25 <= min(rows["wrong"])


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(ValueError, match=r"Unknown rule prettiest\. Known: median, surest, drawn"):
        examples(P, LABELS, NAMES, right="prettiest")


def test_a_sample_draws_from_every_class_what_there_is() -> None:
    rows = sample(LABELS, NAMES, each=4, seed=1)["rows"]
    assert [len(rows[name]["drawn"]) for name in NAMES] == [4, 2, 0]
    assert set(rows["angry"]["drawn"]) < set(range(5))
    assert rows == sample(LABELS, NAMES, each=4, seed=1)["rows"]


# ── why ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_right_example_explains_one_label_and_a_wrong_one_the_true_label_too(
    model: Any, panel: Panel, truth: NDArray[np.int64]
) -> None:
    right, wrong = sorted(panel.examples, key=lambda example: example.row)
    assert set(right.maps) == {(method, right.true) for method in METHODS}
    assert set(wrong.maps) == {(method, label) for method in METHODS for label in (wrong.predicted, wrong.true)}
    assert wrong.predicted != wrong.true == model.info.labels[truth[1]]
    expected = classify(model, [IMAGES[1]])[0]
    assert list(wrong.scores.values()) == pytest.approx(expected.tolist())
    lime = wrong.maps["lime", wrong.true]
    assert lime.probability == pytest.approx(wrong.scores[wrong.true], abs=1e-6)
    assert panel.notes == []


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_those_of_explain_though_questions_are_asked_once(model: Any, panel: Panel, method: str) -> None:
    wrong = next(example for example in panel.examples if example.row == 1)
    alone = explain(model, wrong.image, method, wrong.true, samples=40)
    np.testing.assert_allclose(wrong.maps[method, wrong.true].heat, alone.heat, atol=1e-4)


def test_the_same_panel_comes_out_every_time(model: Any, panel: Panel, truth: NDArray[np.int64]) -> None:
    again = explained(model, IMAGES, chosen(model, truth), ("lime",), samples=40)
    for one, two in zip(panel.examples, again.examples, strict=True):
        for key, found in two.maps.items():
            np.testing.assert_array_equal(one.maps[key].heat, found.heat)
            np.testing.assert_array_equal(one.maps[key].regions, found.regions)


def test_the_second_label_of_a_face_asks_the_model_nothing_new(model: Any) -> None:
    asked: list[int] = []

    class Counting:
        info = model.info

        def logits(self, crops: Any) -> Any:
            asked.append(len(crops))
            return model.logits(crops)

    known = panels.Remembering(Counting())
    face = seen(IMAGES[0], model.info.input)
    one = explain(known, face, "lime", "happy", samples=30)
    before = sum(asked)
    two = explain(known, face, "lime", "sad", samples=30)
    assert before == sum(asked) <= 31
    assert not np.array_equal(one.heat, two.heat)


def test_the_image_that_is_explained_is_the_one_that_was_scored(model: Any) -> None:
    spec = model.info.input
    np.testing.assert_array_equal(to_array([seen(IMAGES[0], spec)], spec), to_array([IMAGES[0]], spec))


def test_only_the_predicted_label_is_explained_if_asked_for(model: Any, truth: NDArray[np.int64]) -> None:
    found = explained(model, IMAGES, chosen(model, truth), ("grad-cam",), targets=("predicted",))
    assert all(set(example.maps) == {("grad-cam", example.predicted)} for example in found.examples)


def test_a_true_label_that_the_model_lacks_has_no_map(model: Any) -> None:
    choice = {"rule": "the first", "rows": {"contempt": {"wrong": [0]}}}
    found = explained(model, IMAGES, choice, ("grad-cam",))
    assert [label for _, label in found.examples[0].maps] == [found.examples[0].predicted]
    assert "true\nContempt" in texts(panels_figures.class_panel(found))


def test_progress_is_told_to_the_end(model: Any, truth: NDArray[np.int64]) -> None:
    told: list[tuple[int, int]] = []
    methods = ("grad-cam", "lime")
    explained(model, IMAGES, chosen(model, truth), methods, samples=20, progress=lambda *at: told.append(at))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_method_whose_package_is_missing_is_left_out_and_noted(
    model: Any, truth: NDArray[np.int64], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lime.lime_image", None)
    found = explained(model, IMAGES, chosen(model, truth), ("lime", "grad-cam"))
    assert found.methods == ("grad-cam",)
    assert found.notes[0].startswith("lime is left out: lime needs lime.lime_image, which is not installed.")
    drawn = "\n".join(texts(panels_figures.class_panel(found)))
    assert "lime is left out" in drawn
    assert "LIME" not in drawn


def test_a_method_that_fails_half_way_leaves_no_maps_behind(
    model: Any, truth: NDArray[np.int64], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def failing(classifier: Any, image: Image, method: str, *rest: Any, **options: Any) -> Explanation:
        calls.append(method)
        if method == "grad-cam" and calls.count(method) == 2:
            raise ModelError("does not apply. Use occlusion or lime.")
        return explain(classifier, image, method, *rest, **options)

    monkeypatch.setattr(panels, "explain", failing)
    found = explained(model, IMAGES, chosen(model, truth), ("grad-cam", "lime"), samples=20)
    assert found.methods == ("lime",)
    assert {method for example in found.examples for method, _ in example.maps} == {"lime"}
    assert found.notes == ["grad-cam is left out: does not apply. Use occlusion or lime."]


def test_an_unknown_method_is_an_error(model: Any, truth: NDArray[np.int64]) -> None:
    with pytest.raises(ValueError, match="Unknown method 'saliency'"):
        explained(model, IMAGES, chosen(model, truth), ("saliency",))


def test_what_is_shown_is_written_as_json(panel: Panel) -> None:
    told = panel.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert {key: told[key] for key in ("methods", "rule", "samples", "seed", "notes")} == {
        "methods": list(METHODS),
        "rule": "the first two",
        "samples": 40,
        "seed": 0,
        "notes": [],
    }
    wrong = next(row for row in told["examples"] if row["row"] == 1)
    assert wrong["predicted"] != wrong["true"]
    assert {(each["method"], each["label"]) for each in wrong["maps"]} == {
        (method, label) for method in METHODS for label in (wrong["predicted"], wrong["true"])
    }
    assert {each["probability"] for each in wrong["maps"] if each["label"] == wrong["predicted"]} == {
        wrong["probability"]
    }


# ── LIME's regions and its speed ─────────────────────────────────────────────────────────────────────────────────────


def test_an_explanation_by_lime_tells_its_regions_and_the_others_have_none(model: Any) -> None:
    face = seen(IMAGES[2], model.info.input)
    found = explain(model, face, "lime", samples=60)
    expected = slic(face, n_segments=50, compactness=10, sigma=1, start_label=0)
    assert found.regions is not None
    assert found.regions.max() == expected.max()
    np.testing.assert_array_equal(find_boundaries(found.regions), find_boundaries(expected))
    assert explain(model, face, "grad-cam").regions is None


def test_lines_are_drawn_between_regions_and_nowhere_else() -> None:
    regions = np.repeat([[0, 0, 1, 1]], 4, axis=0)
    face = np.full((4, 4, 3), 100, np.uint8)
    plain = Explanation("lime", "happy", 0.5, np.zeros((4, 4), np.float32), face)
    assert (plain.overlay() == 100).all()
    lined = replace(plain, regions=regions).overlay()
    assert (lined[:, 1] > 150).all()
    assert (lined[:, [0, 2, 3]] == 100).all()
    large = replace(plain, regions=regions).overlay(side=40)
    assert large.shape == (40, 40, 3)
    assert np.flatnonzero(large[20, :, 0] > 150).tolist() == [19]


def test_a_region_keeps_its_colour_up_to_its_border_when_enlarged() -> None:
    heat = np.repeat(np.array([[1, 1, -1, -1]], np.float32), 4, axis=0)
    face = np.full((4, 4, 3), 100, np.uint8)
    sharp = Explanation("lime", "happy", 0.5, heat, face, (heat < 0).astype(np.intp)).overlay(1, side=40)
    assert {tuple(sharp[5, x]) for x in range(19)} == {FOR}
    assert {tuple(sharp[5, x]) for x in range(20, 40)} == {AGAINST}


def test_lime_draws_the_pictures_of_the_library(model: Any) -> None:
    from lime.lime_image import LimeImageExplainer

    face = seen(IMAGES[3], model.info.input)
    segments = slic(face, n_segments=20, start_label=0)

    def means(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.array([[picture.mean(), picture[:20].std(), picture[40, 40, 0]] for picture in pictures])

    ours = _lime(7).data_labels(face, face[::-1], segments, means, 70, 32)
    theirs = LimeImageExplainer(random_state=7).data_labels(face, face[::-1], segments, means, 70, 32)
    for one, two in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, two)


# ── before and after alignment ───────────────────────────────────────────────────────────────────────────────────────


class Turned:
    """Finds a face whose eyes are turned by the degrees that are next in line; None: no face."""

    def __init__(self, angles: list[float | None]) -> None:
        self.angles = angles
        self.first: list[bytes] = []

    def detect(self, image: Image) -> list[Face]:
        key = image.tobytes()
        if key not in self.first:
            self.first.append(key)
        angle = self.angles[self.first.index(key)]
        if angle is None:
            return []
        turn = np.radians(angle)
        points = np.array([[100, 120], [100 + 60 * np.cos(turn), 120 + 60 * np.sin(turn)], *[[130, 150]] * 3])
        return [Face((70.0, 70.0, 215.0, 215.0), 1.0, points.astype(np.float32))]


@pytest.fixture
def aligned(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Panel:
    monkeypatch.setattr("train.align.cache_folder", lambda: tmp_path)
    detector = Turned([5.0, None, -30.0, 12.0, 2.0, 80.0])
    labels = np.arange(8) % 7
    return alignment(model, IMAGES, labels, model.info.labels, ("grad-cam",), count=2, first=5, detector=detector)


def test_the_most_turned_faces_of_the_first_images_are_shown_before_and_after(model: Any, aligned: Panel) -> None:
    assert [(example.row, example.stage) for example in aligned.examples] == [
        (row, stage) for row in (2, 3) for stage in ("before", "box", "eyes")
    ]
    assert [round(example.angle or 0) for example in aligned.examples[::3]] == [-30, 12]
    assert aligned.rule.startswith("the 2 most turned of 4 faces that the detector found in the first 5 images;")
    before, box, eyes = (example.image for example in aligned.examples[:3])
    assert not np.array_equal(before, box)
    assert not np.array_equal(box, eyes)
    np.testing.assert_array_equal(before, seen(IMAGES[2], model.info.input))
    assert [example.true for example in aligned.examples[::3]] == [model.info.labels[2], model.info.labels[3]]
    assert all(set(example.maps) == {("grad-cam", example.predicted)} for example in aligned.examples)


def test_the_alignment_panel_shows_every_stage_with_its_prediction(aligned: Panel) -> None:
    figure = panels_figures.alignment_panel(aligned)
    assert len(axes_of(figure).images) == 2 * 3 * 2
    words = texts(figure)
    assert [word for word in words if word in panels_figures.STAGE_TITLES.values()] == [
        "as it is",
        "cropped to its box",
        "and eyes levelled",
    ]
    assert sum("%" in word for word in words) == 6
    assert any(word.endswith("−30°") for word in words)


def test_without_a_face_there_is_nothing_to_show(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.align.cache_folder", lambda: tmp_path)
    found = alignment(model, IMAGES[:2], np.zeros(2, int), NAMES, ("grad-cam",), detector=Turned([None, None]))
    assert found.examples == []
    assert len(axes_of(panels_figures.alignment_panel(found)).images) == 0


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_class_panel_holds_a_face_and_its_maps_for_each_example(panel: Panel) -> None:
    figure = panels_figures.class_panel(panel)
    axes = axes_of(figure)
    assert len(axes.images) == (1 + 3) + (1 + 3 + 3)
    words = texts(figure)
    right, wrong = sorted(panel.examples, key=lambda example: example.row)
    names = {label: label.capitalize() for label in right.scores}
    captions = {panels_figures.caption(right, right.true), *(panels_figures.caption(wrong, x) for x in wrong.scores)}
    assert sum(word in captions for word in words) == 3
    assert panels_figures.caption(right, right.true) == f"{names[right.true]} {right.scores[right.true]:.0%} ✓"
    assert {"row 0", "row 1", "Grad-CAM", "LIME", "occlusion"} <= set(words)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "speaks for the label",
        "speaks against the label",
    ]
    assert any("LIME: 40 samples, seed 0" in word.replace("\n", " ") for word in words)


def test_a_class_without_a_wrong_prediction_says_so(model: Any, truth: NDArray[np.int64]) -> None:
    choice = chosen(model, truth)
    choice["rows"][model.info.labels[truth[1]]]["wrong"] = []
    figure = panels_figures.class_panel(explained(model, IMAGES, choice, ("grad-cam",)))
    assert texts(figure).count("none") == 1


@pytest.mark.parametrize(("share", "said"), [(0.001, "<1%"), (0.004, "<1%"), (0.006, "1%"), (0.934, "93%")])
def test_a_small_probability_is_not_nought(share: float, said: str) -> None:
    example = panels.Example(0, "sad", np.zeros((4, 4, 3), np.uint8), {"happy": 1 - share, "sad": share})
    assert panels_figures.caption(example, "sad").removesuffix(" ✓") == f"Sad {said}"


def test_the_mean_of_maps_is_that_of_their_strength(panel: Panel) -> None:
    means = mean_maps(panel)
    wrong = next(example for example in panel.examples if example.row == 1)
    pair = [wrong.maps["occlusion", label].heat for label in (wrong.predicted, wrong.true)]
    np.testing.assert_allclose(means[wrong.true]["occlusion"], (abs(pair[0]) + abs(pair[1])) / 2, atol=1e-6)


def test_the_average_panel_shows_the_mean_face_of_each_class_over_its_maps(model: Any) -> None:
    labels = np.arange(8) // 4
    choice = sample(labels, NAMES[:2], each=2)
    found = explained(model, IMAGES, choice, ("grad-cam",), targets=("predicted",))
    figure = panels_figures.average_panel(found, IMAGES, labels, NAMES)
    shown = axes_of(figure).images
    assert len(shown) == 2 * 2
    mean = IMAGES[:4].mean(0)
    assert np.corrcoef(shown[0].get_array()[..., 0].ravel(), mean.ravel())[0, 1] > 0.99
    assert {"Angry", "Happy", "mean face", "Grad-CAM"} <= set(texts(figure))
