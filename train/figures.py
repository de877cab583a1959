"""Results that people would rather look at than read (matplotlib, no display needed)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from fer_hub.labels import COLORS, display

from .run_folder import write_bytes


def draw_model(folder: Path, result: dict[str, Any], labels: Sequence[str]) -> None:
    """The pictures of a model folder: confusion matrix and recall per class on the test split."""
    save(confusion(result["test"], labels), folder / "confusion.png")
    save(recalls(result["test"], labels), folder / "recall.png")


def draw_run(folder: Path, epochs: Sequence[dict[str, Any]]) -> None:
    """The picture of a run: curves by epoch."""
    save(curves(epochs), folder / "curves.png")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    write_bytes(path, buffer.getvalue())


def confusion(scores: dict[str, Any], labels: Sequence[str]) -> Figure:
    """Confusion matrix, each row in per cent of its true class, counts beneath."""
    counts = np.array(scores["confusion"])
    share = counts / counts.sum(1, keepdims=True).clip(1)
    figure, axes = plt.subplots(figsize=(6.2, 5.4))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    names = [display(label) for label in labels]
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.set_yticks(range(len(names)), names)
    for (row, column), value in np.ndenumerate(share):
        text = f"{value:.0%}\n{counts[row, column]}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if value > 0.5 else "black")
    axes.set(xlabel="predicted", ylabel="true", title=f"accuracy {scores['accuracy']:.2%}, n = {scores['n']}")
    return figure


def recalls(scores: dict[str, Any], labels: Sequence[str]) -> Figure:
    """Recall per class, with its support."""
    rows = [scores["per_class"][label] for label in labels]
    figure, axes = plt.subplots(figsize=(6.2, 3.2))
    bars = axes.barh(
        [f"{display(label)} (n = {row['support']})" for label, row in zip(labels, rows, strict=True)],
        [row["recall"] for row in rows],
        color=[COLORS[label] for label in labels],
    )
    axes.bar_label(bars, [f"{row['recall']:.1%}" for row in rows], padding=3)
    axes.set(xlim=(0, 1.1), xlabel="recall")
    axes.invert_yaxis()
    return figure


def curves(epochs: Sequence[dict[str, Any]]) -> Figure:
    """Training loss and validation NLL beside validation accuracy and macro-F1."""
    x = [row["epoch"] for row in epochs]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    for axes, names in (
        (left, ("train_loss", "validation_nll")),
        (right, ("validation_accuracy", "validation_macro_f1")),
    ):
        for name in names:
            axes.plot(x, [row[name] for row in epochs], marker="o", markersize=3, label=name.replace("_", " "))
        axes.set_xlabel("epoch")
        axes.legend()
        axes.grid(alpha=0.3)
    return figure
