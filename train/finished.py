"""Finished models to work on: where they lie, which data they were trained on, copies that replace them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fer_hub.hub import ZOO, read_info, zoo_models

from . import card_data, data, run_folder
from .data import Data, DataError

CONFIG, METRICS, WEIGHTS = "config.json", "metrics.json", "model.safetensors"


def model_folder(source: str | Path) -> Path:
    """The model folder of a run, of the zoo, or the folder itself.

    Raises:
        ValueError: There is none.
    """
    folder = ZOO / source if str(source) in zoo_models() else Path(source)
    if run_folder.is_trial(run_folder.result_of(folder) or {}):
        raise ValueError(f"{folder} is a trial: it made no model. Train it without --trial, into another --out.")
    model = folder / run_folder.MODEL
    if model.is_dir() and not (folder / run_folder.RESULT).is_file():
        raise ValueError(f"{folder} is a run that is not finished. The command that began it goes on with it.")
    for candidate in (model, folder):
        if all((candidate / name).is_file() for name in (CONFIG, WEIGHTS)):
            return candidate
    if (folder / CONFIG).is_file():
        raise ValueError(f"{folder} holds no {WEIGHTS}. An unfinished run is finished by the command that began it.")
    raise ValueError(
        f"There is no model in {source}: a model has {CONFIG} and {WEIGHTS}. "
        f"Give a run's folder, a model folder, or one of the zoo ({', '.join(zoo_models())})."
    )


def result_of(folder: Path) -> dict[str, Any]:
    """metrics.json of a model folder; empty where it has none."""
    file = folder / METRICS
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def check_replaceable(out: Path) -> None:
    """Whether a folder may be replaced: none there, an empty one, or a model.

    Raises:
        ValueError: Something else lies there.
    """
    a_model = all((out / name).is_file() for name in (CONFIG, WEIGHTS))
    if out.exists() and not a_model and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there and is no model folder; it would be replaced. Give a new --out.")


def data_of(folder: Path, source: Path | None) -> Data:
    """The data that a model was trained on, split as then.

    Raises:
        DataError: They are other data.
        ValueError: The model does not say which data they were.
    """
    result = card_data.read(folder, METRICS, "Give the folder of a run of this project.")
    run = result.get("config", {})
    if "protocol" not in run:
        raise ValueError(f"{folder / METRICS} has no config with a protocol. Give the folder of a run of this project.")
    options = {name: run[name] for name in ("targets", "align", "on_missing") if name in run}
    splits = data.load(run["protocol"], source, run.get("limit"), **options)
    _same(folder, splits, result)
    return splits


def _same(folder: Path, splits: Data, result: dict[str, Any]) -> None:
    """Whether the data are those of the result; of older results, and with an external set, by labels and rows only."""
    labels = read_info(folder).labels
    if splits.labels != labels:
        raise DataError(f"The model names {', '.join(labels)}; the data {', '.join(splits.labels)}. Check --data.")
    rows = {name: len(getattr(splits, name)) for name in ("train", "validation", "test")}
    if rows != result["rows"]:
        raise DataError(f"The model was trained on {result['rows']} rows, the data have {rows}. Check --data.")
    digest = None if result["config"].get("external") else result.get("data")
    if digest not in (None, splits.digest):
        raise DataError(
            f"The model was trained on other data (digest {digest}, these have {splits.digest}). "
            "Give the same --data as the run had."
        )


@contextmanager
def copied(folder: Path, target: Path) -> Iterator[Path]:
    """A copy of a model folder beside the target, without its ONNX files; gone again if anything fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(new, ignore_errors=True)
    try:
        shutil.copytree(folder, new, ignore=lambda path, names: {"onnx"} & set(names) if Path(path) == folder else ())
        yield new
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
