"""What a model's small files say of it: config and measurements; its weights are not fetched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .download import DEFAULT_PLACE, Place
from .ensemble import Member, enter, members_of, where
from .hub import MEASURED, find_model, published_variants, read_info
from .types import ModelError


def describe(source: str | os.PathLike[str], place: Place = DEFAULT_PLACE) -> dict[str, Any]:
    """A model in plain values.

    Returns:
        ``{name, architecture, input: [channels, height, width], labels, accuracy, n, onnx_mb: {variant: MB}, members,
        views}``; accuracy on ``n`` test images, None where it was not measured. An ensemble's ``onnx_mb`` is the sum
        over its members, of variants that all of them have.

    Raises:
        ModelError: The model, or a member of it, is not to be had, or broken.
    """
    folder, members = _small_files(source, place)
    info = read_info(folder)
    test = info.fer.get("metrics", {}).get("test", {})
    return {
        "name": os.fspath(source),
        "architecture": info.architecture,
        "input": [info.input.channels, *info.input.size],
        "labels": list(info.labels),
        "accuracy": test.get("accuracy"),
        "n": test.get("n"),
        "onnx_mb": {kind: round(size / 1e6, 2) for kind, size in _onnx_bytes(source, place).items()},
        "members": [member.model for member in members],
        "views": info.fer.get("views", "none"),
    }


def _small_files(source: str | os.PathLike[str], place: Place) -> tuple[Path, list[Member]]:
    """The folder of a model, with its small files; its members, if it is an ensemble."""
    try:
        return find_model(source, files=("config.json", MEASURED), place=place), []
    except ModelError:
        if not (members := members_of(source, place)):
            raise
    return find_model(source, files=("config.json",), place=place), members


def _onnx_bytes(source: str | os.PathLike[str], place: Place, inside: tuple[Path, ...] = ()) -> dict[str, int]:
    """Bytes by published variant: of a network's file, or of those of all members of an ensemble."""
    folder, members = _small_files(source, place)
    if not members:
        return {kind: row["bytes"] for kind, row in published_variants(folder).items()}
    inside = enter(folder, inside)
    sizes = [_onnx_bytes(*where(member, folder, place), inside) for member in members]
    common = [kind for kind in sizes[0] if all(kind in each for each in sizes)]
    return {kind: sum(each[kind] for each in sizes) for kind in common}
