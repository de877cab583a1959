"""Figures that show faces of the data: for a run's own folder, never for a model folder, which is published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from fer_hub.labels import display

from .figures import GREY, TRAIN, VALIDATION, plot, save
from .metrics import Floats, Ints

Images = NDArray[np.uint8]
PLAIN, CAPTIONED = 1.06, 1.34
"""Height of a row of faces without and with captions, in widths of a face."""


def draw_samples(folder: Path, images: Images, truth: Ints, labels: Sequence[str]) -> None:
    """Training samples as the network sees them: ``training_samples.png``."""
    save(sample_grid(images, truth, labels), folder / "training_samples.png")


def draw_pictures(folder: Path, images: Images, truth: Ints, probabilities: Floats, labels: Sequence[str]) -> None:
    """What the network got right and wrong most confidently: ``predictions.png``."""
    save(predictions(images, truth, probabilities, labels), folder / "predictions.png")


def sample_grid(
    images: Images, truth: Ints, labels: Sequence[str], titles: Sequence[str] = (), per_class: int = 8
) -> Figure:
    """A row of images for each class, the first ones given.

    Args:
        images: N×S×S grey, 0 to 255.
        truth: N indices of the rows to put them in.
        labels: C labels.
        titles: N captions; none: no captions.
        per_class: Images a row, at most.
    """
    step = CAPTIONED if len(titles) else PLAIN
    figure, axes = page(per_class, len(labels) * step)
    for row, label in enumerate(labels):
        heading(axes, row * step, display(label))
        for place, index in enumerate(np.flatnonzero(truth == row)[:per_class]):
            face(axes, images[index], place, row * step, titles[index] if len(titles) else "", GREY)
    return figure


def predictions(images: Images, truth: Ints, probabilities: Floats, labels: Sequence[str], each: int = 4) -> Figure:
    """For each true class the most confident right predictions and the most confident wrong ones.

    Args:
        images: N×S×S grey, 0 to 255.
        truth: N true indices.
        probabilities: N×C.
        labels: C labels.
        each: Right ones and wrong ones a row, at most.
    """
    guesses, confidence = probabilities.argmax(1), probabilities.max(1)
    order = np.argsort(-confidence, kind="stable")
    figure, axes = page(2 * each + 0.4, len(labels) * CAPTIONED, 0.6)
    for row, label in enumerate(labels):
        heading(axes, row * CAPTIONED, f"true\n{display(label)}")
        mine = order[truth[order] == row]
        halves = ((guesses[mine] == row, 0.0, TRAIN), (guesses[mine] != row, each + 0.4, VALIDATION))
        for wanted, start, frame in halves:
            for place, index in enumerate(mine[wanted][:each]):
                caption = f"{display(labels[guesses[index]])} {confidence[index]:.0%}"
                face(axes, images[index], start + place, row * CAPTIONED, caption, frame)
    for text, start, frame in (("right", 0.0, TRAIN), ("wrong", each + 0.4, VALIDATION)):
        name = f"prediction {text}, most confident first"
        axes.text(start + each / 2, -0.42, name, ha="center", va="bottom", color=frame, fontsize=11, weight="bold")
    return figure


def page(width: float, height: float, top: float = 0.25) -> tuple[Figure, Axes]:
    """One axes for all faces (many small axes take seconds to lay out), its unit an inch: the width of a face."""
    figure, ((axes,),) = plot(width + 1.2, height + top)
    axes.set(xlim=(-1.2, width), ylim=(height, -top), aspect="equal")
    axes.set_axis_off()
    return figure, axes


def heading(axes: Axes, y: float, text: str) -> None:
    """What a row shows, to its left."""
    axes.text(-0.15, y + 0.47, text, ha="right", va="center", fontsize=11)


def face(axes: Axes, image: Images, x: float, y: float, caption: str, frame: str) -> None:
    """An image in a coloured frame, its caption above."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(x, x + 0.94, y + 0.94, y), aspect="equal")
    axes.add_patch(Rectangle((x, y), 0.94, 0.94, fill=False, edgecolor=frame, linewidth=1.5))
    axes.text(x + 0.47, y - 0.03, caption, ha="center", va="bottom", fontsize=8.5)
