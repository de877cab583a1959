from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny

from fer_hub.comparison import Answer, Comparison, averaged, compare_models, with_average
from fer_hub.faces import FaceDetector
from fer_hub.hub import VARIANTS, find_model, read_info
from fer_hub.image import read
from fer_hub.labels import LABEL_SPACES, LabelMap
from fer_hub.recognizer import Recognizer
from fer_hub.types import Face, Image, ModelError, Prediction

PHOTO = Path(__file__).parents[1] / "fer_hub" / "assets" / "examples" / "astronaut.jpg"
EIGHT = LABEL_SPACES["ferplus-8"]
INFO = read_info(find_model())


class Counting(FaceDetector):
    """The detector itself; knows how often it was asked."""

    asked = 0

    def detect(self, image: Image) -> list[Face]:
        """All faces."""
        self.asked += 1
        return super().detect(image)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recognizer]:
    """The embedded model in two variants, two small ones with margins of their own, one of eight labels, a mixture."""
    folder, detector = tmp_path_factory.mktemp("models"), FaceDetector(min_face_size=40)
    frame = {"scale": INFO.margin.scale, "shift_x": INFO.margin.shift_x, "shift_y": INFO.margin.shift_y}
    sources: dict[str, Any] = {
        "fp32": "fer-lite0",
        "small": tiny.network(folder / "small", face_margin=frame),
        "wide": tiny.network(folder / "wide", seed=1, face_margin={"scale": 2.0}),
        "eight": tiny.network(folder / "eight", EIGHT, seed=2),
        "mixture": tiny.ensemble(folder / "mixture", ["fer-lite0", "../small"], face_margin=frame),
    }
    found = {name: Recognizer.from_pretrained(source, detector=detector) for name, source in sources.items()}
    return found | {"int8": Recognizer.from_pretrained(variant="int8", detector=detector)}


@pytest.fixture(scope="module")
def photo() -> Image:
    """One face."""
    return read(PHOTO)


@pytest.fixture(scope="module")
def pair(photo: Image) -> Image:
    """The same face twice, side by side."""
    return np.concatenate([photo, photo[:, ::-1]], axis=1)


def only(models: Mapping[str, Recognizer], *names: str) -> dict[str, Recognizer]:
    return {name: models[name] for name in names}


def scores(answer: Answer, face: int = 0) -> list[float]:
    return list(answer.predictions[face].scores.values())


def made(*named: Mapping[str, float] | None, labels: tuple[str, ...] = tiny.SEVEN) -> Comparison:
    """One face, on which each model gave these scores, or failed."""
    answers = [
        Answer(f"m{at}", replace(INFO, labels=labels), (), 0.1, "It failed.")
        if given is None
        else Answer(f"m{at}", replace(INFO, labels=tuple(given)), (Prediction.of(dict(given), None),), 0.1)
        for at, given in enumerate(named)
    ]
    return Comparison((8, 8), (None,), 0.0, tuple(answers))


def test_every_model_answers_as_it_does_alone(models: dict[str, Recognizer], pair: Image) -> None:
    found = compare_models(models, pair)
    assert [answer.name for answer in found.answers] == list(models)
    assert (found.size, len(found.faces)) == ((512, 1024), 2)
    for answer in found.answers:
        alone = models[answer.name](pair)
        assert answer.error == ""
        assert [p.face for p in answer.predictions] == list(found.faces)
        np.testing.assert_allclose(
            [list(p.scores.values()) for p in answer.predictions],
            [list(p.scores.values()) for p in alone],
            atol=1e-6,
        )


def test_the_faces_are_looked_for_once_by_the_first_models_detector(tmp_path: Path, photo: Image) -> None:
    first, second = Counting(min_face_size=40), Counting(min_face_size=40)
    both = {
        "a": Recognizer.from_pretrained(detector=first),
        "b": Recognizer.from_pretrained(tiny.network(tmp_path / "b"), detector=second),
    }
    found = compare_models(both, photo)
    assert (first.asked, second.asked, found.detection_seconds > 0) == (1, 0, True)
    again = compare_models(both, photo, faces=found.faces)
    whole = compare_models(both, photo, whole_image=True)
    assert (first.asked, second.asked) == (1, 0)
    assert again.detection_seconds == 0
    assert whole.faces == (None,)
    assert scores(again.answers[0]) == pytest.approx(scores(found.answers[0]))
    assert scores(whole.answers[0]) == pytest.approx(list(both["a"](photo, whole_image=True)[0].scores.values()))


def test_models_crop_by_their_own_margins(models: dict[str, Recognizer], photo: Image) -> None:
    found = compare_models(only(models, "small", "wide"), photo)
    for answer in found.answers:
        crop = models[answer.name].crop(photo, found.faces[0])
        assert scores(answer) == pytest.approx(tiny.expected(models[answer.name].info.path, [crop])[0], abs=1e-5)
    assert len({models[name].crop(photo, found.faces[0]).shape for name in ("small", "wide")}) == 2


def test_no_face_is_an_answer(models: dict[str, Recognizer]) -> None:
    found = compare_models(models, np.zeros((64, 64, 3), np.uint8))
    assert found.faces == ()
    assert all(answer.predictions == () and not answer.error for answer in found.answers)
    assert averaged(compare_models(only(models, "fp32", "small"), np.zeros((64, 64, 3), np.uint8))).predictions == ()
    assert found.mean_agreement() is None
    assert found.to_dict()["faces"] == []


def test_no_model_is_an_error(photo: Image) -> None:
    with pytest.raises(ValueError, match="no model to compare"):
        compare_models({}, photo)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ModelError("small is asleep."), "small is asleep."),
        (RuntimeError("[ONNXRuntimeError] : 6\nmore"), "small gave no answer ([ONNXRuntimeError] : 6)."),
        (MemoryError(), "small gave no answer (MemoryError)."),
    ],
)
def test_a_model_that_fails_leaves_the_others(
    models: dict[str, Recognizer], photo: Image, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    def fails(crops: object) -> None:
        raise error

    monkeypatch.setattr(models["small"].classifier, "logits", fails)
    found = compare_models(only(models, "small", "fp32", "int8"), photo)
    assert [bool(answer.error) for answer in found.answers] == [True, False, False]
    assert found.answers[0].error.startswith(sentence)
    assert found.answers[0].predictions == ()
    assert found.majority(0) == "happy"
    assert averaged(found).name == "mean of fp32, int8"
    assert [row["error"] is None for row in found.to_dict()["models"]] == [False, True, True]
    alone = compare_models(only(models, "small"), photo)
    assert (alone.majority(0), alone.agreement(0)) == (None, None)
    with pytest.raises(ModelError, match="nothing to average"):
        averaged(alone)


HAPPY, SAD, FEAR = ({"happy": h, "sad": s, "fear": f} for h, s, f in ((0.6, 0.3, 0.1), (0.1, 0.8, 0.1), (0, 0.4, 0.6)))


@pytest.mark.parametrize(
    ("given", "agreement", "votes"),
    [
        ([HAPPY], None, {"happy": 1}),
        ([HAPPY, HAPPY], 1, {"happy": 2}),
        ([HAPPY, SAD], 0, {"sad": 1, "happy": 1}),
        ([HAPPY, HAPPY, SAD], 1 / 3, {"happy": 2, "sad": 1}),
        ([HAPPY, SAD, HAPPY, SAD], 1 / 3, {"sad": 2, "happy": 2}),
        ([HAPPY, SAD, FEAR, None], 0, {"sad": 1, "fear": 1, "happy": 1}),
        ([None, FEAR], None, {"fear": 1}),
        ([None], None, {}),
    ],
)
def test_agreement_is_the_share_of_pairs_and_the_majority_the_most_named(
    given: list[dict[str, float] | None], agreement: float | None, votes: dict[str, int]
) -> None:
    found = made(*given)
    assert found.agreement(0) == (None if agreement is None else pytest.approx(agreement))
    assert found.mean_agreement() == found.agreement(0)
    assert list(found.votes(0).items()) == list(votes.items())
    assert found.majority(0) == next(iter(votes), None)


def test_the_mean_agreement_is_over_faces(models: dict[str, Recognizer], pair: Image) -> None:
    found = compare_models(models, pair)
    shares = [found.agreement(face) for face in range(2)]
    assert None not in shares
    assert found.mean_agreement() == pytest.approx(np.mean(shares))


def test_the_average_is_what_an_ensemble_says_without_asking_again(
    models: dict[str, Recognizer], pair: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = compare_models(only(models, "fp32", "small", "mixture"), pair)
    for name in ("fp32", "small"):
        monkeypatch.setattr(models[name].classifier, "logits", None)  # whoever asks again fails
    both = replace(found, answers=found.answers[:2])
    mean = averaged(both)
    for face in range(2):
        assert scores(mean, face) == pytest.approx(scores(found.answers[2], face), abs=1e-6)
        assert mean.predictions[face].face is found.faces[face]
    assert mean.name == "mean of fp32, small"
    assert mean.info.labels == tiny.SEVEN
    assert mean.seconds == pytest.approx(sum(answer.seconds for answer in both.answers))


def test_labels_that_not_all_know_are_lost_and_named(models: dict[str, Recognizer], photo: Image) -> None:
    found = compare_models(only(models, "eight", "fp32"), photo)
    mean = averaged(found)
    assert mean.name == "mean of eight, fp32, without contempt"
    assert mean.info.labels == tuple(label for label in EIGHT if label != "contempt")
    eight = LabelMap(EIGHT, mean.info.labels).apply(np.array([scores(found.answers[0])]))[0]
    seven = [found.answers[1].predictions[0].scores[label] for label in mean.info.labels]
    assert scores(mean) == pytest.approx((eight + seven) / 2, abs=1e-6)
    assert sum(scores(mean)) == pytest.approx(1)


def test_models_without_a_common_label_have_no_average() -> None:
    with pytest.raises(ModelError, match="No label is known to all of the models \\(m0: happy; m1: sad, fear\\)"):
        averaged(made({"happy": 1}, {"sad": 0.5, "fear": 0.5}))


@pytest.mark.parametrize("given", [[HAPPY, SAD], [HAPPY, SAD, None], [HAPPY, HAPPY, SAD], [HAPPY, SAD, FEAR, SAD]])
def test_the_average_has_no_vote(given: list[dict[str, float] | None]) -> None:
    found = made(*given)
    both = with_average(found)
    assert both.average is not None
    assert both.average.predictions[0].scores == averaged(found).predictions[0].scores
    assert (both.votes(0), both.agreement(0), both.answered) == (found.votes(0), found.agreement(0), found.answered)
    told = json.loads(json.dumps(both.to_dict()))
    assert (told["average"]["name"], told["average_error"]) == (averaged(found).name, None)
    assert len(told["models"]) == len(given)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (Comparison((8, 8), (None,), 0.0, ()), "0 models gave an answer; an average needs two"),
        (made(None, None), "0 models gave an answer; an average needs two"),
        (made(HAPPY), "1 models gave an answer; an average needs two"),
        (made(HAPPY, None), "1 models gave an answer; an average needs two"),
        (made({"happy": 1}, {"sad": 0.5, "fear": 0.5}), "No label is known to all"),
    ],
)
def test_where_there_is_no_average_a_sentence_says_why(found: Comparison, why: str) -> None:
    told = with_average(found)
    assert (told.average, told.answers) == (None, found.answers)
    assert told.average_error.startswith(why)
    assert told.to_dict()["average_error"] == told.average_error


def test_an_answer_says_how_large_its_files_are(models: dict[str, Recognizer], photo: Image) -> None:
    found = {answer.name: answer.megabytes for answer in compare_models(models, photo).answers}
    for name, variant in (("fp32", "fp32"), ("int8", "int8"), ("small", "fp32")):
        assert found[name] == (models[name].info.path / VARIANTS[variant]).stat().st_size / 1e6
    assert found["mixture"] == pytest.approx((found["fp32"] or 0) + (found["small"] or 0))
    assert (found["int8"] or 0) < (found["fp32"] or 0)


def test_the_size_of_a_file_that_is_gone_is_not_known(tmp_path: Path, photo: Image) -> None:
    model = Recognizer.from_pretrained(tiny.network(tmp_path / "m"), labels="basic-5")
    assert (compare_models({"m": model}, photo, whole_image=True).answers[0].megabytes or 0) > 0
    (tmp_path / "m" / VARIANTS["fp32"]).unlink()
    assert compare_models({"m": model}, photo, whole_image=True).answers[0].megabytes is None


def test_json_holds_everything(models: dict[str, Recognizer], pair: Image) -> None:
    found = compare_models(only(models, "fp32", "eight"), pair)
    row = json.loads(json.dumps(found.to_dict()))
    assert (row["width"], row["height"], len(row["faces"]), len(row["models"])) == (1024, 512, 2, 2)
    assert list(row["faces"][0]) == ["box", "score", "points", "majority", "agreement"]
    assert list(row["models"][1]["faces"][0]["scores"]) == list(EIGHT)
    assert row["models"][0]["faces"][0]["label"] == found.answers[0].predictions[0].label
    assert row["detection_ms"] == pytest.approx(found.detection_seconds * 1000, abs=0.01)
    whole = compare_models(only(models, "fp32"), pair, whole_image=True).to_dict()
    (face,) = whole["faces"]
    assert (face["box"], face["points"], face["agreement"], whole["agreement"]) == (None,) * 4
    assert face["majority"] == whole["models"][0]["faces"][0]["label"]


def test_four_models_take_little_more_than_their_parts(models: dict[str, Recognizer], pair: Image) -> None:
    four = only(models, "fp32", "int8", "small", "wide")

    def share() -> float:
        started = perf_counter()
        found = compare_models(four, pair)
        whole = perf_counter() - started
        return whole / (found.detection_seconds + sum(answer.seconds for answer in found.answers))

    assert min(share() for _ in range(5)) < 1.2
