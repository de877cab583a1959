"""The card of an ensemble, rendered from the files of its folder; no figure is typed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import ModelCardData, constants

from fer_hub.download import TAG
from fer_hub.views import VIEWS, count_views

from . import card_data
from .cards import about_dataset, render
from .data import PROTOCOLS
from .ensemble_scores import SIDE
from .metrics import BINS

LIBRARY = "fer-hub"
"""What the Hub shows as the library: no other loads an ensemble."""
TAGS = [TAG, "facial-expression-recognition", "image-classification", "ensemble", "onnx"]
PLACES = (".", "/")
"""How the path of a member begins that is no name of the zoo or the Hub."""


def ensemble_card(
    folder: Path,
    *,
    repo_id: str | None = None,
    config: dict[str, Any] | None = None,
    collection: str | None = None,
) -> str:
    """The card of an ensemble's folder (its README.md), from the files that lie in it: written after all others.

    Args:
        folder: With config.json, metrics.json and, if they were drawn, figures/.
        repo_id: The repository that the card is for; None: the folder itself.
        config: config.json as it will be published, where that differs from the folder's.
        collection: URL of the collection that holds it.

    Raises:
        ValueError: A file is missing, or a figure that the card needs is missing from it.
    """
    advice = "Give the folder of an ensemble: config.json, metrics.json."
    config = config or card_data.read(folder, "config.json", advice)
    result = card_data.read(folder, "metrics.json", advice)
    names = card_data.names_of(folder, repo_id)
    try:
        return _card(folder, names, config, result, repo_id, collection)
    except (KeyError, IndexError, jinja2.UndefinedError) as error:
        raise ValueError(
            f"The card of {folder} cannot be written: a figure is missing from its JSON files ({error}). "
            "Remove the folder, and make it again: python -m train ensemble"
        ) from error


def _card(
    folder: Path,
    names: card_data.Names,
    config: dict[str, Any],
    result: dict[str, Any],
    repo_id: str | None,
    collection: str | None,
) -> str:
    run, fer = result["config"], config["fer"]
    dataset = about_dataset(fer["dataset"])
    return render(
        "ensemble.md.j2",
        config=config,
        result=result,
        fer=fer,
        run=run,
        names=names,
        collection=collection,
        dataset=dataset,
        figures=card_data.figures_of(folder),
        members=member_rows(config, result, repo_id),
        bytes=sum(row["bytes"] for row in result["members"]),
        views=about_views(fer["views"]),
        protocols={name: each.about for name, each in PROTOCOLS.items()},
        splits=card_data.splits_of(run["protocol"]),
        front_matter=front_matter(names.title, config, result, dataset).to_yaml(),
        snippet=render("snippets/fer_hub.py.j2", source=names.source).strip(),
        command=command(config, names.title),
        side=SIDE,
        bins=BINS,
    )


def member_rows(config: dict[str, Any], result: dict[str, Any], repo_id: str | None) -> list[dict[str, Any]]:
    """What metrics.json says of each member, its position, and a link where it is on the Hub."""
    pairs = zip(config["fer"]["members"], result["members"], strict=True)
    return [row | {"at": at, "link": _link(member, repo_id)} for at, (member, row) in enumerate(pairs)]


def _link(member: Mapping[str, Any], repo_id: str | None) -> str | None:
    if is_hub_id(member["model"]):
        return f"{constants.ENDPOINT}/{member['model']}/tree/{member.get('revision') or 'main'}"
    inside = repo_id is not None and member["model"].startswith("./")
    return f"{member['model'].removeprefix('./')}/README.md" if inside else None


def is_hub_id(model: str) -> bool:
    """Whether a member is one of the Hub: neither a path nor a name of the zoo."""
    return not model.startswith(PLACES) and "/" in model


def about_views(name: str) -> dict[str, Any]:
    """How many views there are, and which."""
    count = count_views(name)
    return {"n": count, "about": f"{count}: {(VIEWS[name].__doc__ or name).strip().rstrip('.')}"}


def front_matter(title: str, config: dict[str, Any], result: dict[str, Any], dataset: dict[str, str]) -> ModelCardData:
    """The metadata of a card, as the Hub reads them.

    Args:
        title: Name of the model.
        config: config.json as it is published.
        result: metrics.json.
        dataset: Its entry of datasets.toml.
    """
    data, results = config["fer"]["dataset"], card_data.eval_results(config, result, dataset)
    hub_members = [row["model"] for row in config["fer"]["members"] if is_hub_id(row["model"])]
    return ModelCardData(
        license=dataset["license"],
        license_name=dataset["license_name"] or None,
        library_name=LIBRARY,
        pipeline_tag="image-classification",
        base_model=hub_members or None,
        datasets=[data] if dataset["hub"] or "/" in data else None,
        metrics=list(dict.fromkeys(found.metric_type for found in results)),
        tags=TAGS,
        model_name=title,
        eval_results=results,
    )


def command(config: dict[str, Any], title: str) -> str:
    """The shell command that makes the ensemble anew beside its folder, typed in that folder."""
    fer = config["fer"]
    models, weights = ([row[name] for row in fer["members"]] for name in ("model", "weight"))
    return typed(models, weights, fer["views"], f"../{title}-again")


def typed(models: Sequence[str], weights: Sequence[float], views: str, out: str) -> str:
    """The shell command that makes an ensemble."""
    shares = [f"{weight:g}" for weight in weights]
    words = ["python -m train ensemble", *map(shlex.quote, models), f"--out {shlex.quote(out)}"]
    words += [f"--weights {' '.join(shares)}"] if len(set(shares)) > 1 else []
    return " ".join([*words, f"--views {views}"])
