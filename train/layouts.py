"""Which figures a preset's report gives, how its tables are laid out, and those figures themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from fer_hub.labels import labels_of

REFERENCES = Path(__file__).with_name("references.json")

Range = Sequence[float]


@dataclass(frozen=True)
class Layout:
    """How the report sets its table out."""

    figures: Mapping[str, str]
    """Figure (see `value`) → heading."""
    tables: str | None = None
    """The axis with a table for each of its values; None: one table, with a column for each run."""


def _per_class(figure: str, labels: Iterable[str]) -> dict[str, str]:
    heading = {"recall": "recall of {}", "roc_auc": "ROC AUC of {}"}[figure]
    return {f"per_class.{label}.{figure}": heading.format(label) for label in labels}


WEIGHTED = {
    "weighted_precision": "precision",
    "accuracy": "accuracy",
    "weighted_recall": "recall",
    "weighted_f1": "F1",
}
MACRO = {"macro_precision": "macro precision", "macro_recall": "macro recall", "macro_f1": "macro F1"}
BALANCED = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "mean_sensitivity": "mean sensitivity",
    "mean_specificity": "mean specificity",
}

LAYOUTS: dict[str, Layout] = {
    "imbalance-grid": Layout(WEIGHTED, tables="sampling"),
    "imbalance-grid-aligned": Layout(WEIGHTED, tables="sampling"),
    "raw-pixel-8": Layout(
        {
            "accuracy": "accuracy",
            "loss": "test loss, before calibration",
            **MACRO,
            **{name: heading if name == "accuracy" else f"weighted {heading}" for name, heading in WEIGHTED.items()},
            **_per_class("recall", ("fear", "contempt", "disgust", "happy", "neutral", "surprise")),
        }
    ),
    "cnn-architectures": Layout(
        {
            "accuracy": "accuracy",
            "lowest_roc_auc": "lowest ROC AUC of a class",
            "highest_roc_auc": "highest ROC AUC of a class",
            **_per_class("roc_auc", labels_of("fer2013-7")),
            **_per_class("recall", labels_of("fer2013-7")),
        }
    ),
    "realtime-7": Layout(
        {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}
        | _per_class("recall", labels_of("fer2013-7"))
    ),
    "five-class": Layout(
        BALANCED | {f"external.{name}": f"external set: {heading}" for name, heading in BALANCED.items()}
    ),
}


def references() -> dict[str, Any]:
    """The reports' figures by preset."""
    values: dict[str, Any] = json.loads(REFERENCES.read_text(encoding="utf-8"))
    return values


def same_images(name: str) -> bool:
    """Whether a report's test images are those of its preset, so that a difference says something."""
    return bool(references()[name].get("same_images", True))


def value(result: Mapping[str, Any], key: str) -> float | None:
    """A figure of a result: a path into its test scores (`external.…`: of the external set), or a derived one.

    Returns:
        None where it is undefined, or there is no external set.
    """
    rest = key.removeprefix("external.")
    scores = result["test"] if rest == key else result.get("external")
    if key == "loss":
        return float(result["uncalibrated"]["test"]["nll"])
    if rest in DERIVED and scores is not None:
        figure, reduce = DERIVED[rest]
        known = [v for v in (one[figure] for one in scores["per_class"].values()) if v is not None]
        return float(reduce(known)) if known else None
    for part in rest.split("."):
        scores = scores.get(part) if scores is not None else None
    return scores


DERIVED: dict[str, tuple[str, Any]] = {
    "mean_sensitivity": ("recall", fmean),
    "mean_specificity": ("specificity", fmean),
    "lowest_roc_auc": ("roc_auc", min),
    "highest_roc_auc": ("roc_auc", max),
}


def difference(own: float | None, other: float | Range | None) -> float | None:
    """Ours less the report's; of a range that the report gives, less its nearer end, and 0 inside."""
    if own is None or other is None:
        return None
    low, high = other if isinstance(other, Sequence) else (other, other)
    return own - min(max(own, low), high)
