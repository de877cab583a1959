"""`python -m train publish space`: the app and the library as a Hugging Face Space."""

from __future__ import annotations

import platform
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from huggingface_hub import HfApi, SpaceCardData, constants

from fer_hub import __version__
from fer_hub.download import TAG, Place
from fer_hub.ensemble import read_members, where
from fer_hub.hub import ONNX_FILES, find_model, read_config, zoo_models
from fer_hub.types import ModelError

from ..cards import ROOT, render
from ..run_folder import write_bytes
from .account import account_problems, name_problems
from .errors import HUB_ERRORS, reason
from .model import refuse
from .repo import Content, Repo, client
from .upload import Done, Wish, plan, upload

OWNED = ("fer_hub/",)
SUFFIXES = ("", ".py", ".typed", ".json", ".css", ".js", ".onnx", ".safetensors", ".ttf", ".png", ".jpg", ".md")
"""Of the files of fer_hub/; nothing else that lies there is published."""
MODELS = "models.txt"
"""A model on each line; app.py offers them beside the embedded ones."""


@dataclass(frozen=True)
class PublishSpaceConfig:
    """Put the app on the Hub as a Space, with models to choose from; the same command updates it."""

    repo_id: str
    """owner/name of the Space."""
    models: tuple[str, ...] = ()
    """Models of the Hub (owner/name) that it offers beside the embedded ones."""
    title: str = "fer_hub: facial expressions"
    """Its title on the Hub."""
    private: bool = False
    """A new Space is private; one that is public is refused."""
    create_pr: bool = False
    """Propose the files in a pull request."""
    force: bool = False
    """Also into a Space that fer_hub did not make."""
    dry_run: bool = False
    """Check everything and list what would be sent."""
    out: Path | None = None
    """Only write the Space into this folder."""


def publish_space(config: PublishSpaceConfig) -> None:
    """Put the app on the Hub as a Space, or only write its folder.

    Raises:
        PublishError: It cannot be published, or a step failed; the message says what is on the Hub now.
        ValueError: A model is not one of the Hub.
    """
    if config.out is None:
        upload_space(config, client())
        return
    needs = needed(hub_models(config.models), client())
    write(assemble(config.title, config.models, needs), config.out)
    print(f"{config.out}: pip install -r requirements.txt && python app.py")


def upload_space(config: PublishSpaceConfig, api: HfApi) -> Done | None:
    """The Space on the Hub; None for a dry run."""
    repo, models = Repo(api, config.repo_id, "space"), hub_models(config.models)
    problems = [*name_problems(config.repo_id)]
    problems += [] if problems else [*account_problems(api, config.repo_id, config.create_pr)]
    needs = {} if problems else needed(models, api)
    files = assemble(config.title, config.models, needs)
    message = f"The app of fer_hub {__version__}"
    wish = Wish(files, OWNED, message, config.private, create_pr=config.create_pr, force=config.force)
    planned = plan(repo, wish, compare=not problems)
    problems += planned.problems + ([] if problems else [*_model_problems(api, needs, config.force)])
    if config.dry_run:
        print(planned.listing())
    refuse(api, config.repo_id, problems)
    return None if config.dry_run else upload(planned)


class Source(NamedTuple):
    """A repository of which a Space needs files."""

    repo_id: str
    revision: str | None = None

    def line(self, files: Sequence[str]) -> str:
        """How `preload_from_hub` names them."""
        return " ".join([self.repo_id, ",".join(files), *([self.revision] if self.revision else [])])


Needs = dict[Source, list[str]]
"""Files by repository."""


def needed(models: Sequence[str], api: HfApi) -> Needs:
    """The files that models of the Hub are loaded from: of an ensemble those of its members.

    One that cannot be looked at is taken for a single model.
    """
    found: Needs = {}
    token = api.token if isinstance(api.token, str) else None
    with TemporaryDirectory() as cache:
        place = Place(cache_dir=cache, token=token, endpoint=api.endpoint)
        for model in models:
            for source, file in _needed(model, place):
                found.setdefault(source, []).append(file)
    return found


def _needed(model: str, place: Place) -> Iterator[tuple[Source, str]]:
    try:
        folder = find_model(model, files=("config.json",), place=place)
        members = read_members(read_config(folder), folder)
    except ModelError:
        members = []
    if not members:
        yield from ((Source(model), file) for file in ONNX_FILES)
        return
    yield Source(model), "config.json"
    for member in members:
        of, where_it_is = where(member, folder, place)
        inside = where_it_is.subfolder
        if inside:
            yield from ((Source(model), f"{inside}/{file}") for file in ONNX_FILES)
        elif str(of) not in zoo_models():
            yield from ((Source(str(of), member.revision), file) for file in ONNX_FILES)


def _model_problems(api: HfApi, needs: Needs, force: bool) -> Iterator[str]:
    """Models that the Space could not load: without ONNX, or not for everybody, for a Space has no token."""
    for (model, revision), files in needs.items():
        try:
            missing = [file for file in files if not api.file_exists(model, file, revision=revision)]
            info = None if missing else api.model_info(model)
        except HUB_ERRORS as error:
            yield f"{model}: {reason(error, api)}"
            continue
        if missing:
            yield f"{model} has no {', '.join(missing)} on the Hub. Type: python -m train publish … --repo-id {model}"
        if info and (info.private or info.gated) and not force:
            yield f"{model} is private or gated. Give the Space a secret HF_TOKEN that may read it, and add --force."


def hub_models(models: Sequence[str]) -> list[str]:
    """Those that are not in the zoo, which every Space has.

    Raises:
        ValueError: One of them is neither: a Space cannot load a folder of this machine.
    """
    found = [model for model in models if model not in zoo_models()]
    for model in found:
        if problems := [*name_problems(model)]:
            raise ValueError(f"--models {model}: a Space offers models of the Hub. {problems[0]}")
    return found


def assemble(title: str, models: Sequence[str] = (), needs: Needs | None = None) -> dict[str, Content]:
    """The files of a Space by their paths in it.

    Args:
        title: Of the Space.
        models: That it offers.
        needs: Files that it loads from the Hub; None: those of models that are no ensembles.

    Raises:
        ValueError: One of the models is not one of the Hub.
    """
    code = [ROOT / "app.py", ROOT / "LICENSE", *sorted((ROOT / "fer_hub").rglob("*"))]
    sources = [path for path in code if path.is_file() and path.suffix in SUFFIXES]
    inside: dict[str, Content] = {path.relative_to(ROOT).as_posix(): path for path in sources}
    files = {name: path for name, path in inside.items() if not re.search(r"\.(tmp|old)\b", name)}
    offered = hub_models(models)
    needs = {Source(model): list(ONNX_FILES) for model in offered} if needs is None else needs
    return files | {
        "README.md": card(title, offered, needs).encode(),
        "requirements.txt": requirements().encode(),
        MODELS: "".join(f"{model}\n" for model in offered).encode(),
    }


def card(title: str, models: Sequence[str], needs: Needs) -> str:
    """The README of a Space; its front matter tells the Hub what to install, preload and run."""
    data = SpaceCardData(
        title=title,
        emoji="🙂",
        colorFrom="blue",
        colorTo="green",
        sdk="gradio",
        sdk_version=gradio_version(),
        python_version=".".join(platform.python_version_tuple()[:2]),
        app_file="app.py",
        short_description="Name the expression of faces, in photos or live",
        license="apache-2.0",
        models=list(models) or None,
        tags=[TAG, "facial-expression-recognition"],
        preload_from_hub=[source.line(files) for source, files in needs.items()] or None,
    )
    values = {"title": title, "models": models, "zoo": zoo_models(), "endpoint": constants.ENDPOINT}
    return render("space.md.j2", front_matter=data.to_yaml(), **values)


def gradio_version() -> str:
    """The version that is installed: the one that the app was tried with.

    Raises:
        ValueError: None is.
    """
    try:
        return version("gradio")
    except PackageNotFoundError as error:
        raise ValueError("A Space names the version of gradio. Type: pip install -e '.[app]'") from error


def requirements() -> str:
    """requirements.txt: what pyproject.toml names for the core and the app, a line each."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *_lines(project["optional-dependencies"], "app")]
    return "".join(f"{line}\n" for line in lines)


def _lines(extras: dict[str, list[str]], name: str) -> Iterator[str]:
    """What an extra names, the extras of this project that it builds on written out."""
    for line in extras[name]:
        own = re.fullmatch(r"fer_hub\[(.*)\]", line)
        for each in own[1].split(",") if own else ():
            yield from _lines(extras, each)
        if not own:
            yield line


def write(files: dict[str, Content], out: Path) -> None:
    """Write the files into a folder that is new or empty.

    Raises:
        ValueError: Something is in it.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"--out {out} is not empty. Give a new folder.")
    for path, content in files.items():
        write_bytes(out / path, content if isinstance(content, bytes) else content.read_bytes())
