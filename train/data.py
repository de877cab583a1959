"""FER2013 through `datasets`: decoded once, cached as Arrow, held as uint8."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from fer_hub.labels import labels_of

SIDE = 48
PIXELS = SIDE * SIDE
USAGES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
PARQUET = {"train": "train.parquet", "validation": "public_test.parquet", "test": "private_test.parquet"}


class DataError(ValueError):
    """Data that cannot be used. The message says which row or file, and what is allowed."""


@dataclass(frozen=True)
class Split:
    """One split: `images` N×48×48 uint8 grey, `labels` N int64 in the order of the label space."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.labels)

    def counts(self, num_classes: int) -> NDArray[np.int64]:
        """Rows per class."""
        return np.bincount(self.labels, minlength=num_classes)


@dataclass(frozen=True)
class Data:
    """The three splits of a protocol: learn on `train`, choose on `validation`, score once on `test`."""

    label_space: str
    train: Split
    validation: Split
    test: Split

    @property
    def labels(self) -> tuple[str, ...]:
        """Canonical labels in index order."""
        return labels_of(self.label_space)


def official(source: Path) -> Data:
    """The challenge's split: Training 28,709, PublicTest 3,589, PrivateTest 3,589 (arXiv:1307.0414)."""
    splits = {name: read_split(source, name) for name in USAGES}
    for name, rows in {"train": 28709, "validation": 3589, "test": 3589}.items():
        if len(splits[name]) != rows:
            raise DataError(
                f"{source}: {USAGES[name]} has {len(splits[name])} rows, the official split has {rows}. "
                "Give the complete fer2013.csv or its three parquet files."
            )
    return Data("fer2013-7", **splits)


def as_given(source: Path) -> Data:
    """The file's own three splits whatever their size: for trials and data of one's own in FER2013's format."""
    return Data("fer2013-7", **{name: read_split(source, name) for name in USAGES})


PROTOCOLS: dict[str, Callable[[Path], Data]] = {"official": official, "as-given": as_given}


def load(protocol: str, source: Path | None = None, limit: int | None = None) -> Data:
    """Load the splits of a protocol.

    Args:
        protocol: A name of PROTOCOLS.
        source: Folder of parquet files, or a CSV; None: the environment variable FER2013_DIR.
        limit: Keep only the first rows of each split.

    Raises:
        DataError: Nothing there, or rows that break the format.
        ValueError: The protocol is unknown.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"Unknown protocol {protocol!r}. Known: {', '.join(PROTOCOLS)}.")
    data = PROTOCOLS[protocol](source or default_source())
    if limit is None:
        return data
    return Data(data.label_space, *(_head(s, limit) for s in (data.train, data.validation, data.test)))


def default_source() -> Path:
    """What FER2013_DIR names.

    Raises:
        DataError: The variable is not set.
    """
    if not os.environ.get("FER2013_DIR"):
        raise DataError("No data named. Give --data PATH (parquet folder or fer2013.csv), or set FER2013_DIR.")
    return Path(os.environ["FER2013_DIR"])


def _head(split: Split, limit: int) -> Split:
    return Split(split.images[:limit], split.labels[:limit])


def read_split(source: Path, name: str) -> Split:
    """One split ("train", "validation" or "test") of a parquet folder or CSV file.

    Raises:
        DataError: A file is missing or a row is broken.
    """
    table = _decoded(source, name).data  # Arrow itself: a view, where a formatted column is built row by row
    pixels = table.column("pixels").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    images = pixels.reshape(-1, SIDE, SIDE).copy()  # the cache file is read-only, tensors want their own memory
    return Split(images, table.column("label").to_numpy().astype(np.int64))


def _decoded(source: Path, name: str) -> datasets.Dataset:
    """Rows of {pixels: 2,304 uint8, label}, cached by `datasets` so that decoding happens once."""
    try:
        return _csv(source, name) if source.is_file() else _parquet(source, name)
    except DataError:
        raise
    except (datasets.exceptions.DatasetGenerationError, ValueError) as error:  # the former wraps any error of a reader
        if isinstance(error.__cause__, DataError):
            raise error.__cause__ from error
        raise DataError(f"{source} cannot be read ({error.__cause__ or error}). Give FER2013 as it came.") from error


def _csv(source: Path, name: str) -> datasets.Dataset:
    about = source.stat()  # in the key of the cache, so that a changed file is read anew
    what = {"path": str(source), "usage": USAGES[name], "version": f"{about.st_mtime_ns} {about.st_size}"}
    return datasets.Dataset.from_generator(_csv_rows, gen_kwargs=what, features=FEATURES)


def _parquet(source: Path, name: str) -> datasets.Dataset:
    file = source / PARQUET[name]
    if not file.is_file():
        raise DataError(f"{file} does not exist. {source} must hold {', '.join(PARQUET.values())}, or be a CSV file.")
    raw = datasets.load_dataset("parquet", data_files=str(file), split="train")
    missing = {"image", "label"} - set(raw.column_names)
    if missing:
        raise DataError(f"{file}: no column {', '.join(sorted(missing))}; found {', '.join(raw.column_names)}.")
    if isinstance(raw.features["image"], datasets.Image):
        raw = raw.cast_column("image", datasets.Image(decode=False))
    return raw.map(
        _decode,
        batched=True,
        with_indices=True,
        remove_columns=raw.column_names,
        features=FEATURES,
        desc=f"decode {name}",
    )


FEATURES = datasets.Features(
    {
        "pixels": datasets.Sequence(datasets.Value("uint8"), length=PIXELS),
        "label": datasets.Value("int64"),
    }
)


def _decode(batch: Mapping[str, list[Any]], rows: list[int]) -> dict[str, list[Any]]:
    return {
        "pixels": [_grey(image, row) for image, row in zip(batch["image"], rows, strict=True)],
        "label": [_label(label, row) for label, row in zip(batch["label"], rows, strict=True)],
    }


def _grey(image: bytes | Mapping[str, bytes], row: int) -> NDArray[np.uint8]:
    data = image if isinstance(image, bytes) else image["bytes"]
    try:
        with PILImage.open(io.BytesIO(data)) as opened:
            grey = np.asarray(opened.convert("L"))
    except OSError as error:
        raise DataError(f"Row {row}: the image cannot be read ({error}).") from error
    if grey.shape != (SIDE, SIDE):
        raise DataError(f"Row {row}: the image is {grey.shape[1]}×{grey.shape[0]}; FER2013's are {SIDE}×{SIDE}.")
    return grey.reshape(-1)


def _csv_rows(path: str, usage: str, version: str) -> Any:
    """Rows of fer2013.csv or icml_face_data.csv (whose column names have leading spaces)."""
    csv.field_size_limit(1_000_000)
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        found = [name.strip() for name in reader.fieldnames or []]
        if not {"emotion", "pixels", "Usage"} <= set(found):
            raise DataError(f"{path}: columns {', '.join(found)}; wanted emotion, pixels, Usage.")
        reader.fieldnames = found
        none = True
        for number, row in enumerate(reader):
            given = (row["Usage"] or "").strip()
            if given not in USAGES.values():
                raise DataError(f"Row {number} has the usage {given!r}; allowed are {', '.join(USAGES.values())}.")
            if given == usage:
                none = False
                yield {"pixels": _pixels(row["pixels"] or "", number), "label": _label(row["emotion"], number)}
        if none:  # said here, since `datasets` refuses an empty set with a message of its own
            raise DataError(f"{path}: no row has the usage {usage!r}. Allowed: {', '.join(USAGES.values())}.")


def _pixels(text: str, row: int) -> NDArray[np.uint8]:
    try:
        values = np.array(text.split(), dtype=np.int64)
    except ValueError as error:
        raise DataError(f"Row {row}: pixels hold something that is no whole number ({error}).") from error
    if len(values) != PIXELS:
        raise DataError(f"Row {row} has {len(values)} pixels; {PIXELS} (48×48) are needed.")
    if values.min() < 0 or values.max() > 255:
        raise DataError(f"Row {row} has a pixel of {values.max() if values.max() > 255 else values.min()}; 0 to 255.")
    return values.astype(np.uint8)


def _label(value: Any, row: int) -> int:
    text = str(value).strip()
    if not text.isdecimal() or int(text) > 6:
        raise DataError(f"Row {row} has the label {text!r}; allowed are 0 to 6 ({', '.join(labels_of('fer2013-7'))}).")
    return int(text)
