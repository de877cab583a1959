"""Images that occur more than once: pixel-identical, and the same photo a little changed or mirrored."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .run_folder import write_bytes

Images = NDArray[np.uint8]
Integers = NDArray[np.int64]
Floats = NDArray[np.float32]

SIMILAR = 0.8
"""Least Pearson correlation of the details of two images that count as the same photo.

Chosen by looking at pairs of FER2013. Pixels themselves do not tell: two portraits on a dark ground reach 0.93.
Without the slow changes of brightness, practically all pairs above 0.8 are one photo (other crop, contrast,
stamp or noise); between 0.75 and 0.8 mirrored pairs of different faces begin, below 0.75 upright ones."""
SLACK = 0.05
"""Candidates may correlate by this much less on the coarse grid than SIMILAR asks of the whole details."""
FINE, BROAD = 0.7 / 48, 4 / 48
"""Details lie between these two Gaussian blurs, whose sigmas are shares of the side."""
GRID = 16
"""Side of the coarse grid on which candidates are searched."""
BLOCK = 2048
"""Images compared with all later ones at a time."""


def identical(images: Images) -> Integers:
    """Group ids, N: pixel-identical images share one, the index of the first of them."""
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(image.tobytes(), row) for row, image in enumerate(images)], np.int64)


def copies(of: Images, among: Images) -> NDArray[np.bool_]:
    """Which images of `of` have a pixel-identical copy in `among`."""
    known = {image.tobytes() for image in among}
    return np.array([image.tobytes() in known for image in of], bool)


def similar(images: Images) -> Integers:
    """Rows that show the same photo, a little changed (brightness, contrast, noise, compression) or mirrored.

    All pairs are compared: by correlation of their details on a coarse grid, and where that is high, of all
    details. A crop shifted by more than a pixel or two is not found. Images of one colour are similar to nothing.
    The result is kept on disk by the images' content.

    Args:
        images: N×S×S uint8.

    Returns:
        M×2 pairs of rows (i, j), i < j, ordered; pixel-identical images are not among them.
    """
    key = f"{SIMILAR}-{SLACK}-{FINE:.4f}-{BROAD:.4f}-{GRID}-{content_hash(images)}"
    path = cache_folder() / f"similar-{key}.npy"
    if path.exists():
        return np.asarray(np.load(path))
    ids = identical(images)
    unique = np.unique(ids)
    pairs = _every_row(ids, unique[_similar_unique(images[unique])])
    keep(path, pairs)
    return pairs


def groups(images: Images) -> Integers:
    """Group ids, N: images that are identical or similar, directly or through others, share one (the first row)."""
    rows = len(images)
    pairs = np.concatenate([similar(images), np.stack([identical(images), np.arange(rows)], axis=1)])
    graph = coo_matrix((np.ones(len(pairs), bool), pairs.T), shape=(rows, rows))
    component = connected_components(graph, directed=False)[1]
    first: Integers = np.unique(component, return_index=True)[1]
    return first[component]


def cache_folder() -> Path:
    """Where results that follow from images alone are kept, beside the cache of `datasets`."""
    import datasets  # here: it takes a second to import, which not all callers need

    return Path(datasets.config.HF_DATASETS_CACHE) / "fer_hub"


def content_hash(images: Images) -> str:
    """32 hexadecimal digits that stand for these images in this order."""
    digest = hashlib.blake2b(repr(images.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(images).data.cast("B"))
    return digest.hexdigest()


def keep(path: Path, array: NDArray[np.generic]) -> None:
    """Write an array as .npy, whole or not at all, whatever other processes write the same at the same time."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    own = path.with_name(f"{os.getpid()}-{path.name}")
    write_bytes(own, buffer.getvalue())
    own.replace(path)


def _similar_unique(images: Images) -> Integers:
    """Pairs among images of which no two are identical."""
    fine = details(images)
    upright, mirrored = (unit_vectors(_coarse(way)) for way in (fine, fine[:, :, ::-1]))
    found = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(images), BLOCK):
        rows = slice(start, start + BLOCK)
        for others, flip in ((upright, False), (mirrored, True)):
            first, second = np.nonzero(upright[rows] @ others[start:].T >= SIMILAR - SLACK)
            pairs = start + np.stack([first, second], axis=1)
            pairs = pairs[pairs[:, 0] < pairs[:, 1]]
            found.append(pairs[correlation(fine, pairs, flip) >= SIMILAR])
    return np.unique(np.concatenate(found), axis=0)


def correlation(fine: Floats, pairs: Integers, flip: bool) -> Floats:
    """Pearson correlation of the details of each pair, the second mirrored if asked for."""
    one, other = fine[pairs[:, 0]], fine[pairs[:, 1]]
    result: Floats = np.einsum("nd,nd->n", unit_vectors(one), unit_vectors(other[:, :, ::-1] if flip else other))
    return result


def details(images: Images) -> Floats:
    """N×S×S: the images a little blurred, minus the images much blurred."""
    result = np.empty(images.shape, np.float32)
    little, much = ([_blur(side, share * side) for side in images.shape[1:]] for share in (FINE, BROAD))
    for start in range(0, len(images), BLOCK):
        part = images[start : start + BLOCK].astype(np.float32)
        result[start : start + BLOCK] = little[0] @ part @ little[1].T - much[0] @ part @ much[1].T
    return result


def _blur(side: int, sigma: float) -> Floats:
    """side×side: the weights of the pixels of a line in each of its blurred pixels."""
    apart = np.subtract.outer(np.arange(side), np.arange(side))
    weights = np.exp(-0.5 * (apart / sigma) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _coarse(fine: Floats) -> Floats:
    """Means over GRID×GRID equal cells, whatever the side of the images."""
    rows, columns = (_shares(side) for side in fine.shape[1:])
    return np.asarray(rows @ fine @ columns.T)


def _shares(side: int) -> Floats:
    """GRID×side: by how much each pixel counts in the mean of each cell."""
    edges = np.linspace(0, side, GRID + 1)[:, None]
    pixels = np.arange(side)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return (overlap.clip(0) * GRID / side).astype(np.float32)


def unit_vectors(images: Floats) -> Floats:
    """One vector an image, mean 0 and length 1, so that a product is a correlation; 0 where there is no detail."""
    flat = images.reshape(len(images), images.shape[1] * images.shape[2])
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.where(length > 0.1, length, np.inf))


def _every_row(ids: Integers, pairs: Integers) -> Integers:
    """Pairs of groups of identical images → pairs of all their rows."""
    order = np.argsort(ids, kind="stable")
    members = {int(ids[part[0]]): part for part in np.split(order, np.flatnonzero(np.diff(ids[order])) + 1)}
    rows = [sorted((int(i), int(j))) for one, other in pairs.tolist() for i in members[one] for j in members[other]]
    return np.array(sorted(rows), np.int64).reshape(-1, 2)
