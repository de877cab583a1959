from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fer_hub import ModelError, Recognizer
from fer_hub.classifier import OnnxClassifier, load_classifier
from fer_hub.download import Place
from fer_hub.hub import DEFAULT_MODEL, VARIANTS, ZOO, find_model, read_info, zoo_models

CFG = {"input_size": [3, 32, 32], "mean": [0] * 3, "std": [1] * 3, "interpolation": "bicubic"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the default model that a test may break."""
    return Path(shutil.copytree(ZOO / DEFAULT_MODEL, tmp_path / "mine"))


def edit(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["fer"] |= changes.pop("fer", {})
    path.write_text(json.dumps(config | changes), encoding="utf-8")


def test_the_default_model_is_the_first_of_the_zoo() -> None:
    assert zoo_models()[0] == DEFAULT_MODEL
    assert find_model() == find_model(DEFAULT_MODEL) == ZOO / DEFAULT_MODEL


def test_a_folder_is_found_by_path_and_by_text(folder: Path) -> None:
    assert find_model(folder) == find_model(str(folder)) == folder
    assert read_info(folder).name == "mine"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no-such-model", r"no model 'no-such-model'.*zoo \(fer-lite0.*owner/name"),
        ("./no/such/folder", "no model"),
        ("", "no model|config.json is missing"),
        ("README.md", "is a file; a model is a folder"),
        ("tests", "config.json is missing"),
    ],
)
def test_what_is_no_model_is_named_with_what_is(source: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    with pytest.raises(ModelError, match=message):
        find_model(source)


def test_a_hub_id_without_network_or_cache_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"nobody/nothing \(config.json, onnx/model.onnx\) is not in the cache"):
        find_model("nobody/nothing", place=Place(local_files_only=True))


@pytest.mark.parametrize("file", ["config.json", "onnx/model.onnx"])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(ModelError, match=f"{file} is missing"):
        Recognizer.from_pretrained(folder)


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "\x00\x01"])
def test_a_broken_config_is_named(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        load_classifier(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_names": ["angry", "happy"]}, "num_classes is 7, but there are 2"),
        ({"label_names": ["a", "b", "c", "d", "e", "f", "g"]}, "Unknown label 'a'"),
        ({"num_classes": 2, "label_names": ["sad", "happy"]}, "7 logits, but config.json names 2 labels"),
        ({"fer": {"temperature": 0}}, "temperature is 0"),
        ({"fer": {"face_margin": {"size": 1}}}, "wrong value"),
        ({"fer": {"temperature": float("inf")}}, "temperature is inf"),
        ({"fer": {"face_margin": {"scale": -1}}}, r"scale is -1"),
        ({"fer": {"face_margin": {"scale": "a"}}}, "wrong value"),
        ({"fer": {"alignment": "foo"}}, "known: none, eyes"),
        ({"pretrained_cfg": {}}, "has no 'input_size'"),
        ({"pretrained_cfg": CFG | {"interpolation": "random"}}, "known: nearest"),
        ({"pretrained_cfg": CFG | {"std": [0, 1, 1]}}, "std is 0"),
        ({"pretrained_cfg": CFG | {"mean": [0]}}, "1 and 3 numbers for 3 channels"),
        ({"pretrained_cfg": CFG}, "takes"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(folder: Path, changes: dict[str, object], message: str) -> None:
    edit(folder, **changes)
    with pytest.raises(ModelError, match=message):
        OnnxClassifier(folder)


def test_a_cut_onnx_file_is_refused(folder: Path) -> None:
    path = folder / "onnx" / "model.onnx"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_classifier(folder)


def test_a_cut_safetensors_file_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        load_classifier(folder, runtime="torch")


def test_an_unknown_runtime_lists_the_known() -> None:
    with pytest.raises(ValueError, match="onnx, torch"):
        load_classifier(runtime="tensorrt")


def measured(folder: Path, **milliseconds: float | str) -> None:
    """Write what each variant was measured at: milliseconds, or the reason why it was not published."""
    rows = {
        name: {"published": isinstance(value, float), "why": "" if isinstance(value, float) else value}
        | {"bytes": 1, "latency_ms": {"1": {"p50": value}}}
        for name, value in milliseconds.items()
    }
    (folder / "onnx" / "variants.json").write_text(json.dumps({"variants": rows}), encoding="utf-8")


@pytest.mark.parametrize(
    ("milliseconds", "wanted"),
    [
        ({"fp32": 2.0, "int8": 1.0}, "int8"),
        ({"fp32": 1.0, "int8": 2.0, "fp16": 3.0}, "fp32"),
        ({"fp32": 2.0, "int8": "Accuracy falls by 3 points."}, "fp32"),
        (None, "fp32"),
    ],
    ids=["faster", "slower", "not published", "never measured"],
)
def test_auto_takes_the_variant_that_was_measured_fastest(
    folder: Path, milliseconds: dict[str, float | str] | None, wanted: str
) -> None:
    for name, file in VARIANTS.items():
        if name != wanted:
            (folder / file).unlink(missing_ok=True)  # only the wanted one can be opened
        elif not (folder / file).exists():
            shutil.copy(ZOO / DEFAULT_MODEL / VARIANTS["fp32"], folder / file)
    (folder / "onnx" / "variants.json").unlink(missing_ok=True)
    if milliseconds:
        measured(folder, **milliseconds)
    classifier = load_classifier(folder, variant="auto")
    assert classifier.forward(np.zeros((1, 3, 96, 96), np.float32)).shape == (1, 7)
    other = next(name for name in VARIANTS if name != wanted)
    with pytest.raises(ModelError, match=f"{VARIANTS[other]} is missing"):
        load_classifier(folder, variant=other)


def test_a_variant_that_was_not_published_says_why_and_what_there_is(folder: Path) -> None:
    (folder / VARIANTS["int8"]).unlink(missing_ok=True)
    measured(folder, fp32=2.0, fp16=3.0, int8="Accuracy falls by 3 points.")
    with pytest.raises(ModelError, match=r"is missing.*Accuracy falls by 3 points\. It has fp32, fp16\."):
        Recognizer.from_pretrained(folder, variant="int8")


@pytest.mark.parametrize(
    ("runtime", "variant", "message"),
    [
        ("onnx", "int4", "Unknown variant 'int4'. Known: fp32, fp16, int8, auto"),
        ("torch", "int8", 'with runtime="torch" there is only fp32'),
    ],
)
def test_a_variant_that_cannot_be_is_refused(runtime: str, variant: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_classifier(runtime=runtime, variant=variant)
