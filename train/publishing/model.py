"""`python -m train publish`: a model folder becomes a repository on the Hub, in one commit or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tyro
from huggingface_hub import HfApi

from fer_hub import __version__
from fer_hub.download import Place
from fer_hub.hub import MEASURED, read_variants
from fer_hub.types import ModelError

from .. import cards
from ..cards import Sibling
from ..ensemble_members import is_ensemble
from ..export_command import say
from ..finished import METRICS, WEIGHTS, model_folder
from ..variants import export_variants
from . import collect, ensemble
from .account import account_problems, name_problems
from .checks import card_problems, folder_problems
from .contents import OWNED, files_of
from .errors import PublishError, scrubbed
from .repo import Content, Repo, client
from .upload import Done, Plan, Wish, plan, upload


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a model is to be published."""

    private: bool = False
    """A new repository is private; one that is public is refused."""
    tag: str | None = None
    """Name this version, e.g. v1. An existing tag is never moved."""
    create_pr: bool = False
    """Propose the files in a pull request; nothing on the main branch changes."""
    collection: str | None = None
    """Title or slug of a collection that is to hold it; one with a new title is made. Not with --create-pr."""
    force: bool = False
    """Also into a repository that fer_hub did not make."""
    message: str | None = None
    """Of the commit."""
    dry_run: bool = False
    """Check everything and list what would be sent."""
    data: Path | None = None
    """What it was trained on, where variants have to be made first; default: the environment variable FER2013_DIR."""


@dataclass(frozen=True, kw_only=True)
class PublishConfig(Asked):
    """Put a model on the Hub. `publish sweep` and `publish space` are commands of their own."""

    source: tyro.conf.Positional[str]
    """A run's folder, a model folder, an ensemble's folder or a name of the zoo."""
    repo_id: str
    """owner/name."""


class Kind(NamedTuple):
    """What a folder may be, and how such a one is published."""

    files: Callable[[Path], Mapping[str, Content]]
    problems: Callable[[Path, Place], list[str]]
    card: Callable[[Model, str | None], str]
    needed: str
    """A file without which there is no card."""
    gone: tuple[str, ...] = ()
    """Files of the other kind, which may not stay in the repository."""


KINDS: dict[str, Kind] = {
    "model": Kind(
        files_of,
        lambda folder, place: folder_problems(folder),
        lambda model, page: cards.model_card(
            model.folder, repo_id=model.repo.id, siblings=model.siblings, collection=page
        ),
        MEASURED,
    ),
    "ensemble": Kind(
        ensemble.files,
        ensemble.ensemble_problems,
        lambda model, page: ensemble.card(model.folder, model.repo.id, page),
        METRICS,
        (WEIGHTS,),
    ),
}
"""One entry is a kind of folder that can be published."""


@dataclass(frozen=True)
class Model:
    """What is to be published, where and how."""

    repo: Repo
    folder: Path
    asked: Asked
    siblings: Sequence[Sibling] = ()

    @property
    def kind(self) -> Kind:
        """What its folder is."""
        return KINDS["ensemble" if is_ensemble(self.folder) else "model"]

    def planned(self, collection: str | None, compare: bool = True) -> tuple[Plan, list[str]]:
        """What it comes to, and what is wrong with its card.

        Args:
            collection: Page that the card links to.
            compare: False: do not ask the Hub.
        """
        card, problems = self._card(collection)
        files = self._files()
        name, asked = self.repo.id.rpartition("/")[2], self.asked
        message = asked.message or f"Publish {name} with fer_hub {__version__}"
        wish = Wish(
            card | files, OWNED + self.kind.gone, message, asked.private, asked.tag, asked.create_pr, asked.force
        )
        return plan(self.repo, wish, compare), problems

    def problems(self) -> list[str]:
        """What is wrong with its folder."""
        api = self.repo.api
        token = api.token if isinstance(api.token, str) else None
        return self.kind.problems(self.folder, Place(token=token, endpoint=api.endpoint))

    def _files(self) -> dict[str, Content]:
        try:
            return dict(self.kind.files(self.folder))
        except ModelError:  # it is among the problems
            return {}

    def _card(self, collection: str | None) -> tuple[dict[str, Content], list[str]]:
        try:
            text = self.kind.card(self, collection)
        except ValueError as error:
            among_the_files = not (self.folder / self.kind.needed).is_file()
            return {}, [] if among_the_files else [str(error)]
        return {"README.md": text.encode()}, card_problems(text)


def publish(config: PublishConfig) -> None:
    """Put a model on the Hub: its variants are made if they are not yet, checks, one commit.

    Raises:
        PublishError: It cannot be published, or a step failed; the message says what is on the Hub now.
        ValueError: There is no such model.
    """
    publish_model(config.source, config.repo_id, config)


def publish_model(
    source: str | Path,
    repo_id: str,
    asked: Asked = Asked(),
    *,
    siblings: Sequence[Sibling] = (),
    api: HfApi | None = None,
) -> Done | None:
    """Check a model, and bring its repository to the same content.

    Args:
        source: A run's folder, a model folder, an ensemble's folder or a name of the zoo.
        repo_id: owner/name.
        asked: How.
        siblings: Models that its card compares it with.
        api: The client; None: as HF_ENDPOINT and HF_TOKEN say.

    Returns:
        What is on the Hub now; None for a dry run.

    Raises:
        PublishError: It cannot be published, or a step failed; the message says what is on the Hub now.
        ValueError: There is no such model.
    """
    model = Model(Repo(api or client(), repo_id), folder_of(source), asked, siblings)
    export_first(model.folder, asked)
    problems = [*name_problems(repo_id), *model.problems()]
    online = [*account_problems(model.repo.api, repo_id, asked.create_pr)] if repo_id.count("/") == 1 else []
    link = None if online else collect.link(model.repo.api, asked.collection, repo_id)
    planned, wrong = model.planned(link, compare=not online)
    if asked.dry_run:
        print(planned.listing())
    refuse(model.repo.api, repo_id, [*problems, *wrong, *online, *planned.problems])
    if asked.dry_run:
        return None
    if asked.collection is None or asked.create_pr:
        return upload(planned)
    return _into_collection(model, planned, asked.collection, link)


def folder_of(source: str | Path) -> Path:
    """The folder of an ensemble, or of a model.

    Raises:
        ValueError: There is none.
    """
    return Path(source) if is_ensemble(Path(source)) else model_folder(source)


def _into_collection(model: Model, planned: Plan, title: str, link: str | None) -> Done:
    """The same for a model that belongs to a collection, which is made first: the card links to it."""
    repo = model.repo
    collection = collect.ensure(repo.api, title, repo.id, model.asked.private)
    page = collect.page(repo.api, collection)
    if page != link:  # it was made just now
        planned, wrong = model.planned(page)
        refuse(repo.api, repo.id, [*wrong, *planned.problems])
    done = upload(planned)
    collect.add(repo, collection)
    return done


def export_first(folder: Path, asked: Asked) -> None:
    """Make and measure the variants of a model that is as its run left it; a dry run only says so.

    Raises:
        ValueError: The data that it was trained on are not there.
    """
    measured = read_variants(folder)
    if measured is None or measured.get("simplification") is not None:
        return
    if asked.dry_run:
        print(f"{folder}: the other ONNX variants would be made first, as by python -m train export")
        return
    print(f"{folder}: making the other ONNX variants first")
    export_variants(folder, data=asked.data, say=say)


def refuse(api: HfApi, name: str, problems: Sequence[str]) -> None:
    """Stop where there are problems.

    Raises:
        PublishError: There are; all are named.
    """
    if problems:
        lines = [f"{name} cannot be published:", *(f"  - {each}" for each in problems)]
        raise PublishError(scrubbed("\n".join(lines), api))
