"""The shell scripts of the recorded runs: every run once, with its own settings, after what it was begun with."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tyro
from records_made_up import keep, result_of

from train import leaderboard, records, scripts
from train.config import RunConfig, different, to_json
from train.presets import PRESETS, expand

GRID = "imbalance-grid"


def runs_of(script: str) -> dict[str, RunConfig]:
    """The runs of a script by their folders' names, in its order."""
    found = re.findall(r"^python -m train run (.*)$", script.replace("\\\n", ""), re.MULTILINE)
    configs = [tyro.cli(RunConfig, args=shlex.split(words), config=(tyro.conf.OmitArgPrefixes,)) for words in found]
    names = [config.out.name for config in configs]
    assert len(set(names)) == len(names)
    return dict(zip(names, configs, strict=True))


def with_parent(result: dict[str, Any], name: str, parent: dict[str, Any]) -> dict[str, Any]:
    """A result whose run began with the model of another."""
    config = result["config"] | {"init": f"{name}/model"}
    return result | {"config": config, "parent": {"config": parent["config"], "seconds": parent["seconds"]}}


def test_without_records_there_is_no_script(tmp_path: Path) -> None:
    assert scripts.write(tmp_path / "boards", tmp_path) == []


def test_a_run_stands_once_after_the_one_it_was_begun_with_and_trials_nowhere(tmp_path: Path) -> None:
    plain, balanced, chosen = (result_of(run) for run in expand(GRID, tmp_path)[:3])
    plain["config"]["init"] = "given weights.safetensors"
    keep(tmp_path, GRID, "z-plain", plain)
    keep(tmp_path, GRID, "a-balanced", with_parent(balanced, "z-plain", plain))
    keep(tmp_path, GRID, "chosen", chosen | {"config": chosen["config"] | {"trial": True}})
    (path,) = scripts.write(tmp_path / "boards", tmp_path)
    script = path.read_text()
    found = runs_of(script)
    assert list(found) == ["z-plain", "a-balanced"]
    assert found["a-balanced"].init == Path("runs/z-plain/model/model.safetensors")
    assert found["z-plain"].init == Path("given weights.safetensors")
    assert "\n#     given weights.safetensors\n" in script


def test_a_setting_of_later_days_stands_with_the_value_that_it_had(tmp_path: Path) -> None:
    result = result_of(expand(GRID, tmp_path)[0])
    del result["config"]["balance"]
    keep(tmp_path, GRID, "early", result)
    assert "--balance 0.0 " in scripts.script(GRID, tmp_path).replace("\\\n    ", "")


def test_a_script_stops_where_a_run_fails(tmp_path: Path) -> None:
    run = expand(GRID, tmp_path)[0]
    for name in ("one", "two"):
        keep(tmp_path, GRID, name, result_of(run))
    (path,) = scripts.write(tmp_path / "boards", tmp_path)
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\necho "$@"\nexit 7\n')
    fake.chmod(0o755)
    done = subprocess.run(["/bin/sh", path], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("runs/one"), done.stdout.count("runs/two")) == (7, 1, 0)


@pytest.mark.parametrize("name", PRESETS)
def test_the_scripts_are_what_the_result_files_say(name: str) -> None:
    path = leaderboard.BOARDS / f"{name}.sh"
    assert (path.read_text(encoding="utf-8") if path.exists() else "") == scripts.script(name)


@pytest.mark.parametrize("name", PRESETS)
def test_every_recorded_run_of_a_preset_is_in_its_script_as_it_was(name: str) -> None:
    recorded = {slug: found for slug, found in records.read(name).items() if not records.only_chose(found)}
    runs, weights = runs_of(scripts.script(name)), {"init", "data"}
    assert recorded.keys() <= runs.keys()
    for slug, result in recorded.items():
        assert set(different(to_json(runs[slug]), result["config"])) <= weights
        assert (runs[slug].init is None) == (result["config"]["init"] is None)
    order = list(runs)
    for slug, config in runs.items():
        if config.init and config.init.parts[0] == "runs":
            assert order.index(config.init.parts[1]) < order.index(slug)
