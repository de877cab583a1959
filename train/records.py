"""`python -m train record FOLDERS…`: results of finished runs, kept where the written tables are made from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tyro

from .cards import TEMPLATES
from .config import different
from .finished import METRICS
from .presets import PRESETS
from .run_folder import CONFIG, RESULT, write_bytes

RESULTS = TEMPLATES / "results"
TRIALS, OTHERS = "trials", "records"
GROUPS = (*PRESETS, OTHERS, TRIALS)
"""A preset's runs, runs outside of presets (ensembles, too), and runs that only chose between recipes."""


@dataclass(frozen=True)
class RecordConfig:
    """Copy the results of finished runs to model_cards/results/GROUP/NAME.json, byte for byte."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs, of ensembles, or of sweeps (all their finished runs)."""
    group: str | None = None
    """A preset, records (runs outside of presets, ensembles) or trials; default: the preset whose folder it lies in."""
    name: str | None = None
    """Name of the record, of a single run; default: its folder's."""
    replace: bool = False
    """Also where a record of this name has another config."""
    out: Path = RESULTS
    """Folder of the groups."""


class Found(NamedTuple):
    """A result to be recorded, and where it goes."""

    source: Path
    target: Path
    content: bytes


def record(config: RecordConfig) -> None:
    """Copy results of finished runs; nothing is written unless all of them may be.

    Raises:
        ValueError: A run is unfinished or a trial, its group is not known, or its record is another run's.
    """
    if not config.folders:
        raise ValueError("No folder is given. Give folders of runs or sweeps, e.g. runs/imbalance-grid.")
    found = [_found(config, source, alone) for folder in config.folders for source, alone in sources(folder)]
    kept = [each for each in found if each]
    _check(config, kept)
    for each in kept:
        if each.target.is_file() and each.target.read_bytes() == each.content:
            print(f"{each.target}: is there already")
            continue
        write_bytes(each.target, each.content)
        print(f"{each.target}: from {each.source}")


def read(group: str, folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """The recorded results of a group by name.

    Args:
        group: One of GROUPS.
        folder: Of the groups; None: RESULTS.
    """
    paths = sorted(((folder or RESULTS) / group).glob("*.json"), key=lambda path: path.stem)
    return {path.stem: json.loads(path.read_bytes()) for path in paths}


def scored(group: str, folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """The recorded results of a group by name, as `read` gives them, but for trials."""
    return {name: result for name, result in read(group, folder).items() if not only_chose(result)}


def only_chose(result: Mapping[str, Any]) -> bool:
    """Whether a run only chose between recipes: one without a test score, or of a part of the rows."""
    config = result["config"]
    return bool(config.get("trial") or config.get("limit") or "test" not in result)


def sources(folder: Path) -> list[tuple[Path, bool]]:
    """The result files of a run, an ensemble or a sweep, and whether the folder is a single one's.

    Raises:
        ValueError: There is none.
    """
    alone = _result_in(folder)
    if alone:
        return [(alone, True)]
    if (folder / CONFIG).is_file():
        raise ValueError(
            f"{folder} holds no finished run and no ensemble. The command that began a run goes on with it."
        )
    inside = sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
    if not inside:
        raise ValueError(f"{folder} holds no run. Give folders of runs or sweeps, e.g. runs/imbalance-grid.")
    for run in inside:
        if not _result_in(run):
            print(f"{run}: left out, it is not finished")
    return [(path, False) for run in inside if (path := _result_in(run))]


def _result_in(folder: Path) -> Path | None:
    """Result of a finished run or of an ensemble; a model folder within a run is neither."""
    if (folder / RESULT).is_file():
        return folder / RESULT
    metrics = folder / METRICS
    return metrics if metrics.is_file() and json.loads(metrics.read_bytes()).get("members") else None


def _found(config: RecordConfig, source: Path, alone: bool) -> Found | None:
    content = source.read_bytes()
    folder = source.resolve().parent
    group = config.group or (folder.parent.name if folder.parent.name in PRESETS else None)
    if group not in GROUPS:
        said = f"{group!r} is no group." if group else f"{folder} lies in no preset's folder."
        raise ValueError(f"{said} Give --group, one of {', '.join(GROUPS)}.")
    result, name = json.loads(content), config.name or folder.name
    if group == TRIALS:
        _check_trial(name, result)
    elif only_chose(result):
        if alone:
            way = f"Give --group {TRIALS}" if "test" not in result else "Train it on all rows, without --limit"
            raise ValueError(f"{folder} is a trial (no test score, or part of the rows), no result. {way}.")
        print(f"{folder}: left out, it is a trial")
        return None
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise ValueError(f"--name {name!r}: letters, digits, dots, hyphens and underscores are allowed.")
    return Found(source, config.out / group / f"{name}.json", content)


def _check_trial(name: str, result: Mapping[str, Any]) -> None:
    """Whether the page of the trials could be written with this record.

    Raises:
        ValueError: It scored a test split, or its name says not which trial it is.
    """
    from . import tried  # it reads records itself

    tried.refuse_test(name, result)
    tried.parts_of(name)


def _check(config: RecordConfig, found: Sequence[Found]) -> None:
    """Whether every record has a place of its own.

    Raises:
        ValueError: Two have one name, or a record of that name has another config.
    """
    targets = [each.target for each in found]
    twice = next((target for at, target in enumerate(targets) if target in targets[:at]), None)
    if twice:
        raise ValueError(f"Two runs would be {twice}. Record them one at a time, each with its own --name.")
    for each in found:
        if config.replace or not each.target.is_file():
            continue
        names = different(json.loads(each.content)["config"], json.loads(each.target.read_bytes())["config"])
        if names:
            raise ValueError(
                f"{each.target} is the record of a run with other values for {', '.join(names)}. "
                "Give another --name, or --replace."
            )
