"""Results of runs that were never trained, and where they are recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fer_hub.labels import labels_of
from train import metrics
from train.config import to_json
from train.data import PROTOCOLS
from train.presets import Run
from train.run_folder import write_json


def scores(space: str, strength: float = 1.5, rows: int = 210, seed: int = 0) -> dict[str, Any]:
    """Scores of made-up logits; the stronger, the more often they are right."""
    rng, labels = np.random.default_rng(seed), labels_of(space)
    truth = np.arange(rows) % len(labels)
    logits = rng.normal(size=(len(truth), len(labels)))
    logits[np.arange(len(truth)), truth] += strength
    return metrics.score(logits, truth, labels)


def result_of(run: Run, validation: float = 1.5, test: float = 1.5, **config: Any) -> dict[str, Any]:
    """A run's result, its validation and test scores of these strengths, its config with these changes."""
    space = PROTOCOLS[run.config.protocol].space or "fer2013-7"
    scored = scores(space, test, seed=run.number)
    return {
        "config": to_json(run.config) | config,
        "validation": scores(space, validation, seed=run.number + 1),
        "test": scored,
        "uncalibrated": {"test": {"nll": scored["nll"] + 0.5, "ece": scored["ece"]}},
        "seconds": 12.5,
    }


def keep(folder: Path, group: str, name: str, result: dict[str, Any]) -> dict[str, Any]:
    """Record a result in a folder of groups."""
    write_json(folder / group / f"{name}.json", result)
    return result


def interval(test: dict[str, Any]) -> str:
    """An accuracy as the pages show it, with its interval."""
    low, high = (f"{100 * end:.2f}" for end in test["accuracy_95"])
    return f"{100 * test['accuracy']:.2f} ({low}–{high})"
