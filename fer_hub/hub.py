"""Where models come from: the zoo, a folder, the Hugging Face Hub; and what their files say."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .download import DEFAULT_PLACE, FileMissing, Place, fetch, repo_of
from .labels import canonical_all
from .types import ALIGNMENTS, INTERPOLATIONS, InputSpec, Margin, ModelError, ModelInfo

ZOO = Path(__file__).parent / "zoo"
DEFAULT_MODEL = "fer-lite0"
VARIANTS = {"fp32": "onnx/model.onnx", "fp16": "onnx/model_fp16.onnx", "int8": "onnx/model_quantized.onnx"}
"""ONNX files by variant, named as transformers.js looks for them."""
MEASURED = "onnx/variants.json"
"""What each variant was measured at, when it was exported."""
ONNX_FILES = ("config.json", VARIANTS["fp32"])


def stamp(file: Path) -> tuple[int, int]:
    """Time and size of a file, for a key that changes when the file does."""
    about = file.stat()
    return about.st_mtime_ns, about.st_size


def zoo_models() -> list[str]:
    """Names of the embedded models, the default first."""
    names = sorted(folder.parent.name for folder in ZOO.glob("*/config.json"))
    return sorted(names, key=lambda name: name != DEFAULT_MODEL)


def find_model(
    source: str | os.PathLike[str] | None = None,
    *,
    files: Sequence[str] = ONNX_FILES,
    place: Place = DEFAULT_PLACE,
) -> Path:
    """The local folder of a model, fetched from the Hub if need be.

    Args:
        source: None for the default model, a name of the zoo, a folder, or a Hub id ``owner/name``.
        files: The files that are needed; only these are fetched.
        place: Revision, cache, token of a Hub id.

    Raises:
        FileMissing: A file is missing from it.
        ModelError: No such model, or it is not to be had.
    """
    if place.subfolder:
        inside = tuple(f"{place.subfolder}/{file}" for file in files)
        return find_model(source, files=inside, place=replace(place, subfolder="")) / place.subfolder
    name = DEFAULT_MODEL if source is None else os.fspath(source)
    folder = ZOO / name if name in zoo_models() else Path(name)
    if not os.path.isdir(folder):
        if os.path.exists(folder):
            raise ModelError(f"{name} is a file; a model is a folder with config.json, or an ONNX file.")
        if not _is_repo_id(name):
            raise ModelError(
                f"There is no model {name!r}: not a folder, and not in the zoo ({', '.join(zoo_models())}). "
                "Give one of these, a model folder, or a Hub id like owner/name."
            )
        return fetch(name, files, place)
    for file in files:
        if not (folder / file).is_file():
            raise FileMissing(f"{name}: {file} is missing. A model folder needs {', '.join(files)}.")
    return folder


def _is_repo_id(name: str) -> bool:
    owner, _, repo = name.partition("/")
    return bool(owner and repo) and "/" not in repo and not name.startswith((".", "~")) and "\\" not in name


def read_variants(folder: Path) -> dict[str, Any] | None:
    """What the ONNX files of a model folder were measured at; None where that was not kept.

    Raises:
        ModelError: The file is broken.
    """
    path = folder / MEASURED
    if not path.is_file():
        return None
    measured = read_object(path)
    rows = measured.get("variants")
    if not isinstance(rows, dict) or not all(
        isinstance(r, dict) and {"published", "bytes"} <= r.keys() for r in rows.values()
    ):
        raise ModelError(f"{path} does not say which variants are published. Export the model again.")
    return measured


def published_variants(folder: Path) -> dict[str, Any]:
    """What the published ONNX files of a model folder were measured at, by variant; none where that was not kept.

    Raises:
        ModelError: The file is broken.
    """
    measured = read_variants(folder)
    return {name: row for name, row in measured["variants"].items() if row["published"]} if measured else {}


def fastest_variant(folder: Path) -> str:
    """The published variant with the least median latency of one face, as measured at export; fp32 if none was."""
    published = published_variants(folder)
    try:
        times = {name: float(row["latency_ms"]["1"]["p50"]) for name, row in published.items() if name in VARIANTS}
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / MEASURED} lacks a latency ({error}). Give a variant by its name.") from error
    return min(times, key=times.__getitem__, default="fp32")


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a model folder.

    Raises:
        ModelError: It is missing, or not a JSON object.
    """
    return read_object(folder / "config.json")


def read_object(path: Path) -> dict[str, Any]:
    """A file that holds a JSON object.

    Raises:
        ModelError: It is missing, or not a JSON object.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error}). Fetch or export the model again.") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds a {type(config).__name__}; a JSON object is needed. Export the model again.")
    return config


def read_info(folder: Path) -> ModelInfo:
    """What ``config.json`` says of a model.

    Raises:
        ModelError: The config is broken or lacks a field.
    """
    return info_of(read_config(folder), folder, str(folder / "config.json"))


def info_of(config: Mapping[str, Any], folder: Path, where: str) -> ModelInfo:
    """What a config says of the model in a folder.

    Args:
        config: As in ``config.json``.
        folder: The model's.
        where: What an error names as the place of the config.

    Raises:
        ModelError: A field is missing or wrong.
    """
    try:
        return _info(folder, config)
    except KeyError as error:
        raise ModelError(f"{where} has no {error}. Export the model again.") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(f"{where} holds a wrong value: {error}") from error


def _info(folder: Path, config: Mapping[str, Any]) -> ModelInfo:
    fer = config.get("fer", {})
    labels = canonical_all(config["label_names"])
    if len(labels) != config["num_classes"]:
        raise ValueError(f"num_classes is {config['num_classes']}, but there are {len(labels)} label_names.")
    return ModelInfo(
        name=repo_of(folder) or folder.name,
        path=folder,
        architecture=config["architecture"],
        labels=labels,
        input=_input_spec(config["pretrained_cfg"], bool(fer.get("grey", False))),
        margin=_margin(fer.get("face_margin", {})),
        alignment=_one_of(fer.get("alignment", "none"), ALIGNMENTS, "alignment"),
        temperature=_positive(fer.get("temperature", 1.0), "temperature"),
        fer=fer,
    )


def _input_spec(cfg: Mapping[str, Any], grey: bool) -> InputSpec:
    channels, height, width = (int(_positive(n, "input_size")) for n in cfg["input_size"])
    mean, std = (tuple(float(v) for v in cfg[name]) for name in ("mean", "std"))
    if not len(mean) == len(std) == channels:
        raise ValueError(f"mean and std have {len(mean)} and {len(std)} numbers for {channels} channels.")
    return InputSpec(
        size=(height, width),
        channels=channels,
        mean=mean,
        std=tuple(_positive(v, "std") for v in std),
        interpolation=_one_of(cfg["interpolation"], INTERPOLATIONS, "interpolation"),
        grey=grey,
    )


def _margin(values: Mapping[str, float]) -> Margin:
    margin = Margin(**{name: float(value) for name, value in values.items()})
    _positive(margin.scale, "face_margin.scale")
    return margin


def _positive(value: float, name: str) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is {value}; it must be above 0 and finite.")
    return float(value)


def _one_of(value: str, known: Sequence[str], name: str) -> str:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; known: {', '.join(known)}.")
    return value
