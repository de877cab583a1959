"""What each protocol keeps of a source, under which labels, and in which split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fer_hub.labels import DISPLAY, LABEL_SPACES, canonical_all

from . import duplicates
from .rows import USAGES, VOTES, DataError, Rows

Integers = NDArray[np.int64]
Parts = tuple[Integers, Integers, Integers]
"""Rows of train, validation and test."""

SEED = 2013
"""Draws every random split: fixed, so that runs of any seed are scored on the same rows."""
FERPLUS_LABELS = canonical_all(VOTES[:8])
CHALLENGE = ("official", "official-clean", "ferplus")
"""Protocols whose three splits are those of the challenge."""


def apart(learned: str | None, scored: str | None) -> bool:
    """Whether under `learned` no row is learned from, or chosen on, that is scored under `scored`.

    Not symmetric: "folders" chooses on rows of Training, so its models know nothing that the challenge scores; those of
    the challenge have chosen on PublicTest, which "folders" scores.
    """
    return learned == scored or (scored in CHALLENGE and learned in (*CHALLENGE, "folders"))


KAGGLE_TRAIN = {
    "angry": 3993, "disgust": 436, "fear": 4103, "happy": 7164, "sad": 4938, "surprise": 3205, "neutral": 4982
}  # fmt: skip
"""Rows per class of the folder split of 28,821 and 7,066 (Kaggle: jonathanoheix)."""


# ── labels: (rows, label names) → N labels, -1 for rows that are left out; and why, with counts ──────────────────────


def by_name(rows: Rows, labels: Sequence[str]) -> tuple[Integers, dict[str, int]]:
    """The source's own labels, by name; rows with another label are left out.

    Raises:
        DataError: The source has votes only.
    """
    if not rows.names:
        raise DataError(f"{rows.name} has votes but no labels. Use --protocol ferplus or ferplus-raw.")
    to = np.array([labels.index(name) if name in labels else -1 for name in rows.names])
    found = np.where(rows.labels >= 0, to[rows.labels], -1)
    outside = Counter(rows.names[label] for label in rows.labels[found < 0])
    return found, {f"labelled {name}": n for name, n in outside.items()}


def plurality(rows: Rows, labels: Sequence[str]) -> tuple[Integers, dict[str, int]]:
    """The answer with the most votes of all ten, the first in FERPlus' order where several have them.

    Rows that "unknown" or "not a face" wins are left out, which gives the 28,389 / 3,553 / 3,546 rows of papers. A
    tie goes to the earlier column (neutral first, and any expression before unknown): 1,776 rows have one.
    """
    winner = _votes(rows).argmax(axis=1)
    left = {"unknown": int(np.sum(winner == 8)), "not a face": int(np.sum(winner == 9))}
    return _ferplus(winner, labels), {reason: n for reason, n in left.items() if n}


def majority(rows: Rows, labels: Sequence[str]) -> tuple[Integers, dict[str, int]]:
    """FERPlus' own rule: single votes count for nothing, the winner needs more than half of what is left.

    Source: microsoft/FERPlus, src/ferplus.py, mode "majority" (Barsoum et al., ICMI 2016).
    """
    votes = _votes(rows)
    votes = np.where(votes > 1, votes, 0)
    decided = 2 * votes.max(axis=1) > votes.sum(axis=1)
    winner = np.where(decided, votes.argmax(axis=1), -1)
    left = {"no majority": -1, "unknown": 8, "not a face": 9}
    return _ferplus(winner, labels), {r: n for r, code in left.items() if (n := int(np.sum(winner == code)))}


def _votes(rows: Rows) -> Integers:
    if rows.votes is None:
        raise DataError(f"{rows.name} has no FERPlus votes. Put fer2013new.csv beside fer2013.csv.")
    return rows.votes


def _ferplus(winner: Integers, labels: Sequence[str]) -> Integers:
    to = np.array([*(labels.index(name) for name in FERPLUS_LABELS), -1, -1, -1])  # unknown, NF, nobody (-1)
    return np.asarray(to[winner], np.int64)


def shares(rows: Rows, index: Integers, labels: Integers, names: Sequence[str]) -> NDArray[np.float32]:
    """N×C: each label's share of the votes that any of `names` got; rows without such a vote keep their label.

    Raises:
        DataError: The source has no votes.
    """
    votes = _votes(rows)[index][:, [FERPLUS_LABELS.index(name) for name in names]].astype(np.float32)
    none = votes.sum(axis=1) == 0
    votes[none, labels[none]] = 1
    votes /= votes.sum(axis=1, keepdims=True)
    return votes


def own_labels(rows: Rows) -> tuple[str, tuple[str, ...]]:
    """The label space of the labels that occur: a known one, or "custom" in canonical order."""
    occurring = {rows.names[label] for label in np.unique(rows.labels) if label >= 0}
    for space, labels in LABEL_SPACES.items():
        if set(labels) == occurring:
            return space, labels
    return "custom", tuple(label for label in DISPLAY["en"] if label in occurring)


# ── splits: (rows, N labels, sizes) → rows of train, validation, test ────────────────────────────────────────────────


def by_usage(rows: Rows, labels: Integers, sizes: Sequence[int]) -> Parts:
    """The source's own three splits."""
    train, validation, test = (np.flatnonzero((labels >= 0) & (rows.usage == usage)) for usage in USAGES)
    return train, validation, test


def without_leaks(rows: Rows, labels: Integers, sizes: Sequence[int]) -> Parts:
    """The source's splits, less the training rows that are copies of a validation or test row, exact or nearly."""
    train, validation, test = by_usage(rows, labels, sizes)
    pairs = duplicates.similar(rows.images)
    outside = rows.usage != USAGES[0]
    ids = duplicates.identical(rows.images)
    copied = np.isin(ids, ids[outside])
    for one, other in (pairs.T, pairs.T[::-1]):
        copied[one[outside[other]]] = True
    return train[~copied[train]], validation, test


def folders(rows: Rows, labels: Integers, sizes: Sequence[int]) -> Parts:
    """Training split 80/20 by scikit-learn, stratified; PublicTest and PrivateTest together are the test set."""
    from sklearn.model_selection import train_test_split  # here: a second to import, for these protocols only

    inside, validation, test = by_usage(rows, labels, sizes)
    train, chosen = train_test_split(inside, test_size=0.2, random_state=0, stratify=labels[inside])
    return np.sort(train), np.sort(chosen), np.concatenate([validation, test])


def grouped(rows: Rows, labels: Integers, sizes: Sequence[int]) -> Parts:
    """All rows, whatever their usage, in three random stratified parts; copies, exact or nearly, stay together."""
    kept = np.flatnonzero(labels >= 0)
    train, validation, test = draw(labels[kept], sizes, duplicates.groups(rows.images)[kept])
    return kept[train], kept[validation], kept[test]


def kaggle(rows: Rows, labels: Integers, sizes: Sequence[int]) -> Parts:
    """28,821 and 7,066 rows: the source's own two splits if they are that, else drawn by KAGGLE_TRAIN.

    The 7,066 are the test set and a tenth of the 28,821 is the validation split, so that nothing is chosen on the
    test set (Kaggle's folder is called "validation").
    """
    sides = [np.flatnonzero((labels >= 0) & (rows.usage == usage)) for usage in USAGES]
    given = [side for side in sides if len(side)]
    if [len(side) for side in given] == [sizes[0] + sizes[1], sizes[2]]:
        return _with_validation(rows, labels, *given)
    rng = np.random.default_rng(SEED)
    drawn = [rng.permutation(np.flatnonzero(labels == i))[:n] for i, n in enumerate(KAGGLE_TRAIN.values())]
    train = np.sort(np.concatenate(drawn))
    return _with_validation(rows, labels, train, np.setdiff1d(np.flatnonzero(labels >= 0), train))


def as_given(rows: Rows, labels: Integers, sizes: Sequence[int]) -> Parts:
    """The source's own splits, of any size.

    With two (train and another, called test or validation) the other is the test set and a tenth of train becomes
    the validation split; with one, it is split 70/10/20 as in `grouped`.

    Raises:
        DataError: There is no training row, or a class has none.
    """
    given = [part for part in by_usage(rows, labels, sizes) if len(part)]
    kept = sum(len(part) for part in given)
    if len(given) == 1:
        tenth, fifth = round(0.1 * kept), round(0.2 * kept)
        parts = grouped(rows, labels, (kept - tenth - fifth, tenth, fifth))
    elif not np.any(rows.usage == USAGES[0]):
        raise DataError(f"{rows.name}: no row is for training. Name a split train or Training.")
    else:
        parts = _with_validation(rows, labels, *given) if len(given) == 2 else by_usage(rows, labels, sizes)
    for name, part in zip(USAGES, parts, strict=True):
        if not len(part):
            raise DataError(f"{rows.name}: no row is left for the split {name}; {kept} rows are too few.")
    return parts


def _with_validation(rows: Rows, labels: Integers, train: Integers, test: Integers) -> Parts:
    """A stratified tenth of the training rows as validation split; identical images stay together."""
    tenth = round(len(train) / 10)
    sizes = (len(train) - tenth, tenth, 0)
    rest, validation, _ = draw(labels[train], sizes, duplicates.identical(rows.images[train]))
    return train[rest], train[validation], test


def draw(labels: Integers, sizes: Sequence[int], groups: Integers) -> Parts:
    """Three random parts of exact sizes, each class in its share of each; members of a group stay together.

    Groups of several rows are dealt first, each to a part that has room for all its labels, drawn by the parts'
    sizes; single rows then fill what is left. Only where groups fill nearly everything can sizes differ: the rest
    goes to the first part.
    """
    counts = np.bincount(labels)
    test = apportion(counts, sizes[2])
    validation = apportion(counts - test, sizes[1])
    room = np.stack([counts - test - validation, validation, test])
    rng = np.random.default_rng(SEED)
    part = np.zeros(len(labels), np.int64)
    _, ids, members = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(ids, kind="stable")
    several = [rows for rows in np.split(order, np.cumsum(members)[:-1]) if len(rows) > 1]
    for at in rng.permutation(len(several)):
        rows = several[at]
        needs = np.bincount(labels[rows], minlength=len(counts))
        chances = np.array(sizes) * np.all(room >= needs, axis=1)
        part[rows] = chosen = rng.choice(3, p=chances / chances.sum()) if chances.any() else 0
        room[chosen] -= needs
    single = members[ids] == 1
    for label in range(len(counts)):
        free = rng.permutation(np.flatnonzero(single & (labels == label)))
        into_test, into_validation = (max(0, int(n)) for n in room[[2, 1], label])
        part[free[:into_test]] = 2
        part[free[into_test : into_test + into_validation]] = 1
    return np.flatnonzero(part == 0), np.flatnonzero(part == 1), np.flatnonzero(part == 2)


def apportion(counts: Integers, total: int) -> Integers:
    """How many of `total` each class gets in proportion to its count, by largest remainders; exact in sum."""
    exact = counts * total / max(1, counts.sum())
    whole: Integers = np.floor(exact).astype(np.int64)
    whole[np.argsort(whole - exact, kind="stable")[: total - whole.sum()]] += 1
    return whole
