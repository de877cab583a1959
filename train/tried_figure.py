"""The picture of what was tried: accuracy by change, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from .figures import GREY, TRAIN, VALIDATION, plot

STYLES = {"better": (TRAIN, "^"), "worse": (VALIDATION, "v"), "inside the noise": (GREY, "o")}
"""Colour and marker by verdict; anything else is drawn hollow."""


def dots(groups: Sequence[Mapping[str, Any]]) -> Figure:
    """Accuracy on the validation split by trial: a panel for each base, the base and its interval behind.

    Args:
        groups: As train.tried.groups_of gives them.
    """
    lines = [len(group["rows"]) + 1 for group in groups]
    figure, panels = plot(8, 1.2 + sum(0.6 + 0.26 * count for count in lines), len(groups), height_ratios=lines)
    for axes, group in zip(panels[:, 0], groups, strict=True):
        _panel(axes, group)
    panels[-1, 0].set_xlabel("accuracy on the validation split, 95 % interval")
    entries = {text: line for axes in panels.flat for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=5, frameon=False)
    return figure


def _panel(axes: Axes, group: Mapping[str, Any]) -> None:
    base = group["base"]
    if base is not None:
        axes.axvspan(*base["interval"], color="#EEEEEE", zorder=0)
        axes.axvline(base["accuracy"], color="black", linewidth=1, label="base, its interval shaded")
    rows = [*([base | {"verdict": "base"}] if base is not None else []), *group["rows"]]
    for place, row in enumerate(rows):
        shade, marker = STYLES.get(row["verdict"], ("black", "D"))
        low, high = row["interval"]
        axes.plot([low, high], [place, place], color=shade, linewidth=1.5)
        axes.plot(row["accuracy"], place, marker, color=shade, markersize=6, linestyle="", label=row["verdict"])
        if row["spread"] is not None:
            axes.plot(row["accuracies"], [place] * len(row["accuracies"]), "|", color="black", label="each seed")
    axes.set_yticks(range(len(rows)), [row["trial"] for row in rows])
    axes.set_title(group["name"], fontsize=10)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
