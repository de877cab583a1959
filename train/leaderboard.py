"""A sweep's tables and figure, always rebuilt from its result files, beside the source report's figures."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import tyro
from filelock import FileLock

from . import records
from .cards import TEMPLATES, render
from .config import completed
from .deviations import begun_with, unlike, went_on_from
from .layouts import LAYOUTS, Layout, difference, references, same_images, value
from .presets import PRESETS, Preset, expand, preset, twin
from .run_folder import RESULT, is_trial, write_bytes

STEM, LOCK = "leaderboard", "leaderboard.lock"
BOARDS = TEMPLATES / "leaderboards"
TEST = (("protocol", None), ("align", "none"), ("on_missing", "keep"))
"""Fields that decide which images are in the test set, and what they are where a preset does not say."""


@dataclass(frozen=True)
class LeaderboardConfig:
    """Write a sweep's tables and figure anew from its result files."""

    folder: tyro.conf.Positional[Path]
    """Folder of the sweep, runs/<preset>."""
    preset: str | None = None
    """Its preset; default: the folder's name."""


def rebuild(config: LeaderboardConfig) -> None:
    """Write a sweep's tables and figure anew from its result files.

    Raises:
        ValueError: There is no such preset, or no such folder.
    """
    if not config.folder.is_dir():
        raise ValueError(f"{config.folder} is no folder. Give that of a sweep, e.g. runs/imbalance-grid.")
    for path in write(config.folder, config.preset or config.folder.name):
        print(path)


def write(folder: Path, name: str) -> list[Path]:
    """Write leaderboard.csv, .md and .png into a sweep's folder; safe beside other processes that do the same."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK):
        return _write(folder, STEM, name, rows_of(name, read(folder)))


def write_recorded(folder: Path = BOARDS, results: Path | None = None) -> list[Path]:
    """Write <preset>.csv, .md and .png of every preset from the recorded results.

    Args:
        folder: Where to.
        results: Folder of the groups of records; None: the project's own.
    """
    return [path for name in PRESETS for path in _write(folder, name, name, recorded_rows(name, results))]


def recorded_rows(name: str, results: Path | None = None) -> list[dict[str, Any]]:
    """The rows of a preset from its recorded results; trials are none."""
    return rows_of(name, records.scored(name, results))


def _write(folder: Path, stem: str, name: str, rows: Sequence[dict[str, Any]]) -> list[Path]:
    paths = [folder / f"{stem}.{kind}" for kind in ("csv", "md", "png")]
    write_bytes(paths[0], as_csv(name, rows).encode())
    write_bytes(paths[1], as_markdown(name, rows, paths[2].name).encode())
    draw(name, rows, paths[2])
    return paths


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The results in a sweep's folder by the runs' names; trials are no results."""
    found = {path.parent.name: json.loads(path.read_bytes()) for path in sorted(folder.glob(f"*/{RESULT}"))}
    return {slug: result for slug, result in found.items() if not is_trial(result)}


def rows_of(name: str, results: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for every run of the preset, in its order, done or not; results that are none of them follow.

    Several results of one run (another recipe, seed, teacher) have a row each; those without a test score have none.
    A run that is not done, but the same as one that is (see `twin`), has the row of that one.
    """
    given, rows = preset(name), []
    scored = {slug: result for slug, result in results.items() if "test" in result}
    left = dict(scored)
    for run in expand(name, Path(name)):
        if mine := _of(run.axes, left):
            rows += [_row(name, given, run.axes, slug, left.pop(slug)) for slug in mine]
        elif lent := _of(twin(run.axes), scored):
            rows += [_row(name, given, run.axes, slug, scored[slug]) | {"same_as": slug} for slug in lent]
        else:
            rows.append(_row(name, given, run.axes, run.slug, None))
    for slug, result in left.items():
        axes = {axis: completed(result["config"])[axis] for axis in given.axes}
        row = _row(name, given, axes, slug, result)
        after = f" after {row['after']}" if row["after"] else ""
        rows.append(row | {"extra": True, "called": row["called"] + after})
    return rows


def _of(axes: Mapping[str, Any] | None, results: Mapping[str, dict[str, Any]]) -> list[str]:
    """The names of the results that have these values of the axes."""
    if axes is None:
        return []
    return [slug for slug, result in results.items() if axes.items() <= completed(result["config"]).items()]


def _row(name: str, given: Preset, axes: Mapping[str, Any], slug: str, result: dict[str, Any] | None) -> dict[str, Any]:
    alike = same_images(name)
    report = next((r for r in references()[name]["rows"] if r["run"].items() <= axes.items()), None)
    config = completed(result["config"]) if result else {}
    figures = {}
    for key in LAYOUTS[name].figures:
        own = value(result, key) if result else None
        other = report["figures"].get(key) if report else None
        figures[key] = {
            "value": own,
            "report": other,
            "difference": difference(own, other) if alike else None,
        }
    return {
        "axes": dict(axes),
        "table": report["table"] if report else None,
        "slug": slug,
        "called": called(axes),
        "done": result is not None,
        "figures": figures,
        "validation": result.get("validation", {}).get("accuracy") if result else None,
        "interval": result["test"]["accuracy_95"] if result else None,
        "n": result["test"]["n"] if result else None,
        "seed": config.get("seed"),
        "epochs": config.get("epochs"),
        "seconds": result["seconds"] if result else None,
        "weights": begun_with(config) if result else None,
        "after": went_on_from(config),
        "same_test": bool(result) and all(config[f] == given.fields.get(f, usual) for f, usual in TEST),
        "leaks": result.get("notes", {}).get("leaks", {}).get("train→test") if result else None,
        "unlike": unlike(name, given, config) if result else [],
        "same_as": None,
        "extra": False,
    }


def called(axes: Mapping[str, Any]) -> str:
    """A run's values of the axes in words; numbers after their field's name."""
    return " ".join(v if isinstance(v, str) else f"{axis} {v}" for axis, v in axes.items())


def as_csv(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """A line for each run: shares from 0 to 1 as they are in the result, differences likewise."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    figures = LAYOUTS[name].figures
    kinds = ("value", "report", "difference")
    heads = [key if kind == "value" else f"{key}_{kind}" for key in figures for kind in kinds]
    plain = ("table", "slug", "n", "seed", "epochs", "seconds", "weights", "same_as")
    writer.writerow([*preset(name).axes, *plain, "accuracy_low", "accuracy_high", "unlike", *heads])
    for row in rows:
        low, high = row["interval"] or (None, None)
        cells = [row["figures"][key][kind] for key in figures for kind in kinds]
        shown = [f"{c[0]:g}-{c[1]:g}" if isinstance(c, list) else c for c in cells]
        shown = [round(c, 6) if isinstance(c, float) else c for c in shown]
        writer.writerow([*row["axes"].values(), *(row[k] for k in plain), low, high, "; ".join(row["unlike"]), *shown])
    return file.getvalue()


def as_markdown(name: str, rows: Sequence[dict[str, Any]], picture: str = f"{STEM}.png") -> str:
    """The tables in the report's layout, and the figure beside them."""
    layout, given = LAYOUTS[name], preset(name)
    return render(
        "leaderboard.md.j2",
        name=name,
        about=given.about,
        reference=references()[name],
        figures=layout.figures,
        axes=[axis for axis in given.axes if axis != layout.tables],
        tables=_tables(layout, rows),
        transposed=layout.tables is None,
        **counts(rows),
        picture=picture,
    )


def counts(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many runs a preset has (total), are done, whatever their number of rows, or lent by a twin; extra: others."""
    kept = {
        "total": [row for row in rows if not row["extra"]],
        "done": [row for row in rows if row["done"] and not row["extra"]],
        "lent": [row for row in rows if row["same_as"]],
        "extra": [row for row in rows if row["extra"]],
    }
    return {name: len({row["called"] for row in chosen}) for name, chosen in kept.items()}


def _tables(layout: Layout, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows by the axis that the report has a table for each value of."""

    def key(row: dict[str, Any]) -> Any:
        return row["axes"].get(layout.tables)

    order = {value: i for i, value in enumerate(dict.fromkeys(map(key, rows)))}
    groups = itertools.groupby(sorted(rows, key=lambda row: order[key(row)]), key)
    found = []
    for kind, group in groups:
        members = list(group)
        number = next((row["table"] for row in members if row["table"]), None)
        found.append({"number": number, "of": kind and f"{layout.tables} {kind}", "rows": members})
    return found


def draw(name: str, rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The heat map: accuracy by network and sampling for a grid, else all shares of each run."""
    from . import figures  # imports matplotlib

    lines, columns, cells = heat_cells(name, rows)
    grids = [
        [[_share(cells.get((line, column)), kind) for column in columns] for line in lines]
        for kind in ("value", "report")
    ]
    title = "test accuracy" if LAYOUTS[name].tables else "test set"
    figures.save(figures.heat_map(lines, columns, grids[0], f"{name}: {title}", grids[1]), path)


def best_of_each(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each run of a preset: of several results that of the best validation accuracy."""
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        before = best.get(row["called"])
        if before is None or (row["validation"] or 0) > (before["validation"] or 0):
            best[row["called"]] = row
    return list(best.values())


def heat_cells(
    name: str, rows: Sequence[dict[str, Any]]
) -> tuple[list[str], list[str], dict[tuple[str, str], dict[str, Any]]]:
    """Names of the lines and columns of the heat map, and its cells."""
    layout, cells = LAYOUTS[name], dict[tuple[str, str], dict[str, Any]]()
    for row in best_of_each(rows):
        if layout.tables:
            rest = called({axis: v for axis, v in row["axes"].items() if axis != layout.tables})
            column = str(row["axes"].get(layout.tables, "accuracy"))
            cells[rest, column] = row["figures"]["accuracy"]
        else:
            cells |= {
                (heading, row["called"]): row["figures"][k] for k, heading in layout.figures.items() if k != "loss"
            }
    lines, columns = ([*dict.fromkeys(pair[i] for pair in cells)] for i in (0, 1))
    return lines, columns, cells


def _share(cell: Mapping[str, Any] | None, kind: str) -> float:
    """NaN where there is none; of a range its middle."""
    found = cell[kind] if cell else None
    return math.nan if found is None else fmean(found) if isinstance(found, Sequence) else found
