"""What a model card is made of: the files of its folder, the Hub's front matter, the commands that made it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, ModelCardData

from fer_hub.download import TAG
from fer_hub.hub import MEASURED, ZOO, zoo_models

from . import run_folder
from .config import RunConfig, completed
from .metrics import BINS
from .splits import CHALLENGE

SPLITS = {"train": "train split", "validation": "validation split", "test": "test split"}
CHALLENGE_SPLITS = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
TAGS = [TAG, "facial-expression-recognition", "image-classification", "timm", "onnx"]
MACRO = {"average": "macro"}
METRICS: tuple[tuple[str, str, str, dict[str, Any] | None], ...] = (
    ("accuracy", "Accuracy", "accuracy", None),
    ("f1", "Macro-F1", "macro_f1", MACRO),
    ("balanced_accuracy", "Balanced accuracy", "balanced_accuracy", None),
    ("precision", "Macro precision", "macro_precision", MACRO),
    ("roc_auc", "Macro ROC AUC", "macro_roc_auc", MACRO | {"multi_class": "ovr"}),
    ("nll", "Negative log-likelihood", "nll", None),
    ("ece", "Expected calibration error", "ece", {"bins": BINS}),
)
"""Of the model-index: the Hub's name, a name for people, the key in a result, arguments."""
NEWER = ("macro_roc_auc",)
"""Figures that older results lack; it is None where no class has both kinds of rows."""


class Names(NamedTuple):
    """What a model is called: its title, and what from_pretrained and timm.create_model take."""

    title: str
    source: str
    timm_source: str


def read(folder: Path, file: str, advice: str) -> dict[str, Any]:
    """A JSON file of a model folder.

    Raises:
        ValueError: It is missing or no JSON; the message ends with the advice.
    """
    path = folder / file
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing. {advice}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({error}). {advice}") from error
    return values


def read_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """Config, result and variants of a model folder.

    Raises:
        ValueError: One of the files is missing or broken.
    """
    a_folder = "Give a model folder: config.json, metrics.json, onnx/."
    return {
        "config": read(folder, "config.json", a_folder),
        "result": read(folder, "metrics.json", a_folder),
        "variants": read(folder, MEASURED, f"Run: python -m train export {folder}"),
    }


def names_of(folder: Path, repo_id: str | None) -> Names:
    """What the model of a folder is called: by its repository, as one of the zoo, or by its folder.

    A run's model is named after the run, `model` being no name; `x.tmp` is `x` while it is being written.
    """
    if repo_id is not None:
        return Names(repo_id.rpartition("/")[2], repo_id, f"hf-hub:{repo_id}")
    folder = folder.resolve()
    name = folder.name.removesuffix(".tmp")
    if folder.parent == ZOO.resolve():
        return Names(name, name, f"local-dir:fer_hub/zoo/{name}")
    return Names(folder.parent.name if name == run_folder.MODEL else name, name, f"local-dir:{name}")


def splits_of(protocol: str) -> dict[str, str]:
    """What the three splits of a protocol are called."""
    return CHALLENGE_SPLITS if protocol in CHALLENGE else SPLITS


def figures_of(folder: Path) -> list[str]:
    """Names of the pictures that a folder holds, sorted."""
    return sorted(path.name for path in (folder / "figures").glob("*.png"))


# ── front matter ─────────────────────────────────────────────────────────────────────────────────────────────────────


def front_matter(title: str, config: dict[str, Any], result: dict[str, Any], dataset: dict[str, str]) -> ModelCardData:
    """The metadata of a card, as the Hub reads them.

    Args:
        title: Name of the model.
        config: config.json.
        result: metrics.json.
        dataset: Its entry of datasets.toml.
    """
    data, results = config["fer"]["dataset"], eval_results(config, result, dataset)
    return ModelCardData(
        license=dataset["license"],
        license_name=dataset["license_name"] or None,
        library_name="timm",
        pipeline_tag="image-classification",
        base_model=base_model(result),
        datasets=[data] if dataset["hub"] or "/" in data else None,
        metrics=list(dict.fromkeys(found.metric_type for found in results)),
        tags=TAGS,
        co2_eq_emissions=emissions(result),
        model_name=title,
        eval_results=results,
    )


def eval_results(config: dict[str, Any], result: dict[str, Any], dataset: dict[str, str]) -> list[EvalResult]:
    """The model-index: every figure of the test split, and of the external set where one was scored."""
    run = result["config"]
    own = {
        "dataset_type": config["fer"]["dataset"],
        "dataset_name": dataset["name"],
        "dataset_config": run["protocol"],
        "dataset_split": splits_of(run["protocol"])["test"],
        "dataset_revision": result.get("data"),
    }
    found = _results(result["test"], own)
    if "external" in result:
        found += _results(result["external"], {"dataset_type": run["external"], "dataset_name": run["external"]})
    return found


def _results(scores: dict[str, Any], of: dict[str, Any]) -> list[EvalResult]:
    return [
        EvalResult(
            task_type="image-classification",
            task_name="Facial-expression recognition",
            metric_type=kind,
            metric_name=name,
            metric_value=scores[key],
            metric_args=args,
            **of,
        )
        for kind, name, key, args in METRICS
        if key not in NEWER or scores.get(key) is not None
    ]


def base_model(result: dict[str, Any]) -> str | None:
    """Hub id of timm's weights that the first run of the chain began with; None where they are not known for sure."""
    while result.get("parent"):
        result = result["parent"]
    if not result["config"]["pretrained"]:
        return None
    import timm  # here: it loads torch, and few results need it

    from fer_hub.backbones import timm_name

    cfg = timm.get_pretrained_cfg(timm_name(result["config"]["backbone"]))
    hub_id: str | None = cfg.hf_hub_id if cfg else None
    return hub_id


def emissions(result: dict[str, Any]) -> dict[str, Any] | None:
    """CO₂ in grams with its source, in the Hub's terms; None where it was not measured."""
    measured = result.get("emissions")
    if measured is None:
        return None
    run = result["config"]
    found = {
        "emissions": measured["grams"],
        "source": measured["source"],
        "training_type": "fine-tuning" if run["init"] or run["pretrained"] else "pre-training",
        "geographical_location": measured.get("country"),
        "hardware_used": result["machine"]["device"],
    }
    return {name: value for name, value in found.items() if value is not None}


# ── recipe ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def recipe(result: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The runs that led to a model, the first one first: {command, seconds, weights, init}.

    `weights` says what it began with: "random", "pretrained" (timm's), "given" (a file) or "parent" (the run before);
    `init` names that file or run.

    Args:
        result: metrics.json.
        name: Of the last run's folder.
    """
    runs = [(result["config"], result["seconds"], name)]
    while parent := result.get("parent"):
        init = result["config"]["init"] or ""
        runs.append((parent["config"], parent["seconds"], init.partition("/")[0]))
        result = parent
    return [
        {
            "command": command(run, folder),
            "seconds": seconds,
            "weights": "parent" if number else _begun_with(run),
            "init": run["init"],
        }
        for number, (run, seconds, folder) in enumerate(reversed(runs))
    ]


def _begun_with(run: dict[str, Any]) -> str:
    return "given" if run["init"] else "pretrained" if run["pretrained"] else "random"


def command(run: dict[str, Any], folder: str, width: int = 100) -> str:
    """The shell command of a run, in lines of that width; every field is given, so that no default can change it."""
    words = [f"--out runs/{shlex.quote(folder)}"]
    plain = {f.name: f.default for f in fields(RunConfig)}
    for field, value in completed(run).items():
        flag = f"--{field.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif isinstance(value, list):
            words += [f"{flag} {shlex.quote(_teacher(name))}" for name in value]
        elif value is not False and not (value is None and plain.get(field) is None):
            words.append(f"{flag} {shlex.quote(_weights(value) if field == 'init' else str(value))}")
    return _wrapped("python -m train run", words, width)


def _weights(init: str) -> str:
    """Where initial weights lie that a record names (see config.weights_name)."""
    return f"runs/{init}/model.safetensors" if "/" in init else init


def _teacher(name: str) -> str:
    """Where a teacher lies that a record names (see config.model_name): in the zoo, or the model of a run."""
    return name if name in zoo_models() else f"runs/{name}"


def _wrapped(line: str, words: Sequence[str], width: int) -> str:
    lines = [line]
    for word in words:
        if len(lines[-1]) + len(word) + 3 > width:
            lines.append(f"    {word}")
        else:
            lines[-1] += f" {word}"
    return " \\\n".join(lines)
