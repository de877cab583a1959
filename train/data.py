"""The three splits of a protocol, from any source: learn on one, choose on the next, score once on the last."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_hub.labels import labels_of

from . import duplicates, sources, splits
from .rows import USAGES, DataError, Rows
from .tables import SIDE

__all__ = ["PROTOCOLS", "SIDE", "Data", "DataError", "Protocol", "Split", "default_source", "load", "read_split"]

TARGETS = ("labels", "votes", "both")
ALIGNMENTS = ("none", "box", "eyes")
ON_MISSING = ("keep", "drop")


@dataclass(frozen=True)
class Split:
    """One split: images, labels, and where they are from."""

    images: NDArray[np.uint8]
    """N×S×S grey (S = 48 for FER2013)."""
    labels: NDArray[np.int64]
    """N, index into Data.labels."""
    targets: NDArray[np.float32] | None = None
    """N×C shares of the votes, where those are learnt."""
    rows: NDArray[np.int64] | None = None
    """N, index of each row in the source."""

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.labels)

    def counts(self, num_classes: int) -> NDArray[np.int64]:
        """Rows per class."""
        return np.bincount(self.labels, minlength=num_classes)

    def take(self, index: NDArray[Any]) -> Split:
        """The rows of an index or mask, in its order."""
        parts = (self.targets, self.rows)
        return Split(self.images[index], self.labels[index], *(None if p is None else p[index] for p in parts))


@dataclass(frozen=True)
class Data:
    """The three splits of a protocol: learn on `train`, choose on `validation`, score once on `test`."""

    label_space: str
    """A name of LABEL_SPACES, or "custom"."""
    labels: tuple[str, ...]
    """Canonical labels in index order."""
    train: Split
    validation: Split
    test: Split
    dataset: str
    """ "fer2013", "ferplus", or the source's own name."""
    origin: str | None = None
    """Digest of the source's rows, which no option of `load` changes."""
    alignment: str = "none"
    external: Split | None = None
    """One more set to score at the end, in the same label order."""
    notes: dict[str, Any] = field(default_factory=dict)
    """As JSON: rows left out and why, copies between the splits, faces found."""

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that stand for all images, labels and targets of the splits."""
        digest = hashlib.blake2b(repr((self.label_space, self.labels)).encode(), digest_size=8)
        for split in (self.train, self.validation, self.test, self.external):
            for array in (split.images, split.labels, split.targets) if split else ():
                digest.update(repr(None if array is None else array.shape).encode())
                if array is not None:
                    digest.update(np.ascontiguousarray(array).data.cast("B"))
        return digest.hexdigest()


@dataclass(frozen=True)
class Protocol:
    """Which rows are kept, under which labels, in which split."""

    about: str
    """For people, one line."""
    space: str | None
    """A name of LABEL_SPACES; None: the labels of the source."""
    split: Callable[[Rows, splits.Integers, tuple[int, int, int]], splits.Parts]
    sizes: tuple[int, int, int] | None
    """Rows of train, validation and test; None: whatever the source has."""
    label: Callable[[Rows, tuple[str, ...]], tuple[splits.Integers, dict[str, int]]] = splits.by_name
    total: int | None = None
    """Labelled rows before the split, where it leaves some out."""
    leaves: str = ""
    """Why it leaves them out."""


OFFICIAL = (28709, 3589, 3589)

PROTOCOLS: dict[str, Protocol] = {
    "official": Protocol(
        "the challenge's Training, PublicTest and PrivateTest (arXiv:1307.0414)",
        "fer2013-7", splits.by_usage, OFFICIAL,
    ),
    "official-clean": Protocol(
        "official, without the training rows that are copies of a test row, exact or nearly",
        "fer2013-7", splits.without_leaks, (27086, 3589, 3589), total=sum(OFFICIAL),
        leaves="training row that is a copy of a PublicTest or PrivateTest row, exact or nearly",
    ),
    "folders": Protocol(
        "Kaggle's folders: Training 80/20, PublicTest and PrivateTest together as test set",
        "fer2013-7", splits.folders, (22967, 5742, 7178),
    ),
    "ferplus": Protocol(
        "FERPlus by its own majority rule, in the challenge's splits",
        "ferplus-8", splits.by_usage, (25060, 3199, 3153), splits.majority,
    ),
    "ferplus-raw": Protocol(
        "FERPlus by plurality, Training 80/20, PublicTest and PrivateTest together as test set",
        "ferplus-8", splits.folders, (22711, 5678, 7099), splits.plurality,
    ),
    "random-80-20": Protocol(
        "all rows: a random 20 % as test set, 10 % for validation, copies on one side",
        "fer2013-7", splits.grouped, (25120, 3589, 7178),
    ),
    "kaggle-28821": Protocol(
        "28,821 and 7,066 rows; a tenth of the former for validation, the latter as test set",
        "fer2013-7", splits.kaggle, (25939, 2882, 7066),
    ),
    "five-class": Protocol(
        "angry, fear, happy, sad, surprise of all rows at random: 70/10/20, copies on one side",
        "basic-5", splits.grouped, (20400, 2914, 5828),
    ),
    "as-given": Protocol("the source's own splits and labels, of any size", None, splits.as_given, None),
}  # fmt: skip
"""One entry adds a protocol. Random splits use a fixed seed, so that runs compare."""


def load(
    protocol: str,
    source: Path | None = None,
    limit: int | None = None,
    *,
    targets: str = "labels",
    align: str = "none",
    on_missing: str = "keep",
    external: Path | None = None,
) -> Data:
    """Load the splits of a protocol.

    Args:
        protocol: A name of PROTOCOLS.
        source: What train.sources.read takes; None: the environment variable FER2013_DIR.
        limit: Keep so many rows of each split, spread evenly over it.
        targets: "votes": the training split also gets the shares of FERPlus' votes; "both": their mean with the label.
        align: "box", "eyes": every image is cropped to its detected face (train.align).
        on_missing: "drop": rows in which no face is found are left out, of every split.
        external: One more source, scored at the end: all its rows with one of the protocol's labels.

    Raises:
        DataError: Nothing there, rows that break the format, or other rows than the protocol is defined for.
        ValueError: The protocol or an option is unknown.
    """
    _known("protocol", protocol, PROTOCOLS)
    _known("targets", targets, TARGETS)
    _known("align", align, ALIGNMENTS)
    _known("on_missing", on_missing, ON_MISSING)
    rows = sources.read(source or default_source())
    data = _cut(protocol, rows, targets)
    if external is not None:
        data = _with_external(data, sources.read(external))
    if limit is not None:
        data = _mapped(data, lambda split: split.take(evenly(len(split), limit)))
    if align != "none":
        data = _aligned(data, align, on_missing)
    data.notes["leaks"] = leaks(data, rows.images)
    return data


def _known(what: str, given: str, known: Any) -> None:
    if given not in known:
        raise ValueError(f"Unknown {what} {given!r}. Known: {', '.join(known)}.")


def default_source() -> Path:
    """What FER2013_DIR names.

    Raises:
        DataError: The variable is not set.
    """
    if not os.environ.get("FER2013_DIR"):
        raise DataError("No data named. Give --data PATH (parquet folder, fer2013.csv, ...), or set FER2013_DIR.")
    return Path(os.environ["FER2013_DIR"])


def read_split(source: Path, name: str) -> Split:
    """One usage ("train", "validation" or "test") of a source, labels as the source numbers them."""
    rows = sources.read(source)
    index = np.flatnonzero(rows.usage == name)
    return Split(rows.images, rows.labels, rows=np.arange(len(rows))).take(index)


def evenly(rows: int, limit: int) -> NDArray[np.int64]:
    """Indices of `limit` of so many rows, from first to last at equal distances; of all, where there are no more."""
    return np.arange(rows) if limit >= rows else np.linspace(0, rows - 1, limit).round().astype(np.int64)


def _cut(name: str, rows: Rows, targets: str) -> Data:
    """Labels, splits and targets of a protocol, its counts checked."""
    protocol = PROTOCOLS[name]
    space, labels = (protocol.space, labels_of(protocol.space)) if protocol.space else splits.own_labels(rows)
    label, dropped = protocol.label(rows, labels)
    kept, total = int(np.sum(label >= 0)), protocol.total or sum(protocol.sizes or ())
    if protocol.sizes and kept != total:
        raise DataError(_other_rows(name, rows, label, f"{total} rows with a label of {space}"))
    parts = protocol.split(rows, label, protocol.sizes or (0, 0, 0))
    if protocol.sizes and tuple(len(part) for part in parts) != protocol.sizes:
        found = "/".join(str(len(part)) for part in parts)
        raise DataError(_other_rows(name, rows, label, f"{'/'.join(map(str, protocol.sizes))}, found {found}"))
    if left := kept - sum(len(part) for part in parts):
        dropped[protocol.leaves] = left
    whole = Split(rows.images, label, rows=np.arange(len(rows)))
    train, validation, test = (whole.take(part) for part in parts)
    _no_empty_class(rows.name, train, labels)
    if targets != "labels":
        votes = splits.shares(rows, parts[0], train.labels, labels)
        both = (votes + np.eye(len(labels), dtype=np.float32)[train.labels]) / 2
        train = replace(train, targets=both if targets == "both" else votes)
    dataset = "ferplus" if protocol.label is not splits.by_name else rows.name
    return Data(space, labels, train, validation, test, dataset, rows.digest, notes={"dropped": dropped})


def _other_rows(name: str, rows: Rows, label: splits.Integers, wanted: str) -> str:
    found = "/".join(str(int(np.sum((label >= 0) & (rows.usage == usage)))) for usage in USAGES)
    return (
        f"{rows.name} has {int(np.sum(label >= 0))} such rows ({found} for training, validation, test); "
        f"the protocol {name} is defined for {wanted}. Give the complete FER2013, or --protocol as-given."
    )


def _no_empty_class(name: str, train: Split, labels: tuple[str, ...]) -> None:
    empty = [label for label, n in zip(labels, train.counts(len(labels)), strict=True) if not n]
    if empty:
        raise DataError(f"{name}: no training row is labelled {', '.join(empty)}; {', '.join(labels)} all need one")


def _with_external(data: Data, rows: Rows) -> Data:
    labels, left = splits.by_name(rows, data.labels)
    index = np.flatnonzero(labels >= 0)
    if not len(index):
        raise DataError(f"{rows.name}, named as external set, has no row with one of {', '.join(data.labels)}.")
    external = Split(rows.images, labels, rows=np.arange(len(rows))).take(index)
    notes = {"dataset": rows.name, "rows": len(external), "dropped": left}
    return replace(data, external=external, notes=data.notes | {"external": notes})


def _splits(data: Data) -> dict[str, Split]:
    every = {usage: getattr(data, usage) for usage in USAGES}
    return every | ({"external": data.external} if data.external else {})


def _mapped(data: Data, change: Callable[[Split], Split]) -> Data:
    changed: dict[str, Any] = {name: change(split) for name, split in _splits(data).items()}
    return replace(data, **changed)


def _aligned(data: Data, mode: str, on_missing: str) -> Data:
    from . import align  # here: it loads the face detector

    changed: dict[str, Any] = {}
    counts = {}
    for name, split in _splits(data).items():
        images, found = align.align(split.images, mode)
        after = replace(split, images=images)
        if on_missing == "drop":
            after = after.take(found)
        gone = (split.counts(len(data.labels)) > 0) & (after.counts(len(data.labels)) == 0)
        if gone.any():
            lost = ", ".join(data.labels[i] for i in np.flatnonzero(gone))
            raise DataError(f"{name}: no face is found in any row labelled {lost}. Use --on-missing keep.")
        changed[name] = after
        counts[name] = {"samples": len(split), "not_detected": int(np.sum(~found)), "left": len(after)}
    return replace(data, **changed, alignment=mode, notes=data.notes | {"alignment": counts})


def leaks(data: Data, images: NDArray[np.uint8]) -> dict[str, int]:
    """Rows of a later split of which an earlier one holds an identical copy, by `earlier→later`.

    Args:
        data: The splits.
        images: The source's, before alignment.
    """
    of = {usage: images[getattr(data, usage).rows] for usage in USAGES}
    pairs = [("train", "validation"), ("train", "test"), ("validation", "test")]
    return {f"{one}→{other}": int(duplicates.copies(of[other], of[one]).sum()) for one, other in pairs}
