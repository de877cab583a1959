"""Timings side by side: our detector and facenet-pytorch's; the embedded models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from facenet_pytorch import MTCNN
from PIL import Image as PILImage

from fer_hub.bench import Timing, compare, ratio, table
from fer_hub.classifier import RUNTIMES, load_classifier
from fer_hub.faces import ASSETS, FaceDetector
from fer_hub.hub import zoo_models

PHOTO = ASSETS.parent / "examples" / "astronaut.jpg"
SIZE = (640, 480)


@dataclass(frozen=True)
class BenchConfig:
    """Measure, in turns and in one process."""

    threads: int = 2
    """Threads of each side."""
    rounds: int = 7
    """Turns of five calls that each side gets."""


def bench(config: BenchConfig) -> None:
    """Print the detector's ratio to facenet-pytorch for two smallest faces, then each model's latency."""
    torch.set_num_threads(config.threads)
    for min_face_size in (40, 20):
        faster, timings = detector_ratio(min_face_size, config)
        print(f"\ndetection, {SIZE[0]}×{SIZE[1]}, min_face_size {min_face_size}, {config.threads} threads")
        print(f"{table(timings)}\nfer_hub is {faster:.2f} times as fast as facenet-pytorch (medians)")
    for name in zoo_models():
        print(f"\nclassification, {name}, {config.threads} threads\n{table(model_timings(name, config))}")


def detector_ratio(min_face_size: int, config: BenchConfig) -> tuple[float, dict[str, Timing]]:
    """How many times as fast as facenet-pytorch ours is, same photo and settings, and the timings."""
    with PILImage.open(PHOTO) as photo:
        image = np.asarray(photo.convert("RGB").resize(SIZE))
    ours = FaceDetector(min_face_size=min_face_size, threads=config.threads)
    theirs = MTCNN(keep_all=True, select_largest=False, min_face_size=min_face_size, device="cpu")
    timings = compare(
        {"fer_hub": lambda: ours.detect(image), "facenet-pytorch": lambda: theirs.detect(image, landmarks=True)},
        config.rounds,
    )
    return ratio(timings, "fer_hub", "facenet-pytorch"), timings


def model_timings(name: str, config: BenchConfig) -> dict[str, Timing]:
    """Milliseconds of a forward pass by run time, for batches of 1 and 16."""
    calls: dict[str, Callable[[], object]] = {}
    for runtime in RUNTIMES:
        classifier = load_classifier(name, runtime=runtime, threads=config.threads)
        spec = classifier.info.input
        for batch in (1, 16):
            pixels = np.zeros((batch, spec.channels, *spec.size), np.float32)
            calls[f"{runtime}, batch {batch}"] = lambda c=classifier, p=pixels: c.logits(p)  # type: ignore[misc]
    return compare(calls, config.rounds)
