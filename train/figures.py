"""Results that people would rather look at than read (matplotlib, no display needed); no pictures of faces."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from fer_hub.classifier import softmax
from fer_hub.labels import COLORS, display

from . import metrics
from .calibrate import of_result
from .metrics import Floats, Ints
from .run_folder import write_bytes

TRAIN, VALIDATION, GREY = "#0072B2", "#D55E00", "#777777"
"""Of Okabe and Ito (2008), as the expressions' own colours."""
OUTLINE = [Stroke(linewidth=3, foreground="#444444"), Normal()]
"""Round lines in an expression's colour: yellow alone is hard to see on white."""
TITLES = {
    "nll": "NLL",
    "ece": "ECE",
    "macro_roc_auc": "macro ROC AUC",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
}


def draw_model(
    folder: Path, result: dict[str, Any], labels: Sequence[str], logits: Floats | None = None, truth: Ints | None = None
) -> None:
    """The figures of a model folder, all of the test split; none shows an image of the data.

    Args:
        folder: Where to.
        result: As in result.json.
        labels: C labels.
        logits: N×C of the test split, not calibrated; None: no ROC curves and no reliability.
        truth: N true indices.
    """
    save(confusion(result["test"], labels), folder / "confusion.png")
    save(confusion_counts(result["test"], labels), folder / "confusion_counts.png")
    save(recalls(result["test"], labels), folder / "recall.png")
    if logits is None or truth is None:
        return
    found = of_result(result)
    plain, calibrated = softmax(logits), softmax(found.apply(logits))
    save(roc(calibrated, truth, labels), folder / "roc.png")
    cases = {"before calibration": plain, f"after ({found.words})": calibrated}
    save(reliability(cases, truth), folder / "reliability.png")


def draw_run(folder: Path, epochs: Sequence[dict[str, Any]], best_epoch: int | None = None) -> None:
    """The picture of a run: curves by epoch."""
    save(curves(epochs, best_epoch), folder / "curves.png")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    write_bytes(path, buffer.getvalue())


def plot(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, NDArray[Any]]:
    """A figure of so many inches and its rows×columns axes; not registered with pyplot, so nothing need close it."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def color(label: str) -> str:
    """The colour of a label; grey for one that is no known expression."""
    return COLORS.get(label, GREY)


def confusion(scores: dict[str, Any], labels: Sequence[str]) -> Figure:
    """Confusion matrix, each row in per cent of its true class, counts beneath."""
    counts, share = np.array(scores["confusion"]), metrics.normalised(scores["confusion"])
    texts = [[f"{value:.0%}", str(counts[at])] for at, value in np.ndenumerate(share)]
    return _matrix(share, texts, scores, labels)


def confusion_counts(scores: dict[str, Any], labels: Sequence[str]) -> Figure:
    """Confusion matrix in rows of the data."""
    counts = np.array(scores["confusion"])
    return _matrix(counts / max(counts.max(), 1), [[str(value)] for value in counts.flat], scores, labels)


def _matrix(
    shades: NDArray[np.float64], texts: Sequence[Sequence[str]], scores: dict[str, Any], labels: Sequence[str]
) -> Figure:
    side = 1.6 + 0.68 * len(labels)
    figure, ((axes,),) = plot(side + 0.3, side)
    names = [display(label) for label in labels]
    _cells(axes, shades, texts, "Blues")
    _name(axes, names, names)
    axes.set(xlabel="predicted", ylabel="true", title=f"accuracy {scores['accuracy']:.2%}, n = {scores['n']}")
    return figure


def _cells(axes: Axes, shades: NDArray[np.float64], texts: Sequence[Sequence[str]], colors: str) -> None:
    """Coloured cells (shades 0 to 1, NaN: left white), each with a large line of text and perhaps a small one."""
    axes.imshow(shades, cmap=colors, vmin=0, vmax=1, aspect="auto")
    for (row, column), lines in zip(np.ndindex(shades.shape), texts, strict=True):
        shade = shades[row, column]
        red, green, blue, _ = colormaps[colors](shade if np.isfinite(shade) else 0.0)
        dark = np.isfinite(shade) and 0.299 * red + 0.587 * green + 0.114 * blue < 0.45
        style = {"ha": "center", "color": "white" if dark else "black", "linespacing": 1.25}
        gap = 0.04 if len(lines) > 1 else 0.0
        axes.text(column, row - gap, lines[0], va="bottom" if gap else "center", fontsize=9, **style)
        if gap:
            axes.text(column, row + gap, lines[1], va="top", fontsize=7, **style)


def _name(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)


def recalls(scores: dict[str, Any], labels: Sequence[str]) -> Figure:
    """Recall per class, with its support."""
    rows = [scores["per_class"][label] for label in labels]
    figure, ((axes,),) = plot(6.4, 0.8 + 0.36 * len(labels))
    bars = axes.barh(
        [f"{display(label)} (n = {row['support']})" for label, row in zip(labels, rows, strict=True)],
        [row["recall"] for row in rows],
        color=[color(label) for label in labels],
        edgecolor="#444444",
        linewidth=0.6,
    )
    axes.bar_label(bars, [f"{row['recall']:.1%}" for row in rows], padding=3)
    axes.set(xlim=(0, 1.13), xlabel="recall")
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.spines[["top", "right"]].set_visible(False)
    axes.invert_yaxis()
    return figure


def class_counts(before: Ints, after: Ints, labels: Sequence[str]) -> Figure:
    """Training rows per class as the data has them, and as an epoch draws them.

    Args:
        before: C counts of the training split.
        after: C counts of the rows of an epoch, repetitions counted.
        labels: C labels.
    """
    figure, ((axes,),) = plot(6.8, 1.1 + 0.5 * len(labels))
    y = np.arange(len(labels))
    bar_rows = (
        (before, -0.2, "#DDDDDD", f"before sampling ({sum(before):,} rows)"),
        (after, 0.2, TRAIN, f"after sampling ({sum(after):,} rows an epoch)"),
    )
    for counts, offset, shade, name in bar_rows:
        bars = axes.barh(y + offset, counts, 0.38, color=shade, edgecolor="#444444", linewidth=0.6, label=name)
        axes.bar_label(bars, [f"{count:,}" for count in counts], padding=3, fontsize=8)
    axes.set_yticks(y, [display(label) for label in labels])
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="rows", xlim=(0, 1.13 * max(*before, *after, 1)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def curves(epochs: Sequence[dict[str, Any]], best_epoch: int | None = None) -> Figure:
    """Loss, every epoch figure and the learning rate, a panel each: training and validation by epoch.

    Args:
        epochs: Rows of metrics.jsonl; panels without any value are left out.
        best_epoch: The kept epoch, marked in each panel; None: no mark.
    """
    pairs = {"loss (validation: NLL)": ("train_loss", "validation_nll")}
    pairs |= {TITLES.get(n, n.replace("_", " ")): (f"train_{n}", f"validation_{n}") for n in metrics.EPOCH_FIGURES}
    pairs |= {"learning rate": ("lr", "")}
    known = {key for row in epochs for key, value in row.items() if value is not None}
    pairs = {title: names for title, names in pairs.items() if known & set(names)}
    columns = min(4, len(pairs))
    figure, grid = plot(2.9 * columns, 2.25 * -(-len(pairs) // columns) + 0.4, -(-len(pairs) // columns), columns)
    for axes in grid.flat[len(pairs) :]:
        axes.set_axis_off()
    for axes, (title, names) in zip(grid.flat, pairs.items(), strict=False):
        _lines(axes, epochs, [name for name in names if name in known], best_epoch)
        axes.set_title(title, fontsize=10)
    entries = {text: line for axes in grid.flat for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=4, frameon=False)
    figure.supxlabel("epoch", fontsize=10)
    return figure


def _lines(axes: Axes, epochs: Sequence[dict[str, Any]], names: Sequence[str], best_epoch: int | None) -> None:
    styles = {"train": ("training", TRAIN, "o"), "validation": ("validation", VALIDATION, "s")}
    size = 3 if len(epochs) <= 30 else 0
    for name in names:
        text, shade, marker = styles.get(name.split("_")[0], (None, "black", "o"))
        y = [np.nan if row.get(name) is None else row[name] for row in epochs]
        axes.plot([row["epoch"] for row in epochs], y, color=shade, marker=marker, markersize=size, label=text)
    if best_epoch is not None:
        axes.axvline(best_epoch, color=GREY, linestyle=":", label=f"best epoch ({best_epoch})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_formatter("{x:.4g}")
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)


def roc(probabilities: Floats, truth: Ints, labels: Sequence[str]) -> Figure:
    """ROC curve of each class against the rest, with its AUC.

    Args:
        probabilities: N×C.
        truth: N true indices.
        labels: C labels.
    """
    figure, ((axes,),) = plot(6.2, 5.6)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    for column, area in enumerate(metrics.roc_aucs(probabilities, truth)):
        name = display(labels[column])
        curve = metrics.roc(probabilities, truth, column) if area is not None else ([], [])
        text = f"{name}  {area:.3f}" if area is not None else f"{name}  not defined"
        axes.plot(*curve, color=color(labels[column]), linewidth=1.8, path_effects=OUTLINE, label=text)
    axes.legend(loc="lower right", title="AUC, one against the rest")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1), ylim=(0, 1.01), aspect="equal")
    axes.grid(alpha=0.3)
    return figure


def reliability(cases: Mapping[str, Floats], truth: Ints) -> Figure:
    """Accuracy by confidence, a panel for each set of probabilities, and beneath how many rows are so confident.

    Args:
        cases: N×C probabilities by title.
        truth: N true indices.
    """
    options = {"height_ratios": (4, 1), "sharex": True, "sharey": "row"}
    figure, grid = plot(4.2 * len(cases), 4.8, 2, len(cases), **options)
    for (upper, lower), (title, probabilities) in zip(grid.T, cases.items(), strict=True):
        counts, _, accuracy = metrics.reliability(probabilities, truth)
        width = 1 / len(counts)
        x = (np.arange(len(counts)) + 0.5) * width
        upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfectly calibrated")
        upper.bar(x, accuracy, width, color="#56B4E9", edgecolor="#444444", linewidth=0.6, label="accuracy")
        upper.set(title=f"{title}\nECE {metrics.ece(probabilities, truth):.3f}", xlim=(0, 1), ylim=(0, 1))
        upper.legend(loc="upper left", frameon=False)
        lower.bar(x, counts, width, color="#DDDDDD", edgecolor="#444444", linewidth=0.6)
        lower.set_xlabel("confidence")
    figure.get_layout_engine().set(wspace=0.05)  # the numbers 1.0 and 0.0 of neighbours stay apart
    grid[0, 0].set_ylabel("accuracy")
    grid[1, 0].set_ylabel("rows")
    return figure


def heat_map(
    rows: Sequence[str], columns: Sequence[str], values: ArrayLike, title: str, reference: ArrayLike | None = None
) -> Figure:
    """A table of shares in per cent, the darker the lower; put the longer side in the rows, it is read more easily.

    Args:
        rows: R names.
        columns: C names.
        values: R×C shares 0 to 1; NaN: not run, the cell stays white.
        title: What the shares are.
        reference: R×C shares that a report gives, written beneath; NaN: none given.
    """
    shares = np.asarray(values, dtype=np.float64)
    others = np.full_like(shares, np.nan) if reference is None else np.asarray(reference, dtype=np.float64)
    ran = shares[np.isfinite(shares)]
    low, high = (ran.min(), ran.max()) if len(ran) else (0.0, 1.0)
    texts = [
        ["" if np.isnan(own) else f"{own:.1%}"[:-1], *([] if np.isnan(other) else [f"report {other:.1%}"[:-1]])]
        for own, other in zip(shares.flat, others.flat, strict=True)
    ]
    figure, ((axes,),) = plot(2.6 + 0.95 * len(columns), 1.8 + 0.6 * len(rows))
    _cells(axes, (shares - low) / max(high - low, 1e-9), texts, "cividis")
    _name(axes, rows, columns)
    axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#CCCCCC", linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    axes.set_title(f"{title} (%)")
    return figure
