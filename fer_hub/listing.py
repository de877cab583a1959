"""What a model's small files say of it: config, measurements, card; its weights are not fetched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from .bench import Timing, compare
from .classifier import classify
from .download import DEFAULT_PLACE, Place, repo_of
from .ensemble import Member, enter, read_members, where
from .hub import MEASURED, VARIANTS, find_model, published_variants, read_config, read_info, read_object
from .markdown import harmless
from .recognizer import Recognizer
from .types import ModelError, ModelInfo

CARD, RESULT = "README.md", "metrics.json"
FIGURES = ("accuracy", "macro_f1", "balanced_accuracy", "ece", "n")
DATASETS = {"fer2013": "FER2013", "ferplus": "FERPlus"}
"""What people call the data sets of this field, by the name that a config gives."""
MEGABYTES = 5
"""Of a small file of the Hub, at most, where the place sets no limit."""
LARGEST_NUMBER = 1e15


def describe(source: str | os.PathLike[str], place: Place = DEFAULT_PLACE) -> dict[str, Any]:
    """A model in plain values.

    The figures are of the test split; what its files do not state is None. Of a model on the Hub they are its owner's
    words.

    Returns:
        ``{name, architecture, input: [channels, height, width], labels, accuracy, accuracy_95: [low, high], macro_f1,
        balanced_accuracy, ece, worst: {label, recall}, n, dataset, protocol, seed, parameters, licence, onnx_mb:
        {variant: MB}, members, views}``; shares from 0 to 1, `n` images. An ensemble's ``onnx_mb`` is the sum over its
        members, of variants that all of them have.

    Raises:
        ModelError: The model, or a member of it, is not to be had, or broken.
    """
    folder, members = _small_files(source, place)
    place = _same_commit(folder, place)
    info, result = read_info(folder), _result(source, place)
    test = _figures(result.get("test")) | figures_of(info)
    return {
        "name": os.fspath(source),
        "architecture": info.architecture,
        "input": [info.input.channels, *info.input.size],
        "labels": list(info.labels),
        **{name: test.get(name) for name in (*FIGURES, "accuracy_95", "worst")},
        "dataset": dataset_of(info),
        "protocol": _text(info.fer.get("protocol")),
        "seed": _number(info.fer.get("seed")),
        "parameters": _number(result.get("parameters")),
        "licence": _licence(source, place),
        "onnx_mb": {kind: round(size / 1e6, 2) for kind, size in _onnx_bytes(source, place).items()},
        "members": [member.model for member in members],
        "views": info.fer.get("views", "none"),
    }


def figures_of(info: ModelInfo) -> dict[str, Any]:
    """What a model's config states of the test split; a value that is none is left out, whoever wrote it.

    Returns:
        Some of ``{accuracy, macro_f1, balanced_accuracy, ece, n, accuracy_95: [low, high], worst: {label, recall}}``.
    """
    return _figures(_mapping(_mapping(info.fer).get("metrics")).get("test"))


def dataset_of(info: ModelInfo) -> str | None:
    """The data set that a model was trained and scored on, as its config names it; None where it names none."""
    return _text(_mapping(info.fer).get("dataset"))


def title_of(dataset: str) -> str:
    """What people call a data set; of one that is not known here, its own name."""
    return DATASETS.get(dataset, dataset)


def card(source: str | os.PathLike[str], place: Place = DEFAULT_PLACE) -> str:
    """A model's card, README.md, as harmless Markdown (see `fer_hub.markdown.harmless`); "" where it has none.

    Raises:
        ModelError: The model is not to be had.
    """
    folder = find_model(source, files=("config.json",), place=place)
    path = _optional(source, CARD, _same_commit(folder, place))
    return harmless(path.read_text(encoding="utf-8", errors="replace"), path.parent) if path else ""


def latency(recognizer: Recognizer, seconds: float = 1.0) -> Timing:
    """How long one face takes a model on this machine now, cropped and found already.

    Args:
        recognizer: The model.
        seconds: About how long to measure; a slow model is called three times all the same.
    """
    face = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    classify(recognizer.classifier, [face])  # the first call of a session takes longer
    started = perf_counter()
    classify(recognizer.classifier, [face])
    calls = max(1, int(seconds / max(perf_counter() - started, 1e-4)))
    block = min(10, calls)
    rounds = max(1, calls // (block + 1))
    return compare({"": lambda: classify(recognizer.classifier, [face])}, rounds, block, pause=0.0)[""]


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _small_files(source: str | os.PathLike[str], place: Place) -> tuple[Path, list[Member]]:
    """The folder of a model, with its small files as far as it has them; its members, if it is an ensemble."""
    folder = find_model(source, files=("config.json",), place=place)
    members = read_members(read_config(folder), folder)
    if not members:
        _optional(source, MEASURED, _same_commit(folder, place))
    return folder, members


def _same_commit(folder: Path, place: Place) -> Place:
    """Where the rest of a folder's files is: on the Hub, a push in between must not mix two versions."""
    return replace(place, revision=folder.name) if repo_of(folder) else place


def _onnx_bytes(source: str | os.PathLike[str], place: Place, inside: tuple[Path, ...] = ()) -> dict[str, int]:
    """Bytes by published variant: of a network's file, or of those of all members of an ensemble.

    Where a network was not measured when it was exported, the files that lie in its folder.
    """
    folder, members = _small_files(source, place)
    if not members:
        if (folder / MEASURED).is_file():
            return {kind: row["bytes"] for kind, row in published_variants(folder).items()}
        files = {kind: folder / file for kind, file in VARIANTS.items()}
        return {kind: file.stat().st_size for kind, file in files.items() if file.is_file()}
    inside = enter(folder, inside)
    sizes = [_onnx_bytes(*where(member, folder, place), inside) for member in members]
    common = [kind for kind in sizes[0] if all(kind in each for each in sizes)]
    return {kind: sum(each[kind] for each in sizes) for kind in common}


def _optional(source: str | os.PathLike[str], file: str, place: Place) -> Path | None:
    """A small file of a model that is there; None where it has none, or it is not to be had."""
    place = replace(place, max_megabytes=place.max_megabytes or MEGABYTES)
    try:
        return find_model(source, files=(file,), place=place) / file
    except ModelError:
        return None


def _result(source: str | os.PathLike[str], place: Place) -> dict[str, Any]:
    path = _optional(source, RESULT, place)
    return read_object(path) if path else {}


def _licence(source: str | os.PathLike[str], place: Place) -> str | None:
    """What the front matter of the card says; the name of a licence that the Hub has no word for."""
    from huggingface_hub.repocard import metadata_load  # heavy to import
    from yaml import YAMLError  # type: ignore[import-untyped]

    path = _optional(source, CARD, place)
    try:
        metadata = path and metadata_load(path)
    except (YAMLError, ValueError, RecursionError):
        return None  # a card with broken metadata is still a card
    found = metadata or {}
    return _text(found.get("license_name") if found.get("license") == "other" else None) or _text(found.get("license"))


# ── values of files that anyone may have written ─────────────────────────────────────────────────────────────────────


def _figures(test: object) -> dict[str, Any]:
    rows = _mapping(test)
    found: dict[str, Any] = {name: _number(rows.get(name)) for name in FIGURES}
    found |= {"accuracy_95": _interval(rows.get("accuracy_95")), "worst": _worst(rows.get("per_class"))}
    return {name: value for name, value in found.items() if value is not None}


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _number(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER:
        return value
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _interval(value: object) -> list[float] | None:
    numbers = [n for n in map(_number, value) if n is not None] if isinstance(value, list) else []
    return numbers if len(numbers) == 2 else None


def _worst(per_class: object) -> dict[str, Any] | None:
    """The label with the least recall, of those that have images."""
    rows = {label: _mapping(row) for label, row in _mapping(per_class).items()}
    recalls = {label: _number(row.get("recall")) for label, row in rows.items() if row.get("support") != 0}
    known = {label: recall for label, recall in recalls.items() if recall is not None}
    label = min(known, key=known.__getitem__, default=None)
    return None if label is None else {"label": label, "recall": known[label]}
