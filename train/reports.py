"""`python -m train report`: everything that is written from results, and the page on the five source reports."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from fer_hub.hub import ZOO, zoo_models

from . import anchors, cards, leaderboard, scripts, tried
from .cards import TEMPLATES
from .data import PROTOCOLS
from .layouts import LAYOUTS, difference, references, same_images
from .metrics import Z_95
from .presets import PRESETS
from .rows import USAGES
from .run_folder import write_bytes
from .splits import KAGGLE_TRAIN

REPORTS, PAGE = TEMPLATES / "reports.toml", TEMPLATES / "reports.md"


def report() -> None:
    """Write every table, page and card that is made of result files."""
    for path in write_report():
        print(path)


def write_report() -> list[Path]:
    """The paths of the zoo's cards, the leaderboards, the pages and the README, written anew."""
    readme = cards.ROOT / "README.md"
    text = cards.with_results(readme.read_text(encoding="utf-8"), readme_block())
    boards = [*leaderboard.write_recorded(), *scripts.write()]
    write_bytes(PAGE, page().encode())
    write_bytes(readme, text.encode())
    return [*cards.write_zoo_cards(), *boards, PAGE, *anchors.write(), *tried.write(), readme]


def readme_block(results: Path | None = None) -> str:
    """What stands between the README's marks: the models, and the source reports' best figures beside ours.

    Embedded models stand by name, recorded ones as links to their result.
    """
    models = {f"`{name}`": cards.read_result(ZOO / name) for name in zoo_models()}
    models |= {f"[{each.name}](model_cards/{each.link})": each.result for each in anchors.outside(results)}
    rows = [summary(name, results) for name in PRESETS]
    recorded = [row for row in rows if row["best"]["ours"]]
    return cards.results_table(models) + cards.render("results_reports.md.j2", rows=recorded)


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def page(results: Path | None = None) -> str:
    """The page on the source reports.

    Args:
        results: Folder of the groups of records; None: the project's own.
    """
    known = facts()
    sections = [
        {
            **each,
            "did": [filled(text, known) for text in each["did"]],
            "doubts": [filled(text, known) for text in each["doubts"]],
            "presets": [{**summary(name, results), **preset} for name, preset in each["presets"].items()],
        }
        for each in prose()["reports"]
    ]
    return cards.render("reports.md.j2", sections=sections)


def prose() -> dict[str, Any]:
    """What is said of each report, in words; its figures are in references.json."""
    return tomllib.loads(REPORTS.read_text(encoding="utf-8"))


def filled(text: str, known: Mapping[str, Any]) -> str:
    """A sentence with its figures filled in; one that is missing is an error."""
    return jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(text).render(known)


def facts() -> dict[str, Any]:
    """The figures that sentences of reports.toml may name."""
    sizes = {name: dict(zip(USAGES, each.sizes, strict=True)) for name, each in PROTOCOLS.items() if each.sizes}
    training = prose()["training"]
    more = {label: KAGGLE_TRAIN[label] - training[label] for label in KAGGLE_TRAIN}
    found, beside = references()["alignment"]["rows"], references()
    return {
        "rows": {name: {k: f"{n:,}" for k, n in each.items()} for name, each in sizes.items()},
        "n_test": {name: f"{row['n_test']:,}" for name, row in beside.items() if row.get("n_test")},
        "aligned": {split: [f"{n:,}" for n in (*pair, pair[0] - pair[1])] for split, pair in found.items()},
        "copies": f"{sizes['official']['train'] - sizes['official-clean']['train']:,}",
        "unvoted": sizes["folders"]["test"] - sizes["ferplus-raw"]["test"],
        "kaggle_train": f"{sum(KAGGLE_TRAIN.values()):,}",
        "entered": sum(n for n in more.values() if n > 0),
        "left": -sum(n for n in more.values() if n < 0),
        "cells": len(beside["imbalance-grid"]["rows"]),
        "external": {name: f"{100 * share:.2f}" for name, share in external().items()},
        "people": people(),
        "margin": {n: f"{100 * half_width(claimed(n)['accuracy'], beside[n]['n_test']):.1f}" for n in SCORED},
    }


SCORED = ("imbalance-grid", "raw-pixel-8")
"""Presets whose report gives its test set's size and one accuracy for each run."""


def external() -> dict[str, float]:
    """What the fifth report's network scores on the set that it calls external, and on its own."""
    rows = [row["figures"] for row in references()["five-class"]["rows"]]
    found = next(row for row in rows if "external.accuracy" in row)
    return {"external": found["external.accuracy"], "own": found["accuracy"]}


def people() -> str:
    """The range in which people agree with FER2013's labels, in per cent."""
    found = next(row for row in anchors.read()["anchors"] if row["what"] == "People")
    return f"{100 * found['low']:.0f} to {100 * found['high']:.0f}"


def half_width(share: float, n: int) -> float:
    """Half of the 95 % interval of a share of n images (normal approximation)."""
    return Z_95 * math.sqrt(share * (1 - share) / n)


# ── a preset beside its report ───────────────────────────────────────────────────────────────────────────────────────


def summary(name: str, results: Path | None = None) -> dict[str, Any]:
    """What a preset's report gives and what we have: its best, the best of each network or length, single figures."""
    rows = leaderboard.recorded_rows(name, results)
    mine = [row for row in rows if row["done"] and row["same_test"]]
    found, per = references()[name], "epochs" if name == "raw-pixel-8" else "backbone"
    values = dict.fromkeys(row["axes"][per] for row in rows)
    compared = [row for row in leaderboard.best_of_each(mine) if row["figures"]["accuracy"]["difference"] is not None]
    return {
        "name": name,
        "about": PRESETS[name].about,
        "source": found["source"],
        "note": found["note"],
        "n_test": found.get("n_test"),
        "same_images": same_images(name),
        "claimed": claimed(name),
        "best": beside(name, mine, {}),
        "groups": [beside(name, mine, {per: value}) | {"called": str(value)} for value in values],
        "singles": singles(name, mine),
        **leaderboard.counts(rows),
        "compared": len(compared),
        "reached": sum(row["figures"]["accuracy"]["difference"] >= 0 for row in compared),
        "per": per,
    }


def claimed(name: str, axes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The report's best accuracy among its runs with these values of the axes; none: None in its place."""
    rows = [row for row in references()[name]["rows"] if (axes or {}).items() <= row["run"].items()]
    given = [row for row in rows if "accuracy" in row["figures"]]
    if not given:
        return {"accuracy": None, "called": None}
    best = max(given, key=lambda row: _upper(row["figures"]["accuracy"]))
    return {"accuracy": best["figures"]["accuracy"], "called": leaderboard.called(best["run"])}


def _upper(figure: float | Sequence[float]) -> float:
    return max(figure) if isinstance(figure, Sequence) else figure


def beside(name: str, rows: Sequence[dict[str, Any]], axes: Mapping[str, Any]) -> dict[str, Any]:
    """The report's best with these values of the axes, and ours, which was the best on validation, not on test.

    Without values of the axes there is a difference only where both are the same run: other networks are no gain.
    """
    mine = [row for row in rows if axes.items() <= row["axes"].items()]
    best = max(mine, key=lambda row: row["validation"], default=None)
    other = claimed(name, axes)
    if not best:
        return {"ours": None, "report": other, "difference": None}
    own, alike = best["figures"]["accuracy"]["value"], axes or best["called"] == other["called"]
    found = difference(own, other["accuracy"]) if alike and same_images(name) else None
    return {"ours": best, "report": other, "difference": found}


def singles(name: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every figure of a single run that the report gives, and that of our best run like it.

    Left out are those of AVERAGES, which the leaderboards show, and those of the set that is not external.
    """
    found = []
    for reference in references()[name]["rows"]:
        ours = beside(name, rows, reference["run"])["ours"]
        for key, figure in reference["figures"].items():
            if key in AVERAGES or key.startswith("external."):
                continue
            cell = ours["figures"][key] if ours else {"value": None, "difference": None}
            found.append(
                {"called": leaderboard.called(reference["run"]), "key": key, "heading": LAYOUTS[name].figures[key]}
                | {"report": figure, "ours": cell["value"], "difference": cell["difference"]}
            )
    return found


AVERAGES = ("accuracy", "weighted_precision", "weighted_recall", "weighted_f1", "macro_precision", "macro_recall")
"""Figures that the leaderboards alone show."""
