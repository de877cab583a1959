"""The beginning of a run: what is wrong with its data is said, what it will see is drawn."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from . import align, data, figures, pictures, sources
from .config import RunConfig
from .data import Data
from .leaks import warn
from .run_folder import write_bytes

if TYPE_CHECKING:
    from .loop import Trainer

PER_CLASS, EXAMPLES = 8, 400


def load(config: RunConfig) -> Data:
    """The data of a run."""
    return data.load(
        config.protocol,
        config.data,
        config.limit,
        targets=config.targets,
        align=config.align,
        on_missing=config.on_missing,
        external=config.external,
    )


def say_warnings(splits: Data, more: Sequence[str] = ()) -> None:
    """Sentences about the data, and `more`, that make the run's figures mean less than they seem to."""
    for sentence in [*warn(splits), *more]:
        print(f"warning: {sentence}", file=sys.stderr)


def draw(trainer: Trainer) -> None:
    """Class counts before and after sampling, and augmented training samples, into the run's folder."""
    out, splits = trainer.config.out, trainer.splits
    order, classes = trainer.order(0).numpy(), len(splits.labels)
    before, after = splits.train.counts(classes), np.bincount(splits.train.labels[order], minlength=classes)
    figures.save(figures.class_counts(before, after, splits.labels), out / "class_counts.png")
    seen = splits.train.labels[order]
    rows = np.concatenate([order[seen == label][:PER_CLASS] for label in range(classes)])
    rows = rows[: len(rows) // trainer.world * trainer.world]
    inputs, _, truth = trainer.batches(0, 0, torch.from_numpy(rows))
    mean, std = trainer.spec.mean[0], trainer.spec.std[0]
    images = ((inputs[:, 0] * std + mean) * 255).round().clamp(0, 255).byte().cpu().numpy()
    pictures.draw_samples(out, images, truth.cpu().numpy(), splits.labels)
    if splits.alignment != "none":
        draw_alignment(trainer)


def draw_alignment(trainer: Trainer) -> None:
    """How many faces were found, as text, and some images before and after."""
    out, splits = trainer.config.out, trainer.splits
    write_bytes(out / "alignment.txt", f"{align.table(splits.notes)}\n".encode())
    source = sources.read(trainer.config.data or data.default_source())
    before = source.images[source.usage == "train"][:EXAMPLES]
    after, found = align.align(before, splits.alignment)  # most are known already, from the splits
    figures.save(align.draw_examples(before, after, found), out / "alignment.png")
