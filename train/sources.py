"""Where data comes from: one entry of LAYOUTS a layout, found by looking, read into Rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from . import folders, tables
from .rows import USAGES, VOTES, DataError, Rows, Source, decode

__all__ = ["LAYOUTS", "USAGES", "VOTES", "DataError", "Layout", "Rows", "read"]

FER2013 = (28709, 3589, 3589)
"""Rows of Training, PublicTest, PrivateTest (arXiv:1307.0414)."""
FER2013_LABELS = {
    "angry": 4953, "disgust": 547, "fear": 5121, "happy": 8989, "sad": 6077, "surprise": 4002, "neutral": 6198
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """One way in which data sets are laid out."""

    about: str
    """For people: what it looks like."""
    fits: Callable[[Path], bool]
    read: Callable[[Path], Source]


def _csv_in(path: Path) -> Path | None:
    files = [path] if path.is_file() else [path / name for name in tables.CSVS]
    return next((file for file in files if file.is_file() and file.suffix.lower() == ".csv"), None)


def _parquet_in(path: Path) -> bool:
    return path.suffix == ".parquet" if path.is_file() else path.is_dir() and any(path.rglob("*.parquet"))


LAYOUTS: dict[str, Layout] = {
    "csv": Layout(
        "fer2013.csv or icml_face_data.csv (emotion, pixels, Usage), or a folder with it; fer2013new.csv beside it",
        lambda path: _csv_in(path) is not None,
        lambda path: tables.read_csv(_csv_in(path) or path),
    ),
    "ferplus-folders": Layout(
        "FER2013Train, FER2013Valid and FER2013Test with FERPlus' label.csv",
        lambda path: any((path / folder).is_dir() for folder in folders.FERPLUS),
        folders.read_ferplus,
    ),
    "parquet-splits": Layout(
        "a folder of train.parquet, public_test.parquet and private_test.parquet",
        lambda path: any((path / file).is_file() for file in list(tables.PARQUET.values())[1:]),
        tables.read_parquet_splits,
    ),
    "parquet": Layout("a parquet file with named labels, or a folder of them", _parquet_in, tables.read_parquet),
    "folders": Layout(
        "class folders of images (angry, 3_happy ...), in train, test ... or without split folders",
        lambda path: path.is_dir() and bool(folders._folders(path)),
        folders.read_folders,
    ),
    "hub": Layout("the id of a Hub data set (owner/name) with named labels", tables.is_hub_id, tables.read_hub),
}
"""Layouts, looked for in this order."""


def read(source: Path) -> Rows:
    """All rows of a data set, decoded once and cached; a changed file is read anew.

    Images that are squares of one size up to 224 are kept; others are cut to their central square and brought to
    the median of their shorter sides, 224 at most. Colour becomes grey.

    Args:
        source: A file, a folder or a Hub id in one of LAYOUTS.

    Raises:
        DataError: Nothing there that a layout fits, or rows that break it.
    """
    source = Path(source)
    for layout in LAYOUTS.values():
        if layout.fits(source):
            rows = decode(layout.read(source))
            return replace(rows, name="fer2013") if _is_fer2013(rows) else rows
    known = "".join(f"\n  {layout.about}" for layout in LAYOUTS.values())
    what = "has none of the known layouts" if source.exists() else "does not exist"
    raise DataError(f"{source} {what}. Give one of:{known}")


def _is_fer2013(rows: Rows) -> bool:
    """Whether the rows are FER2013 whatever their layout: its splits and its labels by number."""
    splits = tuple(int(np.sum(rows.usage == usage)) for usage in USAGES)
    if splits not in (FER2013, (FER2013[0], 0, FER2013[1] + FER2013[2])):
        return False
    found = {name: int(np.sum(rows.labels == i)) for i, name in enumerate(rows.names)}
    return {name: n for name, n in found.items() if n} == FER2013_LABELS
