"""train.ancestry: the weights that a run begins with, and what the run before may have seen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import toy_config

from fer_hub.hub import ZOO
from train import ancestry, anchors, cards, leaks, loop


@pytest.fixture
def stranger(toy_model: Path, tmp_path: Path) -> Path:
    """A model that was trained on other splits of the same data set."""
    folder = tmp_path / "stranger"
    shutil.copytree(toy_model, folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["config"]["protocol"] = "random-80-20"
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def test_a_file_a_run_its_model_folder_and_a_name_of_the_zoo_are_initial_weights(toy_run: Path) -> None:
    own = toy_run / "model" / "model.safetensors"
    for given in (own, own.parent, toy_run):
        assert ancestry.weights_file(given) == own
    assert ancestry.weights_file(Path("fer-lite0")) == ZOO / "fer-lite0" / "model.safetensors"
    assert ancestry.weights_file(Path("any.safetensors")) == Path("any.safetensors")


def test_a_wrong_name_is_told_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"There is no model in fer-light: .*one of the zoo \(fer-lite0"):
        ancestry.weights_file(Path("fer-light"))
    with pytest.raises(ValueError, match="There is no model in"):
        ancestry.weights_file(tmp_path)


def test_a_run_that_begins_with_an_honest_run_keeps_its_history_and_warns_of_nothing(
    toy_csv: Path, toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = loop.train(toy_config(tmp_path / "next", toy_csv, init=toy_run, epochs=1))
    before = json.loads((toy_run / "result.json").read_text())
    assert result["parent"] == {name: before[name] for name in ancestry.KEPT} | {"beware": None}
    assert result["config"]["init"] == "toy/model"
    assert result["init"] == {"missing": [], "unexpected": []}
    assert "initial weights" not in capsys.readouterr().err
    card = cards.model_card(tmp_path / "next" / "model")
    assert "--init runs/toy/model/model.safetensors" in card
    assert "| beware |" not in card
    assert not leaks.doubtful(result)


def test_a_run_that_begins_with_one_which_saw_its_test_rows_says_so_at_the_start_and_in_its_card(
    toy_csv: Path, stranger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = loop.train(toy_config(tmp_path / "next", toy_csv, init=stranger, epochs=1))
    said = "was trained under random-80-20, not as-given: it knows some of these rows."
    assert result["parent"]["beware"] == said
    assert f"warning: The run that left the initial weights {said}" in capsys.readouterr().err
    assert f"| beware | the run that left the initial weights {said} |" in cards.model_card(tmp_path / "next" / "model")
    assert str(tmp_path) not in json.dumps(result)
    assert leaks.doubtful(result)
    candidate = anchors.Candidate("next", "", result)
    assert anchors.best([candidate], {"protocol": ["as-given"]}) is None


def test_weights_without_a_history_have_no_parent(toy_model: Path, tmp_path: Path) -> None:
    shutil.copy(toy_model / "model.safetensors", tmp_path)
    lone = tmp_path / "model.safetensors"
    assert ancestry.parent_of(lone, None, "official") is None  # type: ignore[arg-type]  # the splits are not asked for
    (tmp_path / "metrics.json").write_text('{"made_by": "others"}')
    assert ancestry.parent_of(lone, None, "official") is None  # type: ignore[arg-type]
    assert ancestry.parent_of(None, None, "official") is None  # type: ignore[arg-type]
