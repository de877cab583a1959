"""Labels that a network trained on the other rows contradicts: confident learning.

Northcutt, Jiang, Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels" (arXiv:1911.00068),
through the library cleanlab. A suspicion, not a verdict: what the network finds hard is suspected, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_hub.classifier import softmax
from fer_hub.hub import read_info

from . import duplicates, run_folder
from .config import RunConfig
from .data import Data, DataError, Split
from .recipes import RECIPES

CHOSEN_ON = 0.1
"""Share of the rows that a fold may learn from on which its best epoch is chosen."""


@dataclass(frozen=True)
class Folds:
    """How the predictions are made."""

    out: Path
    """Folder for the runs, one for each fold."""
    count: int
    """Folds, 2 or more."""
    epochs: int = 15
    backbone: str = "raw_pixel_cnn"
    image_size: int = 48
    seed: int = 0


def predictions(images: duplicates.Images, labels: duplicates.Integers, names: Sequence[str], folds: Folds, space: str,
                dataset: str) -> NDArray[np.float64]:  # fmt: skip
    """N×C calibrated probabilities of each row, by the network of the fold that did not learn from it.

    Each fold is an ordinary run in `folds.out`: what is finished is used again, what was interrupted goes on.

    Args:
        images: N×S×S uint8 grey.
        labels: N, index into `names`.
        names: C canonical labels.
        folds: How many, and which network.
        space: Label space of the names, or "custom".
        dataset: Name of the data set.

    Raises:
        DataError: A class has fewer rows than there are folds.
        Interrupted: A signal came; the same call goes on.
    """
    counts = np.bincount(labels, minlength=len(names))
    if counts.min() < folds.count:
        raise DataError(f"{names[counts.argmin()]} has {counts.min()} rows for {folds.count} folds. Use fewer --folds.")
    from . import evaluate, loop  # here: torch takes seconds to import

    result = np.zeros((len(labels), len(names)))
    for number, parts in enumerate(split(labels, duplicates.groups(images), folds)):
        train, validation, test = (Split(images[part], labels[part], rows=part) for part in parts)
        config = run_config(folds, number)
        print(f"fold {number + 1}/{folds.count}: {len(train)} rows to learn from, {len(test)} to predict", flush=True)
        loop.train(config, splits=Data(space, tuple(names), train, validation, test, dataset))
        folder = config.out / run_folder.MODEL
        logits = evaluate.model_logits(str(folder), "torch", test)
        result[parts[2]] = softmax(logits, read_info(folder).temperature)
    return result


def run_config(folds: Folds, number: int) -> RunConfig:
    """The run of a fold: optimised as the report on raw pixels did."""
    fields = RECIPES["report-2"] | {"epochs": folds.epochs, "seed": folds.seed}
    return RunConfig(
        out=folds.out / str(number),
        protocol="as-given",
        backbone=folds.backbone,
        image_size=folds.image_size,
        **fields,
    )


def split(
    labels: duplicates.Integers, groups: duplicates.Integers, folds: Folds
) -> list[tuple[duplicates.Integers, duplicates.Integers, duplicates.Integers]]:
    """(train, validation, held out) of each fold; stratified, copies and near-copies on one side."""
    from sklearn.model_selection import StratifiedGroupKFold

    options = {"shuffle": True, "random_state": folds.seed}
    result = []
    for inside, test in StratifiedGroupKFold(folds.count, **options).split(labels, labels, groups):
        inner = StratifiedGroupKFold(max(2, round(1 / CHOSEN_ON)), **options)
        train, validation = next(inner.split(inside, labels[inside], groups[inside]))
        result.append((inside[train], inside[validation], test))
    return result


def suspects(labels: duplicates.Integers, probabilities: NDArray[np.float64]) -> duplicates.Integers:
    """Rows whose label is probably wrong, the surest first."""
    from cleanlab.filter import find_label_issues  # here: it takes seconds to import

    found = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    return np.asarray(found, np.int64)
