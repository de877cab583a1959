"""train.figures and train.pictures: what is drawn is what the figures say, and every picture can be read."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from fer_hub.classifier import softmax
from fer_hub.labels import COLORS, LABEL_SPACES, display
from train import figures, metrics, pictures

LABELS = LABEL_SPACES["fer2013-7"]
NAMES = [display(label) for label in LABELS]
PAIRS = list(zip(NAMES, LABELS, strict=True))


def outputs(classes: int = 7, rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Logits and truths, mostly right; the last class has no rows."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, classes - 1, rows)
    return rng.normal(size=(rows, classes)) + 2 * np.eye(classes)[truth], truth


LOGITS, TRUTH = outputs()
SCORES = metrics.score(LOGITS, TRUTH, LABELS)
P = softmax(LOGITS)
FACES = np.random.default_rng(0).integers(0, 256, (300, 48, 48)).astype(np.uint8)
FACES[:, 0, 0] = np.arange(300) % 256  # which one it is


def epochs(count: int = 3) -> list[dict[str, Any]]:
    """Rows as in metrics.jsonl, every value another."""
    rows = []
    for epoch in range(1, count + 1):
        row = {"epoch": epoch, "lr": 1e-3 / epoch, "seconds": 1.0 * epoch, "train_loss": 2.0 - epoch / 10}
        for place, name in enumerate(metrics.EPOCH_FIGURES):
            row |= {f"train_{name}": (place + epoch) / 20, f"validation_{name}": (place + epoch) / 25}
        rows.append(row)
    return rows


def matrix(columns: int = 4) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    """Names, shares and references of a table; the first cell was not run, the last has no reference."""
    rows = ["none, cross-entropy", "hybrid:3000, focal:2", "undersample, class-weighted"]
    names = ["efficientnet_b0", "mobilenetv3_large_100", "resnet18", "legacy_xception"][:columns]
    values = np.linspace(0.281, 0.724, 3 * columns).reshape(3, columns)
    reference = values + 0.011
    values[0, 0] = reference[-1, -1] = np.nan
    return rows, names, values, reference


def eight() -> dict[str, Any]:
    return metrics.score(*outputs(8), LABEL_SPACES["ferplus-8"])


FIGURES: dict[str, Callable[[], Figure]] = {
    "confusion": lambda: figures.confusion(SCORES, LABELS),
    "confusion of eight": lambda: figures.confusion(eight(), LABEL_SPACES["ferplus-8"]),
    "confusion_counts": lambda: figures.confusion_counts(SCORES, LABELS),
    "recalls": lambda: figures.recalls(SCORES, LABELS),
    "class_counts": lambda: figures.class_counts(np.arange(7) * 1000, np.full(7, 8989), LABELS),
    "curves": lambda: figures.curves(epochs(), 2),
    "curves of one epoch": lambda: figures.curves(epochs(1), 1),
    "roc": lambda: figures.roc(P, TRUTH, LABELS),
    "reliability": lambda: figures.reliability({"before": P, "after": softmax(LOGITS, 2.0)}, TRUTH),
    "heat_map": lambda: figures.heat_map(*matrix()[:3], "accuracy", matrix()[3]),
    "heat_map of one column": lambda: figures.heat_map(*matrix(1)[:3], "accuracy"),
    "sample_grid": lambda: pictures.sample_grid(FACES, TRUTH, LABELS),
    "predictions": lambda: pictures.predictions(FACES, TRUTH, P, LABELS),
}


def texts(figure: Figure) -> list[str]:
    """All that is written in the first axes as free text."""
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_picture_whose_words_fit_and_do_not_cover_each_other(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = FIGURES[name]()
    figures.save(figure, tmp_path / "new" / "picture.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["picture.png"]
    with Image.open(tmp_path / "new" / "picture.png") as picture:
        assert picture.format == "PNG"
        assert 300 < picture.width < 1400
        assert 200 < picture.height < 1400
        pixels = np.asarray(picture.convert("L"))
    assert 0.01 < (pixels < 250).mean() < 0.99
    assert pixels.std() > 10
    words = written(figure, monkeypatch)
    assert len(words) >= 5
    assert min(text.get_fontsize() for text, _ in words) >= 7
    crossing = [(a[0].get_text(), b[0].get_text()) for a, b in combinations(words, 2) if a[1].overlaps(b[1])]
    assert not crossing


def written(figure: Figure, patch: pytest.MonkeyPatch) -> list[tuple[Text, Bbox]]:
    """Level words that are drawn, each with its box (shrunk by a pixel, for touching is no covering)."""
    drawn: list[Text] = []
    draw = Text.draw
    patch.setattr(Text, "draw", lambda text, renderer, *rest: (drawn.append(text), draw(text, renderer, *rest)))
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    level = [text for text in drawn if text.get_text().strip() and text.get_visible() and text.get_rotation() == 0]
    return [(text, text.get_window_extent(renderer).padded(-1)) for text in level]


def test_the_confusion_matrix_shows_per_cent_of_the_row_and_the_count() -> None:
    figure = figures.confusion(SCORES, LABELS)
    counts = np.array(SCORES["confusion"])
    wanted = [
        word
        for (row, _), count in np.ndenumerate(counts)
        for word in (f"{count / max(counts[row].sum(), 1):.0%}", str(count))
    ]
    assert texts(figure) == wanted
    (axes,) = figure.axes
    assert axes.images[0].get_array().tolist() == SCORES["confusion_normalised"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == NAMES
    assert [tick.get_text() for tick in axes.get_xticklabels()] == NAMES
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert axes.get_title() == f"accuracy {SCORES['accuracy']:.2%}, n = 300"


def test_the_matrix_of_counts_shows_the_counts() -> None:
    figure = figures.confusion_counts(SCORES, LABELS)
    counts = np.array(SCORES["confusion"])
    assert texts(figure) == [str(count) for count in counts.flat]
    assert np.asarray(figure.axes[0].images[0].get_array()) == pytest.approx(counts / counts.max())


def test_words_in_a_cell_stand_out_from_its_colour() -> None:
    figure = figures.heat_map(*matrix()[:3], "accuracy", matrix()[3])
    (image,), values = figure.axes[0].images, matrix()[2]
    for text in figure.axes[0].texts:
        column, row = (round(float(v)) for v in text.get_position())
        cell = values[row, column]
        back = (1.0, 1.0, 1.0) if np.isnan(cell) else image.cmap(image.norm(image.get_array()[row, column]))[:3]
        dark, light = sorted((luminance(back), luminance((0.0,) * 3 if text.get_color() == "black" else (1.0,) * 3)))
        assert (light + 0.05) / (dark + 0.05) > 3.5


def luminance(rgb: tuple[float, ...]) -> float:
    """Relative luminance (WCAG 2.1)."""
    return sum(
        w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
        for w, c in zip((0.2126, 0.7152, 0.0722), rgb, strict=True)
    )


def test_recalls_are_bars_in_the_expressions_colours() -> None:
    (axes,) = figures.recalls(SCORES, LABELS).axes
    bars = axes.patches
    rows = SCORES["per_class"].values()
    assert [bar.get_width() for bar in bars] == [row["recall"] for row in rows]
    assert [to_hex(bar.get_facecolor()).upper() for bar in bars] == [COLORS[label] for label in LABELS]
    assert [text.get_text() for text in axes.texts] == [f"{row['recall']:.1%}" for row in rows]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        f"{name} (n = {row['support']})" for name, row in zip(NAMES, rows, strict=True)
    ]


def test_a_label_of_ones_own_is_drawn_grey() -> None:
    scores = metrics.score(LOGITS[:, :2], TRUTH % 2, ("bored", "happy"))
    (axes,) = figures.recalls(scores, ("bored", "happy")).axes
    assert [to_hex(bar.get_facecolor()).upper() for bar in axes.patches] == [figures.GREY, COLORS["happy"]]


def test_class_counts_stand_side_by_side_with_their_sums() -> None:
    before, after = np.array([3995, 436, 4097, 7215, 4830, 3171, 4965]), np.full(7, 8989)
    figure = figures.class_counts(before, after, LABELS)
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [*before, *after]
    assert texts(figure) == [f"{count:,}" for count in (*before, *after)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "before sampling (28,709 rows)",
        "after sampling (62,923 rows an epoch)",
    ]


def test_curves_have_a_panel_for_each_figure_with_both_splits_and_the_best_epoch() -> None:
    rows = epochs()
    figure = figures.curves(rows, 2)
    panels = [axes for axes in figure.axes if axes.axison]
    assert len(panels) == len(metrics.EPOCH_FIGURES) + 2
    pairs = [("train_loss", "validation_nll"), *((f"train_{n}", f"validation_{n}") for n in metrics.EPOCH_FIGURES)]
    for axes, keys in zip(panels, [*pairs, ("lr",)], strict=True):
        *lines, best = axes.lines
        assert [list(line.get_ydata()) for line in lines] == [[row[key] for row in rows] for key in keys]
        assert all(list(line.get_xdata()) == [1, 2, 3] for line in lines)
        assert list(best.get_xdata()) == [2, 2]
    assert panels[0].get_title() == "loss (validation: NLL)"
    assert panels[-1].get_title() == "learning rate"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "validation", "best epoch (2)"]


def test_curves_leave_out_what_a_run_did_not_keep_and_break_where_a_value_is_missing() -> None:
    rows = [{"epoch": 1, "train_loss": 2.0, "validation_nll": 1.9, "validation_macro_roc_auc": None}]
    rows += [{"epoch": 2, "train_loss": 1.0, "validation_nll": 1.5, "validation_macro_roc_auc": 0.7}]
    panels = {axes.get_title(): axes for axes in figures.curves(rows).axes if axes.axison}
    assert list(panels) == ["loss (validation: NLL)", "macro ROC AUC", "NLL"]
    (line,) = panels["macro ROC AUC"].lines
    assert np.isnan(line.get_ydata()[0])
    assert line.get_ydata()[1] == 0.7


def test_roc_curves_name_the_auc_that_score_gives() -> None:
    (axes,) = figures.roc(P, TRUTH, LABELS).axes
    areas = [SCORES["per_class"][label]["roc_auc"] for label in LABELS]
    assert areas[-1] is None  # the class without rows
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        *(f"{name}  {area:.3f}" for name, area in zip(NAMES[:-1], areas[:-1], strict=True)),
        "Neutral  not defined",
    ]
    _, *curves = axes.lines
    assert [line.get_color() for line in curves] == [COLORS[label] for label in LABELS]
    for line, area in zip(curves[:-1], areas[:-1], strict=True):
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(area)


def test_reliability_shows_accuracy_and_rows_by_confidence_before_and_after() -> None:
    cases = {"before": P, "after": softmax(LOGITS, 2.0)}
    figure = figures.reliability(cases, TRUTH)
    grid = np.array(figure.axes).reshape(2, 2)
    for (upper, lower), (title, p) in zip(grid.T, cases.items(), strict=True):
        counts, _, accuracy = metrics.reliability(p, TRUTH)
        assert [bar.get_height() for bar in upper.patches] == accuracy.tolist()
        assert [bar.get_height() for bar in lower.patches] == counts.tolist()
        assert upper.get_title() == f"{title}\nECE {metrics.ece(p, TRUTH):.3f}"


def test_a_heat_map_writes_per_cent_over_what_the_report_says_and_leaves_what_was_not_run_empty() -> None:
    rows, columns, values, reference = matrix()
    figure = figures.heat_map(rows, columns, values, "PrivateTest accuracy", reference)
    words = {}
    for text in figure.axes[0].texts:
        column, row = (round(float(v)) for v in text.get_position())
        words.setdefault((row, column), []).append(text.get_text())
    assert words[0, 0] == ["", f"report {100 * reference[0, 0]:.1f}"]
    assert words[1, 2] == [f"{100 * values[1, 2]:.1f}", f"report {100 * reference[1, 2]:.1f}"]
    assert words[2, 3] == ["72.4"]
    assert len(words) == 12
    assert np.isnan(figure.axes[0].images[0].get_array().filled(np.nan)[0, 0])
    assert figure.axes[0].get_title() == "PrivateTest accuracy (%)"


def test_a_heat_map_of_which_nothing_was_run_is_empty() -> None:
    figure = figures.heat_map(["a"], ["b", "c"], np.full((1, 2), np.nan), "accuracy")
    assert texts(figure) == ["", ""]


def test_samples_stand_in_the_row_of_their_class_under_their_captions() -> None:
    titles = [f"row {i}" for i in range(300)]
    figure = pictures.sample_grid(FACES, TRUTH, LABELS, titles, per_class=3)
    wanted = [index for row in range(7) for index in np.flatnonzero(TRUTH == row)[:3]]
    (axes,) = figure.axes
    assert [int(image.get_array()[0, 0]) for image in axes.images] == [int(FACES[i, 0, 0]) for i in wanted]
    assert [text for text in texts(figure) if text.startswith("row")] == [titles[i] for i in wanted]
    assert [text for text in texts(figure) if not text.startswith("row")] == NAMES
    tops = [image.get_extent()[3] for image in axes.images]
    assert tops == sorted(tops)
    assert len(set(tops)) == 6


def test_predictions_show_the_most_confident_right_and_wrong_ones_of_each_class() -> None:
    figure = pictures.predictions(FACES, TRUTH, P, LABELS, each=2)
    (axes,), guesses, confidence = figure.axes, P.argmax(1), P.max(1)
    wanted = []
    for row in range(7):
        for right in (True, False):
            mine = np.flatnonzero((TRUTH == row) & ((guesses == row) == right))
            wanted += sorted(mine, key=lambda i: -confidence[i])[:2]
    captions = [f"{NAMES[guesses[i]]} {confidence[i]:.0%}" for i in wanted]
    assert len(wanted) == 24  # two right and two wrong of six classes
    assert [text for text in texts(figure) if "%" in text] == captions
    assert [int(image.get_array()[0, 0]) for image in axes.images] == [int(FACES[i, 0, 0]) for i in wanted]
    frames = [to_hex(patch.get_edgecolor()).upper() for patch in axes.patches]
    assert frames == [figures.TRAIN, figures.TRAIN, figures.VALIDATION, figures.VALIDATION] * 6
    assert [text for text in texts(figure) if text.startswith("true")] == [f"true\n{name}" for name in NAMES]


@pytest.mark.parametrize("given", [False, True])
def test_a_model_folder_gets_its_figures_and_no_pictures_of_faces(tmp_path: Path, given: bool) -> None:
    result = {"test": SCORES, "temperature": 1.5}
    figures.draw_model(tmp_path, result, LABELS, *([LOGITS, TRUTH] if given else []))
    names = {"confusion.png", "confusion_counts.png", "recall.png"} | (
        {"roc.png", "reliability.png"} if given else set()
    )
    assert {path.name for path in tmp_path.iterdir()} == names


def test_the_curves_of_a_model_are_drawn_at_its_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, Figure] = {}
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.update({path.name: figure}))
    scores, plain = metrics.score(LOGITS, TRUTH, LABELS, 2.5), metrics.score(LOGITS, TRUTH, LABELS)
    figures.draw_model(Path("model"), {"test": scores, "temperature": 2.5}, LABELS, LOGITS, TRUTH)
    legend = [text.get_text() for text in drawn["roc.png"].axes[0].get_legend().get_texts()]
    assert legend[:-1] == [f"{name}  {scores['per_class'][label]['roc_auc']:.3f}" for name, label in PAIRS[:-1]]
    assert [axes.get_title() for axes in drawn["reliability.png"].axes[:2]] == [
        f"before calibration\nECE {plain['ece']:.3f}",
        f"after (temperature 2.50)\nECE {scores['ece']:.3f}",
    ]


def test_a_runs_folder_gets_its_curves_and_pictures(tmp_path: Path) -> None:
    figures.draw_run(tmp_path, epochs(), 2)
    pictures.draw_samples(tmp_path, FACES, TRUTH, LABELS)
    pictures.draw_pictures(tmp_path, FACES, TRUTH, P, LABELS)
    assert {path.name for path in tmp_path.iterdir()} == {"curves.png", "training_samples.png", "predictions.png"}


def test_drawing_keeps_no_figure_open() -> None:
    import matplotlib.pyplot as plt

    figures.recalls(SCORES, LABELS)
    assert plt.get_fignums() == []
