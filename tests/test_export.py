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

from fer_hub.backbones import BACKBONES, build, head_weights, load_model
from fer_hub.classifier import OnnxClassifier, load_classifier, softmax
from fer_hub.hub import read_info
from fer_hub.image import to_array
from fer_hub.types import InputSpec, ModelError
from train import data, export, graphs, loop, measure
from train.calibrate import Calibration

FILES = {
    "README.md",
    "config.json",
    "model.safetensors",
    "metrics.json",
    "onnx/model.onnx",
    "onnx/variants.json",
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
    np.testing.assert_allclose(OnnxClassifier(model).forward(values), ours, atol=1e-4)
    np.testing.assert_allclose(load_classifier(model, runtime="torch").forward(values), ours, atol=1e-6)
    np.testing.assert_allclose(by_timm, ours, atol=1e-6)


@pytest.mark.parametrize("count", [1, 3, 64])
def test_the_onnx_file_takes_any_number_of_faces(model: Path, count: int) -> None:
    values = pixels(model, count)
    np.testing.assert_allclose(OnnxClassifier(model).forward(values), logits(load_model(model), values), atol=1e-4)


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
    fitted = result["calibration"]
    left = 1.0 if fitted["folded"] else result["temperature"]
    assert config["fer"]["temperature"] == read_info(toy_model).temperature == left
    assert config["fer"]["calibration"] == {key: fitted[key] for key in fitted if key != "compared"}
    assert fitted["temperature"] == result["temperature"]
    assert config["fer"]["metrics"]["test"]["accuracy"] == result["test"]["accuracy"]
    assert config["fer"]["face_margin"].keys() == {"scale", "shift_x", "shift_y"}
    assert {config["fer"][name] for name in ("protocol", "sampling", "loss")} == {"as-given", "none", "cross-entropy"}


def test_matrices_are_stored_in_half_precision_in_both_files_but_for_the_head(model: Path) -> None:
    head = head_weights(load_model(model))
    assert head == {"fc.weight", "fc.bias"}
    with safe_open(model / "model.safetensors", "pt") as file:
        kinds = {
            name: (file.get_slice(name).get_dtype(), len(file.get_slice(name).get_shape())) for name in file.keys()
        }
    assert {kind for name, (kind, axes) in kinds.items() if axes > 1 and name not in head} == {"F16"}
    assert {kind for name, (kind, axes) in kinds.items() if axes == 1 or name in head} == {"F32"}
    stored = onnx.load(model / "onnx" / "model.onnx").graph.initializer
    matrices = {t.name: t.data_type for t in stored if len(t.dims) > 1 and t.data_type != TensorProto.INT64}
    assert len(matrices) == sum(axes > 1 for _, axes in kinds.values())
    assert matrices.pop("fc.weight") == TensorProto.FLOAT
    assert set(matrices.values()) == {TensorProto.FLOAT16}


def test_what_half_precision_does_not_hold_is_stored_as_it_is(toy_model: Path, tmp_path: Path) -> None:
    network, spec = load_model(toy_model), read_info(toy_model).input
    network.conv1[0].weight.data *= 1.0003  # type: ignore[index, operator, union-attr]
    network.conv1[3].weight.data.flatten()[0] = 1e6  # type: ignore[index, operator, union-attr]  # infinite in half
    export.write_weights(network, tmp_path / "model.safetensors")
    export.write_onnx(network, spec, {}, tmp_path / "model.onnx")
    stored, values = load_file(tmp_path / "model.safetensors"), pixels(toy_model)
    assert all(torch.equal(stored[name].to(weight.dtype), weight) for name, weight in network.state_dict().items())
    assert {str(stored[name].dtype) for name in ("conv1.0.weight", "conv1.3.weight")} == {"torch.float32"}
    assert stored["layer1.0.conv1.weight"].dtype == torch.float16
    expected = logits(network, values)
    np.testing.assert_allclose(measure.session(tmp_path / "model.onnx", 1)(values), expected, rtol=1e-4, atol=1e-4)


def test_the_result_scores_the_stored_weights(toy_model: Path, toy_csv: Path) -> None:
    test, result = data.load("as-given", toy_csv).test, json.loads((toy_model / "metrics.json").read_text())
    found = OnnxClassifier(toy_model).logits(list(test.images)).argmax(1)
    assert (found == test.labels).mean() == pytest.approx(result["test"]["accuracy"], abs=1e-9)


TORCH = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 2.0 - 5e-5]], dtype=np.float32)
"""Logits of two images; the second is a tie to within what is allowed."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ([[0, 0, 0], [0, 0, 0]], None),
        ([[9e-5, 0, -9e-5], [0, 0, 0]], None),
        ([[0, 0, 0], [0, -4e-5, 4e-5]], None),  # another label, but of a tie
        ([[0, 0, 0], [0, -8e-5, 8e-5]], None),
        ([[1.5e-4, 0, 0], [0, 0, 0]], None),  # of a largest logit of 3
        ([[0, 1e-3, 0], [0, 0, 0]], r"onnx/model\.onnx: .* differ by up to 1\.00e-03 where 1\.60e-04 is allowed"),
        ([[1.5e-4, 0, 0], [1.5e-4, 0, 0]], r"differ by up to 1\.50e-04 where 1\.40e-04 is allowed"),
        ([[0, float("nan"), 0], [0, 0, 0]], r"differ by up to nan"),
        ([[0, 0, 0], [float("inf"), 0, 0]], r"differ by up to inf"),
    ],
)
def test_an_onnx_file_must_give_torchs_logits(change: list[list[float]], message: str | None) -> None:
    found = TORCH + np.array(change, dtype=np.float32)
    if message is None:
        measure.check_parity(found, TORCH)
    else:
        with pytest.raises(measure.ParityError, match=message):
            measure.check_parity(found, TORCH)


@pytest.mark.parametrize(("largest", "allowed"), [(0.0, 1e-4), (1.0, 1.2e-4), (9.0, 2.8e-4), (-41.4, 9.28e-4)])
def test_what_is_allowed_grows_with_an_images_largest_logit(largest: float, allowed: float) -> None:
    expected = np.array([[largest, 0.0, 0.0]], dtype=np.float32)
    measure.check_parity(expected + np.float32(0.97 * allowed), expected)
    with pytest.raises(measure.ParityError, match="logits differ by up to"):
        measure.check_parity(expected + np.float32(1.03 * allowed), expected)


def test_another_label_that_is_no_tie_is_refused() -> None:
    torch_side = np.array([[0.0, 2.0, 2.0 - 2e-4]], dtype=np.float32)
    with pytest.raises(measure.ParityError, match="it names other labels than torch on 1 of 1 images"):
        measure.check_parity(torch_side + np.array([[0, -1.3e-4, 1.3e-4]], dtype=np.float32), torch_side)


class Pretender(torch.nn.Module):
    """A network that shows the exporter another function than the one that it computes."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network
        self.num_features = network.num_features
        self.pretrained_cfg = network.pretrained_cfg

    def get_classifier(self) -> torch.nn.Module:
        return self.network.get_classifier()  # type: ignore[operator, no-any-return]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.network(x)
        return logits + 1e-3 if torch.compiler.is_exporting() else logits


def test_a_failed_export_leaves_the_folder_as_it_was(copy: Path, toy_csv: Path) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    result = json.loads((copy / "metrics.json").read_text())
    splits, network = data.load("as-given", toy_csv), Pretender(load_model(copy))
    with pytest.raises(measure.ParityError, match=r"differ by up to 1\.0\de-03"):
        export.write_model_folder(copy, network, read_info(copy).input, splits, result, np.eye(60, 7))
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_run_leaves_the_measurements_of_its_default_file(toy_model: Path) -> None:
    found = json.loads((toy_model / "onnx" / "variants.json").read_text())
    (name, row), size = *found["variants"].items(), (toy_model / "onnx" / "model.onnx").stat().st_size
    accuracy = json.loads((toy_model / "metrics.json").read_text())["validation"]["accuracy"]
    assert (name, row["bytes"], row["published"], row["why"]) == ("fp32", size, True, "")
    assert (row["same_label"], row["accuracy"], found["reference_accuracy"]) == (1.0, accuracy, accuracy)
    assert 0 <= row["max_logit_difference"] <= measure.PARITY
    assert row["latency_ms"].keys() == {"1", "16"}
    assert (found["split"], found["n"], found["simplification"]) == ("validation", 60, None)


@pytest.mark.parametrize(
    "found",
    [Calibration(1.7), Calibration(0.8, tuple(np.linspace(0.5, 2, 7).tolist()), tuple(np.arange(-3.0, 4).tolist()))],
    ids=["temperature", "vector scaling"],
)
def test_a_folded_calibration_gives_the_probabilities_that_applying_it_gives(model: Path, found: Calibration) -> None:
    values, network = pixels(model), load_model(model)
    wanted = softmax(found.apply(logits(network, values)))
    assert export.fold(network, found)
    np.testing.assert_allclose(softmax(logits(network, values)), wanted, atol=1e-6)
    assert export.calibration(found, True)["temperature"] == 1.0
    assert found.method in export.foldable(network)


def test_a_head_that_is_not_one_linear_layer_is_left_alone(toy_model: Path) -> None:
    network = load_model(toy_model)
    network.fc = torch.nn.Sequential(network.fc)
    before = [weight.clone() for weight in network.parameters()]
    assert not export.fold(network, Calibration(1.7))
    assert export.foldable(network) == ("temperature",)
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    assert export.calibration(Calibration(1.7), False)["temperature"] == 1.7


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


def test_rounding_leaves_vectors_counters_and_the_head_alone() -> None:
    third = torch.full((2, 2), 1 / 3)
    weights = {"w": third, "fc.weight": third, "b": torch.full((2,), 1 / 3), "n": torch.tensor(7)}
    rounded = export.rounded(weights, {"fc.weight"})
    assert torch.equal(rounded["w"], third.half().float())
    assert not torch.equal(rounded["w"], third)
    assert torch.equal(rounded["fc.weight"], third)
    assert torch.equal(rounded["b"], weights["b"])
    assert rounded["n"].dtype == torch.int64


def shaken(name: str) -> torch.nn.Module:
    """A network of the registry whose norms do something and whose logits differ from image to image."""
    torch.manual_seed(0)
    network = build(name, 7)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0  # so that the norms hold the statistics of this batch
    network.train()(torch.randn(8, len(BACKBONES[name]["mean"]), 80, 80))
    torch.nn.init.normal_(network.get_classifier().weight, std=0.1)  # type: ignore[operator]
    network.load_state_dict(export.rounded(network.state_dict(), head_weights(network)))
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_is_exported_simplified_and_exact(name: str, tmp_path: Path) -> None:
    network, (mean, std) = shaken(name), (BACKBONES[name]["mean"], BACKBONES[name]["std"])
    spec = InputSpec((80, 80), len(mean), mean, std, "bicubic", grey=True)
    plain = graphs.translated(network, spec)
    simple, folded = graphs.simplified(plain), graphs.simplified(plain, fold_norms=True)
    graphs.write(graphs.halved(simple), {"name": name}, tmp_path / "model.onnx")
    values = torch.randn(3, spec.channels, *spec.size).numpy()
    expected = logits(network, values)
    assert np.ptp(expected, axis=0).max() > 1e-2  # the images are told apart
    for model in (tmp_path / "model.onnx", folded):
        np.testing.assert_allclose(measure.session(model, 1)(values), expected, atol=measure.PARITY)
    kinds = [{node.op_type for node in graph.graph.node} for graph in (plain, simple)]
    assert not {"CastLike", "Expand", "Shape", "Constant"} & kinds[1] - {"Cast"}
    assert len(folded.graph.node) < len(plain.graph.node)
    matrices = [t for t in simple.graph.initializer if len(t.dims) > 1 and t.data_type == TensorProto.FLOAT]
    assert [t.name for t in matrices] == [n for n in head_weights(network) if n.endswith("weight")]
    assert simple.graph.input[0].type.tensor_type.shape.dim[0].dim_param
