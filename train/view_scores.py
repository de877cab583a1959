"""What several views of each face give a finished model on the validation split; nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fer_hub.classifier import load_classifier
from fer_hub.views import VIEWS, count_views

from . import card_data, finished, metrics, presets, run_folder
from .calibrate import fit_temperature
from .data import Data
from .evaluation.candidates import logits_of
from .measure import size_and_hash
from .trials import BASE

KEPT = ("dataset", "data", "rows", "label_space", "labels", "parameters", "machine", "parent")
"""What the model's own result says that stays true, however many views it is shown."""


def write(model: Path, source: Path | None, out: Path) -> None:
    """Score a finished model on the validation split under each of VIEWS; what is done already is left alone.

    Args:
        model: Of a run, of the zoo, or a model folder.
        source: The data that it was trained on; None: the environment variable FER2013_DIR.
        out: Folder of trials: each result goes to out/<the model>--<trial>--seed-<n>/result.json, one view as the base.

    Raises:
        DataError: They are other data.
        ModelError: Its files are broken.
        RunError: The folder has the scores of another model of the same name.
        ValueError: There is no such model.
    """
    place = finished.model_folder(model)
    result = card_data.read(place, finished.METRICS, "Give the folder of a run of this project.")
    splits = finished.data_of(place, source)
    weights = size_and_hash(place / finished.WEIGHTS)["sha256"]
    name, seed = card_data.names_of(place, None).title, result["config"]["seed"]
    for views in VIEWS:
        trial = BASE if views == "none" else f"views-{views}"
        folder = out / presets.slug({"base": name, "trial": trial, "seed": seed})
        done = run_folder.result_of(folder)
        if done and done["weights"] != weights:
            raise run_folder.RunError(f"{folder} holds the scores of another model of that name. Give another --out.")
        if not done:
            scores = score(place, result, splits, views) | {"weights": weights}
            run_folder.write_json(folder / run_folder.CONFIG, scores["config"])
            run_folder.write_json(folder / run_folder.RESULT, scores)


def score(place: Path, result: dict[str, Any], splits: Data, views: str) -> dict[str, Any]:
    """The result of a model under a kind of views, its temperature fitted anew as an ensemble's is.

    Args:
        place: The model's folder.
        result: Its metrics.json.
        splits: Its data; the test split is not looked at.
        views: A name of VIEWS.

    Returns:
        JSON values like a trial's result.json, with `config.views` and `views` (how many there are).
    """
    model, split = load_classifier(place, views=views, labels=splits.labels), splits.validation
    logits = logits_of(model, split, f"{views}, validation")
    temperature = fit_temperature(logits, split.labels)
    plain = metrics.score(logits, split.labels, splits.labels)
    return {
        "config": result["config"] | {"views": views},
        "views": count_views(views),
        **{name: result.get(name) for name in KEPT},
        "temperature": temperature,
        "hits": metrics.hits(logits, split.labels),
        "validation": metrics.score(logits, split.labels, splits.labels, temperature),
        "uncalibrated": {"validation": {name: plain[name] for name in metrics.UNCALIBRATED}},
    }
