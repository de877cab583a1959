"""Timings side by side: detector, models, training loop and data side, each beside its alternative."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from facenet_pytorch import MTCNN
from PIL import Image as PILImage
from torch.nn import functional as F
from torchvision.transforms import v2

from fer_hub.bench import Timing, compare, ratio, table
from fer_hub.classifier import RUNTIMES, load_classifier
from fer_hub.faces import ASSETS, FaceDetector
from fer_hub.hub import zoo_models
from fer_hub.labels import labels_of

from . import memory, network
from .batches import Batches
from .config import RunConfig
from .data import Data, Split
from .loop import Trainer
from .names import known
from .optim import make_optimizer

PHOTO = ASSETS.parent / "examples" / "astronaut.jpg"
SIZE = (640, 480)
BATCH, STEPS = 64, 8


@dataclass(frozen=True)
class BenchConfig:
    """Measure, in turns and in one process."""

    parts: tuple[str, ...] = ("detector", "models", "loop", "data", "memory")
    """What to measure."""
    threads: int = 2
    """Threads of each side."""
    rounds: int = 7
    """Turns that each side gets."""
    backbones: tuple[str, ...] = ("resnet18", "mobilenetv3_large_100")
    """Networks for the training loop."""
    image_size: int = 96
    """Their input, pixels."""


def bench(config: BenchConfig) -> None:
    """Measure beside the alternatives: detector, models, training loop, data side.

    Raises:
        ValueError: A part is unknown.
    """
    torch.set_num_threads(config.threads)
    for part in config.parts:
        known("part", part, PARTS)[0](config)


def bench_detector(config: BenchConfig) -> None:
    """The detector's ratio to facenet-pytorch for two smallest faces."""
    for min_face_size in (40, 20):
        faster, timings = detector_ratio(min_face_size, config)
        print(f"\ndetection, {SIZE[0]}×{SIZE[1]}, min_face_size {min_face_size}, {config.threads} threads")
        print(f"{table(timings)}\nfer_hub is {faster:.2f} times as fast as facenet-pytorch (medians)")


def bench_models(config: BenchConfig) -> None:
    """Each embedded model's latency."""
    for name in zoo_models():
        print(f"\nclassification, {name}, {config.threads} threads\n{table(model_timings(name, config))}")


def bench_loop(config: BenchConfig) -> None:
    """The training loop's throughput as a share of the bare forward, backward and step."""
    for backbone in config.backbones:
        share, timings = loop_share(backbone, config)
        print(f"\n{STEPS} training steps, {backbone}, {config.image_size}×{config.image_size}, batch {BATCH}")
        print(f"{table(timings)}\nthe loop reaches {share:.1%} of the bare steps' throughput (medians)")


def bench_data(config: BenchConfig) -> None:
    """Augmented images a second, at the data's own size, beside torchvision's transforms one by one."""
    faster, timings = data_ratio(config)
    print(f"\n{BATCH} augmented images, 48×48, {config.threads} threads\n{table(timings)}")
    print(f"{BATCH / timings['fer_hub'].p50 * 1000:.0f} images/s; {faster:.1f} times torchvision's, image by image")


def bench_memory(config: BenchConfig) -> None:
    """The training loop with freed memory kept, beside glibc's own way, for the first backbone."""
    faster, timings = memory_ratio(config.backbones[0], config)
    print(f"\n{STEPS} training steps, {config.backbones[0]}, {config.image_size}×{config.image_size}, batch {BATCH}")
    print(f"{table(timings)}\nmemory that is kept makes them {faster:.2f} times as fast (medians)")


PARTS: dict[str, Callable[[BenchConfig], None]] = {
    "detector": bench_detector,
    "models": bench_models,
    "loop": bench_loop,
    "data": bench_data,
    "memory": bench_memory,
}


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
            calls[f"{runtime}, batch {batch}"] = lambda c=classifier, p=pixels: c.forward(p)  # type: ignore[misc]
    return compare(calls, config.rounds)


def loop_share(backbone: str, config: BenchConfig) -> tuple[float, dict[str, Timing]]:
    """The loop's throughput over that of the bare steps of the same network, optimiser and batch, and the timings.

    The loop's side holds all that an epoch does between evaluations: order, augmentation, clipping, averaged weights,
    training figures. Both sides have the same memory format and number of steps.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(Path(folder), backbone, config)
        timings = compare({"loop": lambda: _epoch(trainer), "bare": _bare_steps(trainer)}, config.rounds, block=1)
    return timings["bare"].p50 / timings["loop"].p50, timings


def memory_ratio(backbone: str, config: BenchConfig) -> tuple[float, dict[str, Timing]]:
    """How many times as fast the loop is with memory.keep as with glibc's thresholds, and the timings."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(Path(folder), backbone, config)

        def epoch(options: dict[int, int]) -> None:
            memory.keep(options)
            _epoch(trainer)

        sides = {"kept": lambda: epoch(memory.KEPT), "glibc's own": lambda: epoch(memory.USUAL)}
        timings = compare(sides, config.rounds, block=1)
    return ratio(timings, "kept", "glibc's own"), timings


def _trainer(folder: Path, backbone: str, config: BenchConfig) -> Trainer:
    run = RunConfig(folder, backbone=backbone, image_size=config.image_size, batch_size=BATCH, epochs=10**6)
    return Trainer(run, synthetic(BATCH * STEPS), Accelerator())


def _epoch(trainer: Trainer) -> None:
    with trainer._bar() as bar:
        trainer._train_epoch(0, bar)
    trainer.progress.step = 0


def _bare_steps(trainer: Trainer) -> Callable[[], None]:
    """The same number of steps on one batch that stays where it is."""
    model = network.make_model(trainer.config, 7)[0].to(memory_format=torch.channels_last).train()
    optimizer = make_optimizer(trainer.config, model)
    images, _, labels = trainer.batches(0, 0, torch.arange(BATCH))

    def steps() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()

    return steps


def synthetic(rows: int) -> Data:
    """Pictures of noise with labels, the same rows in every split."""
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (rows, 48, 48), np.uint8), np.arange(rows, dtype=np.int64) % 7)
    return Data("fer2013-7", labels_of("fer2013-7"), split, split, split, dataset="noise")


def data_ratio(config: BenchConfig) -> tuple[float, dict[str, Timing]]:
    """How many times as fast as torchvision's transforms a batch of ours is made, and the timings."""
    run = RunConfig(Path("unused"), backbone="raw_pixel_cnn", image_size=48, batch_size=BATCH)
    split, spec = synthetic(BATCH).train, network.input_spec(run)
    batches = Batches(run, split, 7, spec, torch.device("cpu"), rank=0, world=1)
    rows = torch.arange(BATCH)
    transform = v2.Compose(
        [
            v2.RandomAffine(run.rotate, (run.shift, run.shift), (1 - run.zoom, 1 + run.zoom)),
            v2.RandomHorizontalFlip(run.flip),
            v2.ColorJitter(run.brightness, run.contrast),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(spec.mean, spec.std),
            v2.RandomErasing(run.erase),
        ]
    )
    pictures = [PILImage.fromarray(image) for image in split.images]
    calls = {
        "fer_hub": lambda: batches(0, 0, rows),
        "torchvision": lambda: torch.stack([transform(picture) for picture in pictures]),
    }
    timings = compare(calls, config.rounds)
    return ratio(timings, "fer_hub", "torchvision"), timings
