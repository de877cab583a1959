"""Grad-CAM: where the last feature map speaks for a label (Selvaraju et al. 2017, arXiv:1610.02391).

By torch's gradients for any network; from the ONNX file alone, without torch, where the gradient is known beforehand:
where the feature map is averaged and goes through one linear layer, the gradient of a logit is that layer's weights.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .classifier import Classifier, TorchClassifier
from .hub import VARIANTS, stamp
from .types import Array, ModelError

THROUGH = ("Flatten", "Reshape", "Squeeze", "Identity", "Dropout")
"""Operators between pooling and the last layer that change no value."""


class Inexact(ModelError):
    """A network whose gradient is not to be had from its ONNX file."""


class Head(NamedTuple):
    """The end of a network: an average over a feature map, and one linear layer."""

    session: Any
    """Gives the feature map."""
    weights: Array
    """labels×channels."""


def grad_cam(classifier: Classifier, pixel_values: Array, target: int) -> Array:
    """Where the feature map speaks for a label: h×w float32, 0 and above, in units of the logit.

    A network that the ONNX file does not tell enough of is loaded with torch, from the safetensors beside it.

    Args:
        classifier: A model at its run time.
        pixel_values: 1×C×H×W as `to_array` makes it.
        target: Index of the label.

    Raises:
        ModelError: The network's last map is not N×channels×h×w, or what it needs is not installed.
    """
    if isinstance(classifier, TorchClassifier):
        return by_gradient(classifier, pixel_values, target)
    try:
        return exactly(head_of(_full_precision(classifier)), pixel_values, target)
    except Inexact as error:
        try:
            torch_side = _torch(classifier.info.path)
        except ModelError as missing:
            cause = missing if isinstance(missing.__cause__, ImportError) else error
            raise ModelError(f"Grad-CAM from the ONNX file: {error} From torch: {missing}") from cause
        return by_gradient(torch_side, pixel_values, target)


def _full_precision(classifier: Classifier) -> Path:
    """The fp32 file beside the one that is used; that one itself where there is none."""
    folder = classifier.info.path
    beside = folder / VARIANTS["fp32"]
    file: Path = getattr(classifier, "file", beside)
    return beside if file in {folder / name for name in VARIANTS.values()} else file


def by_gradient(classifier: TorchClassifier, pixel_values: Array, target: int) -> Array:
    """Grad-CAM of the map in which the network's `forward_features` ends."""
    import torch

    model: Any = classifier.module
    with torch.no_grad():
        features = model.forward_features(torch.from_numpy(pixel_values))
    if features.ndim != 4:
        raise ModelError(
            f"{classifier.info.architecture} ends in {tuple(features.shape)}, not in a feature map N×channels×h×w: "
            "Grad-CAM does not apply. Use occlusion or lime."
        )
    with torch.enable_grad():
        features.requires_grad_(True)
        (gradient,) = torch.autograd.grad(model.forward_head(features)[0, target], features)
    weighted = (gradient.mean((2, 3), keepdim=True) * features).sum(1)[0]
    result: Array = weighted.detach().clamp(min=0).numpy()
    return result


def exactly(head: Head, pixel_values: Array, target: int) -> Array:
    """The same for a head whose gradient is its weights, shared out over the map.

    Raises:
        Inexact: What is averaged is no feature map.
    """
    (features,) = head.session.run(None, {"pixel_values": pixel_values})
    if features.ndim != 4 or features.shape[1] != head.weights.shape[1]:
        raise Inexact("The last layer does not see an average over height and width.")
    area = features.shape[2] * features.shape[3]
    weighted = np.tensordot(head.weights[target], features[0], 1) / area
    result: Array = np.maximum(weighted, 0).astype(np.float32)
    return result


def _torch(folder: Path) -> TorchClassifier:
    file = folder / "model.safetensors"
    if not file.is_file():
        raise ModelError(
            f"{folder} has no model.safetensors, and its ONNX file alone is not enough for Grad-CAM. "
            'Load it with runtime="torch", or use occlusion or lime.'
        )
    return _kept(folder, stamp(file))


def head_of(path: Path) -> Head:
    """The head of an ONNX file, and a session that gives what it averages.

    Raises:
        Inexact: It has another head, or the package onnx is not installed.
    """
    return _head_of(path, stamp(path))


@lru_cache(maxsize=4)
def _kept(folder: Path, written: tuple[int, int]) -> TorchClassifier:
    return TorchClassifier(folder)


@lru_cache(maxsize=4)
def _head_of(path: Path, written: tuple[int, int]) -> Head:
    try:
        import onnx
    except ImportError as error:
        raise Inexact("onnx is not installed. pip install 'fer_hub[explain]'.") from error
    import onnxruntime as ort

    graph = (model := onnx.load(path)).graph
    made_by = {output: node for node in graph.node for output in node.output}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    last = made_by[graph.output[0].name]
    features = _averaged(last, made_by)
    if last.op_type != "Gemm" or last.input[1] not in stored:
        raise Inexact(f"{path} does not end in one linear layer.")
    weights = onnx.numpy_helper.to_array(stored[last.input[1]]).astype(np.float32)
    transposed = any(attribute.name == "transB" and attribute.i for attribute in last.attribute)
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(features, onnx.TensorProto.FLOAT, None))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return Head(session, weights if transposed else weights.T)


def _averaged(last: Any, made_by: dict[str, Any]) -> str:
    """Name of the feature map that is averaged and handed to the last layer, otherwise untouched.

    Raises:
        Inexact: Something else lies in between.
    """
    node = made_by.get(last.input[0])
    while node is not None and node.op_type in THROUGH:
        node = made_by.get(node.input[0])
    if node is None or node.op_type not in ("GlobalAveragePool", "ReduceMean"):
        raise Inexact("The last layer does not see an average of a feature map.")
    return str(node.input[0])
