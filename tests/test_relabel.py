"""fer_hub.relabel: a model asked in other labels than its own."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
from tiny_models import SEVEN

from fer_hub import ModelError, Recognizer
from fer_hub.classifier import classify, load_classifier
from fer_hub.ensemble import Ensemble
from fer_hub.explain import explain
from fer_hub.image import crop, read
from fer_hub.labels import LABEL_SPACES
from fer_hub.relabel import Relabelled, maps_in, relabelled

PHOTO = Path(__file__).parents[1] / "fer_hub" / "assets" / "examples" / "astronaut.jpg"
EIGHT, FIVE = LABEL_SPACES["ferplus-8"], LABEL_SPACES["basic-5"]
FIVE_OF_SEVEN = [0, 2, 3, 4, 5]
SEVEN_OF_EIGHT = [4, 5, 6, 1, 3, 2, 0]


@pytest.fixture
def face() -> np.ndarray:
    image, recognizer = read(PHOTO), Recognizer.from_pretrained()
    return crop(image, recognizer.detector.detect(image)[0], recognizer.info.margin)


@pytest.mark.filterwarnings("ignore:.*never predicted")
@pytest.mark.parametrize(("own", "wanted"), list(itertools.permutations(LABEL_SPACES, 2)))
def test_every_space_is_asked_of_a_model_of_every_other(tmp_path: Path, own: str, wanted: str) -> None:
    folder = tiny.network(tmp_path / "m", LABEL_SPACES[own], temperature=2.5)
    model, faces = load_classifier(folder, labels=wanted), tiny.crops(5)
    found = classify(model, faces)
    assert model.info.labels == LABEL_SPACES[wanted]
    for row, before in zip(found, tiny.expected(folder, faces), strict=True):
        old = dict(zip(LABEL_SPACES[own], before, strict=True))
        whole = sum(old.get(label, 0) for label in LABEL_SPACES[wanted])
        assert row.tolist() == pytest.approx([old.get(label, 0) / whole for label in LABEL_SPACES[wanted]], abs=1e-6)
    unknown = [label not in LABEL_SPACES[own] for label in LABEL_SPACES[wanted]]
    assert not found[:, unknown].any()
    assert classify(model, []).shape == (0, len(LABEL_SPACES[wanted]))


def test_the_info_is_that_of_the_wanted_labels_without_figures_of_others(tmp_path: Path) -> None:
    facts = {"metrics": {"test": {"accuracy": 0.7}}, "calibration": {"temperature": 2}, "label_space": "ferplus-8"}
    folder = tiny.network(tmp_path / "m", EIGHT, temperature=2, dataset="fer2013", face_margin={"scale": 1.2}, **facts)
    own, asked = load_classifier(folder).info, load_classifier(folder, labels="fer2013-7").info
    assert (asked.labels, asked.temperature) == (SEVEN, 1)
    assert (asked.name, asked.path, asked.input, asked.margin) == (own.name, own.path, own.input, own.margin)
    assert asked.fer == {
        "dataset": "fer2013",
        "face_margin": {"scale": 1.2},
        "label_space": "fer2013-7",
        "labels_of_the_model": list(EIGHT),
    }
    assert own.fer["metrics"] == facts["metrics"]
    assert load_classifier(folder, labels=["sad", "joy"]).info.fer["label_space"] == "custom"


def test_names_and_synonyms_do_as_well_as_a_space(tmp_path: Path) -> None:
    folder = tiny.network(tmp_path / "m")
    for labels in (("sadness", "joy"), ["Sad", "happy"], "sad,happiness"):
        assert load_classifier(folder, labels=labels).info.labels == ("sad", "happy")


def test_its_own_labels_leave_a_model_as_it_is(tmp_path: Path) -> None:
    model = load_classifier(tiny.network(tmp_path / "m"))
    assert relabelled(model, None) is relabelled(model, "fer2013-7") is model
    turned = relabelled(model, SEVEN[::-1])
    np.testing.assert_allclose(classify(turned, tiny.crops(3)), classify(model, tiny.crops(3))[:, ::-1], atol=1e-6)


def test_only_labels_that_a_model_does_not_know_are_warned_of(tmp_path: Path) -> None:
    model = load_classifier(tiny.network(tmp_path / "m"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Relabelled(model, "basic-5")
    with pytest.warns(UserWarning, match=r"m as neutral, .*: 'contempt' is never predicted: the model does not know"):
        Relabelled(model, "ferplus-8")


def test_an_unknown_label_is_never_predicted_and_has_probability_0() -> None:
    with pytest.warns(UserWarning, match="'contempt' is never predicted"):
        asked = Recognizer.from_pretrained(labels="ferplus-8", views="flip")
    (found,) = asked(PHOTO)
    assert tuple(found.scores) == EIGHT
    assert found.scores["contempt"] == 0
    assert found.label == "happy"


def test_views_are_averaged_before_labels_are_read(tmp_path: Path) -> None:
    folder, faces = tiny.network(tmp_path / "m"), tiny.crops(4)
    mean = (tiny.expected(folder, faces) + tiny.expected(folder, [np.fliplr(face) for face in faces])) / 2
    kept = mean[:, FIVE_OF_SEVEN]
    found = classify(load_classifier(folder, views="flip", labels="basic-5"), faces)
    np.testing.assert_allclose(found, kept / kept.sum(1, keepdims=True), atol=1e-6)


def test_models_of_several_label_sets_are_averaged_in_the_labels_that_all_know(tmp_path: Path) -> None:
    seven, eight = tiny.network(tmp_path / "seven"), tiny.network(tmp_path / "eight", EIGHT, seed=1)
    with pytest.raises(ModelError, match="Put models together that name the same labels"):
        load_classifier([seven, eight])
    model, faces = load_classifier([seven, eight], labels="fer2013-7"), tiny.crops(4)
    kept = tiny.expected(eight, faces)[:, SEVEN_OF_EIGHT]
    wanted = (tiny.expected(seven, faces) + kept / kept.sum(1, keepdims=True)) / 2
    np.testing.assert_allclose(classify(model, faces), wanted, atol=1e-6)
    assert [(name, found.lost) for name, found in maps_in(model)] == [("eight", ("contempt",))]


def test_models_that_do_not_know_the_same_of_the_labels_are_refused(tmp_path: Path) -> None:
    seven, eight = tiny.network(tmp_path / "seven"), tiny.network(tmp_path / "eight", EIGHT)
    with pytest.raises(ModelError, match=r"do not know the same \(seven: .*; eight: .*contempt\)\. Ask for fewer"):
        load_classifier([seven, eight], labels="ferplus-8")


def test_what_no_member_knows_is_warned_of_once_and_has_probability_0(tmp_path: Path) -> None:
    with pytest.warns(UserWarning) as caught:
        models = [tiny.network(tmp_path / "a"), tiny.network(tmp_path / "b", seed=1)]
        model = load_classifier(models, labels="ferplus-8")
    assert len(caught) == 1
    found = classify(model, tiny.crops(3))
    assert found[:, EIGHT.index("contempt")].tolist() == [0, 0, 0]
    np.testing.assert_allclose(found.sum(1), 1)


def test_an_ensembles_folder_is_asked_in_other_labels(tmp_path: Path) -> None:
    a, b = tiny.network(tmp_path / "a"), tiny.network(tmp_path / "b", seed=1)
    model = load_classifier(tiny.ensemble(tmp_path / "e", ["../a", "../b"]), labels="basic-5")
    assert isinstance(model, Relabelled)
    assert isinstance(model.classifier, Ensemble)
    faces = tiny.crops(4)
    kept = ((tiny.expected(a, faces) + tiny.expected(b, faces)) / 2)[:, FIVE_OF_SEVEN]
    np.testing.assert_allclose(classify(model, faces), kept / kept.sum(1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("views", ["none", "flip"])
def test_grad_cam_is_that_of_the_label_in_the_model_itself(face: np.ndarray, views: str) -> None:
    model = load_classifier()
    for label in ("sad", "surprise"):  # at other places among the five than among the seven
        found = explain(load_classifier(labels="basic-5", views=views), face, "grad-cam", label)
        assert found.label == label
        np.testing.assert_allclose(found.heat, explain(model, face, "grad-cam", label).heat, atol=1e-6)


def test_grad_cam_of_a_label_that_the_model_does_not_know_says_so(face: np.ndarray) -> None:
    with pytest.warns(UserWarning, match="contempt"):
        asked = load_classifier(labels="ferplus-8")
    with pytest.raises(ModelError, match=r"does not know 'contempt'.*Its labels: angry"):
        explain(asked, face, "grad-cam", "contempt")


@pytest.mark.parametrize("method", ["occlusion", "lime"])
def test_other_explanations_are_of_the_wanted_labels(tmp_path: Path, face: np.ndarray, method: str) -> None:
    folder = tiny.network(tmp_path / "m")
    found = explain(load_classifier(folder, labels="basic-5"), face, method, "sad", samples=50)
    kept = tiny.expected(folder, [face])[0, FIVE_OF_SEVEN]
    assert found.probability == pytest.approx(kept[FIVE.index("sad")] / kept.sum(), abs=1e-6)
    assert np.abs(found.heat).max() == pytest.approx(1)
