"""`python -m train trials`: one change of the recipe at a time, decided on the validation split alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import tyro

from . import presets, sweep
from .config import RunConfig
from .presets import Run
from .progress import Progress

BASE = "base"
TRIALS: dict[str, dict[str, Any]] = {
    BASE: {},
    "size-48": {"image_size": 48},
    "size-64": {"image_size": 64},
    "size-96": {"image_size": 96},
    "size-112": {"image_size": 112},
    "first-size": {"first_size": lambda asked: max(16, asked.image_size * 2 // 3)},
    "augment-0": {"augment": 0.0},
    "augment-0.5": {"augment": 0.5},
    "augment-1.5": {"augment": 1.5},
    "erase-0": {"erase": 0.0},
    "mixup-0.2": {"mixup": 0.2},
    "mixup-0.4": {"mixup": 0.4},
    "smoothing-0": {"label_smoothing": 0.0},
    "smoothing-0.2": {"label_smoothing": 0.2},
    "ema-0": {"ema": 0.0},
    "sam-0.05": {"sam": 0.05},
    "epochs-half": {"epochs": lambda asked: max(1, asked.epochs // 2)},
    "epochs-double": {"epochs": lambda asked: asked.epochs * 2},
    "constant": {"schedule": "constant"},
    "plateau": {"schedule": "plateau", "plateau_patience": 1},  # the usual 3 would not fall within a few epochs
    "hybrid-3000": {"sampling": "hybrid:3000"},
    "weighted": {"loss": "weighted"},
    "focal": {"loss": "focal"},
    "teacher": {"teacher": lambda asked: asked.teacher},
    "votes": {"targets": "votes"},
    "both": {"targets": "both"},
    "align-box": {"align": "box"},
    "align-eyes": {"align": "eyes"},
}
"""Name → fields of RunConfig that differ from the base; a value may be a function of the command (TrialsConfig)."""


OWN = ("seed", "trial", "teacher")
"""Fields that each trial sets, or that have another meaning here."""


@dataclass(frozen=True)
class TrialsConfig:
    """Try one change of the recipe at a time, decided on the validation split; the same command goes on."""

    only: tuple[str, ...] = ()
    """Names of train.trials.TRIALS, e.g. mixup-0.2 ema-0; the base comes along. Default: all that change something."""
    seeds: tuple[int, ...] = (0,)
    """Each trial once with each; from two on, the table knows how far seeds differ."""
    out: Path = Path("runs/trials")
    """Folder of trials: each run gets out/<base>--<trial>--seed-<n>."""
    data: Path | None = None
    """As in run: fer2013.csv, a folder, or a Hub data-set id; default: FER2013_DIR."""
    dry_run: bool = False
    """Only list the runs and where they stand."""
    time_budget: str | None = None
    """Stop cleanly after so long, e.g. 9m, 90s or 1h30m; exit status 0."""
    shard: str | None = None
    """i/n: every n-th run from the i-th, for n machines."""

    backbone: str = "traditional_cnn"
    """Of the base: a name of fer_hub.backbones.BACKBONES, or timm:<name>."""
    image_size: int = 48
    """Of the base: height and width of the network's input, pixels."""
    epochs: int = 8
    """Of the base: passes over the training rows."""
    init: Path | None = None
    """Of the base: initial weights (.safetensors)."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Of the base: mixed precision."""
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Of the base: field=value for any other field of run, e.g. lr=5e-4; may be given more than once."""
    teacher: tuple[Path, ...] = ()
    """Model folders for the trial `teacher`."""

    views_of: Path | None = None
    """Nothing is trained: this finished model is shown one, two and ten views of each face of the validation split."""


def trials(config: TrialsConfig) -> int:
    """Do the trials that are not done yet, and write their table anew after each.

    Returns:
        Exit status: 0, or 1 when a run failed.

    Raises:
        ValueError: The command asks for something that does not exist.
        Interrupted: A signal came; the running run's state is saved.
    """
    from . import tried

    if config.views_of is not None:
        _check_views(config)
        from . import view_scores  # asks models: only where that is wanted

        view_scores.write(config.views_of, config.data, config.out)
        print(*tried.write_runs(config.out), sep="\n")
        return 0
    seconds = sweep.budget(config.time_budget)
    runs = planned(config)
    chosen = presets.share(runs, config.shard) if config.shard else runs
    if config.dry_run:
        sweep.list_runs(chosen, len(runs))
        return 0
    sweep.check_alone("--shard i/n")
    progress = Progress(chosen, len(runs))
    return sweep.carry_out(progress, sweep.locally, seconds, partial(tried.write_runs, config.out))


def _check_views(config: TrialsConfig) -> None:
    """Whether nothing is asked for that only training could give.

    Raises:
        ValueError: It is.
    """
    usual = TrialsConfig()
    heeded = ("views_of", "data", "out")
    odd = [f.name for f in fields(config) if f.name not in heeded and getattr(config, f.name) != getattr(usual, f.name)]
    if odd:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in odd)
        raise ValueError(f"--views-of trains nothing: {names} would have no effect. Leave it out; --out and --data go.")


def planned(config: TrialsConfig) -> list[Run]:
    """The runs that a command asks for, trial by trial and seed by seed, the base's first.

    Raises:
        ValueError: An unknown trial, one that changes nothing of this base, or a value that no run can have.
    """
    base = base_of(config)
    runs: list[Run] = []
    for name in asked_for(config, base):
        for seed in dict.fromkeys(config.seeds):
            cell = {"base": base_name(config), "trial": name, "seed": seed}
            changes = changes_of(name, config) | {"seed": seed, "out": config.out / presets.slug(cell)}
            runs.append(Run(len(runs) + 1, cell, replace(base, **changes)))
    return runs


def base_of(config: TrialsConfig) -> RunConfig:
    """What every trial is compared with: our recipe, short.

    Raises:
        ValueError: --set names a field that has an option, or that trials set themselves.
    """
    own = {name: getattr(config, name) for name in ("backbone", "image_size", "epochs", "init", "precision", "data")}
    given = presets.assignments(config.set)
    odd = sorted(given.keys() & {*own, *OWN})
    if odd:
        raise ValueError(f"--set {', '.join(odd)}: trials have options of their own for that; see --help.")
    values: dict[str, Any] = {"protocol": "official", "lr": 1e-3} | own | given
    return RunConfig(**values | {"out": config.out, "trial": True})


def base_name(config: TrialsConfig) -> str:
    """What a base is called: what was asked for beside the defaults, network, size and epochs in any case."""
    words: dict[str, Any] = {"backbone": config.backbone, "size": config.image_size, "epochs": config.epochs}
    words |= {"init": config.init.stem} if config.init else {}
    words |= {"precision": config.precision} if config.precision != "no" else {}
    return presets.slug(words | {text: text for text in config.set})


def asked_for(config: TrialsConfig, base: RunConfig) -> list[str]:
    """Names of the trials: those of --only and the base, or all that change something of the base.

    Raises:
        ValueError: One is unknown, or changes nothing.
    """
    changing = [name for name in TRIALS if name == BASE or _differs(base, changes_of(name, config))]
    for name in config.only:
        if name not in TRIALS:
            raise ValueError(f"Unknown trial {name!r}. Known: {', '.join(TRIALS)}.")
        if name not in changing:
            as_it_is = ", ".join(f"{field} {getattr(base, field)!r}" for field in TRIALS[name])
            hint = "Give --teacher MODEL_DIR." if name == "teacher" else "Leave it out, or give another base."
            raise ValueError(f"The trial {name!r} changes nothing: the base has {as_it_is}. {hint}")
    return [name for name in changing if not config.only or name in (BASE, *config.only)]


def changes_of(name: str, config: TrialsConfig) -> dict[str, Any]:
    """The fields that a trial sets, as values."""
    wanted: Mapping[str, Any | Callable[[TrialsConfig], Any]] = TRIALS[name]
    return {field: value(config) if callable(value) else value for field, value in wanted.items()}


def _differs(base: RunConfig, changes: Mapping[str, Any]) -> bool:
    return any(getattr(base, field) != value for field, value in changes.items())
