"""What is odd about a data set: copies, leaks, conflicting labels, blank images, votes, probable label errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import audit_figures, duplicates, label_errors, sources, splits
from . import data as data_module
from .audit_report import ABOUT, PLURALITY, about, plurality, write, write_csv, write_tables
from .data import DataError, evenly
from .duplicates import Integers
from .leaks import warn
from .rows import USAGES, Rows

__all__ = ["AuditConfig", "audit", "warn"]


@dataclass(frozen=True)
class AuditConfig:
    """Look for duplicates, leaks, conflicting and wrong labels in a data set."""

    data: Path | None = None
    """What train.sources can read; default: the environment variable FER2013_DIR."""
    out: Path = Path("audit")
    """Folder for the report, its tables and figures."""
    protocol: str | None = None
    """Look also at the splits of this protocol: what leaks from one into another."""
    folds: int = 0
    """Look for label errors, too, with so many networks, each trained without one part; 0: do not."""
    epochs: int = 15
    """Epochs of each of these networks."""
    backbone: str = "raw_pixel_cnn"
    """The network: a name of fer_hub.backbones.BACKBONES, or timm:<name>."""
    image_size: int = 48
    """Height and width of its input, pixels."""
    limit: int | None = None
    """Look only at so many rows of each usage, drawn evenly (for trials)."""
    pictures: bool = False
    """Also draw pairs of duplicates and suspected labels: shows images of the data set, keep them to yourself."""

    def __post_init__(self) -> None:
        """Refuse a single fold, which would have nothing to learn from."""
        if self.folds == 1 or self.folds < 0:
            raise ValueError(f"--folds {self.folds}: 0 (off) or 2 and more are allowed. Try --folds 5.")


def audit(config: AuditConfig) -> dict[str, Any]:
    """Look at a data set, print what is found, write it as audit.md, audit.json, tables and figures.

    Returns:
        What audit.json holds.

    Raises:
        DataError: The data cannot be read, or does not fit the protocol.
        Interrupted: A signal came while a network was trained; the same command goes on.
    """
    rows = _limited(sources.read(config.data or data_module.default_source()), config.limit)
    pairs = duplicates.similar(rows.images)
    found = examine(rows, pairs)
    if config.protocol:
        found["protocol"] = examine_protocol(config, rows, pairs)
    write_tables(config.out, rows, found)
    audit_figures.draw(config.out, found)
    if config.pictures:
        audit_figures.draw_pairs(config.out, rows, pairs)
    if config.folds:
        write(config.out, found)  # what is known already, before the networks that take their time
        found["label_errors"] = examine_labels(config, rows)
    print(write(config.out, found))
    return found


def _limited(rows: Rows, limit: int | None) -> Rows:
    if limit is None:
        return rows
    of = [np.flatnonzero(rows.usage == usage) for usage in USAGES]
    index = np.concatenate([part[evenly(len(part), limit)] for part in of])
    votes = None if rows.votes is None else rows.votes[index]
    return replace(
        rows, images=rows.images[index], labels=rows.labels[index], usage=rows.usage[index], votes=votes,
        ids=rows.ids[index],
    )  # fmt: skip


def examine(rows: Rows, pairs: Integers) -> dict[str, Any]:
    """Everything that can be counted without training.

    Args:
        rows: The data set.
        pairs: Its near-duplicates, as train.duplicates.similar gives them.
    """
    ids = duplicates.identical(rows.images)
    flat = rows.images.reshape(len(rows), -1)
    constant = flat.max(axis=1) == flat.min(axis=1)
    return {
        "dataset": rows.name,
        "rows": {usage: int(np.sum(rows.usage == usage)) for usage in USAGES},
        "unique": len(np.unique(ids)),
        "identical": copies_between(ids, rows.usage),
        "similar": near_between(pairs, rows.usage),
        "conflicts": conflicts(ids, rows),
        "black": int(np.sum(constant & (flat[:, 0] == 0))),
        "one_colour": int(constant.sum()),
        "classes": {usage: class_counts(rows, usage) for usage in USAGES},
        "agreement": agreement(rows),
    }


def copies_between(ids: Integers, usage: NDArray[np.str_]) -> dict[str, int]:
    """Rows of a later split with an identical image in an earlier one; rows with an earlier one in their own."""
    result = {}
    for one, other in combinations(USAGES, 2):
        result[f"{one}→{other}"] = int(np.isin(ids[usage == other], ids[usage == one]).sum())
    for part in USAGES:
        result[f"within {part}"] = int(np.sum(usage == part)) - len(np.unique(ids[usage == part]))
    return result


def near_between(pairs: Integers, usage: NDArray[np.str_]) -> dict[str, int]:
    """The same with near-identical images; within a split, the number of pairs."""
    result = {"pairs": len(pairs)}
    for one, other in combinations(USAGES, 2):
        ways = [way[(usage[way[:, 0]] == one) & (usage[way[:, 1]] == other), 1] for way in (pairs, pairs[:, ::-1])]
        result[f"{one}→{other}"] = len(np.unique(np.concatenate(ways)))
    for part in USAGES:
        result[f"within {part}"] = int(np.sum(np.all(usage[pairs] == part, axis=1)))
    return result


def conflicts(ids: Integers, rows: Rows) -> dict[str, int]:
    """Groups of identical images with several labels: among the rows of some one split, and among all rows."""
    known = rows.labels >= 0
    inside = [several_labels(ids[part], rows.labels[part]) for part in (known & (rows.usage == u) for u in USAGES)]
    return {
        "inside one split": len(np.unique(np.concatenate(inside))),
        "over all": len(several_labels(ids[known], rows.labels[known])),
    }


def several_labels(groups: Integers, labels: Integers) -> Integers:
    """The groups whose rows have more than one label."""
    different = np.unique(np.stack([groups, labels], axis=1), axis=0)
    group, count = np.unique(different[:, 0], return_counts=True)
    return group[count > 1]


def class_counts(rows: Rows, usage: str) -> dict[str, int]:
    """Rows by label of one split."""
    labels = rows.labels[(rows.usage == usage) & (rows.labels >= 0)]
    return dict(zip(rows.names, np.bincount(labels, minlength=len(rows.names)).tolist(), strict=True))


def agreement(rows: Rows) -> dict[str, Any] | None:
    """The labels against the plurality of FERPlus' votes; None where either is missing.

    A tie of votes goes to the earlier column. Contempt, unknown and not a face agree with no label of FER2013.
    """
    known = rows.labels >= 0
    if rows.votes is None or not known.any():
        return None
    winner = rows.votes[known].argmax(axis=1)
    confusion = np.zeros((len(rows.names), len(PLURALITY)), np.int64)
    np.add.at(confusion, (rows.labels[known], winner), 1)
    same = {name: int(confusion[i, PLURALITY.index(name)]) for i, name in enumerate(rows.names) if name in PLURALITY}
    per_class = {
        name: {"rows": int(confusion[i].sum()), "rate": same.get(name, 0) / max(1, int(confusion[i].sum()))}
        for i, name in enumerate(rows.names)
    }
    return {
        "rows": int(confusion.sum()),
        "rate": sum(same.values()) / int(confusion.sum()),
        "per_class": per_class,
        "columns": list(PLURALITY),
        "confusion": confusion.tolist(),
    }


def examine_protocol(config: AuditConfig, rows: Rows, pairs: Integers) -> dict[str, Any]:
    """Leaks between the splits of a protocol, exact and near, and what a run on it would be warned of."""
    assert config.protocol is not None
    if config.limit is not None:
        raise DataError("--limit changes the rows, a protocol needs all of them. Leave one of them out.")
    data = data_module.load(config.protocol, config.data)
    part = np.full(len(rows), "left out", "<U10")
    for name in USAGES:
        part[getattr(data, name).rows] = name
    return {
        "name": config.protocol,
        "rows": {name: len(getattr(data, name)) for name in USAGES},
        "identical": copies_between(duplicates.identical(rows.images), part),
        "similar": near_between(pairs, part),
        "warnings": warn(data),
    }


def examine_labels(config: AuditConfig, rows: Rows) -> dict[str, Any]:
    """Train the folds, name the suspects; also writes label_errors.csv.

    Raises:
        DataError: The source has votes but no labels.
    """
    space, names = splits.own_labels(rows)
    labels, _ = splits.by_name(rows, names)
    index = np.flatnonzero(labels >= 0)
    folds = label_errors.Folds(config.out / "folds", config.folds, config.epochs, config.backbone, config.image_size)
    kept = labels[index]
    probabilities = label_errors.predictions(rows.images[index], kept, names, folds, space, rows.name)
    wrong = label_errors.suspects(kept, probabilities)
    table = []
    for at in wrong.tolist():
        own, guess = int(kept[at]), int(probabilities[at].argmax())
        shares = (round(float(probabilities[at, label]), 4) for label in (own, guess))
        table.append((*about(rows, int(index[at])), names[guess], *shares, plurality(rows, int(index[at]))))
    head = (*ABOUT, "predicted", "probability_of_label", "probability_of_predicted", "ferplus_plurality")
    write_csv(config.out / "label_errors.csv", head, table)
    if config.pictures:
        audit_figures.draw_suspects(config.out, rows, index[wrong], [row[4] for row in table])
    per_class = {name: {"rows": int(np.sum(kept == i)), "suspects": int(np.sum(kept[wrong] == i))}
                 for i, name in enumerate(names)}  # fmt: skip
    right = float(np.mean(probabilities.argmax(axis=1) == kept))
    return {
        "rows": len(kept), "folds": config.folds, "backbone": config.backbone, "epochs": config.epochs,
        "accuracy_out_of_fold": right, "suspects": len(wrong), "per_class": per_class,
    }  # fmt: skip
