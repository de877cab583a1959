"""Crops to logits and probabilities: one contract, two run times."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .download import DEFAULT_PLACE, FileMissing, Place
from .hub import MEASURED, VARIANTS, fastest_variant, find_model, info_of, published_variants, read_info, read_variants
from .image import to_array
from .labels import labels_from
from .types import Array, Image, ModelError, ModelInfo
from .views import check_views

BATCH = 64
ONNX = ".onnx"


class Classifier(Protocol):
    """A model at its run time: one network, or several as one (`fer_hub.ensemble`)."""

    info: ModelInfo

    def logits(self, crops: Sequence[Image]) -> Array:
        """Images of any size, H×W×3 or H×W (grey) uint8 → N×labels float32, not yet divided by the temperature."""
        ...


class Network:
    """What every run time of one network shares."""

    info: ModelInfo
    file: Path
    """The weights that it computes with."""

    def forward(self, pixel_values: Array) -> Array:
        """N×C×H×W float32 as `to_array` makes it → N×labels float32."""
        raise NotImplementedError

    def logits(self, crops: Sequence[Image]) -> Array:
        """Images of any size, H×W×3 or H×W (grey) uint8 → N×labels float32, not yet divided by the temperature."""
        spec, starts = self.info.input, range(0, len(crops), BATCH)
        parts = [self.forward(to_array(crops[start : start + BATCH], spec)) for start in starts]
        return np.concatenate(parts) if parts else np.empty((0, len(self.info.labels)), np.float32)


class OnnxClassifier(Network):
    """An ONNX file of a model folder on ONNX Runtime."""

    def __init__(self, source: Path, threads: int | None = None, variant: str = "fp32") -> None:
        """Open the session.

        Args:
            source: A model folder, or one of its ONNX files alone, which describes itself.
            threads: Of ONNX Runtime; None: up to four.
            variant: Which file of the folder: a name of `fer_hub.hub.VARIANTS`.

        Raises:
            ModelError: The file is broken, says nothing of itself, or its output does not fit the labels.
        """
        alone = source.suffix == ONNX
        self.file = source if alone else source / VARIANTS[variant]
        self._session = _session(self.file, threads)
        self.info = _described(self.file, self._session) if alone else read_info(source)
        self._check(self.file)

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

    def forward(self, pixel_values: Array) -> Array:
        """N×C×H×W float32 → N×labels float32."""
        result: Array = self._session.run(["logits"], {"pixel_values": pixel_values})[0]
        return result


def _session(path: Path, threads: int | None) -> Any:
    import onnxruntime as ort  # heavy to import

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or min(4, os.cpu_count() or 1)
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a type of its own for every kind of damage
        reason = str(error).splitlines()[0]
        raise ModelError(f"{path} cannot be loaded ({reason}). Fetch or export it again.") from error


def _described(path: Path, session: Any) -> ModelInfo:
    """What an ONNX file says of itself, in the config that its metadata hold."""
    text = session.get_modelmeta().custom_metadata_map.get("config")
    try:
        config = json.loads(text or "")
    except ValueError as error:
        raise ModelError(
            f"{path} does not say what it is: its metadata hold no config. Give a file that fer_hub exported."
        ) from error
    return replace(info_of(config, path.parent, f"The config in {path}"), name=path.stem)


class TorchClassifier(Network):
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
        self.info, self.file = read_info(folder), folder / "model.safetensors"
        self._torch, self.module = torch, load_model(folder)

    def forward(self, pixel_values: Array) -> Array:
        """N×C×H×W float32 → N×labels float32."""
        with self._torch.inference_mode():
            result: Array = self.module(self._torch.from_numpy(pixel_values)).numpy()
        return result


RUNTIMES = ("onnx", "torch")


Source = str | os.PathLike[str] | None
"""None for the default model, a name of the zoo, a folder, an ONNX file, or a Hub id ``owner/name``."""


def load_classifier(
    source: Source | Sequence[Source] = None,
    *,
    runtime: str = "onnx",
    variant: str = "fp32",
    threads: int | None = None,
    place: Place = DEFAULT_PLACE,
    views: str = "none",
    labels: str | Sequence[str] | None = None,
) -> Classifier:
    """Find a model (see `hub.find_model`) and load it.

    Args:
        source: None for the default model, a name of the zoo, a folder, an ONNX file, or a Hub id ``owner/name``;
            several of these make an ensemble.
        runtime: "onnx" or "torch".
        variant: Of the ONNX file: "fp32", "fp16", "int8", or "auto" for the one that its publisher measured fastest.
        threads: Of the run time; None: its default.
        place: Revision, cache, token of a Hub id.
        views: Of each face, whose probabilities are averaged: a name of `views.VIEWS`; "none": as the model has it.
        labels: In which the answers are read: the name of a label space, or label names; None: the model's own.

    Raises:
        ModelError: No such model or variant, or it is broken.
        ValueError: The run time, the variant, the views or a label is unknown.
    """
    from .relabel import together  # here: it builds on this module

    _check(runtime, variant)
    check_views(views)
    wanted = None if labels is None else labels_from(labels)
    sources: Sequence[Source] = [source] if source is None or isinstance(source, (str, os.PathLike)) else source
    return together([load_one(each, runtime, variant, threads, place) for each in sources], views, wanted)


def load_one(
    source: Source, runtime: str, variant: str, threads: int | None, place: Place, inside: tuple[Path, ...] = ()
) -> Classifier:
    """A network or an ensemble, as its folder has it; `load_classifier` explains the arguments.

    Args:
        inside: The folders of the ensembles of which it is a member.

    Raises:
        ModelError: No such model or variant, or it is broken.
    """
    from .ensemble import load_ensemble, members_of  # here: an ensemble loads its members by this function

    try:
        return _load_network(source, runtime, variant, threads, place)
    except ModelError as error:
        if not members_of(source, place):
            if isinstance(error, FileMissing) and runtime == "onnx":
                raise ModelError(_without(source, variant, str(error), place)) from error
            raise
    return load_ensemble(source, place, runtime=runtime, variant=variant, threads=threads, inside=inside)


def _load_network(source: Source, runtime: str, variant: str, threads: int | None, place: Place) -> Classifier:
    if source is not None and os.path.isfile(source) and os.fspath(source).endswith(ONNX):
        if runtime != "onnx":
            raise ModelError(f'{source} is an ONNX file. Use runtime="onnx", or give the folder with its safetensors.')
        return OnnxClassifier(Path(source), threads)
    if runtime == "torch":
        return TorchClassifier(find_model(source, files=("config.json", "model.safetensors"), place=place), threads)
    variant = _fastest(source, place) if variant == "auto" else variant
    return OnnxClassifier(find_model(source, files=("config.json", VARIANTS[variant]), place=place), threads, variant)


def _check(runtime: str, variant: str) -> None:
    if runtime not in RUNTIMES:
        raise ValueError(f"Unknown runtime {runtime!r}. Known: {', '.join(RUNTIMES)}.")
    if variant not in (*VARIANTS, "auto"):
        raise ValueError(f"Unknown variant {variant!r}. Known: {', '.join(VARIANTS)}, auto.")
    if runtime == "torch" and variant not in ("fp32", "auto"):
        raise ValueError(f'variant={variant!r} is an ONNX file; with runtime="torch" there is only fp32.')


def _fastest(source: Source, place: Place) -> str:
    try:
        return fastest_variant(find_model(source, files=("config.json", MEASURED), place=place))
    except FileMissing:
        return "fp32"  # of before variants were measured; a missing config is reported by the next step


def _without(source: Source, variant: str, problem: str, place: Place) -> str:
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
    """Calibrated probabilities of crops: N×labels, each row adding up to 1.

    Raises:
        ModelError: The model's answer holds values that are no numbers.
    """
    found = softmax(classifier.logits(crops), classifier.info.temperature)
    if not np.isfinite(found).all():
        raise ModelError(
            f"{classifier.info.name} answers with values that are no numbers (NaN). Export it again, in fp32, or "
            "choose another model."
        )
    return found


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """N×C logits to probabilities, after division by the temperature."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result
