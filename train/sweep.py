"""`python -m train sweep PRESET`: the runs of a preset, one after the other or on a Ray cluster."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import tyro

from . import attempts, presets, run_folder
from .attempts import Outcome
from .presets import PRESETS, Run
from .progress import Progress, standing


@dataclass(frozen=True)
class SweepConfig:
    """Train the runs of a preset; the same command goes on where it was stopped."""

    preset: tyro.conf.Positional[str]
    """One of the source reports' systems: a name of train.presets.PRESETS."""
    out: Path = Path("runs")
    """Folder of sweeps: each run gets out/<preset>/<its name>."""
    data: Path | None = None
    """As in run: fer2013.csv, a folder, or a Hub data-set id; default: FER2013_DIR."""
    recipe: str = "report"
    """report: the preset's own optimiser and augmentation; ours (the defaults of run), or another report's: those of
    that recipe, with the preset's protocol, input size and epochs."""
    dry_run: bool = False
    """Only list the runs and where they stand."""

    only: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Runs whose name holds this text, or field=value; may be given more than once."""
    shard: str | None = None
    """i/n: every n-th run from the i-th of the whole list, for n machines with one folder each or a shared one."""

    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """field=value for any field of run, e.g. lr=3e-4; may be given more than once. Of an axis it leaves this value."""
    epochs: int | None = None
    """Short for --set epochs=..."""
    limit: int | None = None
    """Short for --set limit=..."""
    seed: int | None = None
    """Short for --set seed=..."""
    precision: Literal["no", "bf16", "fp16"] | None = None
    """Short for --set precision=..."""
    compile: bool = False
    """Short for --set compile=true."""
    init_dir: Path | None = None
    """Folder of initial weights, <backbone>.safetensors or <backbone>.*.safetensors, used where there is one."""
    pretrained: bool = False
    """Fetch timm's own pretrained weights where --init-dir has none."""
    init_run: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """field=value of an axis: begin each run with the model that this sweep's run of that value left, e.g.
    sampling=none and loss=cross-entropy, so that classes are balanced only after all rows have been learned from
    (deferred re-balancing, Cao et al. 2019, arXiv:1906.07413); may be given more than once."""

    time_budget: str | None = None
    """Stop cleanly after so long, e.g. 9m, 90s or 1h30m; exit status 0."""
    executor: Literal["local", "ray"] = "local"
    """One run after the other in this process, or tasks on a Ray cluster (RAY_ADDRESS, or one started here)."""
    workers: int = 0
    """Ray: runs at a time, at most; 0: as many as the cluster has room for."""
    cpus: float = 1.0
    """Ray: CPUs that a run takes."""
    gpus: float = 0.0
    """Ray: GPUs that a run takes; 0.5 puts two on one."""

    @property
    def folder(self) -> Path:
        """The sweep's folder."""
        return self.out / self.preset


SHORT = ("epochs", "limit", "seed", "precision")


def planned(config: SweepConfig) -> tuple[list[Run], int]:
    """The runs that a command asks for, and how many the whole list has.

    Raises:
        ValueError: An unknown name, a value that no run can have, or filters that fit nothing.
    """
    changes: dict[str, Any] = {name: getattr(config, name) for name in SHORT if getattr(config, name) is not None}
    changes |= {"compile": True} if config.compile else {}
    changes |= {"data": config.data} if config.data else {}
    changes |= presets.assignments(config.set)
    everything = presets.expand(config.preset, config.folder, config.recipe, changes)
    runs = presets.share(everything, config.shard) if config.shard else everything
    runs = presets.only(runs, config.only) if config.only else runs
    if config.init_run:
        if config.init_dir or config.pretrained:
            raise ValueError("--init-run, --init-dir and --pretrained all name initial weights. Give one of them.")
        runs = presets.after(runs, presets.assignments(config.init_run, "--init-run"))
    else:
        runs = presets.with_weights(runs, config.init_dir, config.pretrained)
    return runs, len(everything)


def sweep(config: SweepConfig) -> int:
    """Do the runs that are not done yet, and rebuild the leaderboard after each.

    Returns:
        Exit status: 0, or 1 when a run failed.

    Raises:
        ValueError: The command asks for something that does not exist.
        Interrupted: A signal came; the running run's state is saved.
    """
    seconds = budget(config.time_budget)
    runs, total = planned(config)
    if config.dry_run:
        list_runs(runs, total)
        for line in remarks(config, runs):
            print(line)
        return 0
    check_alone("--shard i/n or --executor ray")
    for line in remarks(config, runs):
        print(line, file=sys.stderr)
    execute = locally if config.executor == "local" else partial(on_ray, config)
    progress = Progress(runs, total, lanes=max(1, config.workers))
    return carry_out(progress, execute, seconds, partial(_tabulate, config))


def check_alone(share: str) -> None:
    """Whether this is the only process, not one of those of accelerate launch.

    Raises:
        ValueError: It is not; `share` are the options that share the runs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(f"A sweep is one process. Share its runs with {share} instead.")


def _tabulate(config: SweepConfig) -> None:
    from . import leaderboard

    leaderboard.write(config.folder, config.preset)


Begin = Callable[[Run], None]
Endings = Iterator[tuple[Run, Outcome]]
Execute = Callable[[Sequence[Run], Begin, float | None], Endings]


def carry_out(progress: Progress, execute: Execute, seconds: float | None, tabulate: Callable[[], object]) -> int:
    """Do the runs of a list that are not done yet.

    Args:
        progress: The list, and what is said of it.
        execute: How: `locally` or `on_ray`.
        seconds: After which it stops cleanly; None: when all is done.
        tabulate: Writes the tables anew, after each run and at the end.

    Returns:
        Exit status: 0, or 1 when a run failed.

    Raises:
        Interrupted: A signal came; the running run's state is saved.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    out_of_time = False
    with signals_raise():
        todo = progress.sort_out()
        try:
            for run, outcome in execute(todo, progress.begin, deadline):
                progress.end(run, outcome)
                if outcome.kind == "done":
                    tabulate()
        except run_folder.Interrupted as stop:
            if stop.code:
                raise
            out_of_time = True
        tabulate()
    progress.sum_up()
    return 1 if progress.failed and not out_of_time else 0


def locally(runs: Sequence[Run], begin: Begin, deadline: float | None) -> Endings:
    """The runs one after the other in this process; those of one backbone are neighbours and share its compilation."""
    if runs:
        attempts.data_of(runs[0].config)  # wrong data are one sentence, not a failure of every run
    for run in runs:
        if deadline is not None and time.monotonic() > deadline:
            raise run_folder.Interrupted(run_folder.OUT_OF_TIME)
        begin(run)
        yield run, attempts.perform(run.config, deadline)


def on_ray(config: SweepConfig, runs: Sequence[Run], begin: Begin, deadline: float | None) -> Endings:
    """The runs as tasks of a Ray cluster."""
    if not runs:
        return iter(())
    try:
        from . import cluster
    except ImportError as error:
        raise ValueError("--executor ray needs Ray. Type: pip install 'fer_hub[train,cluster]'") from error
    return cluster.execute(runs, begin, deadline, cluster.Room(config.workers, config.cpus, config.gpus))


def remarks(config: SweepConfig, runs: Sequence[Run]) -> list[str]:
    """What should be known before the first run."""
    found = []
    bare = {r.config.backbone: None for r in runs if r.config.init is None and not r.config.pretrained}
    if PRESETS[config.preset].from_imagenet and bare:
        found.append(
            f"warning: {', '.join(bare)} will start from random weights, the report's from ImageNet. "
            "Give --init-dir FOLDER or --pretrained."
        )
    return found


def list_runs(runs: Sequence[Run], total: int) -> None:
    """Every run with its number, name and state; imports neither torch nor the data."""
    states = [standing(run) for run in runs]
    width = max(len(run.slug) for run in runs) if runs else 0
    for run, (kind, why) in zip(runs, states, strict=True):
        print(f"{run.number:>{len(str(total))}}/{total}  {run.slug:{width}}  {kind}{f': {why}' if why else ''}")
    counts = Counter(kind for kind, _ in states)
    print(f"{len(runs)} runs: " + (", ".join(f"{n} {kind}" for kind, n in counts.items()) or "none"))


def budget(text: str | None) -> float | None:
    """Seconds of a time such as 9m, 90s or 1h30m.

    Raises:
        ValueError: Not of that form, or nothing.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise ValueError(f"--time-budget {text!r} is no time. Write it as 9m, 90s or 1h30m.")
    return float(total)


@contextmanager
def signals_raise() -> Iterator[None]:
    """Between the runs, which look after signals themselves, SIGINT and SIGTERM raise Interrupted."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise run_folder.Interrupted(signum)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
