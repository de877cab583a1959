"""train.loop: a run can be stopped in any way at any moment, and ends with the same weights."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conftest import ROWS, toy_config, toy_rows, write_csv
from PIL import Image
from safetensors.torch import load_file, save_file

from fer_hub.backbones import build
from fer_hub.types import ModelError
from train import cards, data, export, figures, leaks, loop, metrics, network, pictures, start
from train.__main__ import main
from train.batches import Batches
from train.config import RunConfig
from train.run_folder import Interrupted, RunError
from train.sampling import epoch_order

ROOT = Path(__file__).parents[1]
EPOCHS = 6
PATIENCE = 300
"""Seconds after which a process that shows no progress fails the test."""


def flags(config: RunConfig) -> list[str]:
    """The command line of a config."""
    values = {
        f.name: getattr(config, f.name) for f in dataclasses.fields(config) if getattr(config, f.name) != f.default
    }
    given = [
        (f"--{name.replace('_', '-')}", str(one))
        for name, value in values.items()
        for one in (value if isinstance(value, tuple) else (value,))
    ]
    return ["run", *(part for pair in given for part in pair)]


def launch(config: RunConfig, log: Path) -> subprocess.Popen[bytes]:
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


def epochs_of(out: Path) -> list[dict[str, object]]:
    """The lines of metrics.jsonl, without the time that an epoch took."""
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def stored_progress(config: RunConfig) -> loop.Progress:
    """Where the state in a run's folder stands."""
    return loop.Trainer(config, data.load(config.protocol, config.data), Accelerator()).progress


@pytest.fixture(autouse=True)
def quick_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing and ONNX take longer than training here; the runs of the wider fixtures, made before, have them all."""
    for module, name in ((start, "draw"), (figures, "draw_run"), (figures, "draw_model"), (pictures, "draw_pictures")):
        monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(export, "write_onnx", lambda *_: None)
    monkeypatch.setattr(export, "measure", lambda *_: {})
    monkeypatch.setattr(cards, "model_card", lambda folder: "")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, toy_csv: Path) -> RunConfig:
    """A finished run that nothing disturbed, with dropout, a state after every step and epochs that differ."""
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    config = toy_config(out, toy_csv, epochs=EPOCHS, checkpoint_every=1, drop_rate=0.3, mixup=0.2)
    loop.train(config)
    return config


def test_a_run_leaves_its_record_its_curves_and_its_model(toy_run: Path) -> None:
    result = json.loads((toy_run / "result.json").read_text())
    assert result["rows"] == dict(zip(("train", "validation", "test"), ROWS.values(), strict=True))
    assert result["config"] | {"data": result["data"]} == json.loads((toy_run / "config.json").read_text())
    assert json.loads((toy_run / "model" / "metrics.json").read_text()) == result
    assert [json.loads(line)["epoch"] for line in (toy_run / "metrics.jsonl").read_text().splitlines()] == [1, 2]
    for name in ("curves", "class_counts", "training_samples", "predictions"):
        with Image.open(toy_run / f"{name}.png") as picture:
            assert picture.format == "PNG"
            assert np.asarray(picture.convert("L")).std() > 1
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
def test_a_run_killed_ten_times_ends_with_the_same_weights(unbroken: RunConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(unbroken, out=tmp_path / "killed")
    state, chance = config.out / "state", random.Random(0)
    processes = multiprocessing.get_context("forkserver")  # each run is forked from one that imported all: quick
    processes.set_forkserver_preload(["train.loop"])
    for _ in range(10):
        process, last = processes.Process(target=loop.train, args=(config,)), version_of(state)
        process.start()
        end = time.monotonic() + PATIENCE
        while version_of(state) in (0, last) and process.is_alive() and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.15))  # in the middle of a step, or of the writing of a state
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert not (config.out / "result.json").exists()
    result = loop.train(config)
    assert weights(config.out) == weights(unbroken.out)
    assert (config.out / "metrics.jsonl").read_text().count("\n") == EPOCHS
    assert epochs_of(config.out) == epochs_of(unbroken.out)
    assert result["test"] == json.loads((unbroken.out / "result.json").read_text())["test"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_state_and_leaves_with_its_status(
    toy_csv: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    config = toy_config(tmp_path / "run", toy_csv, epochs=1000, checkpoint_every=10**6)
    process = launch(config, tmp_path / "log")
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
    assert (progress.epoch, progress.step) == (EPOCHS - 1, 5)  # one step before the end of six
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
        file.write('{"epoch": 7, "train_lo')
    loop.train(config)
    assert (config.out / "metrics.jsonl").read_bytes() == (unbroken.out / "metrics.jsonl").read_bytes()
    assert weights(config.out) == weights(unbroken.out)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_state(
    toy_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = toy_config(tmp_path / "run", toy_csv, lr=1e18, checkpoint_every=1)
    assert main(flags(config)) == 2
    said = capsys.readouterr().err
    assert re.search(r"error: By step \d of 6 in epoch 1 (the loss became|the weights are no longer) ", said)
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
    head = {"fc.weight", "fc.bias"}
    model, best = load_file(unbroken.out / "model" / "model.safetensors"), export.rounded(averaged(unbroken.out), head)
    result = json.loads((unbroken.out / "result.json").read_text())
    assert (result["calibration"]["method"], result["calibration"]["folded"]) == ("temperature", True)
    assert model.keys() == best.keys()
    for name, weight in best.items():
        wanted = weight / result["temperature"] if name in head else weight
        assert torch.equal(model[name].to(weight.dtype), wanted), name


def test_the_toy_task_is_learnt(tmp_path: Path, toy_csv: Path) -> None:
    config = toy_config(tmp_path / "run", toy_csv, epochs=12, augment=0.0, label_smoothing=0.0)
    assert loop.train(config)["test"]["accuracy"] > 0.6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--backbone", "resnet19"], "Unknown backbone 'resnet19'. Known: tf_efficientnet_lite0, "),
        (["--backbone", "timm:resnet19"], "Unknown backbone 'timm:resnet19'. Known: tf_efficientnet_lite0"),
        (["--sampling", "over"], "Unknown sampling 'over'. Known: none, undersample, oversample"),
        (["--loss", "focl"], "Unknown loss 'focl'. Known: cross-entropy, weighted, focal"),
        (["--protocol", "mine"], "Unknown protocol 'mine'. Known: official, "),
        (["--batch-size", "201"], "--batch-size 201 is more than the 200 training rows. Lower it"),
        (["--sampling", "undersample", "--batch-size", "200"], "is more than the 196 training rows"),
        (["--init", "nowhere.safetensors"], "nowhere.safetensors: there is no such weights file"),
        (["--data", "nowhere"], "nowhere does not exist. Give one of:"),
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


def test_a_run_out_of_time_saves_its_state_and_goes_on_later(toy_csv: Path, tmp_path: Path) -> None:
    config = toy_config(tmp_path / "run", toy_csv, seed=3)
    with pytest.raises(Interrupted, match="the end of its time; the same command goes on") as stop:
        loop.train(config, deadline=time.monotonic())
    assert stop.value.code == 0
    assert stored_progress(config).step == 1
    whole = toy_config(tmp_path / "whole", toy_csv, seed=3)
    assert loop.train(config)["test"] == loop.train(whole)["test"]
    assert weights(config.out) == weights(whole.out)


def test_a_signal_while_the_end_is_written_stops_what_called_it_and_the_run_is_whole(
    toy_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, write = toy_config(tmp_path / "run", toy_csv, epochs=1), export.write_model_folder

    def stopped(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        write(*arguments)

    monkeypatch.setattr(export, "write_model_folder", stopped)
    with pytest.raises(Interrupted, match="SIGTERM") as stop:
        loop.train(config)
    assert stop.value.code == 143
    assert loop.train(config) == json.loads((config.out / "result.json").read_text())


def test_a_request_to_stop_is_not_mistaken_for_a_damaged_state(
    toy_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = toy_config(tmp_path / "run", toy_csv)
    with pytest.raises(Interrupted):
        loop.train(config, deadline=time.monotonic())

    def stopped(*_: object) -> None:
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(Accelerator, "load_state", stopped)
    with pytest.raises(Interrupted, match="SIGTERM"):
        loop.train(config)


def test_what_is_odd_about_the_data_is_kept_in_the_result(
    toy_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaks, "DISGUST", 40)  # the toy set has more
    config = toy_config(tmp_path / "run", toy_csv, epochs=1)
    (sentence,) = loop.train(config)["notes"]["warnings"]
    assert "rows are labelled disgust; all of FER2013 has 40" in sentence


def test_a_run_stops_after_epochs_in_a_row_without_a_better_one(toy_csv: Path, tmp_path: Path) -> None:
    config = toy_config(tmp_path / "run", toy_csv, epochs=30, lr=1e-9, ema=0.0, patience=3)
    result = loop.train(config)
    assert result["best_epoch"] == 1
    assert result["epochs_run"] == len(accuracies(config.out)) == 4


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "nll"])
def test_the_chosen_figure_decides_which_epoch_is_best(toy_csv: Path, tmp_path: Path, name: str) -> None:
    config = toy_config(tmp_path / "run", toy_csv, epochs=5, lr=0.05, ema=0.0, augment=0.0, choose_by=name)
    result = loop.train(config)
    found = [float(str(row[f"validation_{name}"])) for row in epochs_of(config.out)]
    assert result["best_epoch"] == 1 + found.index(min(found) if name == "nll" else max(found))


def test_the_training_figures_of_an_epoch_are_those_of_its_outputs(toy_csv: Path, tmp_path: Path) -> None:
    config = toy_config(tmp_path / "run", toy_csv, epochs=1, batch_size=50, augment=0.0, label_smoothing=0.0, lr=1e-12)
    config = dataclasses.replace(config, drop_rate=0.0)
    loop.train(config)
    splits = data.load(config.protocol, config.data)
    torch.manual_seed(config.seed)
    model = network.make_model(config, 7)[0].train()
    batches = Batches(config, splits.train, 7, network.input_spec(config), torch.device("cpu"), 0, 1)
    order = torch.from_numpy(epoch_order("none", splits.train.labels, config.seed, 0, splits.labels))
    with torch.no_grad():
        logits = torch.cat([model(batches(0, i, order[i * 50 : (i + 1) * 50])[0]) for i in range(4)])
    wanted = metrics.score(logits.numpy(), splits.train.labels[order.numpy()], splits.labels)
    row = epochs_of(config.out)[0]
    for name in metrics.EPOCH_FIGURES:
        assert row[f"train_{name}"] == pytest.approx(wanted[name], abs=1e-4), name
    assert row["train_loss"] == pytest.approx(wanted["nll"], abs=1e-4)


def test_epochs_are_logged_to_tensorboard_too(toy_csv: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = toy_config(tmp_path / "run", toy_csv, log_with="tensorboard")
    loop.train(config)
    folder = next(path.parent for path in config.out.rglob("events.out.tfevents*") if "accuracy" in str(_tags(path)))
    events = EventAccumulator(str(folder)).Reload()
    logged = [event.value for event in events.Scalars("validation_accuracy")]
    assert logged == pytest.approx(accuracies(config.out))


def _tags(path: Path) -> object:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(path)).Reload().Tags()["scalars"]


def test_a_tracker_that_is_not_installed_is_named(
    toy_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ValueError, match=r"trackio is not installed\. Type: pip install trackio"):
        loop.train(toy_config(tmp_path / "run", toy_csv, log_with="trackio"))


def test_a_run_is_not_resumed_on_other_data(unbroken: RunConfig, tmp_path: Path) -> None:
    other = write_csv(tmp_path / "other.csv", toy_rows(seed=5))
    config = dataclasses.replace(unfinished(unbroken, tmp_path / "run"), data=other)
    with pytest.raises(RunError, match="holds a run on other data"):
        loop.train(config)


def test_one_more_set_is_scored_at_the_end(toy_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # of quick_ends: the card is read
    config = toy_config(tmp_path / "run", toy_csv, epochs=1, external=toy_csv)
    result = loop.train(config)
    assert result["external"]["n"] == sum(ROWS.values())
    assert result["config"]["external"] == "fer2013.csv"
    assert "another set" in (config.out / "model" / "README.md").read_text()


def test_a_run_whose_splits_share_images_says_so(
    toy_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # of quick_ends: the card is read
    rows = toy_rows()
    test = [(label, "PrivateTest", image) for label, usage, image in rows if usage == "Training"][:40]
    path = write_csv(tmp_path / "leaky.csv", [row for row in rows if row[1] != "PrivateTest"] + test)
    result = loop.train(toy_config(tmp_path / "run", path, epochs=1))
    assert "warning: " in (said := capsys.readouterr().err)
    assert "40 identical images" in said
    assert result["notes"]["leaks"]["train→test"] == 40
    assert "40 in train→test" in (tmp_path / "run" / "model" / "README.md").read_text()


@pytest.mark.parametrize("loss", ["cross-entropy", "focal:1", "weighted"])
@pytest.mark.parametrize("sampling", ["hybrid:20", "oversample:disgust"])
def test_rows_of_an_epoch_follow_the_sampling(toy_csv: Path, tmp_path: Path, sampling: str, loss: str) -> None:
    result = loop.train(toy_config(tmp_path / "run", toy_csv, epochs=1, sampling=sampling, loss=loss, batch_size=20))
    assert result["rows_per_epoch"] == {"hybrid:20": 140, "oversample:disgust": 200}[sampling]


@pytest.mark.slow
def test_two_processes_reach_the_weights_of_one(toy_csv: Path, toy_run: Path, tmp_path: Path) -> None:
    changes = {"backbone": "timm:test_convnext", "drop_rate": 0.0, "lr": 2e-3, "ema": 0.1, "mixup": 0.4}
    changes |= {"sam": 0.05, "teacher": (toy_run,)}
    alone = toy_config(tmp_path / "alone", toy_csv, **changes)
    loop.train(alone)
    shared = dataclasses.replace(alone, out=tmp_path / "shared")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "train"]
    cpu = os.environ | {"ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [*torchrun, *flags(shared)], cwd=ROOT, env=cpu, capture_output=True, text=True, timeout=PATIENCE
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


def test_the_initial_weights_keep_their_share(tmp_path: Path, toy_csv: Path, toy_model: Path) -> None:
    init = toy_model / "model.safetensors"
    config = toy_config(tmp_path / "run", toy_csv, init=init, init_share=0.6, epochs=1)
    loop.train(config)
    kept, best, initial = (
        load_file(path) for path in (config.out / "model/model.safetensors", config.out / "best.safetensors", init)
    )
    for name, weight in best.items():
        if name.startswith("fc."):  # the calibration is folded into it
            continue
        wanted = 0.4 * weight + 0.6 * initial[name].to(weight) if weight.is_floating_point() else weight
        torch.testing.assert_close(kept[name].to(wanted), wanted, rtol=1e-3, atol=1e-4)
    assert any(not torch.equal(weight, initial[name].to(weight)) for name, weight in best.items())


def test_balanced_labels_are_in_the_last_layer_and_in_the_result(tmp_path: Path) -> None:
    rows = [row for i, row in enumerate(toy_rows()) if row[0] != 1 or i % 3 == 0]
    uneven = write_csv(tmp_path / "fer2013.csv", rows)
    plain = loop.train(toy_config(tmp_path / "plain", uneven))
    result = loop.train(toy_config(tmp_path / "balanced", uneven, balance=0.9))
    assert "balance" not in plain
    assert result["balance"]["share"] == 1
    assert result["balance"]["before"] == {name: plain["validation"][name] for name in result["balance"]["before"]}
    assert result["uncalibrated"] == plain["uncalibrated"]
    files = [load_file(tmp_path / name / "model/model.safetensors") for name in ("plain", "balanced")]
    torch.testing.assert_close(files[0]["fc.weight"], files[1]["fc.weight"])
    offsets = [np.array(r["calibration"]["bias"] or [0.0] * 7) for r in (plain, result)]
    moved = (files[1]["fc.bias"] - files[0]["fc.bias"]).numpy()
    np.testing.assert_allclose(moved, offsets[1] - offsets[0], atol=1e-5)
    assert np.abs(moved).max() > 0.05


def test_a_head_without_offsets_cannot_be_balanced(
    tmp_path: Path, toy_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = toy_config(tmp_path / "run", toy_csv, backbone="timm:test_byobnet", balance=0.01)
    make_model = network.make_model

    def headless(*args: Any) -> Any:
        model, report = make_model(*args)
        model.head.fc = torch.nn.Linear(model.num_features, 7, bias=False)
        return model, report

    monkeypatch.setattr(network, "make_model", headless)
    with pytest.raises(ValueError, match=r"--balance 0\.01 .* timm:test_byobnet has none"):
        loop.train(config)


def test_no_share_of_weights_that_are_not_there(tmp_path: Path, toy_csv: Path, toy_model: Path) -> None:
    with pytest.raises(ValueError, match=r"--init-share 0\.5 of no weights"):
        toy_config(tmp_path / "run", toy_csv, init_share=0.5)
    headless = {
        name: weight for name, weight in load_file(toy_model / "model.safetensors").items() if name[:3] != "fc."
    }
    save_file(headless, tmp_path / "headless.safetensors")
    config = toy_config(tmp_path / "run", toy_csv, init=tmp_path / "headless.safetensors", init_share=0.5)
    with pytest.raises(ModelError, match=r"lacks fc\.bias, fc\.weight: --init-share would average with random"):
        loop.train(config)
