"""One of our ONNX files without its folder says itself what it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from fer_hub import Recognizer
from fer_hub.classifier import classify, load_classifier
from fer_hub.explain import explain
from fer_hub.hub import VARIANTS, find_model
from fer_hub.types import ModelError

FACES = list(np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), np.uint8))


@pytest.fixture
def lone(tmp_path: Path) -> Path:
    """The embedded model's file, elsewhere and under another name."""
    return Path(shutil.copy(find_model() / VARIANTS["fp32"], tmp_path / "mine.onnx"))


def test_it_answers_as_its_folder_does(lone: Path) -> None:
    alone, whole = load_classifier(lone), load_classifier()
    assert alone.info.name == "mine"
    for name in ("labels", "input", "margin", "alignment", "temperature"):
        assert getattr(alone.info, name) == getattr(whole.info, name)
    np.testing.assert_array_equal(classify(alone, FACES), classify(whole, FACES))
    assert Recognizer.from_pretrained(str(lone))(FACES[0], whole_image=True)[0].face is None


def test_grad_cam_explains_the_file_itself_and_no_model_beside_it(lone: Path, tmp_path: Path) -> None:
    wanted = explain(load_classifier(), FACES[0]).heat
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"another")
    np.testing.assert_allclose(explain(load_classifier(lone), FACES[0]).heat, wanted, atol=1e-6)


def test_on_torch_there_is_nothing_to_load(lone: Path) -> None:
    with pytest.raises(ModelError, match=r'is an ONNX file\. Use runtime="onnx"'):
        load_classifier(lone, runtime="torch")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "does not say what it is: its metadata hold no config"),
        ("not JSON", "does not say what it is"),
        ('{"architecture": "x"}', "The config in .*mine.onnx has no 'label_names'"),
    ],
)
def test_a_file_that_says_nothing_of_itself_is_refused(lone: Path, config: str | None, message: str) -> None:
    model = onnx.load(lone)
    del model.metadata_props[:]
    if config is not None:
        onnx.helper.set_model_props(model, {"config": config})
    onnx.save(model, lone)
    with pytest.raises(ModelError, match=message):
        load_classifier(lone)


def test_a_broken_file_is_named(lone: Path) -> None:
    lone.write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"mine\.onnx cannot be loaded"):
        load_classifier(lone)
