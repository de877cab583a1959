"""How training rows are drawn: (labels, rng) → row indices, in the order of one epoch. Pure functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def none(labels: Indices, rng: Generator) -> Indices:
    """Every row once."""
    return rng.permutation(len(labels))


def undersample(labels: Indices, rng: Generator) -> Indices:
    """As many of every class as the rarest has, drawn anew each epoch."""
    return _per_class(labels, rng, int(_counts(labels).min()))


def oversample(labels: Indices, rng: Generator) -> Indices:
    """As many of every class as the commonest has, rare rows repeated."""
    return _per_class(labels, rng, int(_counts(labels).max()))


SAMPLERS: dict[str, Callable[[Indices, Generator], Indices]] = {
    "none": none,
    "undersample": undersample,
    "oversample": oversample,
}


def epoch_order(name: str, labels: Indices, seed: int, epoch: int) -> Indices:
    """The row order of one epoch, the same on every process and after every resume.

    Raises:
        ValueError: The sampler is unknown.
    """
    if name not in SAMPLERS:
        raise ValueError(f"Unknown sampling {name!r}. Known: {', '.join(SAMPLERS)}.")
    return SAMPLERS[name](labels, np.random.default_rng([seed, epoch]))


def _counts(labels: Indices) -> Indices:
    return np.unique(labels, return_counts=True)[1]


def _per_class(labels: Indices, rng: Generator, size: int) -> Indices:
    """`size` rows of each class; whole rounds of all its rows first, so that repeats are even."""
    drawn = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rounds = [rng.permutation(rows) for _ in range(-(-size // len(rows)))]
        drawn.append(np.concatenate(rounds)[:size])
    return rng.permutation(np.concatenate(drawn))
