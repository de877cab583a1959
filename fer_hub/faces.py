"""Faces in an image: the MTCNN cascade on ONNX Runtime, without torch.

Zhang et al. 2016, "Joint Face Detection and Alignment using Multitask Cascaded Convolutional Networks"
(arXiv:1604.02878), with the weights, thresholds and rounding of facenet-pytorch 2.5.3 (MIT): the same
faces. All resampling is adaptive average pooling, computed from one table of sums of the image. Strips of the
pyramid and groups of crops are prepared by the caller's thread and handed to worker threads, which do
nothing but run a network, since that alone needs no lock of Python's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_hub.types import Array, Face, Image, ImageError

Sums = NDArray[np.int32]
Integers = NDArray[np.int64]
Job = TypeVar("Job")
Result = TypeVar("Result")

ASSETS = Path(__file__).parent / "assets" / "mtcnn"
WINDOW, STRIDE = 12, 2
STRIP = 8192
"""Windows of a pyramid level that one job looks at, at most."""
GROUP = {24: 256, 48: 64}
"""Crops cut out at a time, by their side, at most; the threads share them."""


class FaceDetector:
    """Finds faces as ``facenet_pytorch.MTCNN(keep_all=True, select_largest=False)`` does, faster.

    Args:
        min_face_size: Side of the smallest face to look for, in pixels; 40 needs half the time of 20.
        thresholds: Least scores, 0 to 1, of the three stages.
        factor: Ratio of one pyramid level to the one before, between 0 and 1.
        threads: Threads to work with; None means one per core, but 4 at most. They never spin.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        min_face_size: int = 20,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
        factor: float = 0.709,
        threads: int | None = None,
    ) -> None:
        """Check the options, load the three networks."""
        if not min_face_size >= 1:
            raise ValueError(f"min_face_size is {min_face_size}, it must be 1 or more pixels: try 20.")
        if len(thresholds) != 3 or not all(0 <= t <= 1 for t in thresholds):
            raise ValueError(f"thresholds are {thresholds}, not three scores from 0 to 1: try 0.6, 0.7, 0.7.")
        if not 0 < factor < 1:
            raise ValueError(f"factor is {factor}, it must lie between 0 and 1, both excluded: try 0.709.")
        if threads is not None and not threads >= 1:
            raise ValueError(f"threads is {threads}, it must be 1 or more: leave it out for one per core.")
        self.min_face_size = min_face_size
        self.thresholds = tuple(float(t) for t in thresholds)
        self.factor = factor
        self.threads = threads or min(4, os.cpu_count() or 1)
        self._pnet, self._rnet, self._onet = (_session(name) for name in ("pnet", "rnet", "onet"))
        self._workers = ThreadPoolExecutor(self.threads, thread_name_prefix="faces")

    def detect(self, image: Image) -> list[Face]:
        """All faces of an RGB image (height, width, 3; uint8), the most probable first.

        Raises:
            ImageError: The array is of another type or shape.
        """
        _check(image)
        height, width = image.shape[:2]
        scales = _scales(min(height, width), self.min_face_size, self.factor)
        if not scales:
            return []
        sums = self._integral(image)
        return self._describe(sums, self._select(sums, self._propose(sums, scales)))

    def refine(self, image: Image, boxes: ArrayLike) -> list[Face]:
        """The faces in ``boxes`` (n, 4) of an RGB image: the last stage alone, to follow known faces.

        Raises:
            ImageError: The array is of another type or shape.
        """
        _check(image)
        boxes = _squared(np.asarray(boxes, np.float32).reshape(-1, 4))
        corners, seen = _corners(boxes, image.shape[1], image.shape[0])
        if not len(corners):
            return []
        left, top = corners[:, :2].min(axis=0)
        right, bottom = corners[:, 2:].max(axis=0)
        origin = np.array([left, top], np.float32)
        return self._describe(self._integral(image[top:bottom, left:right]), boxes[seen] - np.tile(origin, 2), origin)

    def _integral(self, image: Image) -> Sums:
        """Sums of all pixels above and left (height + 1, 3, width + 1); int32 may wrap, differences hold."""
        height, width, _ = image.shape
        sums = np.zeros((height + 1, 3, width + 1), np.int32)

        def along_rows(channel: int) -> None:
            np.cumsum(image[:, :, channel], axis=1, dtype=np.int32, out=sums[1:, channel, 1:])

        self._map(along_rows, [0, 1, 2])
        for above, row in pairwise(sums.reshape(height + 1, -1)):
            np.add(above, row, out=row)
        return sums

    def _propose(self, sums: Sums, scales: list[float]) -> Array:
        """Stage 1: P-Net on every window of every scale → square boxes (n, 4)."""
        height, _, width = sums.shape
        strips = [strip for scale in scales for strip in _strips(height - 1, width - 1, scale)]
        outputs = self._run(self._pnet, (_strip_pixels(sums, *strip) for strip in strips))
        found = [self._windows(output[0], *strip) for output, strip in zip(outputs, strips, strict=True)]
        every = np.concatenate(found)
        level = np.repeat([scales.index(strip[0]) for strip in strips], [len(part) for part in found])
        apart = np.float32(2 * max(height, width)) * level[:, None].astype(np.float32)  # whole pixels: exact
        every = every[_nms(every[:, :4] + apart, every[:, 4], 0.5)]  # within each level
        every = every[_nms(every[:, :4], every[:, 4], 0.7)]
        boxes, offsets = every[:, :4], every[:, 5:]
        side = boxes[:, 2:] - boxes[:, :2]
        return _squared(boxes + offsets * np.tile(side, 2))

    def _windows(self, output: Array, scale: float, first: int, last: int) -> Array:
        """P-Net's output for window rows ``first`` to ``last`` of a level → (n, 9): box, score, 4 offsets."""
        score = _sigmoid(output[0])
        y, x = np.nonzero(score >= self.thresholds[0])
        place = np.stack([x, y + first], axis=1).astype(np.float32) * STRIDE
        start, end = np.floor((place + 1) / scale), np.floor((place + WINDOW) / scale)
        return np.concatenate([start, end, score[y, x, None], output[1:, y, x].T], axis=1)

    def _select(self, sums: Sums, boxes: Array) -> Array:
        """Stage 2: R-Net rejects most boxes and moves the others → square boxes (n, 4)."""
        boxes, scores, output = self._classify(self._rnet, sums, boxes, 24, self.thresholds[1])
        keep = _nms(boxes, scores, 0.7)
        return _squared(_moved(boxes[keep], output[keep, 1:5]))

    def _describe(self, sums: Sums, boxes: Array, origin: ArrayLike = (0.0, 0.0)) -> list[Face]:
        """Stage 3: O-Net decides, moves the box and gives the five points."""
        boxes, scores, output = self._classify(self._onet, sums, boxes, 48, self.thresholds[2])
        side = boxes[:, None, 2:] - boxes[:, None, :2] + 1
        points = side * output[:, 5:].reshape(-1, 2, 5).transpose(0, 2, 1) + boxes[:, None, :2] - 1
        boxes = _moved(boxes, output[:, 1:5])
        keep = _nms_of_smaller(boxes, scores, 0.7)
        origin = np.asarray(origin, np.float32)
        boxes, points = boxes[keep] + np.tile(origin, 2), points[keep] + origin
        faces = zip(boxes.tolist(), scores[keep].tolist(), points, strict=True)
        return [Face((x0, y0, x1, y1), score, five) for (x0, y0, x1, y1), score, five in faces]

    def _classify(
        self, network: Any, sums: Sums, boxes: Array, side: int, threshold: float
    ) -> tuple[Array, Array, Array]:
        """The boxes whose crops score above ``threshold``, their scores, and the network's output."""
        corners, seen = _corners(boxes, sums.shape[2] - 1, len(sums) - 1)
        count = len(corners)
        if not count:
            return boxes[:0], boxes[:0, 0], np.zeros((0, 15), np.float32)
        outputs = []
        for group in np.array_split(corners, -(-count // GROUP[side])):
            crops = _crops(sums, group, side)
            outputs += self._run(network, np.array_split(crops, min(self.threads, len(crops))))
        output = np.concatenate(outputs)
        scores = _sigmoid(output[:, 0])
        good = scores > threshold
        return boxes[seen][good], scores[good], output[good]

    def _run(self, network: Any, inputs: Iterable[Array]) -> list[Array]:
        """The network's output for each input."""
        return self._map(lambda pixels: network.run(None, {"pixels": pixels})[0], inputs)

    def _map(self, work: Callable[[Job], Result], jobs: Iterable[Job]) -> list[Result]:
        """``work`` on every job, on all threads."""
        return [work(job) for job in jobs] if self.threads == 1 else list(self._workers.map(work, jobs))


def _session(name: str) -> Any:
    """One network, on the thread that calls it: the jobs already use all cores, and nothing spins."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(ASSETS / f"{name}.onnx", options, providers=["CPUExecutionProvider"])


def _check(image: object) -> None:
    """Raise ImageError unless ``image`` is RGB, uint8 and not empty."""
    if not isinstance(image, np.ndarray):
        given = f"a {type(image).__name__}"
    elif image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        given = f"an array of shape {image.shape} and type {image.dtype}"
    else:
        return
    raise ImageError(
        f"The image is {given}, a uint8 array of shape (height, width, 3) is needed: "
        "use numpy.asarray(PIL.Image.open(file).convert('RGB'))."
    )


def _scales(shorter: int, min_face_size: int, factor: float) -> list[float]:
    """Scales of the pyramid: from "the smallest face fills a window" down to a level of one window."""
    scale = float(WINDOW) / min_face_size
    side, scales = shorter * scale, []
    while side >= WINDOW:
        scales.append(scale)
        scale, side = scale * factor, side * factor
    return scales


def _places(length: int) -> int:
    """Windows that P-Net sees along ``length`` pixels: a convolution, a pooling, two convolutions."""
    return (length - 1) // 2 - 4


def _strips(height: int, width: int, scale: float) -> Iterable[tuple[float, int, int]]:
    """Cut a level into (scale, first, last) window rows, about equal and of STRIP windows at most."""
    rows, columns = _places(int(height * scale + 1)), _places(int(width * scale + 1))
    edges = np.linspace(0, rows, min(rows, -(-rows * columns // STRIP)) + 1).astype(int).tolist()
    return ((scale, first, last) for first, last in pairwise(edges))


def _bins(length: Any, count: int) -> tuple[Integers, Integers]:
    """Start and end of ``count`` bins of adaptive pooling over ``length`` pixels (a number, or (n, 1))."""
    index = np.arange(count)
    return index * length // count, -(-(index + 1) * length // count)


def _strip_pixels(sums: Sums, scale: float, first: int, last: int) -> Array:
    """What P-Net must see for window rows ``first`` to ``last`` of a level → (1, 3, rows, columns)."""
    height, _, width = sums.shape
    rows, columns = int((height - 1) * scale + 1), int((width - 1) * scale + 1)
    stop = STRIDE * last + WINDOW - STRIDE if last < _places(rows) else rows
    return _level(sums, rows, columns, STRIDE * first, stop)[None]


def _level(sums: Sums, rows: int, columns: int, start: int, stop: int) -> Array:
    """Rows ``start`` to ``stop`` of the image pooled to (rows, columns) → (3, stop - start, columns)."""
    top, bottom = (edge[start:stop] for edge in _bins(len(sums) - 1, rows))
    left, right = _bins(sums.shape[2] - 1, columns)
    bands = sums.take(bottom, axis=0)
    bands -= sums.take(top, axis=0)
    pooled = bands.take(right, axis=2)
    pooled -= bands.take(left, axis=2)
    share = 1 / np.multiply.outer(bottom - top, right - left).astype(np.float32)
    level = np.empty((3, len(top), columns), np.float32)
    np.multiply(pooled.astype(np.float32), share[:, None], out=level.transpose(1, 0, 2))
    return level


def _crops(sums: Sums, corners: Integers, side: int) -> Array:
    """The pixels within ``corners`` (n, 4) pooled to (n, 3, side, side)."""
    begin, size = corners[:, :2], corners[:, 2:] - corners[:, :2]
    (left, right), (top, bottom) = (
        [edge + begin[:, [axis]] for edge in _bins(size[:, [axis]], side)] for axis in (0, 1)
    )
    share = 1 / ((bottom - top)[:, :, None] * (right - left)[:, None]).astype(np.float32)
    flat, width = sums.reshape(-1), sums.shape[2]
    plane = np.arange(3).reshape(3, 1, 1) * width
    upper, lower = (row[:, None, :, None] * 3 * width + plane for row in (top, bottom))
    left, right = left[:, None, None], right[:, None, None]
    total = flat.take(lower + right)
    total -= flat.take(lower + left)
    total -= flat.take(upper + right)
    total += flat.take(upper + left)
    crops: Array = total.astype(np.float32)
    crops *= share[:, None]
    return crops


def _corners(boxes: Array, width: int, height: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Boxes counted from 1 → the pixels (x0, y0, x1, y1) of the image in them, and which have any."""
    whole = np.trunc(boxes).astype(np.int64)
    corners = np.concatenate([np.maximum(whole[:, :2], 1) - 1, np.minimum(whole[:, 2:], (width, height))], 1)
    seen: NDArray[np.bool_] = np.all(corners[:, 2:] > corners[:, :2], axis=1)
    return corners[seen], seen


def _sigmoid(logit: Array) -> Array:
    score: Array = 0.5 + 0.5 * np.tanh(0.5 * logit)
    return score


def _squared(boxes: Array) -> Array:
    """Boxes about the same centres, as wide and high as the longer side."""
    size = boxes[:, 2:] - boxes[:, :2]
    longer = size.max(axis=1, keepdims=True)
    start = boxes[:, :2] + size * 0.5 - longer * 0.5
    return np.concatenate([start, start + longer], axis=1)


def _moved(boxes: Array, offsets: Array) -> Array:
    """Boxes with each edge moved by its offset, in units of the box."""
    return boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)


def _overlap(ones: Array, others: Array) -> Array:
    """Intersection over union, (n, 4) and (m, 4) → (n, m)."""
    x0, y0, x1, y1 = ones.T[:, :, None]
    left, top, right, bottom = others.T[:, None]
    common = np.maximum(np.minimum(x1, right) - np.maximum(x0, left), 0)
    common *= np.maximum(np.minimum(y1, bottom) - np.maximum(y0, top), 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: Array = common / ((x1 - x0) * (y1 - y0) + (right - left) * (bottom - top) - common)
    return shares


def _nms(boxes: Array, scores: Array, threshold: float, block: int = 128) -> Integers:
    """Greedy non-maximum suppression → indices, best first; as ``torchvision.ops.nms``, by blocks."""
    order = np.argsort(-scores, kind="stable")
    if len(order) < 2:
        return order
    kept = []
    while len(order):
        head, order = order[:block], order[block:]
        by_better = np.tril(_overlap(boxes[head], boxes[head]) > threshold, -1)
        alive = np.ones(len(head), bool)
        for _ in head:  # settles from the best downwards, mostly in a few rounds
            alive, before = ~np.any(by_better & alive, axis=1), alive
            if np.array_equal(alive, before):
                break
        kept.append(head[alive])
        if len(order):
            order = order[~(_overlap(boxes[order], boxes[kept[-1]]) > threshold).any(axis=1)]
    return np.concatenate(kept)


def _nms_of_smaller(boxes: Array, scores: Array, threshold: float) -> Integers:
    """The same by intersection over the smaller area, edges included, as the last stage has it."""
    order, kept = np.argsort(scores, kind="stable")[::-1], []
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        start = np.maximum(boxes[best, :2], boxes[order, :2])
        common = np.maximum(np.minimum(boxes[best, 2:], boxes[order, 2:]) - start + 1, 0).prod(axis=1)
        order = order[common / np.minimum(area[best], area[order]) <= threshold]
    return np.array(kept, np.int64)
