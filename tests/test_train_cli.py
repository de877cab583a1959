"""python -m train: one command at a time, its names and defaults from the registries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from conftest import toy_config
from torch import nn

from train import loop, losses
from train.__main__ import COMMANDS, find, main
from train.config import REGISTRIES, choices
from train.presets import expand
from train.recipes import RECIPES


def said(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> str:
    """What a command prints before it leaves."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_without_a_command_all_are_listed(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in COMMANDS)


def test_an_unknown_command_is_named_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    printed = capsys.readouterr().err
    assert "Unknown command 'trian'" in printed
    assert "sweep" in printed


@pytest.mark.parametrize("words", ["", "sweep --help"])
def test_a_reader_that_goes_away_is_no_error(words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "train", *words.split()]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_shows_its_help(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert callable(find(name, []))
    assert f"usage: python -m train {name}" in said(capsys, [name, "--help"])


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_sets_the_defaults_that_flags_override(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, recipe: str
) -> None:
    seen = []
    monkeypatch.setattr(loop, "train", lambda config: seen.append(config) or {})
    assert main(["run", "--out", str(tmp_path), "--recipe", recipe, "--epochs", "77"]) == 0
    assert main(["run", f"--recipe={recipe}", "--out", str(tmp_path)]) == 0
    changed, plain = seen
    assert changed.epochs == 77
    for field, value in RECIPES[recipe].items():
        assert getattr(plain, field) == value


def test_an_unknown_recipe_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--out", "nowhere", "--recipe", "mine"]) == 2
    assert "Unknown recipe 'mine'. Known: ours, report-1" in capsys.readouterr().err


@pytest.mark.parametrize("field", REGISTRIES)
def test_the_help_of_a_run_lists_every_known_name(capsys: pytest.CaptureFixture[str], field: str) -> None:
    printed = said(capsys, ["run", "--help"]).replace("│ │ ", "")
    assert f"known: {', '.join(choices(field))})" in printed


class Squared(nn.Module):
    """Brier score: mean squared distance of the probabilities from the targets."""

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (logits.softmax(1) - targets).square().sum(1).mean()


def test_one_entry_makes_a_loss_a_choice_of_run_and_sweep_and_names_it_on_the_card(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], toy_csv: Path, tmp_path: Path
) -> None:
    monkeypatch.setitem(losses.LOSSES, "squared", lambda argument: lambda counts: Squared())
    assert "focal, squared)" in said(capsys, ["run", "--help"]).replace("│ │ ", "")
    runs = expand("imbalance-grid", tmp_path, changes={"loss": "squared"})
    assert len(runs) == 20
    assert {run.config.loss for run in runs} == {"squared"}
    assert all("squared" in run.slug for run in runs)
    config = toy_config(tmp_path / "run", toy_csv, epochs=1, loss="squared")
    assert 0 < json.loads((loop.train(config) and config.out / "metrics.jsonl").read_text())["train_loss"] < 2
    assert "loss squared" in (config.out / "model" / "README.md").read_text()
    monkeypatch.undo()
    small = ["--data", str(toy_csv), "--protocol", "as-given", "--backbone", "timm:test_resnet"]
    assert main(["run", "--out", str(tmp_path / "other"), *small, "--loss", "squared"]) == 2
    assert "Unknown loss 'squared'" in capsys.readouterr().err
