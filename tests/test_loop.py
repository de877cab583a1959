"""train.loop: a run can be stopped in any way at any moment, and ends with the same weights."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conftest import ROWS, toy_config, toy_rows, write_csv
from PIL import Image
from safetensors.torch import load_file, save_file

from fer_hub.backbones import build
from fer_hub.types import ModelError
from train import data, export, loop, network
from train.__main__ import main
from train.config import RunConfig
from train.run_folder import RunError

ROOT = Path(__file__).parents[1]
PATIENCE = 300
"""Seconds after which a process that shows no progress fails the test."""


def flags(config: RunConfig) -> list[str]:
    """The command line of a config."""
    given = [
        (f"--{field.name.replace('_', '-')}", str(getattr(config, field.name)))
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != field.default
    ]
    return ["run", *(part for pair in given for part in pair)]


def start(config: RunConfig, log: Path) -> subprocess.Popen[bytes]:
    """`python -m train run` as a process of its own, its output in a file."""
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", "train", *flags(config)], cwd=ROOT, stdout=file, stderr=file)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, f"ended with {process.returncode}:\n{log.read_text()}"
        if time.monotonic() > end:
            process.kill()
            pytest.fail(f"no progress:\n{log.read_text()}")
        time.sleep(0.002)


def version_of(path: Path) -> int:
    """Another number for every state that took the place of one before."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def weights(out: Path) -> bytes:
    return (out / "model" / "model.safetensors").read_bytes()


def averaged(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "best.safetensors")


def accuracies(out: Path) -> list[float]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["validation_accuracy"] for line in lines]


def stored_progress(config: RunConfig) -> loop.Progress:
    """Where the state in a run's folder stands."""
    return loop.Trainer(config, data.load(config.protocol, config.data), Accelerator()).progress


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, toy_csv: Path) -> RunConfig:
    """A finished run that nothing disturbed, with dropout, a state after every step and epochs that differ."""
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    config = toy_config(out, toy_csv, epochs=3, checkpoint_every=1, drop_rate=0.3, mixup=0.2)
    loop.train(config)
    return config


def test_a_run_leaves_its_record_its_curves_and_its_model(toy_run: Path) -> None:
    result = json.loads((toy_run / "result.json").read_text())
    assert result["rows"] == dict(zip(("train", "validation", "test"), ROWS.values(), strict=True))
    assert result["config"] == json.loads((toy_run / "config.json").read_text())
    assert json.loads((toy_run / "model" / "metrics.json").read_text()) == result
    assert [json.loads(line)["epoch"] for line in (toy_run / "metrics.jsonl").read_text().splitlines()] == [1, 2]
    with Image.open(toy_run / "curves.png") as curves:
        assert curves.format == "PNG"
        assert np.asarray(curves.convert("L")).std() > 1
    assert {path.name for path in toy_run.iterdir()} >= {"state", "model"}
    assert not list(toy_run.rglob("*.tmp"))


def test_a_finished_run_is_left_alone(toy_run: Path, toy_csv: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in toy_run.rglob("*")}
    result = loop.train(toy_config(toy_run, toy_csv))
    assert result == json.loads((toy_run / "result.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in toy_run.rglob("*")} == before


@pytest.mark.parametrize(
    ("changes", "names"),
    [({"lr": 1.0}, "lr"), ({"epochs": 9, "seed": 4}, "epochs, seed"), ({"backbone": "resnet18"}, "backbone")],
)
def test_another_config_in_the_same_folder_is_refused_by_field(
    toy_run: Path, toy_csv: Path, changes: dict[str, object], names: str
) -> None:
    with pytest.raises(RunError, match=rf"other values for {names}\. Give another --out"):
        loop.train(toy_config(toy_run, toy_csv, **changes))


def test_a_run_may_go_on_with_other_places_and_other_logging(toy_run: Path, toy_csv: Path) -> None:
    assert loop.train(toy_config(toy_run, toy_csv, checkpoint_every=4))["config"]["epochs"] == 2


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(unbroken: RunConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(unbroken, out=tmp_path / "killed")
    state, log, chance = config.out / "state", tmp_path / "log", random.Random(0)
    for _ in range(3):
        process, last, left = start(config, log), version_of(state), chance.randint(1, 4)
        while left:
            wait_until(lambda last=last: version_of(state) not in (0, last), process, log)  # type: ignore[misc]
            last, left = version_of(state), left - 1
        time.sleep(chance.uniform(0, 0.1))  # in the middle of a step, or of the writing of a state
        process.kill()
        assert process.wait() == -signal.SIGKILL, log.read_text()
    assert not (config.out / "result.json").exists()
    result = loop.train(config)
    assert weights(config.out) == weights(unbroken.out)
    assert accuracies(config.out) == accuracies(unbroken.out)
    assert result["test"] == json.loads((unbroken.out / "result.json").read_text())["test"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_state_and_leaves_with_its_status(
    toy_csv: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    config = toy_config(tmp_path / "run", toy_csv, epochs=1000, checkpoint_every=10**6)
    process = start(config, tmp_path / "log")
    wait_until(lambda: b"img/s" in (tmp_path / "log").read_bytes(), process, tmp_path / "log")
    process.send_signal(number)
    assert process.wait(PATIENCE) == status
    said = (tmp_path / "log").read_text()
    assert f"stopped by {number.name}; the same command goes on from here" in said
    assert "Traceback" not in said
    progress = stored_progress(config)
    assert progress.epoch + progress.step > 0
    assert not (config.out / "result.json").exists()


def cut_the_largest_file(state: Path) -> None:
    path = max(state.iterdir(), key=lambda file: file.stat().st_size)
    os.truncate(path, path.stat().st_size // 2)


def empty_the_progress(state: Path) -> None:
    os.truncate(state / "custom_checkpoint_2.pkl", 0)


def lose_the_optimizer(state: Path) -> None:
    (state / "optimizer.bin").unlink()


DAMAGES = [cut_the_largest_file, empty_the_progress, lose_the_optimizer, shutil.rmtree]


def unfinished(config: RunConfig, out: Path) -> RunConfig:
    """A copy of a finished run that lacks what is written at the end."""
    shutil.copytree(config.out, out)
    shutil.rmtree(out / "model")
    (out / "result.json").unlink()
    return dataclasses.replace(config, out=out)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_falls_back_to_the_one_before(
    unbroken: RunConfig, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    config = unfinished(unbroken, tmp_path / "run")
    damage(config.out / "state")
    progress = stored_progress(config)
    assert (progress.epoch, progress.step) == (2, 5)  # one step before the end of six
    if damage is cut_the_largest_file:
        loop.train(config)
        assert weights(config.out) == weights(unbroken.out)
        assert accuracies(config.out) == accuracies(unbroken.out)


@pytest.mark.parametrize("left", [("state", "state.previous"), ("state.previous",)])
def test_a_run_without_a_whole_state_is_not_started_anew(
    unbroken: RunConfig, tmp_path: Path, left: tuple[str, ...]
) -> None:
    config = unfinished(unbroken, tmp_path / "run")
    if "state" not in left:
        shutil.rmtree(config.out / "state")
    for name in left:
        cut_the_largest_file(config.out / name)
    with pytest.raises(RunError, match=r"No state in .* can be read"):
        loop.train(config)


def test_a_half_written_line_of_metrics_is_dropped(unbroken: RunConfig, tmp_path: Path) -> None:
    config = unfinished(unbroken, tmp_path / "run")
    with (config.out / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "train_lo')
    loop.train(config)
    assert (config.out / "metrics.jsonl").read_bytes() == (unbroken.out / "metrics.jsonl").read_bytes()
    assert weights(config.out) == weights(unbroken.out)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_state(
    toy_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = toy_config(tmp_path / "run", toy_csv, lr=1e18, checkpoint_every=1)
    assert main(flags(config)) == 2
    said = capsys.readouterr().err
    assert "error: The loss became " in said
    assert f"The last good state is kept in {config.out}" in said
    assert stored_progress(config).step >= 1
    with pytest.raises(RunError, match="start another run with a lower --lr"):
        loop.train(config)


def test_the_best_epoch_is_the_first_with_the_highest_validation_accuracy(unbroken: RunConfig, toy_run: Path) -> None:
    for out in (unbroken.out, toy_run):
        found = accuracies(out)
        assert json.loads((out / "result.json").read_text())["best_epoch"] == 1 + found.index(max(found))


def test_validation_not_the_last_epoch_picks_the_weights(tmp_path: Path) -> None:
    wrong = [((label + 1) % 7 if usage == "PublicTest" else label, usage, image) for label, usage, image in toy_rows()]
    config = toy_config(tmp_path / "run", write_csv(tmp_path / "fer2013.csv", wrong), epochs=8, augment=0.0)
    result, found = loop.train(config), accuracies(tmp_path / "run")
    assert found[-1] < max(found)  # what is learnt is wrong there
    assert result["best_epoch"] == 1 + found.index(max(found)) < 8
    assert result["validation"]["accuracy"] == pytest.approx(max(found), abs=1.5 / ROWS["PublicTest"])


def test_the_model_is_the_best_epochs_weights_rounded(unbroken: RunConfig) -> None:
    model, best = load_file(unbroken.out / "model" / "model.safetensors"), export.rounded(averaged(unbroken.out))
    assert model.keys() == best.keys()
    assert all(torch.equal(model[name].to(best[name].dtype), best[name]) for name in best)


def test_the_toy_task_is_learnt(tmp_path: Path, toy_csv: Path) -> None:
    config = toy_config(tmp_path / "run", toy_csv, epochs=12, augment=0.0, label_smoothing=0.0)
    assert loop.train(config)["test"]["accuracy"] > 0.6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--backbone", "resnet19"], "Unknown backbone 'resnet19'. Known: tf_efficientnet_lite0, mobilenetv2_100"),
        (["--backbone", "timm:resnet19"], "Unknown backbone 'timm:resnet19'. Known: tf_efficientnet_lite0"),
        (["--sampling", "over"], "Unknown sampling 'over'. Known: none, undersample, oversample"),
        (["--loss", "focl"], "Unknown loss 'focl'. Known: cross-entropy, weighted, focal"),
        (["--protocol", "mine"], "Unknown protocol 'mine'. Known: official, as-given"),
        (["--batch-size", "201"], "--batch-size 201 is more than the 200 training rows. Lower it"),
        (["--sampling", "undersample", "--batch-size", "200"], "is more than the 196 training rows"),
        (["--init", "nowhere.safetensors"], "nowhere.safetensors: there is no such weights file"),
        (["--data", "nowhere"], "train.parquet does not exist"),
    ],
)
def test_wrong_input_is_one_sentence_and_status_2(
    toy_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], message: str
) -> None:
    small = ["--data", str(toy_csv), "--protocol", "as-given", "--backbone", "timm:test_resnet", "--image-size", "48"]
    assert main(["run", "--out", str(tmp_path / "run"), *small, *given]) == 2
    said = capsys.readouterr().err
    assert "error: " in said
    assert message in said


@pytest.mark.parametrize("given", [["--epochs", "0"], ["--lr", "fast"], ["--backbones", "resnet18"]])
def test_a_wrong_flag_or_value_is_named_with_status_2(capsys: pytest.CaptureFixture[str], given: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["run", "--out", "nowhere", *given])
    assert stop.value.code == 2
    assert given[0] in capsys.readouterr().err
    assert not Path("nowhere").exists()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {"conv1.0.weight": torch.zeros(1, 1)},
            r"conv1\.0\.weight has shape \(1, 1\), the model wants \(16, 3, 3, 3\)",
        ),
        ({"another.weight": torch.zeros(1)}, r"no name fits the model \(e\.g\. another\.weight against"),
        (None, "is not a readable safetensors file"),
    ],
)
def test_initial_weights_that_do_not_fit_are_refused_by_tensor(
    toy_csv: Path, tmp_path: Path, tensors: dict[str, torch.Tensor] | None, message: str
) -> None:
    path = tmp_path / "init.safetensors"
    path.write_bytes(b"no weights") if tensors is None else save_file(tensors, path)
    with pytest.raises(ModelError, match=message):
        loop.train(toy_config(tmp_path / "run", toy_csv, init=path))


def test_initial_weights_are_taken_over_but_for_a_head_of_another_size(toy_csv: Path, tmp_path: Path) -> None:
    path, donor = tmp_path / "init.safetensors", build("timm:test_resnet", 5).state_dict()
    save_file(donor, path)
    model, report = network.make_model(toy_config(tmp_path / "run", toy_csv, init=path), 7)
    own = model.state_dict()
    assert report == {"missing": ["fc.bias", "fc.weight"], "unexpected": []}
    assert all(torch.equal(own[name], donor[name]) for name in own if not name.startswith("fc."))


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 0.1), (9, 1.0), (10, 1.0), (55, 0.5), (100, 0.0)], ids=lambda value: str(value)
)
def test_the_learning_rate_rises_then_falls_as_a_cosine(step: int, factor: float) -> None:
    assert loop.learning_rate(step, total=100, warmup=0.1) == pytest.approx(factor)


@pytest.mark.slow
def test_two_processes_reach_the_weights_of_one(toy_csv: Path, tmp_path: Path) -> None:
    changes = {"backbone": "timm:test_convnext", "drop_rate": 0.0, "lr": 2e-3, "ema": 0.1}
    alone = toy_config(tmp_path / "alone", toy_csv, **changes)
    loop.train(alone)
    shared = dataclasses.replace(alone, out=tmp_path / "shared")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "train"]
    cpu = os.environ | {"ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [*launch, *flags(shared)], cwd=ROOT, env=cpu, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((shared.out / "result.json").read_text())["machine"]["processes"] == 2
    torch.manual_seed(alone.seed)
    begun = network.make_model(alone, 7)[0].state_dict()
    one, two = averaged(alone.out), averaged(shared.out)
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=1e-4, rtol=0)
    moved = sum((one[name] - begun[name]).norm() for name in one)
    apart = sum((one[name] - two[name]).norm() for name in one)
    assert apart < 0.01 * moved


def test_a_folder_in_which_nothing_was_trained_takes_the_corrected_config(toy_csv: Path, tmp_path: Path) -> None:
    wrong = toy_config(tmp_path / "run", toy_csv, loss="focl")
    with pytest.raises(ValueError, match="Known: cross-entropy"):
        loop.train(wrong)
    assert loop.train(toy_config(tmp_path / "run", toy_csv, loss="focal"))["config"]["loss"] == "focal"
