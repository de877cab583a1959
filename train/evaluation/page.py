"""The report as one HTML page: nothing is loaded from elsewhere and no script runs, so it can be mailed and kept."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from matplotlib.figure import Figure
from PIL import Image

from ..cards import TEMPLATES, environment
from ..run_folder import write_bytes

SECTIONS: dict[str, str] = {
    "models": "Scores",
    "calibration": "Can the probabilities be believed?",
    "selective": "Answering only where it is sure",
    "comparison": "Models compared",
    "robustness": "Worse images",
    "copies": "Images that are in two splits",
    "foreign": "Faces of another data set",
    "sanity": "Do the explanations explain?",
    "panels": "Faces and explanations",
    "label_map": "Labels mapped onto each other",
}
"""Title of each section that can hold figures, in the page's order; a new one needs a template of its name in
model_cards/evaluation/ too. `models`, `calibration` and `selective` are always there, the others where the report
has a value that is not None."""
ALWAYS = ("models", "calibration", "selective")
DPI, SCREEN = 144, 96
"""Pixels an inch of a drawing: in the file (sharp on dense screens and on paper), and of the page's layout."""


class Picture(NamedTuple):
    """A figure as the page holds it."""

    src: str
    """data: URI."""
    alt: str
    caption: str
    width: int
    """Pixels of the layout."""
    height: int
    model: str | None


def write(path: Path, report: Mapping[str, Any], figures: Mapping[str, Figure]) -> None:
    """Write the page, whole or not at all; arguments and errors as `render` has them."""
    write_bytes(path, render(report, figures).encode())


def render(report: Mapping[str, Any], figures: Mapping[str, Figure]) -> str:
    """The page as HTML.

    Args:
        report: JSON values (names with a question mark: None where there is none, but never missing):
            title, written (date as text), fer_hub_version, command? (what to type for this report), notes (sentences on
            rows that are not fresh to a model), remarks (what else is to be known of the rows);
            data: {dataset, protocol (its sentence), split, n, digest?, labels (C), supports (rows by label)};
            models: a list of {name, source, runtime, variant?, architecture, input (text), parameters?, bytes?,
            views (how many of a face are averaged), calibrated (text), scores (metrics.score), uncalibrated? (the same
            before calibration), calibration (calibration.calibration), selective (selective.score), runtimes? (text:
            how far the run times agree), latency? {p50, p95 (ms a face), about (machine)}};
            comparison? (comparison.compare_models);
            robustness?, copies?, sanity?, panels?, label_map?: {models: by name, what train.evaluation.parts gives};
            foreign?: {sets: by name of the data set and of the model};
            figures: for each figure its {section (a key of SECTIONS), model? (its name), alt, caption}.
        figures: Drawings, of the same names; shown in this order.

    Raises:
        ValueError: A value is missing, figures and their texts do not fit, or one has no place on the page.
    """
    try:
        pictures = placed(report, figures)
        titles = {name: title for name, title in SECTIONS.items() if name in ALWAYS or report[name] is not None}
        template = environment(TEMPLATES, html=True).get_template("evaluate.html.j2")
        return template.render(report=report, pictures=pictures, titles=titles)
    except (KeyError, jinja2.UndefinedError) as error:
        raise ValueError(
            f"The page cannot be written, a value is missing: {error}. Give every name that "
            "train.evaluation.page.render lists, None where there is nothing to show."
        ) from error


def placed(report: Mapping[str, Any], figures: Mapping[str, Figure]) -> dict[str, list[Picture]]:
    """The figures by section.

    Raises:
        ValueError: Figures and their texts do not fit, or one has no place on the page.
    """
    texts, names = report["figures"], [model["name"] for model in report["models"]]
    if set(texts) != set(figures):
        only = sorted(set(texts) ^ set(figures))
        raise ValueError(f"Figures without texts or texts without a figure: {', '.join(only)}. Give both for each.")
    sections: dict[str, list[Picture]] = {name: [] for name in SECTIONS}
    for name, figure in figures.items():
        text = texts[name]
        section = text["section"]
        if section not in SECTIONS:
            raise ValueError(f"Figure {name} is of section {section!r}. Allowed: {', '.join(SECTIONS)}.")
        if section not in ALWAYS and report[section] is None:
            raise ValueError(f"Figure {name} has no place: the report's {section!r} is None. Give a dict, if empty.")
        if not text["alt"].strip():
            raise ValueError(f"Figure {name} has no alt text. Say in a sentence what it shows.")
        if text["model"] not in (None, *names):
            raise ValueError(f"Figure {name} is of {text['model']!r}, no model of the report: {', '.join(names)}.")
        sections[section].append(picture(figure, text["alt"], text["caption"], text["model"]))
    return sections


def picture(figure: Figure, alt: str, caption: str, model: str | None = None) -> Picture:
    """A figure as PNG inside a data: URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", facecolor="white")
    width, height = (round(side * SCREEN / DPI) for side in Image.open(buffer).size)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Picture(f"data:image/png;base64,{data}", alt, caption, width, height, model)
