from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from fer_hub import FaceDetector, ImageError, ModelError, Prediction, Recognizer

PHOTO = Path(__file__).parents[1] / "fer_hub" / "assets" / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.from_pretrained()


@pytest.fixture(scope="module")
def two_faces() -> np.ndarray:
    photo = np.asarray(PILImage.open(PHOTO))
    return np.concatenate([photo, photo[:, ::-1]], axis=1)


def same(a: Prediction, b: Prediction, tolerance: float = 1e-5) -> bool:
    return a.label == b.label and np.allclose(list(a.scores.values()), list(b.scores.values()), atol=tolerance)


def test_the_astronaut_is_one_happy_face(recognizer: Recognizer) -> None:
    (prediction,) = recognizer(PHOTO)
    assert prediction.label == "happy"
    assert prediction.confidence > 0.6
    assert prediction.confidence == max(prediction.scores.values())
    assert sum(prediction.scores.values()) == pytest.approx(1)
    assert tuple(prediction.scores) == recognizer.labels
    assert prediction.face is not None
    assert prediction.face.points.shape == (5, 2)
    x0, y0, x1, y1 = prediction.face.box
    assert 160 < x0 < 200 < 250 < x1 < 290
    assert 40 < y0 < 80 < 150 < y1 < 200


def test_every_kind_of_source_gives_the_same(recognizer: Recognizer) -> None:
    (want,) = recognizer(PHOTO)
    pil = PILImage.open(PHOTO)
    for source in (str(PHOTO), PHOTO.read_bytes(), pil, np.asarray(pil)):
        (got,) = recognizer(source)
        assert same(got, want)


def test_a_list_gives_a_list_for_each_image_as_if_alone(recognizer: Recognizer, two_faces: np.ndarray) -> None:
    blank = np.zeros((100, 100, 3), np.uint8)
    alone = [recognizer(image) for image in (two_faces, blank, two_faces[:, :512])]
    together = recognizer([two_faces, blank, two_faces[:, :512]])
    assert [len(found) for found in together] == [2, 0, 1]
    assert all(same(a, b) for x, y in zip(alone, together, strict=True) for a, b in zip(x, y, strict=True))
    assert recognizer([]) == []


def test_no_face_is_a_result_and_no_box_is_made_up(recognizer: Recognizer) -> None:
    blank = np.full((300, 300, 3), 128, np.uint8)
    assert recognizer(blank) == []
    assert recognizer(np.zeros((1, 1, 3), np.uint8)) == []
    (whole,) = recognizer(blank, whole_image=True)
    assert whole.face is None
    assert whole.to_dict()["box"] is None


def test_a_bad_image_in_a_list_is_named_by_its_place(recognizer: Recognizer) -> None:
    with pytest.raises(ImageError, match=r"Image 1 of the list: .*no such file"):
        recognizer([PHOTO, "gone.jpg"])
    with pytest.raises(ImageError, match="Got NoneType"):
        recognizer(None)  # type: ignore[call-overload]


def test_of_many_images_few_are_in_memory_at_a_time(
    recognizer: Recognizer, two_faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def opened(source: object) -> np.ndarray:
        nonlocal most
        image = two_faces.copy()
        alive.append(weakref.ref(image))
        most = max(most, sum(each() is not None for each in alive))
        return image

    monkeypatch.setattr("fer_hub.recognizer.read", opened)
    found = recognizer(["photo.jpg"] * 40)  # 80 faces, in two turns
    assert most <= 2
    assert [len(faces) for faces in found] == [2] * 40
    alone = recognizer(["photo.jpg"])[0]
    assert all(same(a, b, 1e-5) for faces in found for a, b in zip(faces, alone, strict=True))


def test_an_answer_that_is_no_number_is_an_error_that_names_the_model(recognizer: Recognizer) -> None:
    class Diverged:
        info = recognizer.info

        def logits(self, crops: Sequence[np.ndarray]) -> np.ndarray:
            return np.full((len(crops), 7), np.nan, np.float32)

    with pytest.raises(ModelError, match=r"fer-lite0 answers with values that are no numbers \(NaN\)"):
        Recognizer(Diverged(), recognizer.detector)(PHOTO)


def test_torch_and_onnx_give_the_same_probabilities(recognizer: Recognizer, two_faces: np.ndarray) -> None:
    by_torch = Recognizer.from_pretrained(runtime="torch")
    pairs = list(zip(recognizer(two_faces), by_torch(two_faces), strict=True))
    assert len(pairs) == 2
    assert all(same(a, b, 1e-4) for a, b in pairs)


def test_a_detector_of_ones_own_is_used(two_faces: np.ndarray) -> None:
    blind = Recognizer.from_pretrained(detector=FaceDetector(min_face_size=300))
    assert blind(two_faces) == []


def test_several_models_views_and_labels_in_one_call(recognizer: Recognizer) -> None:
    (alone,) = recognizer(PHOTO)
    asked = Recognizer.from_pretrained(["fer-lite0", None], views="flip", labels="basic-5")
    (found,) = asked(PHOTO)
    assert asked.labels == tuple(found.scores) == ("angry", "fear", "happy", "sad", "surprise")
    assert asked.info.margin == recognizer.info.margin
    assert sum(found.scores.values()) == pytest.approx(1)
    assert found.label == alone.label == "happy"
    image = np.asarray(PILImage.open(PHOTO))
    face = recognizer.crop(image, alone.face)
    (one,), (two,) = (recognizer(view, whole_image=True) for view in (face, np.fliplr(face)))
    kept = [sum(each.scores[label] for label in asked.labels) for each in (one, two)]
    for label in asked.labels:
        wanted = (one.scores[label] / kept[0] + two.scores[label] / kept[1]) / 2
        assert found.scores[label] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "basic-6"}, "Unknown label 'basic-6'"),
        ({"labels": ["contempt"]}, "None of the labels contempt"),
        ({"views": "mirror"}, "Unknown views 'mirror'"),
    ],
)
def test_an_unknown_label_or_view_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recognizer.from_pretrained(**options)  # type: ignore[arg-type]
