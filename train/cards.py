"""Cards and result tables, rendered from result files; no figure is typed."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from fer_hub.hub import ZOO, zoo_models

from .run_folder import write_bytes

ROOT = Path(__file__).parents[1]
TEMPLATES = ROOT / "model_cards"
BEGIN, END = "<!-- results: written by python -m train report -->", "<!-- end of results -->"


def render(template: str, **values: Any) -> str:
    """A template of model_cards/ with these values; a missing one is an error, not a gap."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML
    )
    return environment.get_template(template).render(**values)


def model_card(name: str, config: dict[str, Any], result: dict[str, Any], onnx_bytes: int) -> str:
    """The card of a model folder (its README.md)."""
    return render(
        "model.md.j2",
        name=name,
        config=config,
        fer=config["fer"],
        result=result,
        run=result["config"],
        dataset=about_dataset(config["fer"]["dataset"]),
        onnx_mb=onnx_bytes / 1e6,
    )


def about_dataset(name: str) -> dict[str, str]:
    """Name, citation, licence and bias text of a data set; a careful general text for one that is not known."""
    known: dict[str, dict[str, str]] = tomllib.loads((TEMPLATES / "datasets.toml").read_text(encoding="utf-8"))
    return known[name] if name in known and name != "other" else known["other"] | {"name": name}


def write_zoo_cards() -> list[Path]:
    """Write the card of every embedded model into its folder and under model_cards/."""
    written = []
    for name in zoo_models():
        folder = ZOO / name
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        card = model_card(name, config, read_result(folder), (folder / "onnx" / "model.onnx").stat().st_size)
        copy = card.replace("](figures/", f"](../fer_hub/zoo/{name}/figures/")
        for path, text in ((folder / "README.md", card), (TEMPLATES / f"{name}.md", copy)):
            write_bytes(path, text.encode())
            written.append(path)
    return written


def read_result(folder: Path) -> dict[str, Any]:
    """``metrics.json`` of a model folder: the result of the run that made it."""
    result: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return result


def results_table(folders: Sequence[Path]) -> str:
    """The README's table: a line for each model."""
    return render("results.md.j2", rows=[{"name": folder.name, "result": read_result(folder)} for folder in folders])


def with_results(readme: str, table: str) -> str:
    """A README with the text between its result marks replaced.

    Raises:
        ValueError: It has no marks.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(readme):
        raise ValueError(f"The README has no marks. Put {BEGIN!r} and {END!r} where the table belongs.")
    return pattern.sub(lambda _: f"{BEGIN}\n{table}{END}", readme)


def report() -> None:
    """Write the zoo's cards and the README's results table from the result files."""
    for path in write_report():
        print(path)


def write_report() -> list[Path]:
    """The paths of the zoo's cards and the README, written anew."""
    readme = ROOT / "README.md"
    table = results_table([ZOO / name for name in zoo_models()])
    text = with_results(readme.read_text(encoding="utf-8"), table)
    write_bytes(readme, text.encode())
    return [*write_zoo_cards(), readme]
