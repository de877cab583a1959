"""`python -m train COMMAND`: run, evaluate, margin, report, bench."""

from __future__ import annotations

import sys
from collections.abc import Callable

import tyro

from .config import RunConfig
from .evaluate import EvaluateConfig
from .margin import MarginConfig


def run(config: RunConfig) -> None:
    """Train one model; the same command resumes it."""
    from . import loop

    result = loop.train(config)
    if result:
        test, (low, high) = result["test"], result["test"]["accuracy_95"]
        print(
            f"{config.out}: test accuracy {test['accuracy']:.4f} (95 % {low:.4f} to {high:.4f}, n {test['n']}), "
            f"macro-F1 {test['macro_f1']:.4f}; model in {config.out / 'model'}"
        )


def evaluate(config: EvaluateConfig) -> None:
    """Score a model folder again, from its ONNX and its safetensors."""
    from . import evaluate

    evaluate.evaluate(config)


def margin(config: MarginConfig) -> None:
    """Fit the margin around detected faces on the training images."""
    from . import margin

    margin.fit(config)


def report() -> None:
    """Write the zoo's cards and the README's results table from the result files."""
    from . import cards

    for path in cards.write_report():
        print(path)


def bench(threads: int = 2, rounds: int = 7) -> None:
    """Measure the detector beside facenet-pytorch, and the embedded models.

    Args:
        threads: Threads of each side.
        rounds: Turns of five calls that each side gets.
    """
    from . import bench

    bench.bench(bench.BenchConfig(threads, rounds))


COMMANDS: dict[str, Callable[..., object]] = {
    "run": run,
    "evaluate": evaluate,
    "margin": margin,
    "report": report,
    "bench": bench,
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; wrong input gives one sentence and status 2, a signal 130 or 143."""
    from .run_folder import Interrupted, RunError

    try:
        tyro.extras.subcommand_cli_from_dict(COMMANDS, args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return stop.code
    except (ValueError, OSError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
