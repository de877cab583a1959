"""How a run is optimised and its images varied: ours, and those of the five source reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .config import RunConfig, completed

PLAIN: dict[str, Any] = {
    "batch_size": 64,
    "optimizer": "adam",
    "lr": 1e-3,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup": 0.0,
    "label_smoothing": 0.0,
    "clip": 0.0,
    "sam": 0.0,
    "ema": 0.0,
    "drop_rate": None,
    "drop_path_rate": 0.0,
    "first_size": 0,
    "augment": 1.0,
    "rotate": 0.0,
    "zoom": 0.0,
    "shift": 0.0,
    "flip": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "erase": 0.0,
    "mixup": 0.0,
}
"""What no report mentions is off; all of them use batches of 64."""

RECIPES: dict[str, dict[str, Any]] = {
    "ours": {},
    # Stated: 30 epochs, batch 64, rotation, crop, flip, brightness, contrast.
    # Not stated: optimiser, learning rate, schedule, and how far the images are varied.
    "report-1": {
        **PLAIN,
        "epochs": 30,
        "rotate": 10.0,
        "zoom": 0.1,
        "shift": 0.1,
        "flip": 0.5,
        "brightness": 0.2,
        "contrast": 0.2,
    },
    # Stated: Adam 1e-3, batch 64, 60 epochs (also 15 and 360), small rotations, flip, brightness, contrast, plateau
    # schedule, early stopping, best checkpoint. Not stated: the ranges, the schedule's factor and patience (ours:
    # 0.1 and 3), the patience of early stopping.
    "report-2": {
        **PLAIN,
        "epochs": 60,
        "schedule": "plateau",
        "plateau_factor": 0.1,
        "plateau_patience": 3,
        "patience": 10,
        "rotate": 10.0,
        "flip": 0.5,
        "brightness": 0.1,
        "contrast": 0.1,
    },
    # Stated: Adam 1e-3, batch 64, 45 epochs, plateau schedule, best checkpoint, rotation, shift, flip.
    # Not stated: their ranges, the schedule's factor and patience.
    "report-3": {
        **PLAIN,
        "epochs": 45,
        "schedule": "plateau",
        "plateau_factor": 0.1,
        "plateau_patience": 3,
        "rotate": 10.0,
        "shift": 0.1,
        "flip": 0.5,
    },
    # Stated: nothing of the training. Those of report 3 are taken, whose networks and images are the nearest.
    "report-4": {
        **PLAIN,
        "epochs": 45,
        "schedule": "plateau",
        "plateau_factor": 0.1,
        "plateau_patience": 3,
        "rotate": 10.0,
        "shift": 0.1,
        "flip": 0.5,
    },
    # Stated: all of it; early stopping after 12 epochs for ResNet-18, after 10 for the CNN (see its preset).
    "report-5": {
        **PLAIN,
        "epochs": 50,
        "optimizer": "adamw",
        "lr": 1e-4,
        "weight_decay": 1e-4,
        "schedule": "plateau",
        "plateau_factor": 0.1,
        "plateau_patience": 3,
        "patience": 12,
    },
}
"""Fields of a RunConfig by recipe; ours are its defaults."""

LENGTH = ("epochs", "patience", "batch_size")
"""Fields that say how long a recipe runs rather than how: a run of other length is of the same recipe."""


def recipe(name: str) -> dict[str, Any]:
    """The fields of a recipe.

    Raises:
        ValueError: There is no such recipe.
    """
    if name not in RECIPES:
        raise ValueError(f"Unknown recipe {name!r}. Known: report (the preset's own), {', '.join(RECIPES)}.")
    return RECIPES[name]


HOW = tuple(field for field in (*PLAIN, "plateau_factor", "plateau_patience") if field not in LENGTH)
"""Fields in which recipes differ, their length aside."""


def changed(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of HOW, with their values, in which a saved config is not as a recipe has them."""
    own, wanted = completed(config), {field: getattr(RunConfig, field) for field in HOW} | RECIPES[name]
    return {field: own[field] for field in HOW if own[field] != wanted[field]}


def recipes_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The recipes that a saved config follows, its length aside; none: its fields were changed."""
    return tuple(name for name in RECIPES if not changed(name, config))
