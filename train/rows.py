"""Rows of a data set, whatever its layout: decoded once, cached as Arrow, held as uint8."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image as PILImage

USAGES = ("train", "validation", "test")
VOTES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
"""FERPlus' columns: what each of ten taggers could answer (NF: not a face)."""
LARGEST = 224
"""Side that images are brought to at most."""
FORMAT = 1
"""Part of the cache's key: counted up when the same files are to be decoded anew."""


class DataError(ValueError):
    """Data that cannot be used. The message says which row or file, and what is allowed."""


@dataclass(frozen=True)
class Rows:
    """All rows of a source, in its order."""

    name: str
    """The data set: "fer2013", "ferplus", the folder's or file's name, or the Hub id."""
    images: NDArray[np.uint8]
    """N×S×S grey."""
    labels: NDArray[np.int64]
    """N, index into `names`; -1 where the source gives votes only."""
    names: tuple[str, ...]
    """Canonical labels that the source knows."""
    usage: NDArray[np.str_]
    """N, each one of USAGES (Training, PublicTest, PrivateTest)."""
    votes: NDArray[np.int64] | None
    """N×10 in the order of VOTES."""
    ids: NDArray[np.str_]
    """N, where a row came from: "row 17", "train/angry/x.jpg"."""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.labels)

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that stand for all images, labels and usages."""
        digest = hashlib.blake2b(repr((self.names, self.images.shape)).encode(), digest_size=8)
        for array in (self.images, self.labels, self.usage):
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        return digest.hexdigest()


class Item(NamedTuple):
    """One row before decoding."""

    image: bytes | Path | NDArray[np.uint8]
    label: int
    usage: str
    id: str
    votes: Sequence[int] = ()


@dataclass(frozen=True)
class Source:
    """A source that was looked at, but not decoded yet."""

    name: str
    names: tuple[str, ...]
    key: object
    """Whatever changes when the files do (sizes, times): its `repr` is part of the cache's key."""
    items: Callable[[], Iterable[Item]]
    """Called when the cache has nothing; twice where the images' sizes have to be known first."""


FEATURES = datasets.Features(
    {
        "pixels": datasets.Value("binary"),
        "label": datasets.Value("int16"),
        "usage": datasets.Value("int8"),
        "votes": datasets.List(datasets.Value("int16")),
        "id": datasets.Value("string"),
    }
)


def decode(source: Source) -> Rows:
    """All rows of a source, from the cache where they were decoded before.

    Raises:
        DataError: A row or file is broken, or there are none.
    """
    key = repr((FORMAT, source.name, source.names, source.key)).encode()
    name = hashlib.blake2b(key, digest_size=16).hexdigest()
    try:
        cached = datasets.Dataset.from_generator(lambda: _records(source), features=FEATURES, fingerprint=name)
    except datasets.exceptions.DatasetGenerationError as error:  # wraps any error of a reader
        if isinstance(error.__cause__, DataError):
            raise error.__cause__ from error
        raise DataError(f"{source.name} cannot be read ({error.__cause__ or error}).") from error
    return _rows(source, cached.data.table)  # Arrow itself: a view, where a column is built row by row


def _rows(source: Source, table: pa.Table) -> Rows:
    pixels = table.column("pixels")
    side = int(len(pixels[0].as_buffer()) ** 0.5)
    images = np.empty((len(table), side, side), np.uint8)  # the cache is read-only, tensors want their own memory
    done = 0
    for chunk in pixels.chunks:
        flat = np.frombuffer(chunk.buffers()[2], np.uint8)
        start = chunk.offset * side * side
        images[done : done + len(chunk)] = flat[start : start + len(chunk) * side * side].reshape(-1, side, side)
        done += len(chunk)
    votes = table.column("votes").combine_chunks().flatten().to_numpy().astype(np.int64)
    return Rows(
        name=source.name,
        images=images,
        labels=table.column("label").to_numpy().astype(np.int64),
        names=source.names,
        usage=np.array(USAGES)[table.column("usage").to_numpy()],
        votes=votes.reshape(-1, len(VOTES)) if len(votes) else None,
        ids=table.column("id").to_numpy().astype(str),
    )


def _records(source: Source) -> Iterator[dict[str, Any]]:
    side = _side(source.items())
    for item in source.items():
        yield {
            "pixels": _grey(item, side).tobytes(),
            "label": item.label,
            "usage": USAGES.index(item.usage),
            "votes": item.votes,
            "id": item.id,
        }


def _side(items: Iterable[Item]) -> int:
    """Side of all decoded images: their own if they are equal squares, at most the median of the shorter sides."""
    sizes = []
    for item in items:
        if isinstance(item.image, np.ndarray):
            return len(item.image)  # decoded already: one format, one size
        with _opened(item) as image:
            sizes.append(image.size)
    if not sizes:
        raise DataError("there is no row")
    return min(LARGEST, int(np.median(np.min(sizes, axis=1))))


def _opened(item: Item) -> PILImage.Image:
    assert not isinstance(item.image, np.ndarray)
    try:
        return PILImage.open(io.BytesIO(item.image) if isinstance(item.image, bytes) else item.image)
    except (OSError, PILImage.DecompressionBombError) as error:
        raise DataError(f"{_where(item)}: the image cannot be read ({error}).") from error


def _grey(item: Item, side: int) -> NDArray[np.uint8]:
    """Grey pixels, side×side: the largest central square, made smaller or larger where it has to be."""
    if isinstance(item.image, np.ndarray):
        return item.image
    try:
        with _opened(item) as image:
            grey = image.convert("L")
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's answers to a file that breaks off
        if isinstance(error, DataError):
            raise
        raise DataError(f"{_where(item)}: the image cannot be read ({error}).") from error
    if grey.size != (side, side):
        short = min(grey.size)
        left, top = (grey.width - short) // 2, (grey.height - short) // 2
        square = grey.crop((left, top, left + short, top + short))  # resize(box=...) would look past its edge
        grey = square.resize((side, side), PILImage.Resampling.BILINEAR)  # antialiased, as always in Pillow
    return np.asarray(grey)


def _where(item: Item) -> str:
    """How errors name a row: by its file where it has one."""
    return str(item.image) if isinstance(item.image, Path) else item.id[:1].upper() + item.id[1:]
