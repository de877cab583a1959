"""What an audit found, as text, JSON and tables of rows; no images."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import duplicates, run_folder, splits
from .rows import USAGES, Rows

PLURALITY = (*splits.FERPLUS_LABELS, "unknown", "not a face")
"""What FERPlus' taggers can answer, by column."""
ABOUT = ("row", "id", "usage", "label")
"""Columns by which every table names a row."""


def about(rows: Rows, row: int) -> tuple[Any, ...]:
    """The values of ABOUT; the label is empty where the source gives none."""
    label = int(rows.labels[row])
    return row, str(rows.ids[row]), str(rows.usage[row]), rows.names[label] if label >= 0 else ""


def plurality(rows: Rows, row: int) -> str:
    """The answer with the most votes of a row; empty where there are no votes."""
    return "" if rows.votes is None else PLURALITY[int(rows.votes[row].argmax())]


def write_csv(path: Path, head: Sequence[str], table: Iterable[Sequence[Any]]) -> None:
    """Write a table, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(table)
    run_folder.write_bytes(path, text.getvalue().encode())


def write_tables(out: Path, rows: Rows, found: Mapping[str, Any]) -> None:
    """Write duplicates.csv, conflicts.csv, blank.csv and, where there are votes and labels, agreement.csv."""
    ids, group = duplicates.identical(rows.images), duplicates.groups(rows.images)
    repeated = np.isin(group, np.flatnonzero(np.bincount(group) > 1))
    order = [int(row) for row in np.lexsort((ids, group)) if repeated[row]]
    table = [(*about(rows, row), int(group[row]), int(ids[row])) for row in order]
    write_csv(out / "duplicates.csv", (*ABOUT, "group", "identical_group"), table)
    write_csv(out / "conflicts.csv", (*ABOUT, "identical_group"), conflicting(rows, ids))
    flat = rows.images.reshape(len(rows), -1)
    blank = np.flatnonzero(flat.max(axis=1) == flat.min(axis=1)).tolist()
    write_csv(out / "blank.csv", (*ABOUT, "grey_level"), [(*about(rows, row), int(flat[row, 0])) for row in blank])
    if found["agreement"]:
        votes = found["agreement"]
        lines = zip(votes["per_class"].items(), votes["confusion"], strict=True)
        table = [(name, row["rows"], round(row["rate"], 4), *counts) for (name, row), counts in lines]
        write_csv(out / "agreement.csv", ("label", "rows", "agreement", *votes["columns"]), table)


def conflicting(rows: Rows, ids: duplicates.Integers) -> list[tuple[Any, ...]]:
    """Rows of the groups of identical images that carry more than one label, group by group."""
    labels: dict[int, set[int]] = {}
    for group, label in zip(ids.tolist(), rows.labels.tolist(), strict=True):
        labels.setdefault(group, set()).update({label} - {-1})
    several = [group for group, found in labels.items() if len(found) > 1]
    order = [int(row) for row in np.argsort(ids, kind="stable") if ids[row] in set(several)]
    return [(*about(rows, row), int(ids[row])) for row in order]


def write(out: Path, found: Mapping[str, Any]) -> str:
    """Write audit.json and audit.md; returns the text."""
    text = report(found)
    run_folder.write_json(out / "audit.json", found)
    run_folder.write_bytes(out / "audit.md", text.encode())
    return text


def report(found: Mapping[str, Any]) -> str:
    """Everything that was found, as Markdown."""
    total = sum(found["rows"].values())
    parts = [
        f"# Audit of {found['dataset']}",
        f"{total:,} rows, {found['unique']:,} different images. All black: {found['black']}; "
        f"of one colour: {found['one_colour']}. Groups of identical images with conflicting labels: "
        f"{found['conflicts']['inside one split']} inside one split, {found['conflicts']['over all']} over all.",
        "## Rows by class\n\n" + _classes(found),
        "## Copies\n\n" + _copies(found),
        _agreement(found["agreement"]),
        _protocol(found.get("protocol")),
        _label_errors(found.get("label_errors")),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Markdown; whole numbers with thousands separated, shares in per cent."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    lines += [[_cell(value) for value in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _classes(found: Mapping[str, Any]) -> str:
    by = found["classes"]
    names = list(by[USAGES[0]])
    rows = [(name, *(by[usage][name] for usage in USAGES)) for name in names]
    return _table(("label", *USAGES), [*rows, ("all rows", *(found["rows"][usage] for usage in USAGES))])


def _copies(found: Mapping[str, Any]) -> str:
    """Identical and near-identical images, by pair of splits and within each."""
    both = found["identical"], found["similar"]
    across = [(f"{name}: rows of the latter with a copy in the former", *(kind[name] for kind in both))
              for name in both[0] if "→" in name]  # fmt: skip
    within = [(f"{name} (repeated rows; near: pairs)", *(kind[name] for kind in both))
              for name in both[0] if "→" not in name]  # fmt: skip
    return _table(("", "identical", "nearly identical"), across + within)


def _agreement(votes: Mapping[str, Any] | None) -> str:
    if not votes:
        return ""
    rows = [(name, row["rows"], row["rate"]) for name, row in votes["per_class"].items()]
    rows.append(("all", votes["rows"], votes["rate"]))
    why = "How often the plurality of FERPlus' ten taggers is the row's label (ties go to FERPlus' earlier column):"
    return f"## Labels against FERPlus\n\n{why}\n\n" + _table(("label", "rows", "agreement"), rows)


def _protocol(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    sizes = " / ".join(f"{count:,}" for count in found["rows"].values())
    warnings = "\n".join(f"- {sentence}" for sentence in found["warnings"]) or "- nothing to warn of"
    return f"## Protocol {found['name']} ({sizes} rows)\n\n{_copies(found)}\n\n{warnings}"


def _label_errors(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    rows = [(name, row["rows"], row["suspects"]) for name, row in found["per_class"].items()]
    rows.append(("all", found["rows"], found["suspects"]))
    how = (
        f"Confident learning (Northcutt et al. 2021) on predictions of {found['folds']} networks "
        f"({found['backbone']}, {found['epochs']} epochs; {found['accuracy_out_of_fold']:.1%} right on rows they did "
        "not learn from). A suspicion, not a verdict: what the network finds hard is suspected, too."
    )
    return f"## Probable label errors\n\n{how}\n\n" + _table(("label", "rows", "suspects"), rows)
