"""How training rows are drawn: from labels and a generator to row indices, in the order of one epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .names import known, refuse_argument, split_name

Indices = NDArray[np.int64]
Draw = Callable[[Indices, Generator], Indices]
"""N label indices and a generator → the row indices of one epoch, in random order. A pure function."""
MOST = 1_000_000
"""Rows of one class in an epoch."""


def per_class(sizes: Callable[[Indices], Indices]) -> Draw:
    """A drawing of so many rows of each class; `sizes`: rows that there are (C) → rows that are drawn (C).

    A class without rows is left out.
    """

    def draw(labels: Indices, rng: Generator) -> Indices:
        counts = np.bincount(labels)
        wanted = sizes(counts)
        drawn = [_draw(np.flatnonzero(labels == label), wanted[label], rng) for label in np.flatnonzero(counts)]
        return rng.permutation(np.concatenate(drawn))

    return draw


def none(argument: str | None, names: Sequence[str]) -> Draw:
    """Every row once."""
    refuse_argument("sampling", "none", argument)
    return lambda labels, rng: rng.permutation(len(labels))


def undersample(argument: str | None, names: Sequence[str]) -> Draw:
    """As many of every class as the rarest has, drawn anew each epoch."""
    refuse_argument("sampling", "undersample", argument)
    return per_class(lambda counts: np.full_like(counts, counts[counts > 0].min()))


def oversample(argument: str | None, names: Sequence[str]) -> Draw:
    """As many of every class as the commonest has, rare rows repeated; with a label, only of that class."""
    if argument is None:
        return per_class(lambda counts: np.full_like(counts, counts.max()))
    if argument not in names:
        raise ValueError(
            f"Sampling 'oversample:{argument}' names no label of this data. Labels: {', '.join(names)}; "
            "or oversample alone, for all of them."
        )
    label = list(names).index(argument)
    return per_class(lambda counts: np.where(np.arange(len(counts)) == label, counts.max(), counts))


def hybrid(argument: str | None, names: Sequence[str]) -> Draw:
    """Exactly so many of every class: more are drawn down, fewer repeated."""
    given = "hybrid" if argument is None else f"hybrid:{argument}"
    rows = int(argument) if argument and argument.isdecimal() else 0
    if not 1 <= rows <= MOST:
        raise ValueError(f"Sampling {given!r} needs the rows of each class, 1 to {MOST}. Give e.g. hybrid:3000.")
    return per_class(lambda counts: np.full_like(counts, rows))


SAMPLERS: dict[str, Callable[[str | None, Sequence[str]], Draw]] = {
    "none": none,
    "undersample": undersample,
    "oversample": oversample,
    "hybrid": hybrid,
}
"""Samplers by name: from the argument after the colon (None without) and the labels to the drawing."""


def check(name: str, names: Sequence[str] = ()) -> Draw:
    """The drawing that a name stands for.

    Args:
        name: A name of SAMPLERS, with its argument: none, undersample, oversample, oversample:LABEL, hybrid:N.
        names: Labels in index order, for oversample:LABEL.

    Raises:
        ValueError: The sampler is unknown, or its argument is missing, needless or wrong.
    """
    make, argument = known("sampling", name, SAMPLERS)
    return make(argument, names)


def evens(name: str) -> bool:
    """Whether a drawing has as many of every class, however many rows there are of each (but none of none)."""
    base, argument = split_name(name)
    return base in ("undersample", "hybrid") or (base == "oversample" and argument is None)


def epoch_order(name: str, labels: Indices, seed: int, epoch: int, names: Sequence[str] = ()) -> Indices:
    """The row order of one epoch, the same on every process and after every resume.

    Args:
        name: As `check` takes it.
        labels: N label indices.
        seed: Of the run.
        epoch: Counted from 0.
        names: Labels in index order.

    Returns:
        Row indices, classes mixed.

    Raises:
        ValueError: As `check`.
    """
    return check(name, names)(labels, np.random.default_rng([seed, epoch]))


def _draw(rows: Indices, size: int, rng: Generator) -> Indices:
    """`size` of the rows; all of them as often as that goes, then some of them once more, so that repeats are even."""
    rounds, rest = divmod(size, len(rows))
    return np.concatenate([np.tile(rows, rounds), rng.choice(rows, rest, replace=False)])
