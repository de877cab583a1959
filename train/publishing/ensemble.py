"""An ensemble on the Hub: its own files, and those of its members that have no repository, in one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fer_hub.download import DEFAULT_PLACE, Place
from fer_hub.ensemble import Member, load_ensemble, read_members, where
from fer_hub.hub import ONNX_FILES, VARIANTS, ZOO, find_model, read_config, read_info, zoo_models
from fer_hub.types import ModelError

from .. import card_data
from ..ensemble_card import ensemble_card, is_hub_id
from ..finished import CONFIG, METRICS
from ..measure import size_and_hash
from .checks import PICTURE, agree, export, folder_problems, pictures, tried
from .contents import CARD, files_of
from .repo import Content

MEMBERS = "members"
"""The folder of a repository that holds the members which have none of their own."""
REQUIRED = (CONFIG, METRICS, PICTURE)


class Part(NamedTuple):
    """A member, and where it will be found."""

    row: Member
    name: str
    """Its folder under members/; "" for one of the Hub, which stays where it is."""
    folder: Path


def parts_of(folder: Path) -> list[Part]:
    """The members of an ensemble's folder, the embedded ones under names of their own.

    Raises:
        ModelError: The list cannot be read.
    """
    found: list[Part] = []
    for row in read_members(read_config(folder), folder):
        if is_hub_id(row.model):
            found.append(Part(row, "", Path(row.model)))
            continue
        lies = ZOO / row.model if row.model in zoo_models() else folder / row.model
        found.append(Part(row, _free(_name(lies), {each.name for each in found}), lies))
    return found


def _name(folder: Path) -> str:
    title = card_data.names_of(folder, None).title
    return re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip(".-") or "member"


def _free(name: str, taken: set[str]) -> str:
    """The name, or with the first number that makes it free."""
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return next(each for each in (name, *numbered) if each not in taken)


def published_config(folder: Path) -> dict[str, Any]:
    """config.json with the embedded members by their paths in the repository."""
    config = read_config(folder)
    rows: list[dict[str, Any]] = config["fer"]["members"]
    paths = [f"./{MEMBERS}/{part.name}" if part.name else part.row.model for part in parts_of(folder)]
    members = [row | {"model": path} for row, path in zip(rows, paths, strict=True)]
    return config | {"fer": config["fer"] | {"members": members}}


def files(folder: Path) -> dict[str, Content]:
    """What the repository of an ensemble holds beside its card, by path."""
    own: dict[str, Content] = dict(files_of(folder))
    own[CONFIG] = (json.dumps(published_config(folder), indent=1, ensure_ascii=False) + "\n").encode()
    for part in parts_of(folder):
        if part.name:
            own |= {f"{MEMBERS}/{part.name}/{path}": each for path, each in files_of(part.folder, CARD).items()}
    return own


def card(folder: Path, repo_id: str, collection: str | None) -> str:
    """The card of an ensemble, its members linked to as they will lie.

    Raises:
        ValueError: A file or a figure is missing.
    """
    return ensemble_card(folder, repo_id=repo_id, config=published_config(folder), collection=collection)


# ── checks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def ensemble_problems(folder: Path, place: Place = DEFAULT_PLACE) -> list[str]:
    """What is wrong with an ensemble's folder, and with each of its members: every problem, not only the first.

    Args:
        folder: Of the ensemble.
        place: By which members of the Hub are looked at.
    """
    missing = [f"{file} is missing. {export(folder)}" for file in REQUIRED if not (folder / file).is_file()]
    if not (folder / CONFIG).is_file():
        return missing
    found = missing + tried(lambda each: _member_problems(each, place), folder)
    if (folder / METRICS).is_file():
        found += tried(agree, folder) + tried(_fitted, folder)
    return found or tried(lambda each: _answers(each, place), folder)


def _member_problems(folder: Path, place: Place) -> Iterator[str]:
    for part in parts_of(folder):
        if not part.name:
            yield from _hub_problems(part.row, folder, place)
        elif not (part.folder / CONFIG).is_file():
            yield f"The member {part.row.model} is not in {folder / part.row.model}. {export(folder)}"
        else:
            wanting = [] if (part.folder / CARD).is_file() else [f"{CARD} is missing. {export(part.folder)}"]
            yield from (f"{part.name}: {each}" for each in [*wanting, *folder_problems(part.folder)])
            yield from _other_file(part.row, part.folder, folder)


def _hub_problems(row: Member, folder: Path, place: Place) -> Iterator[str]:
    """Whether a member of the Hub is named by its commit, and still what was measured."""
    if row.revision is None:
        yield f"The member {row.model} is named without its commit, and may change. {export(folder)}"
        return
    source, its_place = where(row, folder, place)
    yield from _other_file(row, find_model(source, files=ONNX_FILES, place=its_place), folder)


def _other_file(row: Member, member: Path, folder: Path) -> Iterator[str]:
    path = member / VARIANTS["fp32"]
    if path.is_file() and size_and_hash(path)["sha256"] != row.sha256:
        yield f"The member {row.model} is not the one with which the ensemble was measured. {export(folder)}"


def _fitted(folder: Path) -> Iterator[str]:
    """Whether the temperature is the one that was fitted, and the members are those that were scored."""
    result, info = card_data.read(folder, METRICS, export(folder)), read_info(folder)
    if result["temperature"] != info.temperature:
        yield f"{CONFIG} and {METRICS} state different temperatures. {export(folder)}"
    rows = read_members(read_config(folder), folder)
    total = sum(row.weight for row in rows)
    scored = [row["weight"] for row in result["members"]]
    listed = [row.weight / total for row in rows]
    if len(scored) != len(listed) or not np.allclose(scored, listed) or result["config"]["views"] != info.fer["views"]:
        yield f"{CONFIG} and {METRICS} tell of different members, weights or views. {export(folder)}"


def _answers(folder: Path, place: Place) -> Iterator[str]:
    """Whether it loads, and answers to fixed pictures with numbers."""
    try:
        whole = load_ensemble(folder, place, threads=1)
        whole.logits(pictures(whole.info.input))
    except ModelError as error:
        yield str(error)
