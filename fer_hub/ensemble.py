"""Several models as one, and one model shown several views of a face: probabilities, averaged."""

from __future__ import annotations

import hashlib
import math
import os
import posixpath
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .classifier import BATCH, Classifier, classify, load_one
from .download import DEFAULT_PLACE, Place, repo_of
from .hub import VARIANTS, find_model, read_config, read_info, zoo_models
from .types import Array, Image, ModelError, ModelInfo
from .views import VIEWS, check_views

ARCHITECTURE = "ensemble"
"""What config.json calls the network of an ensemble."""
SMALLEST = 1e-12
"""Probability below which the logits of an ensemble do not tell apart."""
MOST = 16
"""Members that an ensemble may have: all are opened at once."""
DEEPEST = 2
"""Ensembles that may be members of one another."""
NAMED = re.compile(r"\w[\w.-]*/\w[\w.-]*|\.\.?(/[^\\]*)?")
"""What names a member that is not in the zoo: ``owner/name``, or a path that begins with a dot."""


# ── the model ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Ensemble:
    """Models that are asked for the same faces and answer as one, by the weighted mean of their probabilities."""

    def __init__(
        self, info: ModelInfo, members: Sequence[Classifier], weights: Sequence[float] = (), views: str = "none"
    ) -> None:
        """Put members together.

        Args:
            info: Of the whole; its labels give the order, its temperature calibrates the mean.
            members: One or more, of the same labels (in any order), margin and alignment.
            weights: Of the members, above 0; none: all the same.
            views: A name of `VIEWS`.

        Raises:
            ModelError: Members that do not fit together.
            ValueError: The views are unknown, or a weight is missing or not above 0.
        """
        check_views(views)
        weights = [1.0] * len(members) if len(weights) == 0 else weights
        if not members or len(weights) != len(members) or not all(0 < weight < math.inf for weight in weights):
            raise ValueError(f"{len(members)} members, weights {list(weights)}: give one weight above 0 for each.")
        for member in members:
            _check(member.info, info)
        self.info, self.members, self.views = info, tuple(members), views
        self.weights: NDArray[np.float64] = np.array(weights, np.float64) / sum(weights)
        self._columns = [[member.info.labels.index(label) for label in info.labels] for member in members]

    @classmethod
    def of(cls, members: Sequence[Classifier], weights: Sequence[float] = (), views: str = "none") -> Ensemble:
        """Members that are already loaded; labels and crop are those of the first.

        Raises:
            ModelError: Members that do not fit together.
            ValueError: There is none, the views are unknown, or a weight is missing or not above 0.
        """
        if not members:
            raise ValueError("An ensemble of no members. Give one model or more.")
        name = " + ".join(member.info.name for member in members) + ("" if views == "none" else f" ({views})")
        largest = max((member.info.input for member in members), key=lambda spec: spec.size)
        first = members[0].info
        info = replace(first, name=name, architecture=ARCHITECTURE, input=largest, temperature=1.0, fer={})
        return cls(info, members, weights, views)

    def logits(self, crops: Sequence[Image]) -> Array:
        """Logarithms of the mean probabilities: N×labels float32 for H×W×3 or H×W (grey) uint8 crops."""
        mean = np.empty((len(crops), len(self.info.labels)))
        for start in range(0, len(crops), BATCH):  # so that few views are in memory at a time
            mean[start : start + BATCH] = self._mean(crops[start : start + BATCH])
        logits: Array = np.log(mean.clip(SMALLEST)).astype(np.float32)
        return logits

    def _mean(self, crops: Sequence[Image]) -> NDArray[np.float64]:
        """Weighted mean of the members' probabilities over all views of one crop or more: N×labels."""
        views = [view for crop in crops for view in VIEWS[self.views](crop)]
        parts = [classify(member, views)[:, its] for member, its in zip(self.members, self._columns, strict=True)]
        by_crop = np.reshape(parts, (len(parts), len(crops), -1, len(self.info.labels)))
        mean: NDArray[np.float64] = np.tensordot(self.weights, by_crop.mean(2), axes=1)
        return mean


def _check(member: ModelInfo, whole: ModelInfo) -> None:
    for what, its, ours in (
        ("labels", sorted(member.labels), sorted(whole.labels)),
        ("margin", member.margin, whole.margin),
        ("alignment", member.alignment, whole.alignment),
    ):
        if its != ours:
            raise ModelError(
                f"{member.name} cannot be a member of {whole.name}: its {what} is {its}, not {ours}. "
                "Put models together that name the same labels and want the same crop."
            )


# ── its folder ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Member:
    """A line of an ensemble's ``config.json``.

    Attributes:
        model: A name of the zoo, a Hub id ``owner/name``, or a path from the ensemble's folder, beginning with a dot.
        weight: Its share of the mean, in units of the other members'.
        revision: Branch, tag or commit of a Hub id.
        sha256: Of its ``onnx/model.onnx``, where the ensemble was measured; None: not kept.
    """

    model: str
    weight: float = 1.0
    revision: str | None = None
    sha256: str | None = None


def members_of(source: str | os.PathLike[str] | None, place: Place = DEFAULT_PLACE) -> list[Member]:
    """The members that a model's config lists, as far as it is to be had without the network; none: no ensemble.

    Raises:
        ModelError: The config is broken.
    """
    try:
        folder = find_model(source, files=("config.json",), place=replace(place, local_files_only=True))
    except ModelError:
        return []
    return read_members(read_config(folder), folder)


def read_members(config: dict[str, Any], folder: Path) -> list[Member]:
    """The members that a config lists; none: it is no ensemble's.

    Raises:
        ModelError: The list is broken.
    """
    if config.get("architecture") != ARCHITECTURE:
        return []
    try:
        members = [Member(**row) for row in config["fer"]["members"]]
        if not members:
            raise ValueError("it is empty")
        if len(members) > MOST:
            raise ValueError(f"{len(members)} members; at most {MOST} are allowed")
        for member in members:
            _check_member(member)
    except (KeyError, TypeError, ValueError) as error:
        what = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{folder / 'config.json'}: the list of members is broken ({what}). Make it again.") from error
    return members


def _check_member(member: Member) -> None:
    """Raises ValueError or TypeError where a value is none that a member can have."""
    if not 0 < member.weight < math.inf:
        raise ValueError(f"{member.model} has weight {member.weight}; it must be above 0 and finite")
    if not (NAMED.fullmatch(member.model) or member.model in zoo_models()):
        raise ValueError(
            f"{member.model!r} is neither one of the zoo ({', '.join(zoo_models())}), nor owner/name on the Hub, "
            "nor a path that begins with ./"
        )


def load_ensemble(
    source: str | os.PathLike[str] | None,
    place: Place = DEFAULT_PLACE,
    *,
    runtime: str = "onnx",
    variant: str = "fp32",
    threads: int | None = None,
    inside: tuple[Path, ...] = (),
) -> Ensemble:
    """An ensemble's folder (or repository), and all its members.

    Args:
        source: A name of the zoo, a folder, or a Hub id ``owner/name``.
        place: Revision, cache, token of a Hub id; the members' are taken with the same.
        runtime: Of the members.
        variant: Of the members' ONNX files.
        threads: Of each member.
        inside: The folders of the ensembles of which this one is a member.

    Raises:
        ModelError: The config is broken, or a member is not to be had, or does not fit.
        ValueError: The run time or the variant is unknown.
    """
    folder = find_model(source, files=("config.json",), place=place)
    info, rows = read_info(folder), read_members(read_config(folder), folder)
    inside, members = enter(folder, inside), []
    for row in rows:
        its_source, its_place = where(row, folder, place)
        try:
            member = load_one(its_source, runtime, variant, threads, its_place, inside)
        except ModelError as error:
            raise ModelError(f"{row.model}, a member of {info.name}, cannot be loaded: {error}") from error
        _compare(row, member.info, info)
        members.append(member)
    try:
        return Ensemble(info, members, [row.weight for row in rows], info.fer.get("views", "none"))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{folder / 'config.json'} holds a wrong value: {error}") from error


def enter(folder: Path, inside: tuple[Path, ...]) -> tuple[Path, ...]:
    """The ensembles that one is inside of at the members of this one, when it is itself a member of the others.

    Raises:
        ModelError: It is one of them: its members would never end; or there are too many of them.
    """
    if folder.resolve() in inside:
        raise ModelError(
            f"{repo_of(folder) or folder} is a member of itself. Take it out of the members in config.json."
        )
    if len(inside) >= DEEPEST:
        raise ModelError(
            f"{repo_of(folder) or folder} is an ensemble inside of {len(inside)} others; at most {DEEPEST} may be "
            "nested. List the networks themselves as members."
        )
    return (*inside, folder.resolve())


def where(member: Member, folder: Path, place: Place) -> tuple[str | Path, Place]:
    """The source and the place by which a member of the ensemble in this folder is loaded.

    Raises:
        ModelError: A repository names a member outside itself by a path, or a folder here has its member's name.
    """
    snapshot = next((each for each in (folder, *folder.parents) if repo_of(each)), None)
    if not member.model.startswith("."):
        if snapshot is not None and os.path.isdir(member.model):
            raise ModelError(
                f"{repo_of(snapshot)} lists {member.model} of the Hub as a member, but a folder of that name lies here "
                "and would be taken instead. Work in another folder."
            )
        return member.model, replace(place, revision=member.revision, subfolder="")
    if snapshot is None:
        return folder / member.model, replace(place, revision=None, subfolder="")
    repo = str(repo_of(snapshot))
    inside = posixpath.normpath(posixpath.join(folder.relative_to(snapshot).as_posix(), member.model))
    if inside.startswith(".."):
        raise ModelError(f"{repo} lists the member {member.model}, outside of it. Ask its owner to publish it again.")
    return repo, replace(place, revision=snapshot.name, subfolder="" if inside == "." else inside)


def _compare(member: Member, found: ModelInfo, whole: ModelInfo) -> None:
    """Warn where a member is not the one with which the ensemble was measured."""
    file = found.path / VARIANTS["fp32"]
    if member.sha256 and file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() != member.sha256:
        warnings.warn(
            f"{member.model} has changed since {whole.name} was measured with it: the published figures are not "
            "those of this ensemble. Make and measure it again.",
            stacklevel=3,
        )
