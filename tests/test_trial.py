"""A run with --trial decides on the validation split: nothing of the test split, and no model."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from conftest import toy_config

from train import finished, leaderboard, loop, metrics
from train.__main__ import main, run
from train.config import RunConfig
from train.run_folder import RunError


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory, toy_csv: Path) -> RunConfig:
    """A finished one, otherwise like the toy run."""
    config = toy_config(tmp_path_factory.mktemp("runs") / "trial", toy_csv, trial=True)
    loop.train(config)
    return config


def test_its_result_knows_the_validation_split_alone(trial: RunConfig, toy_run: Path) -> None:
    result, usual = (json.loads((out / "result.json").read_text()) for out in (trial.out, toy_run))
    assert (usual.keys() - result.keys(), result.keys() - usual.keys()) == ({"test"}, {"hits"})
    assert result["uncalibrated"].keys() == {"validation"}
    assert (result["config"]["trial"], usual["config"]["trial"]) == (True, False)
    assert result["validation"] == usual["validation"]
    hits = metrics.unpacked(result["hits"], result["validation"]["n"])
    assert hits.mean() == pytest.approx(result["validation"]["accuracy"])


def test_its_folder_has_curves_but_no_model_and_no_picture_of_a_test_row(trial: RunConfig, toy_run: Path) -> None:
    here, usual = ({path.name for path in out.iterdir()} for out in (trial.out, toy_run))
    assert "curves.png" in here
    assert usual - here == {"model", "predictions.png", "errors.png"} & usual
    assert {"model", "predictions.png"} <= usual
    assert not here - usual


def test_the_command_says_the_validation_figure(trial: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    run(trial)
    said = capsys.readouterr().out
    accuracy = json.loads((trial.out / "result.json").read_text())["validation"]["accuracy"]
    assert f"validation accuracy {accuracy:.4f}" in said
    assert "a trial: no model" in said
    assert "test" not in said.removeprefix(str(trial.out))


def test_it_has_to_be_trained_anew_elsewhere_to_become_a_result(trial: RunConfig) -> None:
    with pytest.raises(RunError, match="other values for trial"):
        loop.train(dataclasses.replace(trial, trial=False))


@pytest.mark.parametrize(
    "command", [["export"], ["publish", "--repo-id", "me/trial", "--dry-run"]], ids=lambda words: words[0]
)
def test_what_needs_a_model_says_that_it_is_a_trial(
    trial: RunConfig, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main([command[0], str(trial.out), *command[1:]]) == 2
    assert f"error: {trial.out} is a trial: it made no model. Train it without --trial" in capsys.readouterr().err
    with pytest.raises(ValueError, match="is a trial"):
        finished.model_folder(trial.out)
    assert not (trial.out / "model").exists()


def test_the_leaderboard_takes_it_for_not_done(trial: RunConfig, tmp_path: Path) -> None:
    shutil.copytree(trial.out, tmp_path / "a-trial")
    assert leaderboard.read(tmp_path) == {}
    leaderboard.write(tmp_path, "imbalance-grid")
    assert "a-trial" not in (tmp_path / "leaderboard.csv").read_text()


def test_one_more_set_is_not_scored_by_the_way() -> None:
    with pytest.raises(ValueError, match="Leave out --external"):
        RunConfig(out=Path("run"), trial=True, external=Path("more.csv"))
