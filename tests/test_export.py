"""train.export: one set of weights, three ways to load it, the same logits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import timm
import torch
from conftest import toy_config, toy_picture
from onnx import TensorProto
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fer_hub.backbones import load_model
from fer_hub.classifier import OnnxClassifier, load_classifier
from fer_hub.hub import read_info
from fer_hub.image import to_array
from fer_hub.types import ModelError
from train import data, export, loop

FILES = {
    "README.md",
    "config.json",
    "model.safetensors",
    "metrics.json",
    "onnx/model.onnx",
    "figures/confusion.png",
    "figures/confusion_counts.png",
    "figures/roc.png",
    "figures/reliability.png",
    "figures/recall.png",
}


@pytest.fixture(scope="module")
def raw_pixel_model(tmp_path_factory: pytest.TempPathFactory, toy_csv: Path) -> Path:
    """A model folder of our own network: one channel, registered with timm by `import fer_hub.cnns`."""
    config = toy_config(
        tmp_path_factory.mktemp("runs") / "raw", toy_csv, backbone="raw_pixel_cnn", image_size=16, epochs=1
    )
    loop.train(config)
    return config.out / "model"


@pytest.fixture(scope="module", params=["toy_model", "raw_pixel_model"])
def model(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(request.param)
    return folder


@pytest.fixture
def copy(toy_model: Path, tmp_path: Path) -> Path:
    """A model folder that a test may spoil."""
    return Path(shutil.copytree(toy_model, tmp_path / "model"))


def pixels(folder: Path, count: int = 20) -> np.ndarray:
    rng = np.random.default_rng(7)
    return to_array([toy_picture(i % 7, rng) for i in range(count)], read_info(folder).input)


def logits(module: torch.nn.Module, values: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return module.eval()(torch.from_numpy(values)).numpy()


def test_a_model_folder_holds_these_files_and_no_other(model: Path) -> None:
    assert {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()} == FILES


def test_torch_onnx_and_timm_give_the_same_logits(model: Path) -> None:
    values = pixels(model)
    ours = logits(load_model(model), values)
    by_timm = logits(timm.create_model(f"local-dir:{model}", pretrained=True), values)
    assert ours.shape == (20, 7)
    assert ours.std(axis=0).min() > 0  # the pictures are told apart
    np.testing.assert_allclose(OnnxClassifier(model).logits(values), ours, atol=1e-4)
    np.testing.assert_allclose(load_classifier(model, runtime="torch").logits(values), ours, atol=1e-6)
    np.testing.assert_allclose(by_timm, ours, atol=1e-6)


@pytest.mark.parametrize("count", [1, 3, 64])
def test_the_onnx_file_takes_any_number_of_faces(model: Path, count: int) -> None:
    values = pixels(model, count)
    np.testing.assert_allclose(OnnxClassifier(model).logits(values), logits(load_model(model), values), atol=1e-4)


def test_the_onnx_file_describes_itself(model: Path) -> None:
    session = ort.InferenceSession(model / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    config = json.loads((model / "config.json").read_text())
    assert json.loads(session.get_modelmeta().custom_metadata_map["config"]) == config
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.type, given.name) == ("pixel_values", "tensor(float)", "logits")
    assert taken.shape[1:] == config["pretrained_cfg"]["input_size"]
    assert given.shape[1:] == [7]
    assert isinstance(taken.shape[0], str)
    assert taken.shape[0] == given.shape[0]


def test_config_is_what_the_run_was(toy_model: Path) -> None:
    config, result = (json.loads((toy_model / name).read_text()) for name in ("config.json", "metrics.json"))
    assert config["architecture"] == "test_resnet"
    assert config["label_names"] == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert config["fer"]["temperature"] == result["temperature"] == read_info(toy_model).temperature
    assert config["fer"]["metrics"]["test"]["accuracy"] == result["test"]["accuracy"]
    assert config["fer"]["face_margin"].keys() == {"scale", "shift_x", "shift_y"}
    assert {config["fer"][name] for name in ("protocol", "sampling", "loss")} == {"as-given", "none", "cross-entropy"}


def test_filters_are_stored_in_half_precision_in_both_files(model: Path) -> None:
    with safe_open(model / "model.safetensors", "pt") as file:
        kinds = {
            name: (file.get_slice(name).get_dtype(), len(file.get_slice(name).get_shape())) for name in file.keys()
        }
    assert {kind for kind, axes in kinds.values() if axes > 1} == {"F16"}
    assert {kind for kind, axes in kinds.values() if axes == 1} == {"F32"}
    stored = onnx.load(model / "onnx" / "model.onnx").graph.initializer
    filters = [tensor for tensor in stored if len(tensor.dims) > 1 and tensor.data_type != TensorProto.INT64]
    assert {tensor.data_type for tensor in filters} == {TensorProto.FLOAT16}
    assert len(filters) == sum(axes > 1 for _, axes in kinds.values())


def test_the_result_scores_the_stored_weights(toy_model: Path, toy_csv: Path) -> None:
    test, result = data.load("as-given", toy_csv).test, json.loads((toy_model / "metrics.json").read_text())
    info = read_info(toy_model)
    found = OnnxClassifier(toy_model).logits(to_array(list(test.images), info.input)).argmax(1)
    assert (found == test.labels).mean() == pytest.approx(result["test"]["accuracy"], abs=1e-9)


def test_an_onnx_file_of_other_weights_is_refused(model: Path) -> None:
    images, other = [toy_picture(i, np.random.default_rng(i)) for i in range(7)], load_model(model)
    spec = read_info(model).input
    assert export.check_parity(other, spec, model, np.stack(images)) <= export.PARITY
    with torch.no_grad():
        other.get_classifier().bias += 1e-3  # type: ignore[operator, union-attr]
    with pytest.raises(export.ParityError, match=r"differ by up to 1\.00e-03; at most 0\.0001 is allowed"):
        export.check_parity(other, spec, model, np.stack(images))


def test_a_failed_export_leaves_the_folder_as_it_was(copy: Path, toy_csv: Path) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    result = json.loads((copy / "metrics.json").read_text())
    splits, unrounded = data.load("as-given", toy_csv), load_model(copy)
    with torch.no_grad():
        for weight in unrounded.parameters():
            weight *= 1.0003  # no longer what half precision can hold
    with pytest.raises(export.ParityError):
        export.write_model_folder(copy, unrounded, read_info(copy).input, splits, result, np.eye(60, 7))
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("fc.bias"), r"does not fit test_resnet .*(?s:.*)Missing key.*fc\.bias"),
        (
            lambda w: w.update({"fc.extra": torch.zeros(1)}),
            r"does not fit test_resnet .*(?s:.*)Unexpected key.*fc\.extra",
        ),
        (
            lambda w: w.update({"fc.bias": torch.zeros(8)}),
            r"does not fit test_resnet .*(?s:.*)size mismatch for fc\.bias",
        ),
    ],
    ids=["missing", "extra", "wrong shape"],
)
def test_weights_that_do_not_fit_exactly_are_refused(copy: Path, change: object, message: str) -> None:
    weights = load_file(copy / "model.safetensors")
    change(weights)  # type: ignore[operator]
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(ModelError, match=message):
        load_model(copy)


def test_weights_cut_short_are_refused(copy: Path) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="is not a readable safetensors file"):
        load_model(copy)


def test_rounding_leaves_vectors_and_counters_alone() -> None:
    weights = {"w": torch.full((2, 2), 1 / 3), "b": torch.full((2,), 1 / 3), "n": torch.tensor(7)}
    rounded = export.rounded(weights)
    assert torch.equal(rounded["w"], torch.full((2, 2), 1 / 3).half().float())
    assert not torch.equal(rounded["w"], weights["w"])
    assert torch.equal(rounded["b"], weights["b"])
    assert rounded["n"].dtype == torch.int64
