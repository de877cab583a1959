"""train.cards: every figure comes from a result file, and a missing one is an error."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jinja2
import pytest
from huggingface_hub import ModelCard

from fer_hub.hub import ZOO, zoo_models
from train import cards

README = cards.ROOT / "README.md"


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    config, result = (json.loads((folder / name).read_text()) for name in ("config.json", "metrics.json"))
    return config, result


def test_a_missing_value_is_an_error_not_a_gap() -> None:
    with pytest.raises(jinja2.UndefinedError, match="rows"):
        cards.render("results.md.j2")


@pytest.mark.parametrize("gone", ["temperature", "test", "machine", "best_epoch"])
def test_a_card_without_one_of_its_figures_is_not_written(toy_model: Path, gone: str) -> None:
    config, result = read(toy_model)
    del result[gone]
    with pytest.raises(jinja2.UndefinedError, match=gone):
        cards.model_card("toy", config, result, 10**6)


def test_a_card_is_read_by_the_hub_and_carries_the_figures_of_the_result(toy_model: Path) -> None:
    config, result = read(toy_model)
    card = ModelCard(cards.model_card("toy", config, result, 1_234_567))
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "timm"
    assert card.data.pipeline_tag == "image-classification"
    assert f"**{100 * result['test']['accuracy']:.2f} %**" in card.text
    assert f"{100 * result['validation']['accuracy']:.2f} % (epoch {result['best_epoch']} of 2)" in card.text
    assert f"{result['test']['macro_f1']:.4f}" in card.text
    for label, row in result["test"]["per_class"].items():
        assert (
            f"| {label} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} |"
            in card.text
        )
    assert "1.2 MB of ONNX" in card.text
    assert "random weights" in card.text


def test_the_card_follows_the_result_not_a_typed_figure(toy_model: Path) -> None:
    config, result = read(toy_model)
    other = copy.deepcopy(result)
    other["test"]["accuracy"] = 0.98765
    before, after = (cards.model_card("toy", config, values, 10**6) for values in (result, other))
    changed = [line for line, old in zip(after.splitlines(), before.splitlines(), strict=True) if line != old]
    assert len(changed) == 1
    assert "98.77 %" in changed[0]


def test_the_table_has_a_line_for_each_model(toy_model: Path) -> None:
    lines = cards.results_table([toy_model, toy_model]).splitlines()
    _, result = read(toy_model)
    wanted = f"**{100 * result['test']['accuracy']:.2f} %**"
    assert sum(line.startswith("| `model` |") and wanted in line for line in lines) == 2


def test_only_the_text_between_the_marks_is_replaced() -> None:
    readme = f"# Title\n\nbefore\n{cards.BEGIN}\nold | table \\1\n{cards.END}\nafter \\g<0>\n"
    written = cards.with_results(readme, "new \\1 table\n")
    assert written == f"# Title\n\nbefore\n{cards.BEGIN}\nnew \\1 table\n{cards.END}\nafter \\g<0>\n"
    assert cards.with_results(written, "new \\1 table\n") == written


@pytest.mark.parametrize("readme", ["# Title\n", f"{cards.BEGIN}\n", f"{cards.END}\n{cards.BEGIN}\n"])
def test_a_readme_without_both_marks_is_refused(readme: str) -> None:
    with pytest.raises(ValueError, match=r"The README has no marks\. Put '<!-- results"):
        cards.with_results(readme, "table\n")


def test_the_readmes_table_is_what_the_result_files_say() -> None:
    assert zoo_models(), f"{ZOO} holds no model"
    text = README.read_text(encoding="utf-8")
    assert cards.with_results(text, cards.results_table([ZOO / name for name in zoo_models()])) == text


def test_the_zoos_cards_are_what_the_result_files_say() -> None:
    assert zoo_models(), f"{ZOO} holds no model"
    for name in zoo_models():
        config, result = read(ZOO / name)
        card = cards.model_card(name, config, result, (ZOO / name / "onnx" / "model.onnx").stat().st_size)
        assert (ZOO / name / "README.md").read_text(encoding="utf-8") == card
        copy = (cards.TEMPLATES / f"{name}.md").read_text(encoding="utf-8")
        assert copy.replace(f"../fer_hub/zoo/{name}/figures/", "figures/") == card
        assert (cards.ROOT / "fer_hub" / "zoo" / name / "figures" / "confusion.png").is_file()
