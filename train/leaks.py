"""What makes the figures of a run mean less than they seem to, in sentences; said at the start of every run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import duplicates
from .data import Data, Split
from .rows import USAGES
from .splits import apart

MERGED = {
    7178: "the union of FER2013's PublicTest and PrivateTest",
    7066: "the test set of a folder split of 28,821 and 7,066",
    25170: "40 % of FER2013 oversampled to 8,989 a class before it was split",
}
"""Sizes of test sets that are not the official one."""
DISGUST = 547
"""Rows labelled disgust in all of FER2013."""
SHARE = 0.001
"""Copies are worth a sentence from this share of the later split on."""


def knows(trained: Mapping[str, Any], data: Data, protocol: str) -> str | None:
    """Whether a model may have learned from rows of any split but train, in words that follow its name.

    Args:
        trained: The model's `protocol`, `dataset`, `data` and `origin` (digests), `parent` and `teacher`, as far as its
            files say.
        data: The splits in question.
        protocol: How they were made.

    Returns:
        None where all is well.
    """
    return _learnt(trained, data, protocol) or _inherited(trained, data, protocol)


def account(fer: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """What `knows` asks of a model, from its config's block "fer" and its metrics.json."""
    of_run = {name: result.get(name) for name in ("data", "origin", "parent", "teacher")}
    return {name: fer.get(name) for name in ("protocol", "dataset")} | of_run


def doubts(result: Mapping[str, Any]) -> list[str]:
    """What a result says of how it may know rows that it was scored on, in words that follow its name."""
    parent = (result.get("parent") or {}).get("beware")
    found = [f"began with the weights of a run that {parent}"] if parent else []
    taught = [each for each in result.get("teacher") or () if each.get("beware")]
    return [*found, *(f"learned from {each['name']}, which {each['beware']}" for each in taught)]


def doubtful(result: Mapping[str, Any]) -> bool:
    """Whether a result says that what it began with, or learned from, may know rows that it was scored on."""
    return bool(doubts(result))


def _learnt(trained: Mapping[str, Any], data: Data, protocol: str) -> str | None:
    """From its own training rows."""
    own, dataset = trained.get("protocol"), trained.get("dataset")
    if own is None:
        return "does not say which rows it was trained on: these may be among them."
    if not apart(own, protocol) and _family(dataset) == _family(data.dataset):
        return f"was trained under {own}, not {protocol}: it knows some of these rows."
    if own == protocol == "as-given" and not _of_one_source(trained, data):
        return "was trained on a data set as it was given: these rows may be among its own."
    return None


def _of_one_source(trained: Mapping[str, Any], data: Data) -> bool:
    """Whether the splits were cut from the same rows; of older results, whether they are the same splits."""
    if trained.get("origin"):
        return bool(trained["origin"] == data.origin)
    return bool(trained.get("data") == data.digest)


def _inherited(trained: Mapping[str, Any], data: Data, protocol: str) -> str | None:
    """From its teachers, or from the run that left its initial weights."""
    dataset = trained.get("dataset")
    if _family(dataset) == _family(data.dataset):
        for each in trained.get("teacher") or ():
            if each.get("beware"):
                return f"learned from {each['name']}, which {each['beware']}"
    parent = trained.get("parent")
    if not parent:
        return None
    before = {"dataset": dataset} | parent | {"protocol": parent["config"].get("protocol")}
    said = knows(before, data, protocol)
    return f"began with the weights of a run that {said}" if said else None


def _family(dataset: str | None) -> str | None:
    """FERPlus labels the images of FER2013 anew."""
    return "fer2013" if dataset == "ferplus" else dataset


def warn(data: Data) -> list[str]:
    """One sentence for each thing that is odd about the splits of a run; an empty list if nothing is.

    Uses the counts of identical images in `data.notes["leaks"]`, which the loader leaves there, and looks at the
    supports (field notes: equal supports, merged test sets, more Disgust than FER2013 has).
    """
    return [*_leaks(data), *_oddities(data)]


def noted(data: Data) -> dict[str, Any]:
    """The notes of the splits, and what is odd about them beside the copies, which the notes count."""
    odd = _oddities(data)
    return data.notes | ({"warnings": odd} if odd else {})


def _oddities(data: Data) -> list[str]:
    return [*_external(data), *_merged(data), *_equal(data.test), *_disgust(data)]


def _leaks(data: Data) -> list[str]:
    """Identical images in two splits."""
    sentences = []
    for pair, count in data.notes.get("leaks", {}).items():
        one, other = pair.split("→")
        rows = len(getattr(data, other))
        if count > SHARE * rows:
            what = "a little too good" if one == "train" else "chosen a little in their favour"
            advice = " --protocol official-clean leaves such rows out of training." if one == "train" else ""
            sentences.append(
                f"{one} and {other} share {count} identical images ({count / rows:.1%} of {other}): "
                f"scores on {other} are {what}.{advice}"
            )
    return sentences


def _external(data: Data) -> list[str]:
    """Images of the external set that were learnt or chosen on."""
    if data.external is None or data.external.images.shape[1:] != data.train.images.shape[1:]:
        return []
    seen = np.concatenate([data.train.images, data.validation.images])
    count, rows = int(duplicates.copies(data.external.images, seen).sum()), len(data.external)
    if not count:
        return []
    return [
        f"{count} of {rows} images of the external set ({count / rows:.1%}) are identical to images of train or "
        "validation: it is not external. Give a set from another source."
    ]


def _merged(data: Data) -> list[str]:
    """A test set that has the size of a well-known other one."""
    rows = len(data.test)
    if rows not in MERGED:
        return []
    return [f"test has {rows:,} rows, as has {MERGED[rows]}. Do not compare with figures on PrivateTest (3,589 rows)."]


def _equal(test: Split) -> list[str]:
    """The same number of test rows for every class."""
    counts = np.bincount(test.labels)
    counts = counts[counts > 0]
    if len(counts) < 2 or counts[0] < 20 or np.any(counts != counts[0]):
        return []
    return [
        f"every class has {counts[0]} test rows: if rows were repeated or augmented before the split, copies of "
        "training images are in test. Split first, then oversample (--sampling)."
    ]


def _disgust(data: Data) -> list[str]:
    """More Disgust than FER2013 has, in images of its size."""
    if "disgust" not in data.labels or data.train.images.shape[1:] != (48, 48):
        return []
    label = data.labels.index("disgust")
    count = sum(int(np.sum(getattr(data, name).labels == label)) for name in USAGES)
    if count <= DISGUST:
        return []
    return [
        f"{count} rows are labelled disgust; all of FER2013 has {DISGUST}. If this is FER2013, rows were repeated or "
        "augmented before the split: use the original file."
    ]
