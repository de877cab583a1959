"""Every embedded model, measured again: the published figures from both of its files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest

from fer_hub.hub import ZOO, find_model, read_info, read_variants, zoo_models
from train import cards, leaks
from train.data import PROTOCOLS, Data
from train.evaluate import model_logits
from train.finished import data_of
from train.metrics import score
from train.splits import CHALLENGE


@cache
def splits_of(name: str, source: Path) -> Data:
    """The data that a model was trained on, as its own files name them."""
    return data_of(ZOO / name, source)


@pytest.mark.parametrize("name", zoo_models())
def test_a_model_folder_is_complete_and_small(name: str) -> None:
    folder = find_model(name)
    wanted = {"README.md", "config.json", "metrics.json", "model.safetensors", "onnx/model.onnx"}
    assert {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} >= wanted
    assert any((folder / "figures").glob("*.png"))
    assert (folder / "onnx" / "model.onnx").stat().st_size < 10e6


@pytest.mark.parametrize("name", zoo_models())
def test_the_onnx_file_describes_itself(name: str) -> None:
    folder = find_model(name)
    properties = {p.key: p.value for p in onnx.load(folder / "onnx" / "model.onnx").metadata_props}
    assert json.loads(properties["config"]) == json.loads((folder / "config.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo_models())
def test_both_files_give_the_published_figures_on_all_of_private_test(name: str, fer2013_dir: Path) -> None:
    published, split = cards.read_result(ZOO / name)["test"], splits_of(name, fer2013_dir).test
    info = read_info(find_model(name))
    logits = {r: model_logits(name, r, split) for r in ("onnx", "torch")}
    assert np.abs(logits["onnx"] - logits["torch"]).max() < 1e-3
    for rows in logits.values():
        again = score(rows, split.labels, info.labels, info.temperature)
        assert again["n"] == published["n"] == PROTOCOLS[info.fer["protocol"]].sizes[-1]  # type: ignore[index]
        assert again["confusion"] == published["confusion"]
        for figure in ("accuracy", "macro_f1", "balanced_accuracy", "nll", "ece"):
            assert again[figure] == pytest.approx(published[figure], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo_models())
def test_every_published_variant_is_as_accurate_on_public_test_as_it_says(name: str, fer2013_dir: Path) -> None:
    split, measured = splits_of(name, fer2013_dir).validation, read_variants(find_model(name))
    assert measured is not None
    assert measured["n"] == len(split)
    published = {variant: row for variant, row in measured["variants"].items() if row["published"]}
    assert {"fp32", "int8"} <= published.keys()
    for variant, row in published.items():
        logits = model_logits(name, "onnx", split, variant)
        exact = variant == "fp32"  # 8 bits are rounded otherwise by other processors
        assert (logits.argmax(1) == split.labels).mean() == pytest.approx(row["accuracy"], abs=1e-9 if exact else 0.004)


@pytest.mark.parametrize("name", zoo_models())
def test_the_figures_hold_together(name: str) -> None:
    folder = find_model(name)
    result = cards.read_result(folder)
    info = read_info(folder)
    confusion = np.array(result["test"]["confusion"])
    assert result["test"]["accuracy"] >= 0.7
    assert result["config"]["protocol"] in CHALLENGE, "its test set is PrivateTest, as the README says"
    assert confusion.sum() == result["test"]["n"]
    assert confusion.trace() / confusion.sum() == pytest.approx(result["test"]["accuracy"])
    assert info.fer["metrics"]["test"]["accuracy"] == result["test"]["accuracy"]
    assert info.fer["calibration"] == {k: v for k, v in result["calibration"].items() if k != "compared"}
    assert info.fer["calibration"]["folded"]
    assert result["test"]["ece"] <= 0.03
    assert info.temperature == 1
    assert result["config"]["limit"] is None
    assert tuple(result["rows"].values()) == PROTOCOLS[result["config"]["protocol"]].sizes
    assert not leaks.doubtful(result)
