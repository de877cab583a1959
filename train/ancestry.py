"""The weights that a run begins with: where they lie, and what the run that left them may have seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import leaks
from .data import Data
from .finished import WEIGHTS, model_folder, result_of

KEPT = ("config", "parent", "teacher", "dataset", "data", "origin", "seconds")
"""What a result keeps of the run before it, if its files say so."""


def weights_file(init: Path) -> Path:
    """The file that --init names: itself, or that of a run, a model folder or a model of the zoo.

    Raises:
        ValueError: There is no model.
    """
    return model_folder(init) / WEIGHTS if init.is_dir() or not init.suffix else init


def parent_of(init: Path | None, splits: Data, protocol: str) -> dict[str, Any] | None:
    """The run whose model the initial weights are; None for other weights.

    Returns:
        KEPT of it, and beware: why it may know rows that are scored (see leaks.knows), None where it cannot.
    """
    values = result_of(weights_file(init).parent) if init else {}
    if "config" not in values:
        return None
    found = {name: values[name] for name in KEPT if name in values}
    return found | {"beware": leaks.knows(found | {"protocol": found["config"].get("protocol")}, splits, protocol)}


def warnings(parent: dict[str, Any] | None) -> list[str]:
    """A sentence if the run before may have learnt from rows which this one is scored on."""
    return [f"The run that left the initial weights {parent['beware']}"] if parent and parent["beware"] else []
