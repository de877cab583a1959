"""In what a run was not as its report's: such a difference is not the network's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .config import completed
from .presets import Preset, expand
from .recipes import RECIPES, changed, recipes_of
from .run_folder import MODEL

LEARNED = {"votes": ("learned from FERPlus' votes",), "both": ("learned from labels and FERPlus' votes",)}
"""Said of runs that learned from more than the labels, which is all that the reports did; by RunConfig.targets."""

OTHERS = ("teacher", "camera", "init_share", "balance")
"""Fields that belong to no recipe, and are said where they are used."""


def unlike(name: str, given: Preset, config: Mapping[str, Any]) -> list[str]:
    """In what a run was not as its preset is with the report's own recipe: such a difference is not the network's."""
    usual, config = expand(name, Path(name))[0].config, completed(config)
    fields = [field for field in (*given.fields, "epochs", "batch_size", "limit") if field not in given.axes]
    found = [f"{field} {config[field]}" for field in fields if config[field] != getattr(usual, field)]
    found += LEARNED.get(config["targets"], ())
    found += recipe_of(given.recipe, config)
    if given.from_imagenet and begun_with(config) == "random":
        found.append("random initial weights")
    return found


def recipe_of(own: str, config: Mapping[str, Any]) -> list[str]:
    """Which recipe a run followed, if not this one, or in what it differs from the nearest; and what is in none.

    `config` is complete.
    """
    fewest = min(RECIPES, key=lambda name: len(changed(name, config)))
    nearest = own if own in recipes_of(config) else fewest
    words = [f"recipe {nearest}"] if nearest != own else []
    changes = [f"{f} {v:g}" if isinstance(v, float) else f"{f} {v}" for f, v in changed(nearest, config).items()]
    if changes:
        words = [f"recipe {nearest} with {', '.join(changes)}"]
    shown = [f"{field.replace('_', ' ')} {_plain(config[field])}" for field in OTHERS if config[field]]
    if config["teacher"]:
        shown[0] += f" (share {config['teacher_share']:g}, temperature {config['teacher_temperature']:g})"
    return words + shown


def _plain(value: Any) -> str:
    return " + ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def begun_with(config: Mapping[str, Any]) -> str:
    """The initial weights: random, timm's own, a file, or a run's."""
    config = completed(config)
    return str(config["init"]) if config["init"] else "timm's own" if config["pretrained"] else "random"


def went_on_from(config: Mapping[str, Any]) -> str | None:
    """Name of the run whose model a run began with; None: it began otherwise, or there is no run."""
    folder, _, last = str(config.get("init") or "").rpartition("/")
    return folder if last == MODEL else None
