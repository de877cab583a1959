"""leaderboards/<preset>.sh: the commands of a preset's recorded runs, as a script that repeats them."""

from __future__ import annotations

from pathlib import Path

from . import records
from .card_data import recipe
from .cards import render
from .leaderboard import BOARDS
from .presets import PRESETS
from .run_folder import write_bytes


def write(folder: Path = BOARDS, results: Path | None = None) -> list[Path]:
    """Write <preset>.sh of every preset that has recorded runs.

    Args:
        folder: Where to.
        results: Folder of the groups of records; None: the project's own.
    """
    texts = {folder / f"{name}.sh": script(name, results) for name in PRESETS}
    written = {path: text for path, text in texts.items() if text}
    for path, text in written.items():
        write_bytes(path, text.encode())
    return list(written)


def script(name: str, results: Path | None = None) -> str:
    """The shell script that repeats a preset's recorded runs, what they were begun with before them; "" for none."""
    steps = [step for slug, result in records.scored(name, results).items() for step in recipe(result, slug)]
    commands = list(dict.fromkeys(step["command"] for step in steps))
    weights = sorted({step["init"] for step in steps if step["weights"] == "given"})
    return render("leaderboard.sh.j2", name=name, commands=commands, weights=weights) if commands else ""
