from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from fer_hub.faces import FaceDetector
from fer_hub.hub import find_model, read_info, zoo_models
from fer_hub.image import crop
from fer_hub.types import Face, Margin
from train import margin
from train.align import LARGE, PAD, enlarged, largest
from train.margin import FITTED, fitted_margin, relation, summary

PHOTO = Path(__file__).parents[1] / "fer_hub" / "assets" / "examples" / "astronaut.jpg"


def test_cropping_with_the_relation_of_a_box_gives_the_frame_back() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    image = enlarged(frame)
    face = Face((60.0, 70.0, 200.0, 230.0), 1.0, np.zeros((5, 2), np.float32))
    got = crop(image, face, Margin(*relation(face)))
    assert got.shape == (LARGE, LARGE, 3)
    assert np.array_equal(got, image[PAD : PAD + LARGE, PAD : PAD + LARGE])


def test_a_known_framing_is_recovered_from_a_real_face() -> None:
    photo = np.asarray(PILImage.open(PHOTO))
    (found,) = FaceDetector(min_face_size=40).detect(photo)
    square = PILImage.fromarray(crop(photo, found, Margin(1.1, 0.05, -0.04))).convert("L").resize((48, 48))
    (face,) = largest(FaceDetector(min_face_size=60).detect(enlarged(np.asarray(square))))
    assert relation(face) == pytest.approx((1.1, 0.05, -0.04), abs=0.08)


def test_the_summary_takes_medians_and_counts_what_it_leaves_out() -> None:
    found = np.array([(1.0, 0.0, 0.1), (1.2, 0.1, 0.2), (1.1, -0.1, 0.3), (5.0, 9.0, 9.0)])
    result = summary(found, rows=6)
    assert (result["rows"], result["found"], result["kept"]) == (6, 4, 3)
    assert result["median"] == {"scale": 1.1, "shift_x": 0.0, "shift_y": 0.2}


@pytest.mark.parametrize(("given", "stored"), [(None, "mine"), ("theirs", "theirs")])
def test_a_margin_is_stored_under_its_data_sets_name_and_leaves_the_others_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, stored: str
) -> None:
    photo = PILImage.open(PHOTO).convert("L")
    (found,) = FaceDetector(min_face_size=40).detect(np.asarray(PILImage.open(PHOTO)))
    x0, y0, x1, y1 = map(round, found.box)
    (tmp_path / "mine" / "happy").mkdir(parents=True)
    photo.crop((x0 - 10, y0, x1 + 10, y1)).resize((96, 96)).save(tmp_path / "mine" / "happy" / "a.png")
    monkeypatch.setattr(margin, "FITTED", tmp_path / "margins.json")
    (tmp_path / "margins.json").write_text('{"fer2013": {"kept": 1}}', encoding="utf-8")
    result = margin.fit(margin.MarginConfig(tmp_path / "mine", name=given))
    assert margin.margins() == {"fer2013": {"kept": 1}, stored: result}


def test_every_model_of_the_zoo_carries_the_fitted_margin() -> None:
    assert json.loads(FITTED.read_text(encoding="utf-8"))["fer2013"]["kept"] > 1000
    for name in zoo_models():
        info = read_info(find_model(name))
        assert info.fer["dataset"] in ("fer2013", "ferplus"), "both have the images of FER2013"
        assert info.margin == Margin(**fitted_margin("fer2013"))
    with pytest.raises(ValueError, match="Known: fer2013"):
        fitted_margin("ck+")
