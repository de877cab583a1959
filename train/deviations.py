"""In what a run was not as its report's: such a difference is not the network's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .config import RunConfig, completed
from .presets import Preset, expand
from .recipes import LENGTH, PLAIN, RECIPES, recipes_of

OTHERS = ("teacher", "camera", "init_share")
"""Fields that belong to no recipe, and are said where they are used."""
HOW = tuple(field for field in (*PLAIN, "plateau_factor", "plateau_patience") if field not in LENGTH)


def unlike(name: str, given: Preset, config: Mapping[str, Any]) -> list[str]:
    """In what a run was not as its preset is with the report's own recipe: such a difference is not the network's."""
    usual, config = expand(name, Path(name))[0].config, completed(config)
    fields = [field for field in (*given.fields, "epochs", "limit", "targets") if field not in given.axes]
    found = [f"{field} {config[field]}" for field in fields if config[field] != getattr(usual, field)]
    found += recipe_of(given.recipe, config)
    if given.from_imagenet and begun_with(config) == "random":
        found.append("random initial weights")
    return found


def recipe_of(own: str, config: Mapping[str, Any]) -> list[str]:
    """Which recipe a run followed, if not this one, or in what it differs from the nearest; and what is in none."""
    names = recipes_of(dict(config))
    changes = {name: changed(name, config) for name in RECIPES}
    nearest = own if own in names else (names or sorted(RECIPES, key=lambda name: len(changes[name])))[0]
    words = [f"recipe {nearest}"] if nearest != own else []
    if changes[nearest]:
        words = [f"recipe {nearest} with {', '.join(changes[nearest])}"]
    config = completed(config)
    shown = [f"{field.replace('_', ' ')} {_plain(config[field])}" for field in OTHERS if config[field]]
    if config["teacher"]:
        shown[0] += f" (share {config['teacher_share']:g}, temperature {config['teacher_temperature']:g})"
    return words + shown


def changed(name: str, config: Mapping[str, Any]) -> list[str]:
    """The fields of a saved config, with their values, that are not as a recipe has them, its length aside."""
    usual = {field: getattr(RunConfig, field) for field in HOW} | RECIPES[name]
    own = {field: completed(config)[field] for field in HOW}
    return [
        f"{field} {value:g}" if isinstance(value, float) else f"{field} {value}"
        for field, value in own.items()
        if value != usual[field]
    ]


def _plain(value: Any) -> str:
    return " + ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def begun_with(config: Mapping[str, Any]) -> str:
    """The initial weights: random, timm's own, a file, or a run's."""
    config = completed(config)
    return str(config["init"]) if config["init"] else "timm's own" if config["pretrained"] else "random"
