"""Figures of the two checks of explanations: `sanity.faithfulness` and `randomisation.randomisation`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..figures import GREY, TRAIN, plot
from .sanity import CURVES, REFERENCES

TITLES = {"grad-cam": "Grad-CAM", "lime": "LIME", "occlusion": "Occlusion"}
STYLES = {"blocks": ("#000000", ":", "s"), "moved": ("#D55E00", "--", "o"), "other face": ("#009E73", "-.", "^")}
"""Colour (Okabe and Ito 2008), line and mark of the references."""
NAMES = {
    "blocks": "blocks in a random order",
    "moved": "the map in a wrong place",
    "other face": "another face's map",
}
BETTER = {"deletion": "lower is better", "insertion": "higher is better"}
LIMIT = 0.3
"""A similarity below it counts as "the map has changed"."""


def curves(found: Mapping[str, Any]) -> Figure:
    """Deletion above, insertion below, a column for each method: the map's own order and the references.

    Args:
        found: What `sanity.faithfulness` gives.
    """
    methods = found["methods"]
    figure, grid = plot(1.2 + 3.1 * len(methods), 6.2, 2, len(methods), sharex=True, sharey=True)
    for column, (method, kinds) in enumerate(methods.items()):
        for axes, kind in zip(grid[:, column], CURVES, strict=True):
            _curves(axes, found["shares"], kinds[kind])
            axes.set_title(f"{TITLES.get(method, method)}: {kind}", fontsize=10)
    for axes, kind in zip(grid[:, 0], CURVES, strict=True):
        axes.set_ylabel(f"probability of the predicted label\n({BETTER[kind]})")
    done = {"deletion": "covered with grey", "insertion": "put back on the blurred face"}
    for row, kind in zip(grid, CURVES, strict=True):
        for axes in row:
            axes.set_xlabel(f"share of the face {done[kind]}", fontsize=9)
    lines, texts = grid[0, 0].get_legend_handles_labels()
    names = [text.rsplit("  ", 1)[0] for text in texts]
    figure.legend(lines, names, loc="outside upper center", ncols=2, frameon=False, title=f"mean of {found['n']} faces")
    return figure


def _curves(axes: Axes, shares: list[float], kind: Mapping[str, Any]) -> None:
    axes.plot(shares, kind["curve"], color=TRAIN, linewidth=2.4, label=f"the map's own order  {kind['auc']:.3f}")
    for name, (shade, line, _) in STYLES.items():
        other = kind["references"][name]
        axes.plot(shares, other["curve"], line, color=shade, linewidth=1.5, label=f"{NAMES[name]}  {other['auc']:.3f}")
    handles, texts = axes.get_legend_handles_labels()
    areas = [text.rsplit("  ", 1)[1] for text in texts]
    axes.legend(handles, areas, title="area", fontsize=8, title_fontsize=8, framealpha=0.9)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.tick_params(labelbottom=True)
    axes.grid(alpha=0.3)


def gains(found: Mapping[str, Any]) -> Figure:
    """By how much each map's area is better than each reference's, with intervals; right of 0: the map is better.

    Args:
        found: What `sanity.faithfulness` gives.
    """
    methods = list(found["methods"])
    figure, (panels,) = plot(10, 1.9 + 0.75 * len(methods), 1, len(CURVES), sharex=True, sharey=True)
    for axes, kind in zip(panels, CURVES, strict=True):
        axes.axvline(0, color=GREY, linewidth=1)
        for number, name in enumerate(REFERENCES):
            rows = [found["methods"][method][kind]["references"][name] for method in methods]
            _dots(axes, np.arange(len(methods)) + 0.24 * (number - 1), rows, name)
        axes.set(title=kind, xlabel="area by which the map is better (mean, 95 % interval)")
        axes.set_yticks(range(len(methods)), [TITLES.get(method, method) for method in methods])
        axes.grid(axis="x", alpha=0.3)
        axes.margins(x=0.2, y=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    title = f"against … (n = {found['n']} faces; in per cent: faces on which the map is better)"
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False, title=title
    )
    return figure


def _dots(axes: Axes, heights: Any, rows: list[Mapping[str, Any]], name: str) -> None:
    shade, _, mark = STYLES[name]
    middle = np.array([row["gain"] for row in rows])
    low, high = np.array([row["gain_95"] for row in rows]).T
    errors = np.array([middle - low, high - middle]).clip(0)
    axes.errorbar(middle, heights, xerr=errors, fmt=mark, color=shade, capsize=3, markersize=5, label=NAMES[name])
    for height, right, row in zip(heights, high, rows, strict=True):
        axes.annotate(
            f"{row['better']:.0%}", (right, height), (6, 0), textcoords="offset points", va="center", fontsize=8
        )


def similarities(found: Mapping[str, Any], limit: float = LIMIT) -> Figure:
    """How alike maps stay when weights are shuffled: by depth on the left, with all layers shuffled on the right.

    Args:
        found: What `randomisation.randomisation` gives.
        limit: Is drawn as a line.
    """
    methods, shades = found["methods"], [TRAIN, "#E69F00", "#009E73", "#CC79A7"]
    figure, ((left, right),) = plot(11, 4.4, 1, 2, sharey=True)
    for axes in (left, right):
        axes.axhline(0, color=GREY, linewidth=1)
        axes.axhline(limit, color=GREY, linestyle=":", label=f"limit {limit:g}")
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for (method, row), shade in zip(methods.items(), shades, strict=False):
        if len(row["depths"]) > 1:
            _cascade(left, row, shade, TITLES.get(method, method))
    left.set(
        title=f"shuffled from the head downwards ({found['seeds']} shuffles; shaded: 95 %)",
        xlabel=f"layers shuffled, of {found['layers']}",
        ylabel="rank correlation with the map\nof the network as it is (Spearman)",
        ylim=(-1, 1.05),
    )
    left.legend(loc="lower right", frameon=False)
    for at, (row, shade) in enumerate(zip(methods.values(), shades, strict=False)):
        _shuffles(right, at, row, shade)
    names = [_described(name, row) for name, row in methods.items()]
    right.plot([], [], ".", color=GREY, label="one shuffle")
    right.set_xticks(range(len(methods)), names)
    right.set(title="all layers shuffled, and for comparison", xlim=(-0.6, len(methods) - 0.4))
    figure.legend(*_unique(right), loc="outside lower center", ncols=5, frameon=False)
    return figure


def _described(name: str, row: Mapping[str, Any]) -> str:
    flat = row["depths"][-1]["flat"]
    lines = (TITLES.get(name, name), f"map {' × '.join(map(str, row['map']))}", f"{row['faces']} faces")
    return "\n".join([*lines, *([f"{flat:.0%} of the pairs\nleft out: a map is flat"] if flat else [])])


def _unique(axes: Axes) -> tuple[list[Any], list[str]]:
    """Legend entries, each name once."""
    entries = {text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    return list(entries.values()), list(entries)


def _cascade(axes: Axes, row: Mapping[str, Any], shade: str, name: str) -> None:
    known = [each for each in row["depths"] if each["similarity"] is not None]
    layers = [0, *(each["layers"] for each in known)]
    axes.plot(layers, [1, *(each["similarity"] for each in known)], "o-", color=shade, label=name)
    bands = [each["similarity_95"] or [each["similarity"]] * 2 for each in known]
    low, high = np.array([[1, 1], *bands]).T
    axes.fill_between(layers, low, high, color=shade, alpha=0.2, linewidth=0)


def _shuffles(axes: Axes, at: int, row: Mapping[str, Any], shade: str) -> None:
    """Every shuffle a dot, their mean a bar, beside the likeness of two faces' and of two labels' maps."""
    last = row["depths"][-1]
    dots = [value for value in last["by_seed"] if value is not None]
    axes.plot(at - 0.2 + np.linspace(-0.07, 0.07, len(dots)), dots, ".", color=shade)
    if last["similarity"] is not None:
        axes.hlines(
            last["similarity"], at - 0.32, at - 0.08, color="black", linewidth=2.5, label="mean of the shuffles"
        )
        axes.annotate(
            f"{last['similarity']:.2f}".replace("-", "−"),
            (at - 0.34, last["similarity"]),
            ha="right",
            va="center",
            fontsize=9,
        )
    for offset, key, mark, text in (
        (0.12, "other_face", "^", "as it is: two faces"),
        (0.3, "other_label", "D", "as it is: two labels of a face"),
    ):
        if row[key] is not None:
            axes.plot(at + offset, row[key], mark, color="black", markerfacecolor="white", markersize=7, label=text)
