"""`python -m train COMMAND`: what there is, and one command at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import tyro

from .config import RunConfig
from .recipes import RECIPES

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("train.__main__:run", "train one model; the same command resumes it"),
    "sweep": ("train.sweep:sweep", "train all runs of a preset, such as the whole imbalance grid"),
    "record": ("train.records:record", "keep the results of finished runs, from which the tables are written"),
    "trials": ("train.trials:trials", "try one change of the recipe at a time, decided on the validation split"),
    "leaderboard": ("train.leaderboard:rebuild", "write a sweep's tables and figure anew from its result files"),
    "audit": ("train.audit:audit", "look for duplicates, leaks, conflicting and (--folds) wrong labels in the data"),
    "evaluate": ("train.evaluate:evaluate", "score models again from their files, and report how far to trust them"),
    "inherit": ("train.inherit:inherit", "select initial weights for a backbone from those of another one"),
    "export": ("train.export_command:export", "write every ONNX variant of a model and measure it"),
    "ensemble": ("train.ensemble:ensemble", "make one model of several, or of several views, and measure it"),
    "publish": ("train.publishing.model:publish", "put a model on the Hub"),
    "publish sweep": ("train.publishing.sweep:publish_sweep", "all runs of a sweep, or the best of each backbone"),
    "publish space": ("train.publishing.space:publish_space", "the app, as a Space"),
    "margin": ("train.margin:fit", "fit the margin around detected faces on the training images"),
    "report": (
        "train.reports:report",
        "write cards, leaderboards, pages and the README's tables from the result files",
    ),
    "bench": ("train.bench:bench", "time detector, models, training loop and data side beside their alternatives"),
}
"""Name → where its function is (imported only when it is asked for), and what it does."""


def run(config: RunConfig, recipe: str = "ours") -> None:
    """Train one model; the same command resumes it.

    Args:
        config: The run.
        recipe: Whose defaults the fields take: a name of train.recipes.RECIPES.
    """
    from . import loop

    result = loop.train(config)
    if result:
        split = "validation" if config.trial else "test"
        end = "a trial: no model" if config.trial else f"model in {config.out / 'model'}"
        scores, (low, high) = result[split], result[split]["accuracy_95"]
        print(
            f"{config.out}: {split} accuracy {scores['accuracy']:.4f} (95 % {low:.4f} to {high:.4f}, "
            f"n {scores['n']}), macro-F1 {scores['macro_f1']:.4f}; {end}"
        )


def with_recipe(arguments: Sequence[str]) -> Callable[..., None]:
    """`run`, its defaults those of the recipe that the arguments name.

    Raises:
        ValueError: There is no such recipe.
    """
    parts = " ".join(arguments).replace("--recipe=", "--recipe ").split()
    name = parts[parts.index("--recipe") + 1] if "--recipe" in parts[:-1] else "ours"
    if name not in RECIPES:
        raise ValueError(f"Unknown recipe {name!r}. Known: {', '.join(RECIPES)}.")

    default = RunConfig(out=tyro.MISSING, **RECIPES[name])

    def command(config: RunConfig = default, recipe: str = name) -> None:
        run(config, recipe)

    command.__doc__ = run.__doc__
    return command


def find(name: str, arguments: Sequence[str]) -> Callable[..., Any]:
    """The function of a command."""
    if name == "run":
        return with_recipe(arguments)
    module, function = COMMANDS[name][0].split(":")
    command: Callable[..., Any] = getattr(import_module(module), function)
    return command


def usage() -> str:
    """The commands, a line each."""
    lines = [f"  {name:14} {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(["python -m train COMMAND [--help]", "", *lines])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; wrong input gives one sentence and status 2, a signal 130 or 143, a reader that left 141."""
    try:
        status = dispatch(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        from fer_hub.options import reader_left

        return reader_left()


def dispatch(given: Sequence[str]) -> int:
    """Find out which command the words name, and run it; returns the exit status."""
    if not given or given[0] in ("-h", "--help"):
        print(usage())
        return 0
    words = 2 if " ".join(given[:2]) in COMMANDS else 1
    name = " ".join(given[:words])
    if name not in COMMANDS:
        print(f"error: Unknown command {name!r}.\n{usage()}", file=sys.stderr)
        return 2
    return call(name, given[words:])


def call(name: str, arguments: Sequence[str]) -> int:
    """Run a known command with its arguments; returns the exit status."""
    from .run_folder import Interrupted, RunError

    try:
        command = find(name, arguments)
        prog, config = f"python -m train {name}", (tyro.conf.OmitArgPrefixes,)
        status = tyro.cli(command, args=arguments, prog=prog, config=config)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return stop.code
    except BrokenPipeError:
        raise  # an OSError, but no wrong input
    except (ValueError, OSError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    sys.exit(main())
