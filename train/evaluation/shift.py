"""Scores on other rows than the split itself: without its copies of learnt images, and on another data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_hub.labels import LabelMap

from .. import duplicates, metrics, sources, splits
from ..data import Data, DataError
from ..metrics import Floats, Ints
from ..rows import USAGES
from .robustness import figures

Mask = NDArray[np.bool_]
Images = NDArray[np.uint8]

# ── copies of images of earlier splits ───────────────────────────────────────────────────────────────────────────────


def copies(data: Data, split: str, probabilities: Floats) -> dict[str, Any]:
    """The scores of a split with and without its rows that have a copy in an earlier split.

    The difference is not what was learnt by heart alone: photos that were copied into a data set twice may be easier
    ones, too, and their labels are shared otherwise among the classes. `without` is the score that no copy can flatter.

    Args:
        data: The splits.
        split: "validation" (copies in train) or "test" (copies in train or validation).
        probabilities: N×C of all rows of that split.

    Returns:
        JSON values: split, earlier (names of the splits looked through), n, identical and similar (rows with a
        pixel-identical copy; rows that have none, but one a little changed or mirrored), same_label (share of all
        these rows for which some copy has the same label; None without any), and `figures` by rows: all, without,
        copies. The figures of no rows are None.

    Raises:
        ValueError: There is no earlier split, or the probabilities are of another shape than N×C.
    """
    part = getattr(data, split, None) if split in USAGES[1:] else None
    if part is None:
        raise ValueError(f"Split {split!r} has no earlier one to hold copies. Give one of: {', '.join(USAGES[1:])}.")
    if len(probabilities) != len(part):
        raise ValueError(f"{len(probabilities)} rows of probabilities for the {len(part)} rows of {split}.")
    found = copied(data, split)
    removed = found["identical"] | found["similar"]
    parts = {"all": np.ones(len(part), bool), "without": ~removed, "copies": removed}
    return {
        "split": split,
        "earlier": list(USAGES[: USAGES.index(split)]),
        "n": len(part),
        "identical": int(found["identical"].sum()),
        "similar": int(found["similar"].sum()),
        "same_label": float(found["same_label"][removed].mean()) if removed.any() else None,
        **{
            name: figures(probabilities[rows], part.labels[rows], data.labels) if rows.any() else None
            for name, rows in parts.items()
        },
    }


def copied(data: Data, split: str) -> dict[str, Mask]:
    """Which rows of a split have a copy in an earlier one.

    Args:
        data: The splits.
        split: "validation" or "test".

    Returns:
        N each: identical (pixel by pixel); similar (as train.duplicates.similar has it, and not identical);
        same_label: whether any of these copies has the row's label.
    """
    images, labels, usage = _together(data)
    later, earlier = usage == USAGES.index(split), usage < USAGES.index(split)
    ids = duplicates.identical(images)
    with_label = ids * len(data.labels) + labels
    pairs = duplicates.similar(images)
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    pairs = pairs[earlier[pairs[:, 0]] & later[pairs[:, 1]]]
    agreeing = pairs[labels[pairs[:, 0]] == labels[pairs[:, 1]], 1]
    rows = np.flatnonzero(later)
    identical = np.isin(ids[rows], ids[earlier])
    return {
        "identical": identical,
        "similar": np.isin(rows, pairs[:, 1]) & ~identical,
        "same_label": np.isin(with_label[rows], with_label[earlier]) | np.isin(rows, agreeing),
    }


def _together(data: Data) -> tuple[Images, Ints, Ints]:
    """Images, labels and number of the split of all rows, in the source's order where it is known.

    An audit, and a protocol that keeps copies together, look at the images in that order, too, and what
    train.duplicates finds is kept by them; each split's own order stays as it is.
    """
    every = [getattr(data, name) for name in USAGES]
    images, labels = np.concatenate([s.images for s in every]), np.concatenate([s.labels for s in every])
    usage = np.repeat(np.arange(len(every)), [len(s) for s in every])
    if any(s.rows is None or np.any(np.diff(s.rows) < 0) for s in every):
        return images, labels, usage
    order = np.argsort(np.concatenate([s.rows for s in every]), kind="stable")
    return images[order], labels[order], usage[order]


# ── another data set ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Foreign:
    """The rows of a data set that a model of other training can be scored on."""

    name: str
    """The data set."""
    labels: tuple[str, ...]
    """C labels of the model."""
    images: Images
    """N×S×S grey, as the source has them: neither detected nor cropped."""
    truth: Ints
    """N, index into `labels`."""
    left_out: dict[str, int]
    """Rows by label that the model has not."""
    seen: int | None
    """Rows that are pixel-identical to an image that the model has learnt from; None: not looked for."""

    @property
    def shared(self) -> tuple[str, ...]:
        """The model's labels that some row has, in the model's order."""
        return tuple(self.labels[i] for i in np.unique(self.truth))

    @property
    def missing(self) -> tuple[str, ...]:
        """The model's labels that no row has."""
        return tuple(label for label in self.labels if label not in self.shared)


def read_foreign(
    source: Path, labels: Sequence[str], split: str | None = None, learnt: Images | None = None
) -> Foreign:
    """The rows of any data set whose label a model has, by name.

    Args:
        source: What train.sources.read takes.
        labels: C canonical labels of the model.
        split: Only this one of the source's splits ("train", "validation", "test"); None: all rows.
        learnt: M×S×S images that the model was trained and chosen on, to count those that the set holds, too.

    Raises:
        DataError: The source cannot be read, or has no row with one of the labels (in that split).
        ValueError: The split is unknown.
    """
    if split not in (None, *USAGES):
        raise ValueError(f"Unknown split {split!r}. Known: {', '.join(USAGES)}; None for all rows.")
    rows = sources.read(source)
    truth, _ = splits.by_name(rows, labels)
    asked = np.ones(len(rows), bool) if split is None else rows.usage == split
    left_out = Counter(rows.names[i] for i in rows.labels[asked & (truth < 0) & (rows.labels >= 0)])
    kept = np.flatnonzero(asked & (truth >= 0))
    if not len(kept):
        where = f"the split {split} of {rows.name}" if split else rows.name
        raise DataError(f"{where} has no row with one of the labels {', '.join(labels)}. Give another --foreign.")
    images = rows.images[kept]
    comparable = learnt is not None and learnt.shape[1:] == images.shape[1:]
    seen = int(duplicates.copies(images, learnt).sum()) if comparable and learnt is not None else None
    return Foreign(rows.name, tuple(labels), images, truth[kept], dict(left_out), seen)


def cross(foreign: Foreign, probabilities: Floats) -> dict[str, Any]:
    """A model's scores on another data set, its labels left as they are and cut down to the set's.

    Args:
        foreign: The data set.
        probabilities: N×C of its rows.

    Returns:
        JSON values: dataset, n, side (pixels), rows (by shared label), left_out (rows by label that the model has
        not, which are not scored), missing (labels of the model that no row has), outside (rows for which the model
        names one of these), seen, and `figures` twice: "open" with all labels of the model, where such a row is wrong;
        "closed" with probabilities `restricted` to the shared labels. Macro figures are means over the shared labels
        in both.
    """
    shared, missing = foreign.shared, foreign.missing
    position = {label: i for i, label in enumerate(shared)}
    truth = np.array([position[foreign.labels[i]] for i in foreign.truth])
    # labels that no row has come last, so that both variants number the shared ones alike
    ordered = probabilities[:, [foreign.labels.index(label) for label in (*shared, *missing)]]
    closed = restricted(probabilities, foreign.labels, shared)
    guesses = ordered.argmax(1)
    return {
        "dataset": foreign.name,
        "n": len(truth),
        "side": int(foreign.images.shape[1]),
        "rows": {label: int(n) for label, n in zip(shared, np.bincount(truth), strict=True)},
        "left_out": foreign.left_out,
        "missing": list(missing),
        "outside": int(np.sum(guesses >= len(shared))),
        "seen": foreign.seen,
        "open": figures(ordered, truth, (*shared, *missing)) | {"macro_f1": _macro_f1(guesses, truth, len(shared))},
        "closed": figures(closed, truth, shared),
    }


def restricted(probabilities: Floats, given: Sequence[str], wanted: Sequence[str]) -> NDArray[np.float64]:
    """Probabilities of some labels, as if there were no others: divided by their sum.

    Args:
        probabilities: N×C.
        given: Their C labels.
        wanted: K of these, in the order of the result.

    Returns:
        N×K, each row adding up to 1; equal where all of the wanted had 0.

    Raises:
        ValueError: A wanted label is not among the given.
    """
    _check_known(given, wanted)
    return LabelMap(tuple(given), tuple(wanted)).apply(probabilities)


def _check_known(given: Sequence[str], wanted: Sequence[str]) -> None:
    unknown = [label for label in wanted if label not in given]
    if unknown:
        raise ValueError(f"No probabilities of {', '.join(unknown)}; there are those of {', '.join(given)}.")


def _macro_f1(guesses: Ints, truth: Ints, shared: int) -> float:
    """The mean over the shared labels alone: a label that no row has cannot have an F1."""
    counts = metrics.confusion(guesses, truth, int(max(guesses.max(), truth.max())) + 1)
    return float(np.mean(metrics.per_class(counts)["f1"][:shared]))
