"""Model folders of milliseconds: one linear layer over all pixels, and ensembles of such."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.special import softmax

from fer_hub.hub import read_info
from fer_hub.image import to_array
from fer_hub.labels import LABEL_SPACES
from fer_hub.types import Image, ModelInfo

SEVEN = LABEL_SPACES["fer2013-7"]


def config(labels: Sequence[str], side: int, architecture: str, **fer: Any) -> dict[str, Any]:
    """config.json."""
    cfg = {"input_size": [1, side, side], "mean": [0.5], "std": [0.5], "interpolation": "bicubic"}
    return {
        "architecture": architecture,
        "label_names": list(labels),
        "num_classes": len(labels),
        "pretrained_cfg": cfg,
        "fer": fer,
    }


def network(folder: Path, labels: Sequence[str] = SEVEN, side: int = 8, seed: int = 0, **fer: Any) -> Path:
    """A model folder: config.json, onnx/model.onnx, and the layer's weights as weights.npy."""
    weights = np.random.default_rng(seed).normal(0, 0.3, (side * side, len(labels))).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["pixel_values"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["N", 1, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(labels)])],
        [numpy_helper.from_array(weights, "weights")],
    )
    (folder / "onnx").mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "onnx" / "model.onnx")
    np.save(folder / "weights.npy", weights)
    (folder / "config.json").write_text(json.dumps(config(labels, side, "tiny", **fer)), encoding="utf-8")
    return folder


class Turning:
    """A model that is sure of its first label, and of its last one as soon as `turned` is set."""

    def __init__(self, info: ModelInfo) -> None:
        """Labels, input and crop are those of a model of seven labels."""
        self.info, self.turned = replace(info, temperature=1.0), False

    def logits(self, crops: Sequence[Image]) -> np.ndarray:
        """The logarithms of 0.94 and six times 0.01."""
        row = np.log(np.array([0.94, *[0.01] * 6], np.float32))
        return np.stack([row[::-1] if self.turned else row] * len(crops))


def expected(folder: Path, crops: Sequence[Image]) -> np.ndarray:
    """The probabilities of a tiny network, computed without ONNX Runtime: N×labels."""
    info, pixels = read_info(folder), [crop if crop.ndim == 3 else np.stack([crop] * 3, axis=-1) for crop in crops]
    flat = to_array(pixels, info.input).reshape(len(crops), -1).astype(np.float64)
    return softmax(flat @ np.load(folder / "weights.npy") / info.temperature, axis=1)


def ensemble(folder: Path, members: Any, labels: Sequence[str] = SEVEN, side: int = 8, **fer: Any) -> Path:
    """An ensemble's folder; a member is a dict, or a model alone."""
    rows = [{"model": m} if isinstance(m, str) else m for m in members] if isinstance(members, list) else members
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config(labels, side, "ensemble", members=rows, **fer))
    (folder / "config.json").write_text(text, encoding="utf-8")
    return folder


def files(folder: Path, prefix: str = "") -> dict[str, bytes]:
    """What a repository of this folder holds."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".npy"]
    return {prefix + path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def crops(count: int, seed: int = 1) -> list[Image]:
    """Faces of several sizes, every other one grey (H×W)."""
    rng = np.random.default_rng(seed)
    shapes = [(48, 48), (33, 33, 3), (20, 20), (64, 64, 3)]
    return [rng.integers(0, 256, shapes[i % len(shapes)], dtype=np.uint8) for i in range(count)]
