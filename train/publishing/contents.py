"""What of a model folder a repository holds."""

from __future__ import annotations

from pathlib import Path

FILES = ("config.json", "metrics.json", "model.safetensors", "onnx/*.onnx", "onnx/variants.json", "figures/*.png")
CARD = "README.md"
OWNED = ("onnx/", "figures/", "members/")
"""Folders of a repository in which nothing else may stay."""


def files_of(folder: Path, *more: str) -> dict[str, Path]:
    """The files of a model folder by their paths in it, its card only where that is named among `more`."""
    found = sorted(path for pattern in (*FILES, *more) for path in folder.glob(pattern))
    return {path.relative_to(folder).as_posix(): path for path in found}
