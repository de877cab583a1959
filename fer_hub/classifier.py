"""Crops to probabilities: one contract, two run times."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .hub import find_model, read_info
from .image import to_array
from .types import Array, Image, ModelError, ModelInfo

BATCH = 64


class Classifier(Protocol):
    """A model at its run time."""

    info: ModelInfo

    def logits(self, pixel_values: Array) -> Array:
        """N×C×H×W float32 as `to_array` makes it → N×labels float32."""
        ...


class OnnxClassifier:
    """``onnx/model.onnx`` of a model folder on ONNX Runtime."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        """Open the session.

        Args:
            folder: A model folder.
            threads: Of ONNX Runtime; None: up to four.

        Raises:
            ModelError: The file is broken, or its output does not fit the labels.
        """
        import onnxruntime as ort  # heavy to import

        self.info = read_info(folder)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or min(4, os.cpu_count() or 1)
        options.log_severity_level = 3
        path = folder / "onnx" / "model.onnx"
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a type of its own for every kind of damage
            reason = str(error).splitlines()[0]
            raise ModelError(f"{path} cannot be loaded ({reason}). Fetch or export it again.") from error
        self._check(path)

    def _check(self, path: Path) -> None:
        outputs = self._session.get_outputs()[0].shape[-1]
        if outputs != len(self.info.labels):
            raise ModelError(
                f"{path} gives {outputs} logits, but config.json names {len(self.info.labels)} labels "
                f"({', '.join(self.info.labels)}). Export the model again."
            )
        spec, shape = self.info.input, self._session.get_inputs()[0].shape
        if tuple(shape[1:]) != (spec.channels, *spec.size):
            raise ModelError(f"{path} takes {shape[1:]}, but config.json says {spec}. Export the model again.")

    def logits(self, pixel_values: Array) -> Array:
        """N×C×H×W float32 → N×labels float32."""
        result: Array = self._session.run(["logits"], {"pixel_values": pixel_values})[0]
        return result


class TorchClassifier:
    """``model.safetensors`` of a model folder on torch."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        """Load the module strictly.

        Args:
            folder: A model folder.
            threads: Of torch, for the whole process; None: as torch has it.

        Raises:
            ModelError: torch is not installed, or the weights do not fit.
        """
        try:
            import torch

            from .backbones import load_model
        except ImportError as error:
            raise ModelError(
                f'runtime="torch" needs {error.name}, which is not installed. pip install "fer_hub[torch]", '
                'or use runtime="onnx".'
            ) from error
        if threads:
            torch.set_num_threads(threads)
        self.info = read_info(folder)
        self._torch, self._model = torch, load_model(folder)

    def logits(self, pixel_values: Array) -> Array:
        """N×C×H×W float32 → N×labels float32."""
        with self._torch.inference_mode():
            result: Array = self._model(self._torch.from_numpy(pixel_values)).numpy()
        return result


RUNTIMES: dict[str, tuple[type[OnnxClassifier] | type[TorchClassifier], tuple[str, ...]]] = {
    "onnx": (OnnxClassifier, ("config.json", "onnx/model.onnx")),
    "torch": (TorchClassifier, ("config.json", "model.safetensors")),
}
"""Run times by name, each with the files it needs of a model."""


def load_classifier(
    source: str | os.PathLike[str] | None = None,
    *,
    runtime: str = "onnx",
    threads: int | None = None,
    revision: str | None = None,
    token: str | None = None,
    local_files_only: bool = False,
) -> Classifier:
    """Find a model (see `hub.find_model`) and load it.

    Raises:
        ModelError: No such model, or it is broken.
        ValueError: The run time is unknown.
    """
    if runtime not in RUNTIMES:
        raise ValueError(f"Unknown runtime {runtime!r}. Known: {', '.join(RUNTIMES)}.")
    kind, files = RUNTIMES[runtime]
    folder = find_model(source, files=files, revision=revision, token=token, local_files_only=local_files_only)
    return kind(folder, threads)


def classify(classifier: Classifier, crops: Sequence[Image]) -> NDArray[np.float64]:
    """Calibrated probabilities of crops: N×labels, each row adding up to 1."""
    info = classifier.info
    parts = [
        softmax(classifier.logits(to_array(crops[start : start + BATCH], info.input)), info.temperature)
        for start in range(0, len(crops), BATCH)
    ]
    return np.concatenate(parts) if parts else np.empty((0, len(info.labels)))


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """N×C logits to probabilities, after division by the temperature."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result
