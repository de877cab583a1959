"""Drawings of selective prediction, calibration and comparison; what is drawn is what their dicts say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ..figures import GREY, TRAIN, VALIDATION, plot

SHADES = (TRAIN, VALIDATION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "black")
"""Of the models, in their order (Okabe and Ito 2008); past the last they come again with another line."""
LINES = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)))
START = 0.02
"""Of the coverage drawn: the first few rows are right or wrong by chance."""
WITH_BOUNDS = 3
"""Models up to which each one's oracle and random line are drawn; past it, the first one's."""


def risk_coverage(models: Mapping[str, dict[str, Any]]) -> Figure:
    """Error rate among the surest faces by their share, a curve for each model.

    Between two bounds: an oracle that is least sure where it errs, and a confidence that says nothing.

    Args:
        models: `selective.risk_coverage` by name.
    """
    figure, ((axes,),) = plot(7.2, 4.8)
    bounded = list(models)[: len(models) if len(models) <= WITH_BOUNDS else 1]
    for (name, found), (line, shade) in zip(models.items(), cycle(product(LINES, SHADES)), strict=False):
        curve = {key: np.array(values) for key, values in found["curve"].items()}
        shown = curve["coverage"] >= min(START, curve["coverage"][-1])
        x = curve["coverage"][shown]
        axes.plot(x, curve["risk"][shown], color=shade, linestyle=line, label=f"{name} (AURC {found['aurc']:.4f})")
        if name in bounded:
            axes.plot(x, curve["oracle"][shown], color=shade, linestyle="--", linewidth=0.9)
            axes.plot([0, 1], [found["risk"]] * 2, color=shade, linestyle=":", linewidth=1.1)
    whose = "" if len(bounded) == len(models) else f" ({bounded[0]})"
    axes.plot([], [], color=GREY, linestyle=":", linewidth=1.1, label=f"a confidence that says nothing{whose}")
    axes.plot([], [], color=GREY, linestyle="--", linewidth=0.9, label=f"an oracle, least sure where it errs{whose}")
    axes.set(xlabel="coverage: share of faces answered, the surest first", ylabel="errors among the answers")
    axes.set(xlim=(0, 1), ylim=(0, 1.12 * max(found["risk"] for found in models.values()) or 1))
    _per_cent(axes, "xy")
    axes.set_title(f"n = {', '.join(sorted({format(found['n'], ',') for found in models.values()}))} faces")
    figure.legend(loc="outside lower center", ncols=1 if max(map(len, models)) > 24 else 2, frameon=False, fontsize=9)
    return figure


def _per_cent(axes: Axes, which: str) -> None:
    for letter in which:
        getattr(axes, f"{letter}axis").set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def reliability(found: dict[str, Any]) -> Figure:
    """Accuracy by confidence with 95 % intervals, before and after calibration; beneath, the rows of each bin.

    Args:
        found: As `calibration.calibration` gives it.
    """
    options = {"height_ratios": (4, 1), "sharex": True, "sharey": "row"}
    known = (("before", "before calibration", VALIDATION), ("after", "after calibration", TRAIN))
    cases = [case for case in known if found[case[0]] is not None]
    figure, grid = plot(4.2 * len(cases), 5.0, 2, len(cases), **options)
    for (upper, lower), (name, title, shade) in zip(grid.T, cases, strict=True):
        _reliability(upper, found[name]["reliability"], shade)
        upper.set_title(
            f"{title}\nECE {found[name]['ece']:.3f}, by chance alone {found[name]['floor']:.3f}", fontsize=11
        )
        rows = found[name]["reliability"]
        places = [(row["low"] + row["high"]) / 2 for row in rows]
        width = rows[0]["high"] - rows[0]["low"]
        lower.bar(places, [row["count"] for row in rows], width, color="#DDDDDD", edgecolor="#444444", linewidth=0.6)
        upper.legend(loc="lower right", frameon=False, fontsize=9)
        lower.set_xlabel("confidence")
        lower.yaxis.set_major_formatter("{x:,.0f}")
        lower.spines[["top", "right"]].set_visible(False)
    figure.get_layout_engine().set(wspace=0.06)  # the numbers 100 % and 0 % of neighbours stay apart
    grid[0, 0].set_ylabel("accuracy")
    grid[1, 0].set_ylabel("faces")
    return figure


def _reliability(axes: Axes, rows: Sequence[dict[str, Any]], shade: str) -> None:
    full = [row for row in rows if row["count"]]
    x, y = ([row[name] for row in full] for name in ("confidence", "accuracy"))
    reach = np.array(
        [[row["accuracy"] - row["accuracy_95"][0], row["accuracy_95"][1] - row["accuracy"]] for row in full]
    )
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
    axes.errorbar(x, y, reach.T.clip(0), color=shade, marker="o", markersize=5, capsize=2.5, label="accuracy, 95 %")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    _per_cent(axes, "xy")


def differences(pairs: Sequence[dict[str, Any]]) -> Figure:
    """Each pair's differences in accuracy and macro-F1 with their 95 % intervals; right of 0: a is better.

    Args:
        pairs: As `comparison.compare_models` gives them.
    """
    figure, (panels,) = plot(9.6, 1.3 + 0.5 * len(pairs), 1, 2, sharey=True)
    y = np.arange(len(pairs))
    for axes, key, title in zip(panels, ("difference", "macro_f1_difference"), ("accuracy", "macro F1"), strict=True):
        middle = 100 * np.array([pair[key] for pair in pairs])
        ends = 100 * np.array([pair[f"{key}_95"] for pair in pairs])
        apart = (ends[:, 0] > 0) | (ends[:, 1] < 0)
        axes.axvline(0, color=GREY, linewidth=1)
        for chosen, shade, marker, text in (
            (apart, TRAIN, "o", "0 lies outside the interval"),
            (~apart, GREY, "s", "0 lies inside"),
        ):
            reach = np.abs(ends[chosen].T - middle[chosen])
            style = {"color": shade, "marker": marker, "linestyle": "none", "capsize": 3, "label": text}
            axes.errorbar(middle[chosen], y[chosen], xerr=reach, **style)
        axes.set(xlabel="difference in points, 95 % interval", title=title)
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_xlim(*_around_zero(ends))
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(y, [f"{pair['a']}\n− {pair['b']}" for pair in pairs])
    panels[0].set_ylim(len(pairs) - 0.4, -0.6)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=9
    )
    return figure


def _around_zero(ends: np.ndarray) -> tuple[float, float]:
    """Limits that hold 0 and all of these, with room."""
    low, high = min(0.0, float(ends.min())), max(0.0, float(ends.max()))
    room = 0.08 * max(high - low, 0.1)
    return low - room, high + room
