"""model_cards/tried.md: what each change of the recipe gave, written from the recorded results of trials."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from . import cards, records
from .config import completed, different
from .metrics import Z_95, unpacked
from .run_folder import RESULT, write_bytes
from .trials import BASE, TRIALS

PAGE, PICTURE, LOCK = "tried.md", "tried.png", "tried.lock"
FIGURES = ("accuracy", "macro_f1", "nll", "ece")
ROWS = ("protocol", "data", "limit", "on_missing")
"""Fields by which the validation split has other rows."""
UNSEEN = ("test", "external")
"""Splits that no trial may have scored."""

Results = Mapping[str, dict[str, Any]]
"""Results by <base>--<trial>--seed-<n>."""


def write(folder: Path = cards.TEMPLATES, results: Path | None = None) -> list[Path]:
    """Write tried.md and leaderboards/tried.png from the recorded results.

    Args:
        folder: Where to.
        results: Folder of the groups of records; None: the project's own.

    Raises:
        ValueError: A record has scores of a test split, or does not belong to the others of its name.
    """
    return write_page(records.read(records.TRIALS, results), folder / PAGE, folder / "leaderboards" / PICTURE)


def write_runs(folder: Path) -> list[Path]:
    """The same from the finished runs in a folder of trials, into that folder; safe beside other processes."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK):
        found = {path.parent.name: json.loads(path.read_bytes()) for path in sorted(folder.glob(f"*/{RESULT}"))}
        return write_page(found, folder / PAGE, folder / PICTURE)


def write_page(results: Results, page: Path, picture: Path) -> list[Path]:
    """Write a page, and beside the numbers a figure where there are any; returns their paths."""
    groups = groups_of(results)
    link = picture.relative_to(page.parent).as_posix() if groups else None
    write_bytes(page, cards.render("tried.md.j2", groups=groups, picture=link).encode())
    if not groups:
        return [page]
    from . import figures, tried_figure  # import matplotlib

    figures.save(tried_figure.dots(groups), picture)
    return [page, picture]


def groups_of(results: Results) -> list[dict[str, Any]]:
    """The trials by their base, each in the order of TRIALS.

    Args:
        results: As recorded.

    Returns:
        For each base name, base (its row as of `mean_of`; None: not recorded), rows (as of `compared`), verdicts
        {better, worse, inside the noise: names of trials}.

    Raises:
        ValueError: A record has scores of a test split, a name that says nothing, or differs from its other seeds.
    """
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name, result in results.items():
        refuse_test(name, result)
        base, trial = parts_of(name)
        found.setdefault(base, {}).setdefault(trial, []).append(result)
    return [_group(base, trials) for base, trials in found.items()]


def refuse_test(name: str, result: Mapping[str, Any]) -> None:
    """Whether a result is one of a trial: no test split was scored.

    Raises:
        ValueError: One was.
    """
    places = (result, result.get("uncalibrated") or {})
    scored = [split for split in UNSEEN if any(place.get(split) is not None for place in places)]
    if scored:
        raise ValueError(
            f"{name} has scores of the {scored[0]} split: that is no trial. Trials are decided on the validation "
            "split alone; run it with python -m train trials, or record it in another group."
        )


def parts_of(name: str) -> tuple[str, str]:
    """Base and trial of a record's name.

    Raises:
        ValueError: It is not of the form.
    """
    parts = name.rsplit("--", 2)
    if len(parts) != 3 or not parts[2].startswith("seed-"):
        raise ValueError(
            f"{name!r} names no trial. Call it <base>--<trial>--seed-<n>, e.g. resnet18--mixup-0.2--seed-0."
        )
    return parts[0], parts[1]


def _group(name: str, trials: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    order = [*(trial for trial in TRIALS if trial in trials), *(trial for trial in trials if trial not in TRIALS)]
    base = mean_of(name, BASE, trials[BASE]) if BASE in trials else None
    rows = [compared(mean_of(name, trial, trials[trial]), base) for trial in order if trial != BASE]
    by_verdict = {kind: [r["trial"] for r in rows if r["verdict"] == kind] for kind in ("better", "worse", INSIDE)}
    return {"name": name, "base": base, "rows": rows, "verdicts": by_verdict}


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

INSIDE = "inside the noise"


def mean_of(base: str, trial: str, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One trial, its figures the means over its seeds.

    Returns:
        trial, config (of the first seed), seeds, n, accuracy, macro_f1, nll, ece, interval ([low, high] of the
        accuracy: means of the seeds' 95 % bootstrap intervals), accuracies (each seed's), spread (the largest less
        the least of them; None of one seed), hits (share of the seeds that are right, by row; None where a record
        does not say), seconds, devices, views.

    Raises:
        ValueError: The seeds differ in more than their seed, or in their rows.
    """
    configs = [{"views": "none"} | completed(result["config"]) for result in results]
    scores = [result["validation"] for result in results]
    odd = {field for config in configs for field in differing(config, configs[0])}
    odd |= {"validation rows"} if len({score["n"] for score in scores}) > 1 else set()
    if odd:
        raise ValueError(f"The seeds of {base}--{trial} differ in {', '.join(sorted(odd))}. Record one of them only.")
    accuracies = [score["accuracy"] for score in scores]
    seconds = [result["seconds"] for result in results if result.get("seconds") is not None]
    return {
        "trial": trial,
        "config": configs[0],
        "seeds": sorted(config["seed"] for config in configs),
        "n": scores[0]["n"],
        **{name: fmean(score[name] for score in scores) for name in FIGURES},
        "interval": [fmean(score["accuracy_95"][end] for score in scores) for end in (0, 1)],
        "accuracies": accuracies,
        "spread": max(accuracies) - min(accuracies) if len(accuracies) > 1 else None,
        "hits": _hits(results, scores[0]["n"]),
        "seconds": fmean(seconds) if len(seconds) == len(results) else None,
        "devices": {(result.get("machine") or {}).get("device") for result in results},
        "views": results[0].get("views", 1),
    }


def _hits(results: Sequence[Mapping[str, Any]], n: int) -> NDArray[np.float64] | None:
    if any("hits" not in result for result in results):
        return None
    found: NDArray[np.float64] = np.mean([unpacked(result["hits"], n) for result in results], axis=0)
    return found


def differing(config: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Fields in which two configs differ, their seed aside."""
    return [name for name in different(config, other) if name != "seed"]


def compared(row: dict[str, Any], base: dict[str, Any] | None) -> dict[str, Any]:
    """A trial beside its base: what was changed, the difference, whether that is more than noise, its time.

    Returns:
        The row, and changes [{field, before, after}], difference (of accuracies; None: not comparable), noise (what
        a difference has to exceed), verdict (better, worse, INSIDE, or why there is none), ratio (of training times
        on one kind of device, else None).
    """
    if base is None:
        return row | {"changes": [], "difference": None, "noise": None, "verdict": "no base", "ratio": None}
    fields = differing(row["config"], base["config"])
    known = row["devices"] == base["devices"] and len(row["devices"]) == 1 and None not in row["devices"]
    timed = known and row["seconds"] and base["seconds"]
    row = row | {
        "changes": [{"field": f, "before": base["config"].get(f), "after": row["config"].get(f)} for f in fields],
        "ratio": row["seconds"] / base["seconds"] if timed else None,
    }
    if row["n"] != base["n"] or any(change["field"] in ROWS for change in row["changes"]):
        return row | {"difference": None, "noise": None, "verdict": "other validation rows"}
    difference, noise = row["accuracy"] - base["accuracy"], noise_of(row, base)
    verdict = INSIDE if abs(difference) <= noise else "better" if difference > 0 else "worse"
    return row | {"difference": difference, "noise": noise, "verdict": verdict}


def noise_of(row: Mapping[str, Any], base: Mapping[str, Any]) -> float:
    """What a difference of two accuracies has to exceed.

    The largest of: how far the base's or the trial's own seeds lie apart, and half of the 95 % interval of the
    difference, of the same rows where both records say which they were right for (normal approximation of the paired
    differences), else as if they were of independent rows, an upper bound.
    """
    spreads = (row["spread"] or 0.0, base["spread"] or 0.0)
    if row["hits"] is not None and base["hits"] is not None:
        apart = row["hits"] - base["hits"]
        return max(Z_95 * float(apart.std(ddof=1)) / math.sqrt(len(apart)), *spreads)
    halves = [(high - low) / 2 for low, high in (row["interval"], base["interval"])]
    return max(math.hypot(*halves), *spreads)
