"""Explanations as pictures, with faces of the data: for a report on one's own disk, never for what is published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby, zip_longest
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageOps

from fer_hub.explain import AGAINST, FOR, Explanation
from fer_hub.labels import display

from ..figures import GREY
from ..metrics import Ints
from ..pictures import PLAIN, face, heading, page
from .panels import STAGES, Example, Panel, mean_maps

TITLES = {"grad-cam": "Grad-CAM", "lime": "LIME"}
STAGE_TITLES = {"before": "as it is", "box": "cropped to its box", "eyes": "and eyes levelled"}
SIDE = 200
"""Of a drawn overlay, in pixels."""
GAP, LINE = 0.35, 1.3
"""Between groups of pictures, and height of a row: in widths of a face."""
NOTES, LETTERS = 0.7, 12
"""Height of the lines beneath, in inches; their letters an inch."""
HOW = (
    "Each map is scaled to its own strongest place: it shows where, not how much. "
    "Grad-CAM shows only what speaks for a label."
)
MEANS = "Mean strength of the maps for the predicted label, for or against, each scaled from its least to its greatest."
KEYS = {"speaks for the label": FOR, "speaks against the label": AGAINST}


def class_panel(panel: Panel) -> Figure:
    """A row for each true class: a right prediction and why; a wrong one, why, and what speaks for the true label.

    Args:
        panel: Of `explained`.
    """
    wide = len(panel.methods)
    starts = {"right": 0.0, "wrong": 1 + wide + 2 * GAP, "true": 2 + 2 * wide + 3 * GAP}
    lines = _lines(panel.examples)
    figure, axes = page(starts["true"] + wide, len(lines) * LINE + NOTES, 0.85)
    _columns(axes, starts["right"], "right prediction", ["face", *panel.methods])
    _columns(axes, starts["wrong"], "wrong prediction", ["face", *panel.methods])
    _columns(axes, starts["true"], "why not the true label", panel.methods)
    for place, (true, right, wrong) in enumerate(lines):
        y = place * LINE
        heading(axes, y, f"true\n{display(true)}")
        for example, start in ((right, starts["right"]), (wrong, starts["wrong"])):
            if example is None:
                axes.text(start + 0.47, y + 0.47, "none", ha="center", va="center", color=GREY)
                continue
            face(axes, example.image, start, y, f"row {example.row}", GREY)
            _maps(axes, panel, example, example.predicted, start + 1, y)
        if wrong is not None:
            _maps(axes, panel, wrong, true, starts["true"], y)
    return _explained(figure, panel)


def _lines(examples: Sequence[Example]) -> list[tuple[str, Example | None, Example | None]]:
    """True label, a right and a wrong example; None where there is none (left)."""
    lines: list[tuple[str, Example | None, Example | None]] = []
    for true, group in groupby(examples, lambda example: example.true):
        mine = list(group)
        right = [example for example in mine if example.predicted == true]
        wrong = [example for example in mine if example.predicted != true]
        lines += [(true, *pair) for pair in zip_longest(right, wrong)]
    return lines


def _columns(axes: Axes, start: float, title: str, names: Sequence[str]) -> None:
    """A title over columns, and the name of each."""
    axes.text(start, -0.62, title, ha="left", va="bottom", fontsize=11, weight="bold")
    for place, name in enumerate(names):
        axes.text(start + place + 0.47, -0.34, TITLES.get(name, name), ha="center", va="bottom", fontsize=9, color=GREY)


def _maps(axes: Axes, panel: Panel, example: Example, label: str, x: float, y: float) -> None:
    """The maps of one label beside each other, under its probability."""
    found = [example.maps[method, label] for method in panel.methods if (method, label) in example.maps]
    for place, each in enumerate(found):
        face(axes, each.overlay(side=SIDE), x + place, y, "", GREY)
    if found:
        text = caption(example, label)
        axes.text(x + len(found) / 2 - 0.03, y - 0.03, text, ha="center", va="bottom", fontsize=8.5)


def alignment_panel(panel: Panel) -> Figure:
    """A row for each face: as it is and aligned both ways, each with what the model said and why.

    Args:
        panel: Of `alignment`.
    """
    wide = 1 + len(panel.methods) + GAP
    rows = [list(group) for _, group in groupby(panel.examples, lambda example: example.row)]
    figure, axes = page(len(STAGES) * wide - GAP, len(rows) * LINE + NOTES, 0.85)
    for place, stage in enumerate(STAGES):
        _columns(axes, place * wide, STAGE_TITLES[stage], ["face", *panel.methods])
    for line, examples in enumerate(rows):
        first, y = examples[0], line * LINE
        heading(axes, y, f"true\n{display(first.true)}\n{first.angle or 0:.0f}°".replace("-", "\N{MINUS SIGN}"))
        for place, example in enumerate(examples):
            caption = f"row {example.row}" if example.stage == "before" else ""
            face(axes, example.image, place * wide, y, caption, GREY)
            _maps(axes, panel, example, example.predicted, place * wide + 1, y)
    return _explained(figure, panel)


def average_panel(panel: Panel, images: NDArray[np.uint8], labels: Ints, names: Sequence[str]) -> Figure:
    """Where the model looks on average: the mean strength of the maps over the mean face of each true class.

    Args:
        panel: Of `explained`, of the rows of `sample`.
        images: N×S×S grey, whose mean faces are drawn.
        labels: N true indices.
        names: C labels.
    """
    means = mean_maps(panel)
    figure, axes = page(len(means), (1 + len(panel.methods)) * PLAIN + NOTES, 0.6)
    for line, method in enumerate(("mean face", *panel.methods)):
        heading(axes, line * PLAIN, TITLES.get(method, method))
    for place, (true, maps) in enumerate(means.items()):
        mine = images[labels == list(names).index(true)]
        mean = _mean_face(mine)
        axes.text(place + 0.47, -0.28, display(true), ha="center", va="bottom", fontsize=11)
        face(axes, mean, place, 0, f"of {len(mine):,} images", GREY)
        for line, (method, heat) in enumerate(maps.items(), 1):
            stretched = (heat - heat.min()) / max(float(np.ptp(heat)), 1e-9)
            picture = Explanation(method, true, 1.0, stretched, mean).overlay(side=SIDE)
            face(axes, picture, place, line * PLAIN, "", GREY)
    return _explained(figure, panel, MEANS, {"matters for the prediction": FOR})


def _mean_face(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mean of N×S×S images, its contrast stretched: S×S×3."""
    mean = PILImage.fromarray(images.mean(0).round().astype(np.uint8))
    return np.repeat(np.asarray(ImageOps.autocontrast(mean))[:, :, None], 3, axis=2)


def caption(example: Example, label: str) -> str:
    """A label and its probability; behind the predicted one, whether it is right."""
    share = example.scores[label]
    mark = "" if label != example.predicted else " ✓" if label == example.true else " ✗"
    return f"{display(label)} {'<1%' if share < 0.005 else f'{share:.0%}'}{mark}"


def _explained(figure: Figure, panel: Panel, how: str = HOW, keys: Mapping[str, tuple[int, int, int]] = KEYS) -> Figure:
    """With the key of the colours, and how the figure came about."""
    (axes,) = figure.axes
    patches = [Patch(color="#{:02x}{:02x}{:02x}".format(*rgb), label=text) for text, rgb in keys.items()]
    middle, bottom = sum(axes.get_xlim()) / 2, axes.get_ylim()[0]
    place = {"bbox_to_anchor": (middle, bottom - NOTES), "bbox_transform": axes.transData}
    axes.legend(handles=patches, loc="upper center", ncols=2, frameon=False, borderaxespad=0, **place)
    lime = f" LIME: {panel.samples:,} samples, seed {panel.seed}." if "lime" in panel.methods else ""
    parts = [f"Rows: {panel.rule}.", f"{how}{lime}", *panel.notes]
    text = "\n".join(line for part in parts for line in wrap(part, int(LETTERS * figure.get_figwidth())))
    axes.text(middle, bottom - NOTES + 0.3, text, ha="center", va="top", fontsize=8.5, color=GREY)
    return figure
