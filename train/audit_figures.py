"""Figures of an audit; those that show images of the data set are drawn only when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fer_hub.labels import display

from .duplicates import Integers, identical
from .figures import TRAIN, VALIDATION, heat_map, plot, save
from .rows import USAGES, Rows

SHADES = (TRAIN, VALIDATION, "#009E73")
"""Of train, validation, test (Okabe and Ito 2008)."""
PAIRS = 40
"""Pairs or suspects on one sheet."""


def draw(out: Path, found: Mapping[str, Any]) -> None:
    """The figures without images: classes.png, copies.png and, where there are votes, agreement.png."""
    save(classes(found["classes"]), out / "classes.png")
    save(copies(found), out / "copies.png")
    if found["agreement"]:
        save(agreement(found["agreement"]), out / "agreement.png")


def classes(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Rows per class, each split in its own panel since their sizes differ."""
    names = list(counts[USAGES[0]])
    figure, (panels,) = plot(10, 1.2 + 0.38 * len(names), 1, len(USAGES), sharey=True)
    for axes, usage, shade in zip(panels, USAGES, SHADES, strict=True):
        values = [counts[usage][name] for name in names]
        bars = axes.barh([display(name) for name in names], values, color=shade)
        axes.bar_label(bars, [f"{value:,}" for value in values], padding=3, fontsize=8)
        axes.set(title=f"{usage} ({sum(values):,})", xlabel="rows", xlim=(0, 1.25 * max(*values, 1)))
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    return figure


def copies(found: Mapping[str, Any]) -> Figure:
    """Rows of a later split with a copy in an earlier one, identical and nearly identical."""
    names = [name for name in found["identical"] if "→" in name]
    figure, ((axes,),) = plot(7, 2.6)
    at = np.arange(len(names))
    for kind, offset, shade in (("identical", -0.2, TRAIN), ("similar", 0.2, VALIDATION)):
        values = [found[kind][name] for name in names]
        label = "identical" if kind == "identical" else "nearly identical"
        bars = axes.barh(at + offset, values, 0.38, color=shade, label=label)
        axes.bar_label(bars, [f"{value:,}" for value in values], padding=3, fontsize=8)
    axes.set_yticks(at, [f"{name.split('→')[1]} rows seen in {name.split('→')[0]}" for name in names])
    axes.set_xlabel("rows")
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def agreement(votes: Mapping[str, Any]) -> Figure:
    """For each label, the shares of what FERPlus' taggers saw in its rows (a column adds up to 100 %)."""
    counts = np.array(votes["confusion"], dtype=np.float64)
    shares = (counts / counts.sum(axis=1, keepdims=True).clip(1)).T
    rows = [display(name) for name in votes["columns"]]
    columns = [display(name) for name in votes["per_class"]]
    figure = heat_map(rows, columns, shares, "What FERPlus' taggers saw in the rows of each label")
    figure.axes[0].set(xlabel="label", ylabel="FERPlus")
    return figure


def draw_pairs(out: Path, rows: Rows, pairs: Integers) -> None:
    """pairs.png: near-identical pairs from different splits first; conflicts.png: one image, several labels."""
    apart = rows.usage[pairs[:, 0]] != rows.usage[pairs[:, 1]]
    chosen = pairs[np.argsort(~apart, kind="stable")][:PAIRS]
    titles = ["\n".join(f"{rows.usage[row]}: {_label(rows, row)}" for row in pair) for pair in chosen]
    save(sheet([np.hstack(rows.images[pair]) for pair in chosen], titles, 5), out / "pairs.png")
    ids = identical(rows.images)
    by_group: dict[int, set[str]] = {}
    for row, group in enumerate(ids.tolist()):
        by_group.setdefault(group, set()).add(_label(rows, row))
    several = [group for group, labels in by_group.items() if len(labels) > 1][:PAIRS]
    titles = [", ".join(sorted(by_group[group])) for group in several]
    save(sheet([rows.images[group] for group in several], titles, 8), out / "conflicts.png")


def draw_suspects(out: Path, rows: Rows, suspects: Integers, predicted: Sequence[str]) -> None:
    """label_errors.png: the surest suspects, their label and what the network saw."""
    titles = [f"{_label(rows, row)}\n→ {guess}" for row, guess in zip(suspects[:PAIRS], predicted, strict=False)]
    save(sheet(list(rows.images[suspects[:PAIRS]]), titles, 8), out / "label_errors.png")


def _label(rows: Rows, row: int) -> str:
    return rows.names[rows.labels[row]] if rows.labels[row] >= 0 else "?"


def sheet(images: Sequence[np.ndarray], titles: Sequence[str], columns: int) -> Figure:
    """Grey images in rows, a title above each."""
    lines = max(1, -(-len(images) // columns))
    figure, grid = plot(1.9 * columns, 1.6 * lines, lines, columns)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, title in zip(grid.flat, images, titles, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes.set_title(title, fontsize=7)
    return figure
