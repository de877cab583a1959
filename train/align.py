"""Images cropped to their detected face, once: kept on disk by each image's content."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from tqdm import tqdm

from fer_hub.faces import FaceDetector
from fer_hub.image import crop
from fer_hub.types import Face, Image, Margin

from .duplicates import cache_folder, content_hash, keep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODES = {"box": "none", "eyes": "eyes"}
"""How an image is aligned → how `fer_hub.image.crop` calls that."""
SIDE_ALIGNED = 96
"""Side of an aligned image, as in the imbalance grid's report (facenet-pytorch's MTCNN to 96×96)."""
LARGE, PAD = 192, 48
"""Images are enlarged to this side and their border repeated by this many pixels before detection,
since a face that fills its frame has a box that reaches past it."""
SMALLEST = 60
"""Side of the smallest face that is looked for in the enlarged image: a face fills most of its frame."""
CHUNK = 512
"""Images that are aligned between two writes to disk."""
RECORD = np.dtype([("key", "S32"), ("found", "?"), ("image", "u1", (SIDE_ALIGNED, SIDE_ALIGNED))])
FORMAT = 1
"""Part of the cache's name: counted up when the same images are to be aligned anew."""

Images = NDArray[np.uint8]


class Detector(Protocol):
    """What finds faces, as fer_hub.faces.FaceDetector does."""

    def detect(self, image: Image) -> list[Face]:
        """All faces of an RGB image."""
        ...


def align(images: Images, mode: str, detector: Detector | None = None) -> tuple[Images, NDArray[np.bool_]]:
    """Crop every image to its largest face.

    Each image is aligned once, whatever split it is in later. When interrupted, the next call goes on from the last
    chunk that was written.

    Args:
        images: N×S×S uint8 grey.
        mode: "box": the detected box; "eyes": the same, turned until the eyes are level.
        detector: Finds the faces; None: MTCNN.

    Returns:
        N×96×96 uint8; and N, whether a face was found. Where none was, the whole image is brought to 96×96.

    Raises:
        ValueError: The mode is unknown.
    """
    if mode not in MODES:
        raise ValueError(f"Unknown alignment {mode!r}. Known: {', '.join(MODES)}.")
    folder = cache_folder() / f"align-{mode}-{FORMAT}"
    keys = np.array([content_hash(image) for image in images], "S32")
    _add_missing(images, keys, mode, folder, detector)
    aligned = np.empty((len(images), SIDE_ALIGNED, SIDE_ALIGNED), np.uint8)
    found = np.empty(len(images), bool)
    for chunk in _chunks(folder):
        rows, at = _places(keys, chunk["key"])
        aligned[rows], found[rows] = chunk["image"][at], chunk["found"][at]
    return aligned, found


def _add_missing(images: Images, keys: NDArray[np.bytes_], mode: str, folder: Path, detector: Detector | None) -> None:
    """Align what is not on disk yet, and write it chunk by chunk."""
    unique, first = np.unique(keys, return_index=True)
    known = np.concatenate([np.array([], "S32"), *(chunk["key"] for chunk in _chunks(folder))])
    todo = np.sort(first[~np.isin(unique, known)])
    if not len(todo):
        return
    one = partial(_record, mode=mode, detector=detector or FaceDetector(min_face_size=SMALLEST, threads=1))
    pause = 0.5 if sys.stderr.isatty() else 30
    bar = tqdm(total=len(unique), initial=len(unique) - len(todo), unit="img", desc=f"align {mode}", mininterval=pause)
    with bar, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as workers:  # a thread an image, not several
        for start in range(0, len(todo), CHUNK):
            rows = todo[start : start + CHUNK]
            records = []
            for row, (found, image) in zip(rows, workers.map(one, images[rows]), strict=True):
                records.append((keys[row], found, image))
                bar.update()
            chunk = np.array(records, RECORD)
            keep(folder / f"{content_hash(chunk['image'])}.npy", chunk)


def _record(image: Images, mode: str, detector: Detector) -> tuple[bool, Images]:
    """Whether a face was found, and the aligned image."""
    large = enlarged(image)
    faces = largest(detector.detect(large))
    cut = crop(large, faces[0], Margin(), MODES[mode])[:, :, 0] if faces else image
    pil = PILImage.fromarray(np.ascontiguousarray(cut))
    return bool(faces), np.asarray(pil.resize((SIDE_ALIGNED, SIDE_ALIGNED), PILImage.Resampling.BICUBIC))


def _chunks(folder: Path) -> Iterator[NDArray[Any]]:
    """All that is on disk, read where it is touched."""
    return (np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy")))


def _places(keys: NDArray[np.bytes_], known: NDArray[np.bytes_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of `keys` that are among `known`, and where there."""
    order = np.argsort(known)
    at = np.searchsorted(known, keys, sorter=order).clip(max=len(known) - 1)
    rows = np.flatnonzero(known[order[at]] == keys)
    return rows, order[at[rows]]


def enlarged(image: Images) -> Image:
    """A square grey image as the detector sees it: enlarged, border repeated, three channels."""
    large = np.asarray(PILImage.fromarray(image).resize((LARGE, LARGE), PILImage.Resampling.BICUBIC))
    return np.repeat(np.pad(large, PAD, mode="edge")[:, :, None], 3, axis=2)


def largest(faces: list[Face]) -> list[Face]:
    """The face with the largest box, in a list; an empty list for none."""
    return sorted(faces, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))[-1:]


def table(notes: Mapping[str, Any]) -> str:
    """Samples, samples without a found face and samples left, by split: the first report's table.

    Args:
        notes: Of a Data; where nothing was aligned, the table is empty.
    """
    counts: Mapping[str, Mapping[str, int]] = notes.get("alignment", {})
    if not counts:
        return ""
    lines = [f"{'':12}{'samples':>9}{'not detected':>19}{'left':>9}"]
    for name, row in counts.items():
        share = row["not_detected"] / max(1, row["samples"])
        lines.append(f"{name:12}{row['samples']:9,}{row['not_detected']:11,} ({share:5.1%}){row['left']:9,}")
    return "\n".join(lines)


def draw_examples(before: Images, after: Images, found: NDArray[np.bool_], count: int = 10) -> Figure:
    """Original above, aligned below; a quarter of them images without a found face, if there are any.

    It shows images of the data set: for the folder of a run, not for one that is published.

    Args:
        before: N×S×S, at least one image.
        after: N×96×96, the same images aligned.
        found: N, whether a face was found.
        count: Images to show, at most.
    """
    from .figures import plot  # here: matplotlib, for who wants to look

    seen, missed = np.flatnonzero(found), np.flatnonzero(~found)
    few = min(len(missed), max(count // 4, count - len(seen)))
    parts = ((seen, min(len(seen), count - few)), (missed, few))
    rows = np.concatenate([part[np.linspace(0, len(part) - 1, n).astype(int)] for part, n in parts if n])
    figure, axes = plot(0.9 * max(2, len(rows)), 2.2, 2, len(rows))
    for column, row in enumerate(rows):
        for line, images in enumerate((before, after)):
            axes[line, column].imshow(images[row], cmap="gray", vmin=0, vmax=255)
            axes[line, column].axis("off")
        if not found[row]:
            axes[1, column].set_title("not found", fontsize=7, color="#D55E00")
    return figure
