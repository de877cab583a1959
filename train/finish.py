"""The end of a run: calibrate on validation, score test once (not of a trial), export, draw; `result.json` last."""

from __future__ import annotations

import platform
from functools import partial
from typing import TYPE_CHECKING, Any

import timm
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn

from fer_hub.backbones import head_weights
from fer_hub.classifier import softmax

from . import calibrate, export, figures, leaks, metrics, network, pictures, run_folder
from .config import RunConfig, to_json
from .data import Split

if TYPE_CHECKING:
    from .loop import Trainer

BALANCED = ("accuracy", "balanced_accuracy", "macro_f1")
"""Figures of the validation split that are kept as they were before the labels were balanced."""


def check(config: RunConfig, model: nn.Module) -> None:
    """Whether the end of the run can be as the config wants it, asked at its beginning.

    Raises:
        ValueError: The labels shall be balanced, and the last layer has no offsets.
    """
    if config.balance and not export.takes_offsets(model):
        raise ValueError(
            f"--balance {config.balance} moves the offsets of a linear last layer, and {config.backbone} has none. "
            "Leave --balance out."
        )


def finish(trainer: Trainer) -> dict[str, Any]:
    """Everything that follows the last epoch; nothing on processes other than the main one.

    Raises:
        Interrupted: A signal came before the result was written; what was learnt is kept.
    """
    trainer.accelerator.wait_for_everyone()
    if not trainer.accelerator.is_main_process:
        return {}
    out, splits = trainer.config.out, trainer.splits
    model = trainer.ema.module
    kept = network.blended(trainer.config, len(splits.labels), load_file(out / run_folder.BEST))
    model.load_state_dict(export.rounded(kept, head_weights(model)))
    logits = {name: _logits(trainer, split) for name, split in scored_splits(trainer).items()}
    model = model.float().cpu()
    found, compared = calibrate.fit(logits["validation"], splits.validation.labels, export.foldable(model))
    found, balance = _balanced(trainer, logits["validation"], found)
    result = _result(trainer, logits, found) | balance
    folded = export.fold(model, found)
    result["calibration"] = export.calibration(found, folded)["calibration"] | {"compared": compared}
    figures.draw_run(out, run_folder.read_epochs(out), result["best_epoch"])
    if trainer.config.trial:
        result["hits"] = metrics.hits(found.apply(logits["validation"]), splits.validation.labels)
    else:
        export.write_model_folder(out / run_folder.MODEL, model, trainer.spec, splits, result, logits["test"])
        probabilities = softmax(found.apply(logits["test"]))
        pictures.draw_pictures(out, splits.test.images, splits.test.labels, probabilities, splits.labels)
    run_folder.write_json(out / run_folder.RESULT, result)
    return result


def scored_splits(trainer: Trainer) -> dict[str, Split]:
    """What is scored at the end, by name; of a trial nothing but validation."""
    splits = trainer.splits
    if trainer.config.trial:
        return {"validation": splits.validation}
    found = {"validation": splits.validation, "test": splits.test}
    return found | ({"external": splits.external} if splits.external is not None else {})


def _balanced(
    trainer: Trainer, logits: metrics.Floats, found: calibrate.Calibration
) -> tuple[calibrate.Calibration, dict[str, Any]]:
    """The calibration with offsets for the rare labels, if any are wanted, and what the result says of them."""
    if not trainer.config.balance:
        return found, {}
    splits = trainer.splits
    counts = splits.train.counts(len(splits.labels))
    offset = calibrate.balanced(found, logits, splits.validation.labels, counts, trainer.config.balance)
    before = metrics.score(found.apply(logits), splits.validation.labels, splits.labels)
    return offset, {"balance": {"share": offset.balance, "before": {name: before[name] for name in BALANCED}}}


def _logits(trainer: Trainer, split: Split) -> metrics.Floats:
    if trainer.signals.number:
        raise run_folder.Interrupted(trainer.signals.number)
    return network.split_logits(trainer.network(), split, trainer.spec)


def _result(trainer: Trainer, logits: dict[str, metrics.Floats], found: calibrate.Calibration) -> dict[str, Any]:
    config, splits, progress = trainer.config, trainer.splits, trainer.progress
    scored = partial(metrics.score, names=splits.labels)
    truth = {name: split.labels for name, split in scored_splits(trainer).items()}
    calibrated = {name: scored(found.apply(rows), truth[name]) for name, rows in logits.items()}
    plain = {name: scored(rows, truth[name]) for name, rows in logits.items()}
    return {
        "config": to_json(config),
        "parent": trainer.parent,
        "teacher": trainer.taught_by,
        "dataset": splits.dataset,
        "data": splits.digest,
        "origin": splits.origin,
        "rows": {"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)},
        "rows_per_epoch": trainer.rows,
        "label_space": splits.label_space,
        "labels": list(splits.labels),
        "notes": leaks.noted(splits),
        "best_epoch": progress.best_epoch + 1,
        "epochs_run": progress.epoch,
        "temperature": found.temperature,
        **calibrated,
        "uncalibrated": {name: {k: scores[k] for k in metrics.UNCALIBRATED} for name, scores in plain.items()},
        "parameters": sum(p.numel() for p in trainer.ema.module.parameters()),
        "init": trainer.init_report,
        "seconds": round(progress.seconds, 1),
        "images_per_second": round(trainer.steps * config.batch_size * progress.epoch / max(progress.seconds, 1e-9), 1),
        "machine": machine(trainer.accelerator),
        "emissions": emissions(trainer),
    }


def emissions(trainer: Trainer) -> dict[str, Any] | None:
    """Grams of CO₂-equivalent that the main process's machine caused, if they were measured."""
    country = trainer.config.emissions
    return {"grams": trainer.progress.grams, "country": country, "source": "codecarbon"} if country else None


def machine(accelerator: Accelerator) -> dict[str, Any]:
    """What it ran on: device, processes, threads, versions."""
    cuda = torch.cuda.get_device_name() if accelerator.device.type == "cuda" else None
    return {
        "device": cuda or platform.machine(),
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "timm": timm.__version__,
    }
