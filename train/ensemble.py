"""`python -m train ensemble`: models that answer as one, or one model shown several views, fitted and measured."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import tyro

from fer_hub import __version__
from fer_hub.bench import machine
from fer_hub.classifier import Classifier, load_classifier
from fer_hub.download import DEFAULT_PLACE, Place
from fer_hub.ensemble import ARCHITECTURE, MOST, Ensemble
from fer_hub.hub import read_config
from fer_hub.types import Array
from fer_hub.views import VIEWS

from . import ensemble_scores, figures, leaks, measure, run_folder
from .calibrate import Calibration, fit_temperature
from .data import Data
from .ensemble_card import ensemble_card
from .ensemble_members import Joining, check_alike, is_ensemble, load_splits, locate, rows_of
from .export import calibration
from .finished import CONFIG, METRICS
from .run_folder import RunError

SPLITS = ("validation", "test")
PLAN = ("members", "views")
"""What of a config's "fer" block makes it another ensemble."""
BRIEF = ("n", "accuracy", "accuracy_95", "macro_f1", "ece")


@dataclass(frozen=True)
class EnsembleConfig:
    """Make one model of several, or of several views of a face; nothing is trained but its temperature."""

    models: tyro.conf.Positional[tuple[str, ...]]
    """Its members: names of the zoo, runs' folders, model folders or Hub ids. Scored under the first one's protocol."""
    out: Path
    """Its folder, which lists them."""
    views: str = "none"
    """Views of each face whose probabilities are averaged, a name of fer_hub.views.VIEWS: none, flip, tencrop."""
    weights: tuple[float, ...] = ()
    """Of the members, in their order; default: all the same."""
    select: bool = False
    """Choose members and weights among the models greedily on the validation split (Caruana et al. 2004)."""
    data: Path | None = None
    """What the members were trained on; default: the environment variable FER2013_DIR."""
    threads: int = measure.THREADS
    """Of ONNX Runtime, for each member in turn."""


def ensemble(config: EnsembleConfig) -> None:
    """Make an ensemble of models and measure it."""
    result = make(config)
    if result is None:
        print(f"{config.out}: is there already, of the same members and views")
        return
    test, (low, high) = result["test"], result["test"]["accuracy_95"]
    times = result["latency_ms"]["1"]
    print(
        f"{config.out}: test accuracy {test['accuracy']:.4f} (95 % {low:.4f} to {high:.4f}, n {test['n']}), "
        f"{times['ensemble']['p50']:.1f} ms a face, {times['times_fastest']} × the time of its fastest member"
    )


def make(config: EnsembleConfig, place: Place = DEFAULT_PLACE) -> dict[str, Any] | None:
    """Write the folder of an ensemble.

    Args:
        config: Which.
        place: Cache, token and endpoint for members of the Hub.

    Returns:
        Its metrics.json; None where the folder holds this ensemble already.

    Raises:
        ModelError: A member is not to be had, or its labels or its crop are others than the first one's.
        RunError: The folder holds something else.
        ValueError: A member cannot be one, the views are unknown, weights that do not fit, or other data.
    """
    started = perf_counter()
    check_options(config)
    candidates = [locate(source, config.out, place) for source in config.models]
    check_alike(candidates)
    members = [load_classifier(each.folder, threads=config.threads) for each in candidates]
    weights = list(config.weights or [1.0] * len(members))
    Ensemble.of(members, weights, config.views)  # says what does not fit before anything is computed
    offered = [each.name for each in candidates] if config.select else None
    if not config.select and is_there(config.out, plan_of(candidates, weights, config.views)):
        return None
    splits = load_splits(candidates, config.data)
    if config.select:
        candidates, members, weights = chosen(candidates, members, config.views, splits)
        if len(candidates) == 1 and config.views == "none":
            raise RunError(f"{candidates[0].name} alone does best on validation: there is no ensemble to write.")
        if len(candidates) > MOST:
            raise RunError(f"{len(candidates)} were chosen; an ensemble has at most {MOST} members. Offer fewer.")
        if is_there(config.out, plan_of(candidates, weights, config.views)):
            return None
    whole = Ensemble.of(members, weights, config.views)
    whole = Ensemble(replace(whole.info, labels=splits.labels), members, weights, config.views)
    result, logits = measured(whole, candidates, splits)
    result |= {"offered": offered, "machine": machine(config.threads)}
    result["seconds"] = round(perf_counter() - started, 1)
    write_folder(config.out, candidates, plan_of(candidates, weights, config.views), splits, result, logits)
    return result


def check_options(config: EnsembleConfig) -> None:
    """Whether the options make an ensemble.

    Raises:
        ValueError: They do not.
    """
    if config.views not in VIEWS:
        raise ValueError(f"Unknown --views {config.views!r}. Known: {', '.join(VIEWS)}.")
    if len(config.models) == 1 and config.views == "none":
        raise ValueError(f"One member and one view is {config.models[0]} itself. Give a second MODEL, or --views flip.")
    if len(config.models) > MOST and not config.select:
        raise ValueError(f"{len(config.models)} models; an ensemble has at most {MOST} members. Let --select choose.")
    if config.select and config.weights:
        raise ValueError("--select chooses the weights. Leave out --weights or --select.")
    if config.threads < 1:
        raise ValueError(f"Out of range: --threads {config.threads}. Give 1 or more.")


def chosen(
    candidates: Sequence[Joining], members: Sequence[Classifier], views: str, splits: Data
) -> tuple[list[Joining], list[Classifier], list[float]]:
    """The greedy choice on validation: candidates, classifiers and weights of those that are taken."""
    counts = ensemble_scores.choose(members, [each.name for each in candidates], views, splits.validation)
    kept = [at for at, count in enumerate(counts) if count]
    return [candidates[at] for at in kept], [members[at] for at in kept], [float(counts[at]) for at in kept]


def measured(whole: Ensemble, candidates: Sequence[Joining], splits: Data) -> tuple[dict[str, Any], Array]:
    """Fit the temperature on validation, score test once, time it: metrics.json, and the logits of test."""
    parts = {name: getattr(splits, name) for name in SPLITS}
    logits = {name: ensemble_scores.logits_of(whole, split, name) for name, split in parts.items()}
    temperature = fit_temperature(logits["validation"], splits.validation.labels)
    scored = {name: ensemble_scores.scored(logits[name], parts[name], splits.labels, temperature) for name in SPLITS}
    names = [each.name for each in candidates]
    alone = {name: ensemble_scores.score_members(whole, parts[name], names, scored[name]) for name in SPLITS}
    first, weights = candidates[0].result, whole.weights.tolist()
    members = [
        {"name": each.name, "weight": weight, "architecture": each.info.architecture, "size": each.info.input.size}
        | {"bytes": each.file["bytes"], "parameters": each.result["parameters"]}
        | {"protocol": each.info.fer["protocol"], "learned": each.result["rows"]["train"]}
        | {name: alone[name][at]["scores"] for name in SPLITS}
        | {"gain": {name: alone[name][at]["gain"] for name in SPLITS}}
        for at, (each, weight) in enumerate(zip(candidates, weights, strict=True))
    ]
    return {
        "config": rows_of(candidates[0]) | {"members": names, "weights": weights, "views": whole.views},
        "rows": first["rows"],
        "label_space": splits.label_space,
        "temperature": temperature,
        "calibration": calibration(Calibration(temperature), False)["calibration"],
        **{name: each.scores for name, each in scored.items()},
        "uncalibrated": {name: each.uncalibrated for name, each in scored.items()},
        "parameters": sum(each["parameters"] for each in members),
        "members": members,
        "latency_ms": ensemble_scores.latencies(whole, splits.validation),
        "data": first.get("data"),
        "notes": leaks.noted(splits),
    }, logits["test"]


# ── its folder ───────────────────────────────────────────────────────────────────────────────────────────────────────


def plan_of(candidates: Sequence[Joining], weights: Sequence[float], views: str) -> dict[str, Any]:
    """What makes it this ensemble and no other, as its config says it."""
    return {"members": [each.row(w) for each, w in zip(candidates, weights, strict=True)], "views": views}


def is_there(out: Path, plan: dict[str, Any]) -> bool:
    """Whether the folder holds this ensemble.

    Raises:
        RunError: It holds another one, or something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not is_ensemble(out):
        raise RunError(f"{out} is there and is no ensemble; it would be replaced. Give another --out.")
    fer = read_config(out)["fer"]
    different = [
        f"{name} ({_said(fer.get(name, '–'))}, now {_said(plan[name])})" for name in PLAN if fer.get(name) != plan[name]
    ]
    if different:
        raise RunError(f"{out} holds an ensemble with other {', other '.join(different)}. Give another --out.")
    return True


def _said(value: Any) -> str:
    """A value of a plan for people."""
    if isinstance(value, str):
        return value
    return " + ".join(f"{row['weight']:g} × {row['model']} {row['sha256'][:8]}" for row in value)


def write_folder(
    out: Path,
    candidates: Sequence[Joining],
    plan: dict[str, Any],
    splits: Data,
    result: dict[str, Any],
    logits: Array,
) -> None:
    """Write the folder, whole or not at all: under another name first."""
    new = out.with_name(f"{out.name}.tmp")
    shutil.rmtree(new, ignore_errors=True)
    try:
        run_folder.write_json(new / CONFIG, config_of(candidates, plan, splits, result))
        run_folder.write_json(new / METRICS, result)
        figures.draw_model(new / "figures", result, splits.labels, logits, splits.test.labels)
        run_folder.write_bytes(new / "README.md", ensemble_card(new).encode())
        run_folder.replace_folder(new, out)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def config_of(
    candidates: Sequence[Joining], plan: dict[str, Any], splits: Data, result: dict[str, Any]
) -> dict[str, Any]:
    """``config.json``: the input of its largest member, and our "fer" block."""
    largest = max(candidates, key=lambda each: each.info.input.size)
    config, fer = read_config(largest.folder), candidates[0].info.fer
    return {
        "architecture": ARCHITECTURE,
        "num_classes": len(splits.labels),
        "label_names": list(splits.labels),
        "pretrained_cfg": config["pretrained_cfg"] | {"first_conv": None, "classifier": None},
        "fer": {
            "label_space": splits.label_space,
            "grey": largest.info.input.grey,
            "face_margin": fer["face_margin"],
            "alignment": largest.info.alignment,
            **plan,
            **calibration(Calibration(result["temperature"]), False),
            "dataset": splits.dataset,
            "protocol": result["config"]["protocol"],
            "metrics": {split: {name: result[split][name] for name in BRIEF} for split in SPLITS},
            "latency_ms": {faces: row["ensemble"]["p50"] for faces, row in result["latency_ms"].items()},
            "fer_hub_version": __version__,
        },
    }
