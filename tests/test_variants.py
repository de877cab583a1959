"""train.variants: every ONNX file of a model, measured, published or not; python -m train export."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from conftest import toy_config, toy_rows, write_csv
from onnx import TensorProto, numpy_helper
from safetensors.torch import load_file

from fer_hub.backbones import load_model
from fer_hub.classifier import softmax
from fer_hub.hub import VARIANTS, ZOO, read_info
from fer_hub.image import to_array
from fer_hub.types import Array
from train import data, export, finished, graphs, loop, measure, quantize, variants
from train.__main__ import main
from train.measure import why_not_fp16, why_not_int8

Json = dict[str, Any]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read(folder: Path, name: str) -> Json:
    values: Json = json.loads((folder / name).read_text(encoding="utf-8"))
    return values


@pytest.fixture(scope="module")
def faces(toy_csv: Path) -> data.Data:
    return data.load("as-given", toy_csv)


@pytest.fixture(scope="module")
def exported(toy_run: Path, toy_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All variants of the toy run, by the command."""
    out = tmp_path_factory.mktemp("exported") / "toy"
    before = contents(toy_run)
    assert main(["export", str(toy_run), "--out", str(out), "--data", str(toy_csv), "--threads", "1"]) == 0
    assert contents(toy_run) == before
    return out


@pytest.fixture
def copy(toy_model: Path, tmp_path: Path) -> Path:
    """A model folder that a test may spoil."""
    return Path(shutil.copytree(toy_model, tmp_path / "toy"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One turn a file where timings are not looked at."""
    monkeypatch.setattr(measure, "ROUNDS", 1)


def published(folder: Path) -> dict[str, Path]:
    rows = read(folder, "onnx/variants.json")["variants"]
    return {name: folder / row["file"] for name, row in rows.items() if row["published"]}


def logits(model: torch.nn.Module, values: Array) -> Array:
    with torch.inference_mode():
        found: Array = model.eval()(torch.from_numpy(values)).numpy()
    return found


def validation_pixels(folder: Path, faces: data.Data) -> Array:
    return to_array(list(faces.validation.images), read_info(folder).input)


def test_the_folder_holds_the_published_files_and_no_other(exported: Path, toy_model: Path) -> None:
    files = {path.relative_to(exported).as_posix() for path in published(exported).values()}
    assert {"onnx/model.onnx", "onnx/model_fp16.onnx"} <= files
    assert contents(exported).keys() == contents(toy_model).keys() | files


def test_every_variant_is_listed_with_what_it_was_measured_at(exported: Path, faces: data.Data) -> None:
    found = read(exported, "onnx/variants.json")
    assert list(found["variants"]) == list(VARIANTS)
    assert (found["split"], found["n"], found["machine"]["threads"]) == ("validation", 60, 1)
    for name, row in found["variants"].items():
        assert row["published"] == (not row["why"]) == (exported / VARIANTS[name]).is_file()
        assert row["latency_ms"].keys() == {"1", "16"}
        for t in row["latency_ms"].values():
            assert 0 < t["minimum"] <= t["p50"] <= t["p95"] <= t["maximum"]
            assert t["n"] == 5 * measure.ROUNDS
    for file, facts in (found["files"] | {row["file"]: row for row in found["variants"].values()}).items():
        if (exported / file).is_file():
            assert measure.size_and_hash(exported / file) == {key: facts[key] for key in ("bytes", "sha256")}


def test_the_figures_are_those_of_all_validation_images(exported: Path, faces: data.Data) -> None:
    found, values = read(exported, "onnx/variants.json"), validation_pixels(exported, faces)
    expected = logits(load_model(exported), values)
    assert found["reference_accuracy"] == (expected.argmax(1) == faces.validation.labels).mean()
    for name, path in published(exported).items():
        model = measure.as_on_a_gpu(exported) if name == "fp16" else path
        row, ours = found["variants"][name], measure.session(model, 1)(values)
        assert row["accuracy"] == (ours.argmax(1) == faces.validation.labels).mean()
        assert row["same_label"] == (ours.argmax(1) == expected.argmax(1)).mean()
        assert row["max_logit_difference"] == pytest.approx(np.abs(ours - expected).max(), rel=0.2, abs=1e-5)
    assert found["variants"]["fp32"]["same_label"] == 1.0


def test_each_file_describes_itself_and_only_n_is_dynamic(exported: Path) -> None:
    config = read(exported, "config.json")
    for path in published(exported).values():
        opened = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        assert json.loads(opened.get_modelmeta().custom_metadata_map["config"]) == config
        (taken,), (given,) = opened.get_inputs(), opened.get_outputs()
        assert (taken.name, taken.type, given.name, given.type) == (
            ("pixel_values", "tensor(float)", "logits", "tensor(float)")
        )
        assert (taken.shape[1:], given.shape[1:]) == (config["pretrained_cfg"]["input_size"], [7])
        assert taken.shape[0] == given.shape[0] == "batch"
        onnx.checker.check_model(onnx.load(path))


def test_fp16_computes_in_half_precision(exported: Path) -> None:
    graph = onnx.load(exported / VARIANTS["fp16"]).graph
    weights = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) > 1}
    casts = [node for node in graph.node if node.op_type == "Cast"]
    assert weights == {TensorProto.FLOAT16}
    assert {name for node in casts for name in (*node.input, *node.output)} & {"pixel_values", "logits"} == {
        "pixel_values",
        "logits",
    }
    assert len(casts) == 2
    assert "BatchNormalization" not in {node.op_type for node in graph.node}


def test_int8_has_uint8_activations_and_int8_weights_for_each_channel(toy_model: Path, faces: data.Data) -> None:
    spec = read_info(toy_model).input
    simple = graphs.simplified(graphs.translated(load_model(toy_model), spec), fold_norms=True)
    graph = quantize.eight_bits(simple, faces.train, spec).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = [n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in stored]
    filters = [n for n in weights if stored[n.input[0]].ndim == 4]
    convolutions = [n for n in graph.node if n.op_type == "Conv"]
    assert len(filters) == len(convolutions) - quantize.IN_FLOAT
    for node in filters:
        assert stored[node.input[0]].dtype == np.int8
        assert stored[node.input[1]].shape == stored[node.input[0]].shape[:1]
    zeros = {stored[n.input[2]].dtype for n in graph.node if n.op_type == "QuantizeLinear"}
    assert zeros == {np.dtype(np.uint8)}


def test_the_calibration_images_are_balanced_training_images_and_always_the_same(faces: data.Data) -> None:
    rows = np.concatenate([np.full(90, 0), np.full(30, 1), np.full(5, 2)])
    images = np.random.default_rng(0).integers(0, 256, (len(rows), 4, 4), np.uint8)
    split = data.Split(images, rows)
    drawn = [quantize.calibration_images(split, 60) for _ in range(2)]
    assert np.array_equal(*drawn)
    where = [int(np.flatnonzero((images == image).all(axis=(1, 2)))[0]) for image in drawn[0][:45]]
    assert len(set(where)) == 45
    assert np.bincount(rows[where]).tolist() == [20, 20, 5]
    assert len(quantize.calibration_images(faces.train)) == len(faces.train)  # there are fewer than asked for


def test_simplifying_takes_nodes_out_and_all_graphs_are_timed(exported: Path) -> None:
    rows = read(exported, "onnx/variants.json")["simplification"]
    assert list(rows) == ["raw", "plain", "simplified"]
    assert rows["simplified"]["nodes"] < rows["raw"]["nodes"] / 2
    assert rows["simplified"]["bytes"] < rows["raw"]["bytes"]
    for row in rows.values():
        assert 0 < row["latency_ms"]["minimum"] <= row["latency_ms"]["mean"] <= row["latency_ms"]["maximum"]


def test_the_command_prints_both_tables_and_the_stages(
    copy: Path, toy_csv: Path, capsys: pytest.CaptureFixture[str], quick: None
) -> None:
    assert main(["export", str(copy), "--data", str(toy_csv), "--variants", "fp16", "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    for stage in ("reading the data", "exporting", "making fp32", "making fp16", "scoring fp32, fp16 on 60"):
        assert f"{stage}" in printed
    for line in ("variant       MB", "fp32 ", "fp16 ", "graph         nodes", "plain ", "simplified "):
        assert f"\n{line}" in printed
    rows = read(copy, "onnx/variants.json")["variants"]
    assert [name for name, row in rows.items() if row["bytes"]] == ["fp32", "fp16"]
    assert rows["int8"]["why"] == "It was left out when the model was exported."
    assert f"# {copy.name}\n" in (copy / "README.md").read_text(encoding="utf-8")


# ── the temperature ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_temperature_of_an_older_model_is_folded_into_its_head(
    copy: Path, toy_csv: Path, faces: data.Data, quick: None
) -> None:
    config = read(copy, "config.json")
    del config["fer"]["calibration"], config["dtype"]
    config["fer"]["temperature"] = 1.7
    (copy / "config.json").write_text(json.dumps(config))
    before, stored, values = contents(copy), load_model(copy), validation_pixels(copy, faces)
    variants.export_variants(copy, data=toy_csv, variants=["fp16"])
    after, fer = contents(copy), read(copy, "config.json")["fer"]
    found = {"method": "temperature", "temperature": 1.7, "scale": [], "bias": [], "balance": 0.0}
    assert fer["calibration"] == found | {"folded": True, "fitted_on": "validation"}
    assert (fer["temperature"], read(copy, "config.json")["dtype"]) == (1.0, "float32")
    assert after["metrics.json"] == before["metrics.json"]
    expected = softmax(logits(stored, values), 1.7)
    np.testing.assert_allclose(softmax(logits(load_model(copy), values)), expected, atol=1e-6)
    np.testing.assert_allclose(softmax(measure.session(copy / VARIANTS["fp32"], 1)(values)), expected, atol=1e-4)
    variants.export_variants(copy, data=toy_csv, variants=["fp16"])  # nothing is left to fold
    again = contents(copy)
    assert all(again[name] == after[name] for name in ("config.json", "model.safetensors", "onnx/model.onnx"))


# ── what is not good enough ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory, toy_csv: Path) -> Path:
    """A model folder with an accuracy to lose."""
    out = tmp_path_factory.mktemp("runs") / "learnt"
    loop.train(toy_config(out, toy_csv, epochs=12, augment=0.0, label_smoothing=0.0))
    assert read(out / "model", "metrics.json")["validation"]["accuracy"] > 0.5
    return out / "model"


def with_outliers(folder: Path, factor: float) -> None:
    """Scale a channel up and the filters that read it down: the same function, its activations of a far wider range."""
    weights = {name: weight.float() for name, weight in load_file(folder / "model.safetensors").items()}
    scale, bias, read_by = weights["conv1.4.weight"], weights["conv1.4.bias"], weights["conv1.6.weight"]
    channel = int((scale.abs() + bias).argmax())  # one that is not dead
    scale[channel] *= factor
    bias[channel] *= factor
    read_by[:, channel] /= factor
    model = load_model(folder)
    model.load_state_dict(weights)
    export.write_weights(model, folder / "model.safetensors")


def test_half_precision_is_scored_with_every_result_rounded_which_the_cpu_does_not_do(
    learnt: Path, faces: data.Data, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(learnt, tmp_path / "toy"))
    spec, values = read_info(copy).input, validation_pixels(copy, faces)
    for factor, finite in ((1.0, True), (2.0**17, False)):
        with_outliers(copy, factor)
        plain = graphs.translated(load_model(copy), spec)
        half = quantize.half_precision(graphs.simplified(plain, fold_norms=True))
        on_cpu, rounded = (measure.session(graph, 1)(values) for graph in (half, graphs.rounding_everywhere(half)))
        assert np.isfinite(on_cpu).all()
        assert np.isfinite(rounded).all() == finite
        if finite:
            np.testing.assert_allclose(rounded, on_cpu, atol=0.05)
            assert np.abs(rounded - on_cpu).max() > 0


@pytest.mark.parametrize(
    ("factor", "name", "why"),
    [
        (2.0**12, "int8", r"Its accuracy is \d+\.\d\d points below torch's; at most 0\.5 is allowed\."),
        (2.0**17, "fp16", r"It names torch's label on \d+\.\d\d% of the images; at least 99\.8% is asked for\."),
    ],
)
def test_a_variant_that_loses_too_much_is_listed_with_the_reason_and_its_file_left_out(
    learnt: Path, toy_csv: Path, tmp_path: Path, quick: None, factor: float, name: str, why: str
) -> None:
    copy = Path(shutil.copytree(learnt, tmp_path / "toy"))
    with_outliers(copy, factor)
    found = variants.export_variants(copy, data=toy_csv, variants=[name])
    assert found == read(copy, "onnx/variants.json")
    assert found["variants"]["fp32"]["published"]
    row = found["variants"][name]
    assert not row["published"]
    assert re.fullmatch(why, row["why"])
    assert not (copy / VARIANTS[name]).exists()
    assert row["why"] in (copy / "README.md").read_text(encoding="utf-8")


def test_a_variant_that_cannot_be_made_is_listed_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, copy: Path, toy_csv: Path, quick: None
) -> None:
    monkeypatch.setitem(variants.MAKERS, "int8", lambda sources: onnx.ModelProto())  # no graph, refused by the checker
    row = variants.export_variants(copy, data=toy_csv, variants=["int8"])["variants"]["int8"]
    assert not row["published"]
    assert row["why"].startswith("It could not be made (ValidationError: ")
    assert {key for key, value in row.items() if value is None} >= {"bytes", "accuracy", "latency_ms"}
    assert not (copy / VARIANTS["int8"]).exists()


def row_of(accuracy: float = 0.7, same: float = 1.0, size: int = 1000, time: float = 1.0) -> Json:
    return {"accuracy": accuracy, "same_label": same, "bytes": size, "latency_ms": {"1": {"p50": time}}}


@pytest.mark.parametrize(
    ("rule", "row", "why"),
    [
        (why_not_fp16, row_of(same=0.998), ""),
        (why_not_fp16, row_of(same=0.9979), "It names torch's label on 99.79% of the images; at least 99.8% is asked"),
        (why_not_int8, row_of(accuracy=0.695, time=0.9), ""),
        (why_not_int8, row_of(accuracy=0.695, size=500, time=2.0), ""),
        (why_not_int8, row_of(accuracy=0.71, time=0.5), ""),
        (why_not_int8, row_of(accuracy=0.6949, size=100, time=0.1), "Its accuracy is 0.51 points below torch's"),
        (why_not_int8, row_of(size=501, time=0.91), "It takes 0.91 of fp32's time for one image and 0.50 of its bytes"),
    ],
)
def test_what_is_published_follows_from_the_figures(rule: Callable[..., str], row: Json, why: str) -> None:
    found = rule(row, row_of(), 0.7)
    assert found.startswith(why)
    assert bool(found) == bool(why)


def test_logits_that_are_not_finite_name_no_label() -> None:
    expected = np.array([[1, 0], [0, 1], [0, 1]], dtype=np.float32)
    found = measure.agreement(expected * [[1], [np.nan], [1]], expected, np.array([0, 0, 1]))
    assert found == {"accuracy": 2 / 3, "same_label": 2 / 3, "max_logit_difference": None}
    assert "NaN" not in json.dumps(found)


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────────────────────────


def other_data(copy: Path, tmp_path: Path) -> Path:
    return write_csv(tmp_path / "fer2013.csv", toy_rows(seed=1))


def fewer_rows(copy: Path, tmp_path: Path) -> Path:
    return write_csv(tmp_path / "fer2013.csv", toy_rows()[7:])


def broken_card(copy: Path, tmp_path: Path) -> Path:
    result = read(copy, "metrics.json")
    del result["machine"]
    (copy / "metrics.json").write_text(json.dumps(result))
    return write_csv(tmp_path / "fer2013.csv", toy_rows())


def no_protocol(copy: Path, tmp_path: Path) -> Path:
    (copy / "metrics.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_data, r"The model was trained on other data \(digest \w{16}, these have \w{16}\)"),
        (fewer_rows, "The model was trained on .*'train': 200.* rows, the data have .*'train': 193"),
        (broken_card, "machine"),
        (no_protocol, "has no config with a protocol. Give the folder of a run"),
    ],
)
def test_a_failed_export_leaves_the_folder_as_it_was(
    copy: Path, tmp_path: Path, quick: None, spoil: Callable[[Path, Path], Path], message: str
) -> None:
    source = spoil(copy, tmp_path)
    before = contents(copy)
    with pytest.raises(ValueError, match=message):
        variants.export_variants(copy, data=source, variants=["fp32"])
    assert contents(copy) == before
    assert not list(copy.parent.glob("*.tmp"))


def test_a_model_is_found_in_its_run_by_its_folder_and_by_its_name(toy_run: Path, toy_model: Path) -> None:
    assert finished.model_folder(toy_run) == finished.model_folder(str(toy_model)) == toy_model
    assert finished.model_folder("fer-lite0") == ZOO / "fer-lite0"


def test_what_is_no_model_or_not_to_be_replaced_is_said_with_status_2(
    toy_run: Path, toy_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "config.json").write_text("{}")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    cases = {
        ("no-such",): "There is no model in no-such: a model has config.json and model.safetensors.",
        (str(tmp_path / "unfinished"),): "An unfinished run is finished by the command that began it.",
        (str(toy_run), "--out", str(tmp_path / "mine")): "mine is there and is no model folder",
        (str(toy_run), "--threads", "0"): "Out of range: --threads 0",
    }
    for arguments, message in cases.items():
        assert main(["export", *arguments, "--data", str(toy_csv)]) == 2
        assert message in capsys.readouterr().err
    assert (tmp_path / "mine" / "diary.txt").read_text(encoding="utf-8") == "dear"


def test_an_unknown_variant_is_named_with_the_known_ones(toy_model: Path, toy_csv: Path) -> None:
    with pytest.raises(ValueError, match=r"Unknown variant 'int4'. Known: fp32, fp16, int8"):
        variants.export_variants(toy_model, data=toy_csv, variants=["int4"])
