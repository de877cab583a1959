"""Robustness drawn: a panel for each corruption, and what each severity looks like on a face of the public domain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image as PILImage

import fer_hub
from fer_hub.faces import FaceDetector
from fer_hub.image import crop, read
from fer_hub.types import Margin

from ..figures import GREY, plot
from ..margin import fitted_margin
from .corruptions import CORRUPTIONS, FRAME
from .robustness import corrupted

PHOTO = Path(fer_hub.__file__).parent / "assets" / "examples" / "astronaut.jpg"
"""Eileen Collins, NASA portrait S95-02404, public domain."""
STYLES = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", "-."),
    ("#CC79A7", "D", ":"),
    ("#E69F00", "v", (0, (5, 1, 1, 1, 1, 1))),
    ("#56B4E9", "P", (0, (1, 1))),
)
"""Colour (Okabe and Ito 2008), marker and line of one model after the other, to be told apart by any one of them."""
COLUMNS = 5
SEVERITIES = range(6)


def curves(models: Mapping[str, dict[str, Any]]) -> Figure:
    """Accuracy by severity, a panel for each corruption, a line for each model, its 95 % interval as band.

    Of a single model the mean confidence is drawn, too: where it stays above the accuracy, the model does not notice.

    Args:
        models: What `train.evaluation.robustness.robustness` returns, by the model's name; at most six.

    Raises:
        ValueError: No models, or more than can be told apart.
    """
    if not 0 < len(models) <= len(STYLES):
        raise ValueError(f"{len(models)} models; 1 to {len(STYLES)} can be told apart. Draw fewer at a time.")
    first = next(iter(models.values()))
    names = list(first["corruptions"])
    lines = -(-len(names) // COLUMNS)
    figure, grid = plot(2.6 * COLUMNS, 2.75 * lines + 0.6, lines, COLUMNS, sharey=True)
    for axes, name in zip(grid.flat, names, strict=False):
        _panel(axes, name, models, first)
    for axes in grid.flat[len(names) :]:
        axes.axis("off")
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy, confidence" if len(models) == 1 else "accuracy")
    sizes = sorted({result["n"] for result in models.values()})
    handles, texts = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2 if len(models) > 1 else 3, frameon=False)
    title = "Accuracy by severity of the corruption (0: none), band: 95 % interval"
    figure.suptitle(f"{title}, n = {' / '.join(f'{n:,}' for n in sizes)} images", fontsize=12)
    return figure


def _panel(axes: Axes, name: str, models: Mapping[str, dict[str, Any]], first: dict[str, Any]) -> None:
    for (model, result), (color, marker, line) in zip(models.items(), STYLES, strict=False):
        rows = result["corruptions"][name]["severities"]
        low, high = np.transpose([row["accuracy_95"] for row in rows])
        accuracy = [row["accuracy"] for row in rows]
        axes.fill_between(SEVERITIES, low, high, color=color, alpha=0.15, linewidth=0)
        label = f"{model}: {result['clean']['accuracy']:.1%}, mean of all corruptions {result['mean_accuracy']:.1%}"
        if len(models) == 1:
            confidence = [row["confidence"] for row in rows]
            axes.plot(SEVERITIES, confidence, color="black", linewidth=1, linestyle="--", label="mean confidence")
        axes.plot(SEVERITIES, accuracy, color=color, marker=marker, markersize=4, linestyle=line, label=label)
    axes.axhline(first["majority"], color=GREY, linestyle=":", linewidth=1, label="always the most frequent label")
    corruption = first["corruptions"][name]
    ticks = ["0\nnone", *(f"{i}\n{level:g}" for i, level in enumerate(corruption["levels"], 1))]
    axes.set_xticks(list(SEVERITIES), ticks, fontsize=8)
    axes.set_xlabel(f"severity / {corruption['unit']}", fontsize=9)
    axes.set_title(name, fontsize=11)
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)


def examples(face: NDArray[np.uint8] | None = None, seed: int = 0) -> Figure:
    """One face under every corruption in every severity; the same for all reports, no image of a data set.

    Args:
        face: H×W uint8 grey; None: `example_face`.
        seed: Of the noise.
    """
    image = (example_face() if face is None else face)[None]
    figure, grid = plot(1.05 * len(CORRUPTIONS) + 0.5, 1.28 * len(SEVERITIES) + 0.5, len(SEVERITIES), len(CORRUPTIONS))
    for column, (name, corruption) in enumerate(CORRUPTIONS.items()):
        for severity, axes in zip(SEVERITIES, grid[:, column], strict=True):
            axes.imshow(corrupted(image, name, severity, seed)[0], cmap="gray", vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
            axes.set_xlabel(f"{corruption.levels[severity - 1]:g}" if severity else "none", fontsize=8, labelpad=2)
        grid[0, column].set_title(f"{name}\n({corruption.unit})", fontsize=8)
    for severity, axes in zip(SEVERITIES, grid[:, 0], strict=True):
        axes.set_ylabel(f"severity {severity}", fontsize=9)
    figure.suptitle("What each severity looks like in 48×48 pixels (beneath: the level)", fontsize=12)
    return figure


def example_face() -> NDArray[np.uint8]:
    """The example photo's face as FER2013 would show it: 48×48 uint8 grey."""
    photo = read(PHOTO)
    face = FaceDetector(min_face_size=40).detect(photo)[0]
    grey = PILImage.fromarray(crop(photo, face, Margin(**fitted_margin("fer2013")))).convert("L")
    return np.asarray(grey.resize((FRAME, FRAME), PILImage.Resampling.LANCZOS))
