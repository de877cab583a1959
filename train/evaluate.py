"""Score a model folder again, from each of its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fer_hub.classifier import RUNTIMES, load_classifier
from fer_hub.hub import find_model, read_info
from fer_hub.types import Array

from . import data, metrics
from .data import Split
from .network import split_logits


@dataclass(frozen=True)
class EvaluateConfig:
    """Score a model on a split."""

    model: str | None = None
    """A name of the zoo, a model folder or a Hub id; default: the embedded model."""
    data: Path | None = None
    """What train.sources can read; default: the environment variable FER2013_DIR."""
    protocol: str = "official"
    """Which splits."""
    split: Literal["train", "validation", "test"] = "test"
    """Which of them; of FER2013, test is PrivateTest and validation is PublicTest."""
    runtimes: tuple[str, ...] = tuple(RUNTIMES)
    """onnx, torch, or both."""
    variant: str = "fp32"
    """Of the ONNX file: fp32, fp16, int8, or auto."""


def evaluate(config: EvaluateConfig) -> dict[str, dict[str, Any]]:
    """Every figure of the model on the split, by run time; printed as a table."""
    splits = data.load(config.protocol, config.data)
    split: Split = getattr(splits, config.split)
    info = read_info(find_model(config.model, files=("config.json",)))
    if info.labels != splits.labels:
        raise ValueError(f"The model names {', '.join(info.labels)}; the data {', '.join(splits.labels)}.")
    variants = {"onnx": config.variant}
    logits = {name: model_logits(config.model, name, split, variants.get(name, "fp32")) for name in config.runtimes}
    scores = {name: metrics.score(rows, split.labels, info.labels, info.temperature) for name, rows in logits.items()}
    print(table(scores))
    if len(logits) > 1:
        print(agreement(*list(logits.values())[:2]))
    return scores


def model_logits(model: str | None, runtime: str, split: Split, variant: str = "fp32") -> Array:
    """N×labels logits of a model's file on a split."""
    classifier = load_classifier(model, runtime=runtime, variant=variant)
    return split_logits(classifier.logits, split, classifier.info.input)


def table(scores: dict[str, dict[str, Any]]) -> str:
    """One line for each run time."""
    lines = [f"{'':8}{'n':>6} {'accuracy':>9} {'95 %':>17} {'balanced':>9} {'macro-F1':>9} {'NLL':>7} {'ECE':>7}"]
    for name, row in scores.items():
        low, high = row["accuracy_95"]
        lines.append(
            f"{name:8}{row['n']:6} {row['accuracy']:9.4f} {low:8.4f}–{high:.4f} {row['balanced_accuracy']:11.4f} "
            f"{row['macro_f1']:9.4f} {row['nll']:7.4f} {row['ece']:7.4f}"
        )
    return "\n".join(lines)


def agreement(a: Array, b: Array) -> str:
    """How far two sets of logits agree."""
    same = int((a.argmax(1) == b.argmax(1)).sum())
    return f"same label on {same} of {len(a)}; logits differ by at most {np.abs(a - b).max():.1e}"
