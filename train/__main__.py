"""`python -m train COMMAND`: run, evaluate, margin, bench, report."""

from __future__ import annotations

import sys
from collections.abc import Callable

import tyro

from .config import RunConfig


def run(config: RunConfig) -> None:
    """Train one model; the same command resumes it."""
    from . import loop

    result = loop.train(config)
    if result:
        test, low_high = result["test"], result["test"]["accuracy_95"]
        print(
            f"{config.out}: test accuracy {test['accuracy']:.4f} (95 % {low_high[0]:.4f} to {low_high[1]:.4f}, "
            f"n {test['n']}), macro-F1 {test['macro_f1']:.4f}; model in {config.out / 'model'}"
        )


COMMANDS: dict[str, Callable[..., object]] = {"run": run, "r2": run}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; wrong input gives one sentence and status 2, a signal 130 or 143."""
    from .loop import Interrupted
    from .run_folder import RunError

    try:
        tyro.extras.subcommand_cli_from_dict(COMMANDS, args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return stop.code
    except (ValueError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
