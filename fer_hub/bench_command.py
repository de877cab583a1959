"""`fer-hub bench`: how fast models, the detector and the whole way from frame to labels are on this machine."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage
from PIL import ImageOps

from .bench import Timing, compare, machine, ratio
from .classifier import classify
from .download import Place
from .faces import FaceDetector
from .hub import DEFAULT_MODEL, VARIANTS
from .image import read
from .listing import describe
from .options import print_line
from .recognizer import Recognizer
from .types import Face, Image, ImageError

PHOTO = Path(__file__).parent / "assets" / "examples" / "astronaut.jpg"
FRAME = (640, 480)
"""Width and height of a frame, in pixels."""
BATCHES = (1, 8)
SWAY, FRAMES_PER_SECOND = 15, 30
"""Pixels by which the picture moves to and fro, one a frame; the clock of the stream."""
BLOCK = 10
"""Calls a turn."""
Row = dict[str, Any]
Recognizers = Mapping[tuple[str, str], Recognizer]
"""By the name of the model and that of the variant; the first is what the others are compared with."""


def add_bench(commands: Any) -> None:
    """The command and its options, among the others."""
    bench = commands.add_parser("bench", help="measure how fast models, detector and tracking are here")
    bench.add_argument(
        "--model", action="append", metavar="DIR_OR_REPO", help="several are compared; default: embedded"
    )
    bench.add_argument("--image", metavar="PHOTO", default=str(PHOTO), help="with a face; default: an example")
    bench.add_argument(
        "--frames", type=int, default=100, metavar="N", help="calls of each that are timed; default: 100"
    )
    bench.add_argument("--threads", type=int, metavar="N", help="default: up to four")
    bench.add_argument("--offline", action="store_true", help="never ask the Hub")
    bench.add_argument("--json", action="store_true", help="one JSON object")
    bench.set_defaults(command=_bench)


def _bench(options: argparse.Namespace) -> int:
    for name in ("frames", "threads"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} is {value}; give 1 or more.")
    image = read(options.image)
    detector = FaceDetector(min_face_size=40, threads=options.threads)
    place = Place(local_files_only=options.offline)
    recognizers = {
        (name, variant): recognizer
        for name in options.model or [DEFAULT_MODEL]
        for variant, recognizer in _variants(name, detector, place, options.threads)
    }
    about = machine(options.threads or min(4, os.cpu_count() or 1))
    found = {"machine": about, **measure(recognizers, image, options.frames)}
    print_line(json.dumps(found, ensure_ascii=False) if options.json else text(found))
    return 0


def measure(recognizers: Recognizers, image: Image, calls: int) -> dict[str, list[Row]]:
    """Time everything in turns, with progress on stderr.

    Args:
        recognizers: One or more.
        image: H×W×3 uint8 RGB with a face; a frame of 640×480 is made of it.
        calls: Of each, that are timed; rounded down to whole turns of ten.

    Returns:
        ``{classifiers, detector, stream}``, rows of plain values. Times are milliseconds a call. ``ratio`` says how
        many times as fast as the first of its kind a row is: by medians, of streams by means, since not all their
        frames cost the same.

    Raises:
        ImageError: No face is found.
    """
    from tqdm import tqdm  # type: ignore[import-untyped]

    frame = np.asarray(ImageOps.pad(PILImage.fromarray(image), FRAME))
    detector = next(iter(recognizers.values())).detector
    faces = detector.detect(frame)
    if not faces:
        raise ImageError(f"No face was found in the picture, made {FRAME[0]}×{FRAME[1]}. Give another --image.")
    kinds = {
        "classifiers": _classifier_calls(recognizers, frame, faces[0]),
        "detector": _detector_calls(detector, frame, faces),
        "stream": _stream_calls(recognizers, frame),
    }
    block = min(BLOCK, calls)
    rounds = calls // block
    with tqdm(total=rounds * sum(map(len, kinds.values())), unit="turn", leave=False, disable=None) as bar:
        timings = {
            kind: compare(candidates, rounds, block, after_turn=bar.update) for kind, candidates in kinds.items()
        }
    return {
        "classifiers": _classifier_rows(recognizers, timings["classifiers"]),
        "detector": _rows(timings["detector"]),
        "stream": _stream_rows(timings["stream"]),
    }


# ── what is called ───────────────────────────────────────────────────────────────────────────────────────────────────


def _variants(name: str, detector: FaceDetector, place: Place, threads: int | None) -> Iterator[tuple[str, Recognizer]]:
    """A model in every variant that it has; an ONNX file as what it is."""
    load = partial(Recognizer.from_pretrained, name, detector=detector, threads=threads)
    if os.path.isfile(name):
        yield "file", load()
        return
    has = describe(name, place)["onnx_mb"]
    for variant in [kind for kind in VARIANTS if kind in has] or ["fp32"]:
        yield variant, load(variant=variant, local_files_only=place.local_files_only)


def _classifier_calls(recognizers: Recognizers, frame: Image, face: Face) -> dict[str, Callable[[], object]]:
    def call(recognizer: Recognizer, batch: int) -> Callable[[], object]:
        crops = [recognizer.crop(frame, face)] * batch
        return lambda: classify(recognizer.classifier, crops)

    return {
        _key(*names, batch): call(recognizer, batch) for batch in BATCHES for names, recognizer in recognizers.items()
    }


def _key(name: str, variant: str, batch: int) -> str:
    return f"{name} {variant} ×{batch}"


def _detector_calls(detector: FaceDetector, frame: Image, faces: Sequence[Face]) -> dict[str, Callable[[], object]]:
    boxes = [face.box for face in faces]
    return {"detect": lambda: detector.detect(frame), "refine": lambda: detector.refine(frame, boxes)}


def _stream_calls(recognizers: Recognizers, frame: Image) -> dict[str, Callable[[], object]]:
    """Of each model in its first variant; each call takes the next frame of a picture that moves to and fro."""
    from .tracking import Tracker

    steps = [*range(-SWAY, SWAY), *range(SWAY, -SWAY, -1)]
    frames = [np.roll(frame, step, axis=1) for step in steps]

    def every_frame(recognizer: Recognizer) -> Callable[[], object]:
        numbers = count()
        return lambda: recognizer(frames[next(numbers) % len(frames)])

    def tracked(recognizer: Recognizer) -> Callable[[], object]:
        numbers, tracker = count(), Tracker(recognizer)

        def call() -> object:
            number = next(numbers)
            return tracker(frames[number % len(frames)], number / FRAMES_PER_SECOND)

        return call

    models: dict[str, Recognizer] = {}
    for (name, _), recognizer in recognizers.items():
        models.setdefault(name, recognizer)
    makers = {"detect in every frame": every_frame, "track": tracked}
    return {f"{name}: {what}": make(its) for name, its in models.items() for what, make in makers.items()}


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _classifier_rows(recognizers: Recognizers, timings: Mapping[str, Timing]) -> list[Row]:
    first, *_ = recognizers
    return [
        {"model": name, "variant": variant, "batch": batch}
        | _figures(timings[_key(name, variant, batch)])
        | {"faces_per_s": round(batch * 1000 / timings[_key(name, variant, batch)].p50, 1)}
        | {"ratio": round(ratio(timings, _key(name, variant, batch), _key(*first, batch)), 2)}
        for batch in BATCHES
        for name, variant in recognizers
    ]


def _rows(timings: Mapping[str, Timing]) -> list[Row]:
    first = next(iter(timings))
    return [
        {"what": name} | _figures(timing) | {"ratio": round(ratio(timings, name, first), 2)}
        for name, timing in timings.items()
    ]


def _stream_rows(timings: Mapping[str, Timing]) -> list[Row]:
    first = next(iter(timings.values()))
    return [
        {"what": name}
        | _figures(timing)
        | {"frames_per_s": round(1000 / timing.mean, 1), "ratio": round(first.mean / timing.mean, 2)}
        for name, timing in timings.items()
    ]


def _figures(timing: Timing) -> Row:
    return {"p50": round(timing.p50, 2), "p95": round(timing.p95, 2), "n": timing.n}


def text(found: Mapping[str, Any]) -> str:
    """The result of `measure` and the machine, as tables for people."""
    about = found["machine"]
    threads = f"{about['threads']} thread{'' if about['threads'] == 1 else 's'}"
    tables = {
        "Classifiers, faces found and cropped already": found["classifiers"],
        f"Detector, {FRAME[0]}×{FRAME[1]}, faces of 40 pixels and more": found["detector"],
        f"From frame to labels, {FRAME[0]}×{FRAME[1]}": found["stream"],
    }
    parts = [f"{about['cpu']}, {threads}, ONNX Runtime {about['onnxruntime']}; ms a call, measured in turns"]
    parts += [f"{title}\n{_table(rows)}" for title, rows in tables.items()]
    parts += ["ratio: times as fast as the first line of the same batch size; streams by their means"]
    return "\n\n".join(parts)


def _table(rows: Sequence[Row]) -> str:
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    words = [isinstance(value, str) for value in rows[0].values()]
    return "\n".join(
        "  ".join(
            f"{cell:{'<' if is_word else '>'}{width}}" for cell, width, is_word in zip(*line, strict=True)
        ).rstrip()
        for line in ((row, widths, words) for row in cells)
    )
