"""Test-time augmentation: the views of one face that a model is shown."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .types import Image

SHARE = 7 / 8
"""Side of each of the ten crops, in units of the face's: 224 of 256 pixels in Krizhevsky et al. 2012."""


def as_it_is(face: Image) -> list[Image]:
    """The face."""
    return [face]


def with_mirror(face: Image) -> list[Image]:
    """The face, and mirrored."""
    return [face, np.ascontiguousarray(face[:, ::-1])]


def ten_crops(face: Image) -> list[Image]:
    """Its four corners and its centre, 7/8 of its side each, and each of them mirrored (Krizhevsky et al. 2012)."""
    height, width = (max(1, round(length * SHARE)) for length in face.shape[:2])
    down, right = face.shape[0] - height, face.shape[1] - width
    places = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    return [view for y, x in places for view in with_mirror(face[y : y + height, x : x + width])]


VIEWS: dict[str, Callable[[Image], list[Image]]] = {"none": as_it_is, "flip": with_mirror, "tencrop": ten_crops}
"""Test-time augmentation by name: a face (H×W×3 or H×W uint8) to the views whose probabilities are averaged."""


def count_views(name: str) -> int:
    """How many views of a face there are under a name of `VIEWS`."""
    return len(VIEWS[name](np.zeros((8, 8), np.uint8)))


def check_views(name: str) -> None:
    """Whether there are views of this name.

    Raises:
        ValueError: There are none.
    """
    if name not in VIEWS:
        raise ValueError(f"Unknown views {name!r}. Known: {', '.join(VIEWS)}.")
