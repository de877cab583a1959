"""Models that may become members of an ensemble: where they lie, what they were trained on, whether they fit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fer_hub.download import DEFAULT_PLACE, Place, repo_of
from fer_hub.ensemble import ARCHITECTURE
from fer_hub.hub import ONNX_FILES, VARIANTS, find_model, read_config, read_info, zoo_models
from fer_hub.types import ModelInfo

from . import card_data, leaks
from .data import Data
from .finished import CONFIG, METRICS, data_of, model_folder
from .measure import size_and_hash
from .splits import apart

OF_ROWS = ("protocol", "align", "on_missing", "limit")
"""Options of a run that say which rows it learns from and which are scored."""
MISSING = {"align": "none", "on_missing": "keep", "limit": None}
"""What they were before there was an option."""


class Joining(NamedTuple):
    """A model that is to be a member."""

    model: str
    """As the ensemble's config will name it."""
    name: str
    folder: Path
    info: ModelInfo
    result: dict[str, Any]
    file: dict[str, Any]
    """Bytes and SHA-256 of its fp32 ONNX file."""

    def row(self, weight: float) -> dict[str, Any]:
        """Its line in the ensemble's config."""
        revision = self.folder.name if repo_of(self.folder) else None
        return {"model": self.model, "weight": weight, "revision": revision, "sha256": self.file["sha256"]}


def locate(source: str, out: Path, place: Place = DEFAULT_PLACE) -> Joining:
    """A model that may be a member of the ensemble in `out`; of a Hub id the commit is kept.

    Raises:
        ModelError: There is no such model.
        ValueError: It is an ensemble itself, or not a model of this project.
    """
    local = source in zoo_models() or Path(source).is_dir()
    if is_ensemble(Path(source)) or (not local and is_ensemble(find_model(source, files=(CONFIG,), place=place))):
        raise ValueError(f"{source} is an ensemble itself. Give its members.")
    folder = model_folder(source) if local else find_model(source, files=(*ONNX_FILES, METRICS), place=place)
    if not (folder / VARIANTS["fp32"]).is_file():
        raise ValueError(f"{folder} has no {VARIANTS['fp32']}. Type: python -m train export {folder}")
    result = card_data.read(folder, METRICS, "A member must say how it was trained. Give a model of this project.")
    if lacking := [key for key in ("config", "rows", "parameters") if key not in result]:
        raise ValueError(f"{folder / METRICS} has no {', no '.join(lacking)}. Give a model that this project trained.")
    name = card_data.names_of(folder, repo_of(folder)).title
    path = source if source in zoo_models() or not local else relative(folder, out)
    return Joining(path, name, folder, read_info(folder), result, size_and_hash(folder / VARIANTS["fp32"]))


def is_ensemble(folder: Path) -> bool:
    """Whether a folder is that of an ensemble."""
    return (folder / CONFIG).is_file() and read_config(folder).get("architecture") == ARCHITECTURE


def relative(folder: Path, out: Path) -> str:
    """The path of a model folder from that of the ensemble, beginning with a dot."""
    path = Path(os.path.relpath(folder.resolve(), out.resolve())).as_posix()
    return path if path.startswith(".") else f"./{path}"


def check_alike(candidates: Sequence[Joining]) -> None:
    """Whether no member has learned from rows on which the ensemble will be scored: those of the first one's protocol.

    Raises:
        ValueError: One may have been trained on some of them, itself or in a run before, or its rows were others.
    """
    first = rows_of(candidates[0])
    for each in candidates:
        own = rows_of(each)
        if apart(own["protocol"], first["protocol"]):
            own["protocol"] = first["protocol"]
        different = [f"{name} {own[name]} instead of {first[name]}" for name in first if own[name] != first[name]]
        before = {run["protocol"] for run in earlier(each.result) if not apart(run["protocol"], first["protocol"])}
        different += [f"a run before with protocol {name}" for name in sorted(before)]
        if different:
            turned = own["protocol"] != first["protocol"] and apart(first["protocol"], own["protocol"])
            raise ValueError(
                f"{each.name} cannot be put together with {candidates[0].name}: it was trained on other rows "
                f"({'; '.join(different)}), and may have learned from those that are scored. "
                f"Give members of one protocol{f', or {each.name} first' if turned else ''}."
            )
        if said := leaks.doubts(each.result):
            raise ValueError(f"{each.name} cannot be a member: it {said[0]} Give members that know no scored row.")
    hashes = [each.file["sha256"] for each in candidates]
    twice = next((each.name for at, each in enumerate(candidates) if hashes.index(hashes[at]) < at), None)
    if twice:
        raise ValueError(f"{twice} is given twice. Give it once, and --weights.")


def rows_of(candidate: Joining) -> dict[str, Any]:
    """What says which rows a model was trained on and scored on."""
    run = candidate.result.get("config", {})
    found = {name: run.get(name, MISSING.get(name)) for name in OF_ROWS}
    return found | {"protocol": candidate.info.fer.get("protocol"), "dataset": candidate.info.fer.get("dataset")}


def earlier(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The configs of a run and of those from whose weights it began."""
    run: dict[str, Any] | None = result
    while run:
        if "protocol" in run.get("config", {}):
            yield run["config"]
        run = run.get("parent")


def load_splits(candidates: Sequence[Joining], source: Path | None) -> Data:
    """The data that all of them were trained on: the first one's splits, each one's digest compared.

    Raises:
        DataError: One was trained on other data.
        ValueError: One does not say on which.
    """
    splits = data_of(candidates[0].folder, source)
    seen = {(candidates[0].result["config"].get("targets", "labels"), candidates[0].result.get("data"))}
    for each in candidates[1:]:
        key = (each.result["config"].get("targets", "labels"), each.result.get("data"))
        if key not in seen:
            data_of(each.folder, source)
            seen.add(key)
    return splits
