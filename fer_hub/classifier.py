"""Crops to probabilities: one contract, two run times."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .download import DEFAULT_PLACE, FileMissing, Place
from .hub import MEASURED, VARIANTS, fastest_variant, find_model, published_variants, read_info, read_variants
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
    """An ONNX file of a model folder on ONNX Runtime."""

    def __init__(self, folder: Path, threads: int | None = None, variant: str = "fp32") -> None:
        """Open the session.

        Args:
            folder: A model folder.
            threads: Of ONNX Runtime; None: up to four.
            variant: Which file: a name of `fer_hub.hub.VARIANTS`.

        Raises:
            ModelError: The file is broken, or its output does not fit the labels.
        """
        import onnxruntime as ort  # heavy to import

        self.info = read_info(folder)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or min(4, os.cpu_count() or 1)
        options.log_severity_level = 3
        path = folder / VARIANTS[variant]
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
        self._torch, self.module = torch, load_model(folder)

    def logits(self, pixel_values: Array) -> Array:
        """N×C×H×W float32 → N×labels float32."""
        with self._torch.inference_mode():
            result: Array = self.module(self._torch.from_numpy(pixel_values)).numpy()
        return result


RUNTIMES = ("onnx", "torch")


def load_classifier(
    source: str | os.PathLike[str] | None = None,
    *,
    runtime: str = "onnx",
    variant: str = "fp32",
    threads: int | None = None,
    place: Place = DEFAULT_PLACE,
) -> Classifier:
    """Find a model (see `hub.find_model`) and load it.

    Args:
        source: None for the default model, a name of the zoo, a folder, or a Hub id ``owner/name``.
        runtime: "onnx" or "torch".
        variant: Of the ONNX file: "fp32", "fp16", "int8", or "auto" for the one that its publisher measured fastest.
        threads: Of the run time; None: its default.
        place: Revision, cache, token of a Hub id.

    Raises:
        ModelError: No such model or variant, or it is broken.
        ValueError: The run time or the variant is unknown.
    """
    _check(runtime, variant)
    if runtime == "torch":
        return TorchClassifier(find_model(source, files=("config.json", "model.safetensors"), place=place), threads)
    if variant == "auto":
        variant = _fastest(source, place)
    try:
        folder = find_model(source, files=("config.json", VARIANTS[variant]), place=place)
    except FileMissing as error:
        raise ModelError(_without(source, variant, str(error), place)) from error
    return OnnxClassifier(folder, threads, variant)


def _check(runtime: str, variant: str) -> None:
    if runtime not in RUNTIMES:
        raise ValueError(f"Unknown runtime {runtime!r}. Known: {', '.join(RUNTIMES)}.")
    if variant not in (*VARIANTS, "auto"):
        raise ValueError(f"Unknown variant {variant!r}. Known: {', '.join(VARIANTS)}, auto.")
    if runtime == "torch" and variant not in ("fp32", "auto"):
        raise ValueError(f'variant={variant!r} is an ONNX file; with runtime="torch" there is only fp32.')


def _fastest(source: str | os.PathLike[str] | None, place: Place) -> str:
    try:
        return fastest_variant(find_model(source, files=("config.json", MEASURED), place=place))
    except FileMissing:
        return "fp32"  # of before variants were measured; a missing config is reported by the next step


def _without(source: str | os.PathLike[str] | None, variant: str, problem: str, place: Place) -> str:
    """Why a model lacks a variant, and what it has, if its measurements say so."""
    try:
        folder = find_model(source, files=("config.json", MEASURED), place=place)
    except FileMissing:
        return problem
    measured = read_variants(folder) or {"variants": {}}
    why = measured["variants"].get(variant, {}).get("why")
    has = ", ".join(published_variants(folder))
    return f"{problem} It was not published: {why} It has {has}." if why else f"{problem} It has {has}."


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
