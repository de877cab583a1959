"""Which rows to show: by a rule that is said, so that nothing is picked to please."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..metrics import Floats, Ints

Rows = dict[str, dict[str, list[int]]]
"""By label: rows of right predictions under "right", of wrong ones under "wrong"."""
RULES: dict[str, str] = {
    "median": "of median confidence (where more are shown: at even steps of rank)",
    "surest": "of the highest confidence",
    "drawn": "drawn at random",
}
"""How `examples` may choose, in words that follow "the right one …"."""


def examples(
    probabilities: Floats,
    labels: Ints,
    names: Sequence[str],
    each: int = 1,
    seed: int = 0,
    right: str = "median",
    wrong: str = "surest",
) -> dict[str, Any]:
    """Which rows to show for every true class: by a rule that is said, so that nothing is picked to please.

    Args:
        probabilities: N×C.
        labels: N true indices.
        names: C labels.
        each: Right ones and wrong ones of a class, at most.
        seed: Of the rule "drawn".
        right: A name of RULES, by which to choose among the right predictions.
        wrong: The same, among the wrong ones.

    Returns:
        As JSON: "rule", a sentence; "seed"; "rows", as `Rows`. The same for the same arguments.

    Raises:
        ValueError: A rule is unknown.
    """
    if unknown := {right, wrong} - set(RULES):
        raise ValueError(f"Unknown rule {', '.join(sorted(unknown))}. Known: {', '.join(RULES)}.")
    rng, guesses, confidence = np.random.default_rng(seed), probabilities.argmax(1), probabilities.max(1)
    rows: Rows = {}
    for index, name in enumerate(names):
        mine = np.flatnonzero(labels == index)
        ranked = mine[np.argsort(-confidence[mine], kind="stable")]
        hits = guesses[ranked] == index
        rows[name] = {"right": _pick(ranked[hits], right, each, rng), "wrong": _pick(ranked[~hits], wrong, each, rng)}
    rule = f"of each true class the right prediction {RULES[right]} and the wrong one {RULES[wrong]}"
    return {"rule": rule, "seed": seed, "rows": rows}


def _pick(ranked: Ints, rule: str, count: int, rng: np.random.Generator) -> list[int]:
    """At most so many rows of those given by falling confidence."""
    count = min(count, len(ranked))
    if rule == "drawn":
        places = rng.choice(len(ranked), count, replace=False) if count else np.array([], int)
    elif rule == "surest":
        places = np.arange(count)
    else:
        places = (np.arange(1, count + 1) * len(ranked)) // (count + 1)
    chosen: list[int] = ranked[places].tolist()
    return chosen


def sample(labels: Ints, names: Sequence[str], each: int = 30, seed: int = 0) -> dict[str, Any]:
    """Rows of every true class, drawn among all of them, right or wrong: to average over; else as `examples`."""
    rng = np.random.default_rng(seed)
    rows = {
        name: {"drawn": _pick(np.flatnonzero(labels == index), "drawn", each, rng)} for index, name in enumerate(names)
    }
    return {"rule": f"{each} rows of each true class, or all there are, {RULES['drawn']}", "seed": seed, "rows": rows}
