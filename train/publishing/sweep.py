"""`python -m train publish sweep`: every finished run of a sweep, or the best of each network, and one collection."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tyro
from huggingface_hub import HfApi

from .. import leaderboard, run_folder
from ..cards import Sibling, read_result
from ..ensemble_members import is_ensemble
from ..finished import METRICS
from .account import account_problems
from .checks import folder_problems
from .model import Asked, export_first, publish_model, refuse
from .repo import Repo, client

LONGEST = 96
"""Characters of a repository's name that the Hub takes."""


@dataclass(frozen=True)
class PublishSweepConfig:
    """Put the finished runs of a sweep on the Hub, and ensembles beside them: a repository each, one collection.

    The same command goes on where it was stopped.
    """

    folder: tyro.conf.Positional[Path]
    """Folder of the sweep, runs/<preset>."""
    namespace: str
    """Of the repositories: a user or an organisation."""
    best: bool = False
    """Only the best run of each network, by its accuracy on the validation split, and the ensembles."""
    private: bool = False
    """New repositories and a new collection are private."""
    collection: str | None = None
    """Title or slug; default: named after the folder."""
    force: bool = False
    """Also into repositories that fer_hub did not make."""
    dry_run: bool = False
    """Check everything and list what would be sent."""
    data: Path | None = None
    """What the runs were trained on, where variants have to be made first; default: FER2013_DIR."""


class Member(NamedTuple):
    """A run, or an ensemble, that is to be published."""

    slug: str
    folder: Path
    repo_id: str
    result: dict[str, Any]


def publish_sweep(config: PublishSweepConfig) -> int:
    """Put the finished runs of a sweep on the Hub.

    Returns:
        Exit status: 0, or 1 where a run could not be published.

    Raises:
        PublishError: The token cannot write there.
        ValueError: There is no finished run, or two would have the same name.
    """
    return publish_all(config, client())


def publish_all(config: PublishSweepConfig, api: HfApi) -> int:
    """The same with a client; a run that fails does not stop the others."""
    finished = members(config.folder, config.namespace)
    together = [member for member in finished if is_ensemble(member.folder)]
    runs = [member for member in finished if member not in together]
    chosen_runs = best(runs) if config.best else runs
    chosen = [*chosen_runs, *together]
    if not config.dry_run:
        refuse(api, config.namespace, [*account_problems(api, chosen[0].repo_id)])
    title = config.collection or f"Facial expressions: {config.folder.resolve().name}"
    asked = Asked(
        private=config.private, collection=title, force=config.force, dry_run=config.dry_run, data=config.data
    )
    siblings = relatives(api, runs, sound(chosen_runs, asked))
    failed = 0
    for number, member in enumerate(chosen, 1):
        print(f"{number}/{len(chosen)} {member.slug}")
        try:
            publish_model(member.folder, member.repo_id, asked, siblings=siblings, api=api)
        except (run_folder.RunError, ValueError, OSError) as error:
            failed += 1
            print(f"error: {error}")
    print(f"{len(chosen) - failed} of {len(chosen)} published" + (f", {failed} failed: see above" if failed else ""))
    return 1 if failed else 0


def sound(chosen: list[Member], asked: Asked) -> list[Member]:
    """Those that can be published as far as their folders show: cards link to no other.

    What is wrong with the rest is said when their turn comes.
    """
    found = []
    for member in chosen:
        try:
            export_first(member.folder / run_folder.MODEL, asked)
        except (run_folder.RunError, ValueError, OSError):
            continue
        if not folder_problems(member.folder / run_folder.MODEL):
            found.append(member)
    return found


def is_whole(folder: Path) -> bool:
    """Whether a folder is an ensemble's, and no half of one that an interruption left."""
    return folder.suffix not in (".tmp", ".old") and (folder / METRICS).is_file() and is_ensemble(folder)


def members(folder: Path, namespace: str) -> list[Member]:
    """The finished runs of a sweep that left a model, by name, and the ensembles in its folder.

    Raises:
        ValueError: There is none, or two would have the same name.
    """
    title = folder.resolve().name
    models = {
        slug: model for slug in leaderboard.read(folder) if (model := folder / slug / run_folder.MODEL).is_dir()
    } | {path.name: path for path in sorted(folder.glob("*")) if is_whole(path)}
    found = {
        slug: Member(slug, folder / slug, f"{namespace}/{repo_name(f'{title}-{slug}')}", read_result(model))
        for slug, model in models.items()
    }
    if not found:
        raise ValueError(
            f"{folder} holds no finished run (result.json and model/). Give a sweep's folder, runs/<preset>."
        )
    by_name = {member.repo_id: member for member in found.values()}
    for member in found.values():
        if by_name[member.repo_id] is not member:
            raise ValueError(
                f"{member.slug} and {by_name[member.repo_id].slug} would both be {member.repo_id}: rename one."
            )
    return list(found.values())


def best(finished: list[Member]) -> list[Member]:
    """The best of each network by validation accuracy (test results choose nothing), in the order of the names."""
    winners: dict[str, Member] = {}
    for member in finished:
        network = member.result["config"]["backbone"]
        if network not in winners or accuracy(member.result) > accuracy(winners[network].result):
            winners[network] = member
    return sorted(winners.values())


def accuracy(result: Mapping[str, Any]) -> float:
    """On the validation split."""
    return float(result["validation"]["accuracy"])


def relatives(api: HfApi, finished: list[Member], published: list[Member]) -> list[Sibling]:
    """Every finished run for the cards' comparison, with a link where it has a repository, or will have."""
    links = {member.slug: Repo(api, member.repo_id).url for member in published}
    return [Sibling(member.repo_id.rpartition("/")[2], links.get(member.slug), member.result) for member in finished]


def repo_name(text: str) -> str:
    """A text as the Hub takes it for a name; one that is too long ends in a digest, so that it stays its own."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
    name = re.sub(r"[-.]*(-|\.)[-.]*", r"\1", name).strip("-._").removesuffix(".git")
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 9].rstrip('-._')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
