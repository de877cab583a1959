"""Cards and result tables, rendered from result files; no figure is typed."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from huggingface_hub import constants

from fer_hub.hub import ZOO, zoo_models
from fer_hub.labels import display

from . import card_data
from .data import PROTOCOLS
from .metrics import BINS
from .run_folder import write_bytes

ROOT = Path(__file__).parents[1]
TEMPLATES = ROOT / "model_cards"
RELATIVE = re.compile(r"\]\((?![a-z]+:|#|/)([\w./-]+\.\w+)\)")
"""A link of Markdown to a file beside it."""
BEGIN, END = "<!-- results: written by python -m train report -->", "<!-- end of results -->"


def render(template: str, **values: Any) -> str:
    """A template of model_cards/ with these values; a missing one is an error, not a gap."""
    return environment(TEMPLATES).get_template(template).render(**values)


@cache
def environment(folder: Path, html: bool = False) -> jinja2.Environment:
    """How templates are read, of Markdown or of HTML; kept, since compiling them takes longer than filling them."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not html,
        autoescape=html,
    )
    found.filters["display"] = display
    found.policies["json.dumps_kwargs"] = {"default": str}  # str of a missing value says which it is
    return found


class Sibling(NamedTuple):
    """Another model of the same grid, for the comparison."""

    name: str
    link: str | None
    """URL of its repository, if it has one."""
    result: dict[str, Any]
    """Its metrics.json."""


def model_card(
    folder: Path, *, repo_id: str | None = None, siblings: Sequence[Sibling] = (), collection: str | None = None
) -> str:
    """The card of a model folder (its README.md), from the files that lie in it: written after all others.

    Args:
        folder: With config.json, metrics.json, onnx/variants.json and, if they were drawn, figures/.
        repo_id: The repository that the card is for; None: the folder itself.
        siblings: Models to compare it with; this one may be among them.
        collection: URL of the collection that holds them all.

    Raises:
        ValueError: A file is missing, or a figure that the card needs is missing from it.
    """
    files = card_data.read_folder(folder)
    names = card_data.names_of(folder, repo_id)
    try:
        return _card(files, names, card_data.figures_of(folder), repo_id, siblings, collection)
    except (KeyError, jinja2.UndefinedError) as error:
        raise ValueError(
            f"The card of {folder} cannot be written: a figure is missing from its JSON files ({error}). "
            f"Run: python -m train export {folder}"
        ) from error


def _card(
    files: dict[str, dict[str, Any]],
    names: card_data.Names,
    figures: Sequence[str],
    repo_id: str | None,
    siblings: Sequence[Sibling],
    collection: str | None,
) -> str:
    config, result = files["config"], files["result"]
    dataset = about_dataset(config["fer"]["dataset"])
    return render(
        "model.md.j2",
        **files,
        names=names,
        repo_id=repo_id,
        figures=figures,
        fer=config["fer"],
        run=result["config"],
        protocol=PROTOCOLS[result["config"]["protocol"]].about,
        splits=card_data.splits_of(result["config"]["protocol"]),
        dataset=dataset,
        front_matter=card_data.front_matter(names.title, config, result, dataset).to_yaml(),
        snippets=snippets(names, repo_id, config),
        rows=comparison(names.title, result, siblings),
        collection=collection,
        recipe=card_data.recipe(result, names.title),
        bins=BINS,
    )


def snippets(names: card_data.Names, repo_id: str | None, config: dict[str, Any]) -> dict[str, str]:
    """The code by which a model is used, by the name of its template."""
    from fer_hub.cnns import default_cfgs  # here: it loads torch

    values: dict[str, Any] = {"source": names.source, "timm_source": names.timm_source, "repo_id": repo_id}
    values |= {"hub": constants.ENDPOINT}
    values |= {"config": config, "fer": config["fer"], "custom": config["architecture"] in default_cfgs}
    return {
        name: render(f"snippets/{name}.j2", **values).strip()
        for name in ("fer_hub.py", "timm.py", "onnxruntime.py", "browser.html")
    }


def comparison(name: str, result: dict[str, Any], siblings: Sequence[Sibling]) -> list[Sibling]:
    """This model (without a link) and its siblings, best on validation first: test results choose nothing."""
    rows = [row for row in siblings if row.name != name and row.result != result]
    return sorted([Sibling(name, None, result), *rows], key=lambda row: -row.result["validation"]["accuracy"])


def about_dataset(name: str) -> dict[str, str]:
    """Name, citation, licence and bias text of a data set; a careful general text for one that is not known."""
    known: dict[str, dict[str, str]] = tomllib.loads((TEMPLATES / "datasets.toml").read_text(encoding="utf-8"))
    return known[name] if name in known and name != "other" else known["other"] | {"name": name}


def write_zoo_cards() -> list[Path]:
    """Write the card of every embedded model into its folder and under model_cards/."""
    written = []
    for name in zoo_models():
        card = model_card(ZOO / name)
        copy = relocated(card, f"../fer_hub/zoo/{name}/")
        for path, text in ((ZOO / name / "README.md", card), (TEMPLATES / f"{name}.md", copy)):
            write_bytes(path, text.encode())
            written.append(path)
    return written


def relocated(card: str, prefix: str) -> str:
    """A card for another place: the prefix before every relative link."""
    return RELATIVE.sub(lambda link: f"]({prefix}{link[1]})", card)


def read_result(folder: Path) -> dict[str, Any]:
    """``metrics.json`` of a model folder: the result of the run that made it."""
    result: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return result


def results_table(models: Mapping[str, dict[str, Any]]) -> str:
    """The README's tables, one for each protocol.

    Args:
        models: metrics.json of each by its name, as Markdown shows that.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, result in models.items():
        groups.setdefault(result["config"]["protocol"], []).append({"name": name, "result": result})
    return render("results.md.j2", groups=[_of_protocol(*group) for group in groups.items()])


def _of_protocol(protocol: str, models: list[dict[str, Any]]) -> dict[str, Any]:
    """Models of one protocol, and what it is."""
    dataset = about_dataset(models[0]["result"]["dataset"])["name"]
    about, splits = PROTOCOLS[protocol].about, card_data.splits_of(protocol)
    return {"protocol": protocol, "about": about, "dataset": dataset, "splits": splits, "models": models}


def with_results(readme: str, table: str) -> str:
    """A README with the text between its result marks replaced.

    Raises:
        ValueError: It has no marks.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(readme):
        raise ValueError(f"The README has no marks. Put {BEGIN!r} and {END!r} where the table belongs.")
    return pattern.sub(lambda _: f"{BEGIN}\n{table}{END}", readme)
