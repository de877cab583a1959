"""train.presets, train.sweep, train.attempts: lists of runs, each done once, stopped and taken up again."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from fer_hub.backbones import timm_name
from train import attempts, presets, run_folder
from train.__main__ import main
from train.attempts import perform
from train.config import choices, to_json
from train.presets import PRESETS
from train.progress import Progress, duration
from train.sweep import SweepConfig, budget, planned

ROOT = Path(__file__).parents[1]
TINY = {"backbone": "timm:test_resnet", "protocol": "as-given", "image_size": 48, "batch_size": 32, "ema": 0.5}
FOUR = ("sampling=none", "sampling=oversample:disgust", "loss=cross-entropy", "loss=focal")


def tiny(out: Path, data: Path, *more: str, runs: Sequence[str] = FOUR) -> list[str]:
    """Arguments of runs of seconds: four, or others."""
    sets = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    only = [part for text in runs for part in ("--only", text)]
    head = ["sweep", "imbalance-grid", "--out", str(out), "--data", str(data), "--recipe", "ours", "--epochs", "2"]
    return [*head, *sets, *only, *more]


def runs_of(name: str, tmp_path: Path = Path("runs"), **more: Any) -> list[presets.Run]:
    return planned(SweepConfig(name, out=tmp_path, **more))[0]


@pytest.mark.parametrize(
    ("name", "count", "protocol", "size", "epochs", "optimizer", "lr"),
    [
        ("imbalance-grid", 60, "folders", 96, {30}, "adam", 1e-3),
        ("imbalance-grid-aligned", 4, "folders", 96, {30}, "adam", 1e-3),
        ("raw-pixel-8", 3, "ferplus-raw", 48, {15, 60, 360}, "adam", 1e-3),
        ("cnn-architectures", 4, "random-80-20", 48, {45}, "adam", 1e-3),
        ("realtime-7", 1, "kaggle-28821", 48, {45}, "adam", 1e-3),
        ("five-class", 2, "five-class", 224, {50}, "adamw", 1e-4),
    ],
)
def test_a_preset_is_its_reports_system(
    name: str, count: int, protocol: str, size: int, epochs: set[int], optimizer: str, lr: float
) -> None:
    configs = [run.config for run in runs_of(name)]
    assert len(configs) == count
    assert {config.protocol for config in configs} == {protocol}
    assert {config.image_size for config in configs} == {size}
    assert {config.epochs for config in configs} == epochs
    assert {(config.optimizer, config.lr) for config in configs} == {(optimizer, lr)}


@pytest.mark.parametrize("name", PRESETS)
def test_our_recipe_keeps_protocol_size_and_epochs(name: str) -> None:
    for run, ours in zip(runs_of(name), runs_of(name, recipe="ours"), strict=True):
        assert ours.slug == run.slug
        for field in ("protocol", "image_size", "epochs", "backbone", "sampling", "loss", "align", "on_missing"):
            assert getattr(ours.config, field) == getattr(run.config, field)
        assert (ours.config.optimizer, ours.config.schedule, ours.config.ema) == ("adamw", "cosine", 0.998)
        assert ours.config.patience == 0


@pytest.mark.parametrize("name", PRESETS)
def test_every_name_in_a_preset_is_known(name: str) -> None:
    for run in runs_of(name):
        timm_name(run.config.backbone)
        assert run.config.protocol in choices("protocol")
        for field in ("sampling", "loss", "optimizer", "schedule"):
            assert getattr(run.config, field).partition(":")[0] in {n.partition(":")[0] for n in choices(field)}


@pytest.mark.parametrize("name", PRESETS)
def test_every_run_has_a_folder_of_its_own_whose_name_every_system_takes(name: str) -> None:
    slugs = [run.slug for run in runs_of(name)]
    assert len({slug.lower() for slug in slugs}) == len(slugs)
    assert all(set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-._") for slug in slugs)


def test_early_stopping_waits_as_long_as_the_fifth_report_says_for_each_network() -> None:
    assert {run.config.backbone: run.config.patience for run in runs_of("five-class")} == {
        "resnet18_grey": 12,
        "six_conv_cnn": 10,
    }


def test_runs_of_one_backbone_are_neighbours() -> None:
    names = [run.config.backbone for run in runs_of("imbalance-grid")]
    assert sum(a != b for a, b in itertools.pairwise(names)) == len(set(names)) - 1


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (("backbone=resnet18",), 15),
        (("backbone=resnet18", "sampling=none"), 3),
        (("backbone=resnet18", "backbone=legacy_xception", "loss=focal"), 10),
        (("hybrid",), 24),
        (("resnet18--hybrid", "loss=focal"), 2),
        (("image_size=96",), 60),
    ],
)
def test_only_keeps_the_runs_that_fit(filters: tuple[str, ...], count: int) -> None:
    assert len(runs_of("imbalance-grid", only=filters)) == count


def test_shards_are_all_runs_once_and_do_not_depend_on_filters() -> None:
    parts = [runs_of("imbalance-grid", shard=f"{i}/7") for i in range(1, 8)]
    assert sorted(run.number for part in parts for run in part) == list(range(1, 61))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    narrow = runs_of("imbalance-grid", shard="2/7", only=("backbone=resnet18",))
    assert {run.number for run in narrow} < {run.number for run in parts[1]}


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"set": ("lr=3e-4",)}, "lr", 3e-4),
        ({"set": ("drop_rate=none",)}, "drop_rate", None),
        ({"set": ("drop_rate=0.4",)}, "drop_rate", 0.4),
        ({"set": ("compile=true",)}, "compile", True),
        ({"set": ("targets=votes",)}, "targets", "votes"),
        ({"set": ("external=other.csv",)}, "external", Path("other.csv")),
        ({"set": ("batch_size=128",)}, "batch_size", 128),
        ({"epochs": 2}, "epochs", 2),
        ({"limit": 50}, "limit", 50),
        ({"seed": 3}, "seed", 3),
        ({"precision": "bf16"}, "precision", "bf16"),
        ({"compile": True}, "compile", True),
        ({"data": Path("fer.csv")}, "data", Path("fer.csv")),
        ({"pretrained": True}, "pretrained", True),
    ],
)
def test_a_field_is_set_in_every_run(given: dict[str, Any], field: str, value: object) -> None:
    found = {getattr(run.config, field) for run in runs_of("imbalance-grid", **given)}
    assert found == {value}


def test_an_axis_that_is_set_keeps_this_value_only() -> None:
    runs = runs_of("imbalance-grid", set=("backbone=timm:test_resnet", "loss=focal:1.5"))
    assert [run.slug for run in runs][:2] == [
        "timm-test_resnet--none--focal-1.5",
        "timm-test_resnet--undersample--focal-1.5",
    ]
    assert len(runs) == 5
    assert [run.slug for run in runs_of("raw-pixel-8", epochs=2)] == ["epochs-2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "Unknown preset 'nope'. Known: imbalance-grid, imbalance-grid-aligned, raw-pixel-8"),
        (["imbalance-grid", "--recipe", "mine"], "Unknown recipe 'mine'. Known: report"),
        (["imbalance-grid", "--only", "backbone=vgg16"], "fits none of 60 runs. Axes: backbone legacy_xception, mob"),
        (["imbalance-grid", "--only", "network=vgg16"], "A run has no field 'network'. Known: data, protocol"),
        (["imbalance-grid", "--set", "lr"], "--set 'lr' is not of the form field=value"),
        (["imbalance-grid", "--set", "out=x"], "A run has no field 'out'"),
        (["imbalance-grid", "--set", "los=focal"], "A run has no field 'los'. Known: data, protocol"),
        (["imbalance-grid", "--set", "lr=fast"], "--set lr=fast: lr is a number."),
        (["imbalance-grid", "--set", "compile=1"], "--set compile=1: compile is true or false."),
        (["imbalance-grid", "--set", "limit=all"], "--set limit=all: limit is a whole number or none."),
        (["imbalance-grid", "--set", "align=nose"], "--set align=nose: align is one of none, box, eyes."),
        (["imbalance-grid", "--set", "epochs=0"], "Out of range: --epochs 0"),
        (["imbalance-grid", "--shard", "3/2"], "--shard '3/2' is not of the form i/n"),
        (["imbalance-grid", "--shard", "0/2"], "--shard '0/2' is not of the form i/n"),
        (["imbalance-grid", "--time-budget", "9"], "--time-budget '9' is no time. Write it as 9m, 90s or 1h30m"),
        (["imbalance-grid", "--init-dir", "nowhere"], "--init-dir nowhere is no folder"),
        (["imbalance-grid", "--init-run", "loss"], "--init-run 'loss' is not of the form field=value"),
        (["imbalance-grid", "--init-run", "lr=1"], "--init-run lr=1.0: lr is no axis. Axes: backbone, sampling, loss."),
        (["imbalance-grid", "--init-run", "loss=focal", "--only", "loss=focal"], "--init-run leaves no run"),
        (["imbalance-grid", "--init-run", "loss=focal", "--pretrained"], "--init-run, --init-dir and --pretrained all"),
        (
            ["imbalance-grid", "--init-run", "sampling=none", "--init-run", "loss=focal", "--out", "nowhere"],
            "nowhere/imbalance-grid/legacy_xception--none--focal is no finished run. Train it first",
        ),
    ],
)
def test_a_wrong_word_is_one_sentence_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["sweep", *arguments, "--dry-run"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"), [("9m", 540), ("90s", 90), ("1h30m", 5400), ("1h1m1s", 3661), ("2h", 7200), (None, None)]
)
def test_a_time_budget_is_read(text: str | None, seconds: float | None) -> None:
    assert budget(text) == seconds


@pytest.mark.parametrize("text", ["", "9", "m", "1.5h", "9m1h", "0s", "-9m"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        budget(text)


def test_initial_weights_are_found_by_the_backbones_whole_name(tmp_path: Path) -> None:
    for name in ("resnet18.imagenet", "resnet18_grey", "legacy_xception", "efficientnet_b0-v2"):
        (tmp_path / f"{name}.safetensors").touch()
    runs = runs_of("imbalance-grid", init_dir=tmp_path, pretrained=True)
    found = {run.config.backbone: (run.config.init and run.config.init.name, run.config.pretrained) for run in runs}
    assert found == {
        "legacy_xception": ("legacy_xception.safetensors", False),
        "mobilenetv3_large_100": (None, True),
        "efficientnet_b0": ("efficientnet_b0-v2.safetensors", False),
        "resnet18": ("resnet18.imagenet.safetensors", False),
    }
    (tmp_path / "resnet18.safetensors").touch()
    with pytest.raises(ValueError, match="holds 2 files for resnet18"):
        runs_of("imbalance-grid", init_dir=tmp_path)


def test_nothing_is_fetched_for_networks_of_our_own() -> None:
    runs = runs_of("five-class", pretrained=True)
    assert {run.config.backbone: run.config.pretrained for run in runs} == {
        "resnet18_grey": True,
        "six_conv_cnn": False,
    }


def test_a_dry_run_lists_every_run_with_its_state_and_does_not_import_torch(tmp_path: Path) -> None:
    runs = runs_of("imbalance-grid", tmp_path)
    for run, name in zip(runs, ("result.json", "state", "error.txt", "result.json"), strict=False):
        changed = {"lr": 0.5} if run.number == 4 else {}
        run_folder.write_json(run.config.out / "config.json", to_json(run.config) | changed)
        (run.config.out / name).write_text("Traceback\nValueError: no")
    code = "import sys; from train.__main__ import main; main(); sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "sweep", "imbalance-grid", "--dry-run", "--out", str(tmp_path)]
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["1/60", "legacy_xception--none--cross-entropy", "done"]
    assert lines[1].split() == ["2/60", "legacy_xception--none--weighted", "unfinished"]
    assert lines[2].split(maxsplit=2) == ["3/60", "legacy_xception--none--focal", "failed: ValueError: no"]
    assert "differs: " in lines[3] and "other values for lr" in lines[3]
    even = "resnet18--hybrid-8989"
    assert lines[58].split(maxsplit=2) == ["59/60", f"{even}--weighted", f"same: as {even}--cross-entropy"]
    assert lines[59].split() == ["60/60", f"{even}--focal", "open"]
    assert lines[60] == "60 runs: 1 done, 1 unfinished, 1 failed, 1 differs, 12 same, 44 open"
    assert "will start from random weights, the report's from ImageNet" in lines[61]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_that_another_process_is_at_is_left_alone(tmp_path: Path) -> None:
    config = runs_of("imbalance-grid", tmp_path)[0].config
    config.out.mkdir(parents=True)
    with FileLock(config.out / attempts.LOCK):
        assert perform(config).kind == "busy"
    assert not (config.out / attempts.ATTEMPTS).exists()


def test_a_sweep_in_many_processes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["sweep", "realtime-7", "--out", str(tmp_path)]) == 2
    assert "Share its runs with --shard i/n or --executor ray" in capsys.readouterr().err


def events(folder: Path) -> list[str]:
    """What processes noted in a run's folder."""
    return [json.loads(line)["event"] for line in (folder / attempts.ATTEMPTS).read_text().splitlines()]


@pytest.mark.slow
def test_four_runs_stopped_by_their_time_end_as_unbroken_ones_do(
    tmp_path: Path, toy_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from train import loop  # noqa: F401  # imported, and the data read, before the clock runs

    chosen = ("backbone=timm:test_resnet", "protocol=as-given")
    attempts.data_of(runs_of("imbalance-grid", tmp_path, data=toy_csv, set=chosen)[0].config)
    command = tiny(tmp_path, toy_csv, "--set", "checkpoint_every=1", "--set", "epochs=8")
    folder = tmp_path / "imbalance-grid"
    assert main([*command, "--time-budget", "1s"]) == 0
    said = capsys.readouterr().out
    assert "of 4 done; the same command goes on" in said
    assert len(list(folder.glob("*/result.json"))) < 4
    begun = next(folder.glob("*/state")).parent
    (begun / attempts.ERROR).write_text("MemoryError")  # as if it had failed for a reason that is gone
    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "4 of 4 done"
    results = sorted(folder.glob("*/result.json"))
    assert len(results) == 4
    assert all(events(path.parent).count("finished") == 1 for path in results)
    assert events(begun) == ["started", "stopped", "started", "finished"]
    assert not (begun / attempts.ERROR).exists()
    stamps = [path.stat().st_mtime_ns for path in results]
    assert main(command) == 0  # nothing is left to do
    assert "4 done already, 0 to do" in capsys.readouterr().out
    assert [path.stat().st_mtime_ns for path in results] == stamps
    table = (folder / "leaderboard.md").read_text()
    assert table.count("timm:test_resnet") == 4
    for path in results:
        assert f"{100 * json.loads(path.read_text())['test']['accuracy']:.2f}" in table
    assert (folder / "leaderboard.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_run_begins_with_the_model_of_another_run_of_the_sweep(tmp_path: Path, toy_csv: Path) -> None:
    first, later = ("sampling=none", "loss=cross-entropy"), ("sampling=none", "loss=focal")
    begun_with = [part for text in first for part in ("--init-run", text)]
    assert main(tiny(tmp_path, toy_csv, runs=first)) == 0
    assert main(tiny(tmp_path, toy_csv, *begun_with, "--set", "epochs=1", runs=later)) == 0
    before, after = (
        json.loads((tmp_path / "imbalance-grid" / f"timm-test_resnet--none--{loss}" / "result.json").read_text())
        for loss in ("cross-entropy", "focal")
    )
    assert before["config"]["init"] is None
    assert after["config"]["init"] == "timm-test_resnet--none--cross-entropy/model"
    assert after["parent"]["config"] == before["config"]
    assert after["parent"]["beware"] is None


def test_a_run_that_fails_is_named_and_the_others_go_on(
    tmp_path: Path, toy_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*tiny(tmp_path, toy_csv), "--set", "loss=focal"]
    chosen = {"set": ("backbone=timm:test_resnet", "loss=focal"), "only": FOUR}
    broken, sound = (run.config.out for run in runs_of("imbalance-grid", tmp_path, **chosen))
    (broken / "state").mkdir(parents=True)  # a state without content
    assert main(command) == 1
    heard = capsys.readouterr()
    assert f"failed: {broken.name}: RunError: No state in" in heard.err
    assert heard.out.splitlines()[-1] == "1 of 2 done"
    assert "Traceback" in (broken / attempts.ERROR).read_text()
    assert (events(broken), events(sound)) == (["started", "failed"], ["started", "finished"])
    accuracy = json.loads((sound / "result.json").read_text())["test"]["accuracy"]
    assert f"| {100 * accuracy:.2f} |" in (tmp_path / "imbalance-grid" / "leaderboard.md").read_text()


def test_runs_that_failed_before_come_last_and_done_ones_not_at_all(tmp_path: Path) -> None:
    runs = runs_of("imbalance-grid", tmp_path)[:4]
    for run, name in ((runs[0], "error.txt"), (runs[1], "result.json"), (runs[2], "state")):
        run_folder.write_json(run.config.out / name, {"seconds": 60.0})
    progress = Progress(runs, 60)
    assert [run.number for run in progress.sort_out()] == [3, 4, 1]
    assert progress.seconds_left() == 3 * 60  # all of one backbone


def test_a_run_that_would_repeat_another_is_left_out_unless_it_was_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = runs_of("imbalance-grid", tmp_path, only=("backbone=resnet18",))
    progress = Progress(runs, 60)
    todo = progress.sort_out()
    assert {run.axes["sampling"] for run in todo if run.axes["loss"] == "weighted"} == {"none", "oversample:disgust"}
    assert "3 of 15 runs would repeat another's figures and are left out" in capsys.readouterr().out
    begun = next(run for run in runs if run.slug == "resnet18--undersample--weighted")
    run_folder.write_json(begun.config.out / "state", {})
    assert [run for run in Progress(runs, 60).sort_out() if run not in todo] == [begun]


def test_a_run_that_the_list_has_no_other_of_is_not_left_out(tmp_path: Path) -> None:
    assert all(run.same_as is None for run in runs_of("imbalance-grid", tmp_path, set=("loss=weighted",)))


def test_a_run_can_begin_with_the_model_of_the_one_that_a_left_out_run_would_repeat(tmp_path: Path) -> None:
    lender = tmp_path / "imbalance-grid" / "resnet18--undersample--cross-entropy"
    run_folder.write_json(lender / "result.json", {})
    chosen = ("backbone=resnet18", "sampling=undersample", "loss=focal")
    (run,) = runs_of("imbalance-grid", tmp_path, only=chosen, init_run=("loss=weighted",))
    assert run.config.init == lender


def test_an_estimate_goes_by_the_backbone_and_by_the_runs_at_a_time(tmp_path: Path) -> None:
    runs = runs_of("imbalance-grid", tmp_path, only=("loss=focal", "sampling=none"))
    progress = Progress(runs, 60, lanes=2)
    assert math.isnan(progress.seconds_left())
    progress.done = {runs[0].number: 100.0, runs[1].number: 20.0}
    assert progress.seconds_left() == (60 + 60) / 2  # two backbones of which nothing is known


@pytest.mark.parametrize(
    ("seconds", "words"), [(40, "(about 1 min left)"), (9, "(about 9 s left)"), (4800, "(about 1 h 20 min left)")]
)
def test_a_duration_is_told_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_wrong_data_are_one_sentence_not_a_failure_of_every_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tiny(tmp_path, tmp_path / "nowhere.csv")) == 2
    heard = capsys.readouterr().err
    assert "error: " in heard
    assert "FAILED" not in heard


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_the_sweep_with_its_status(
    tmp_path: Path, toy_csv: Path, number: signal.Signals, status: int
) -> None:
    command = [sys.executable, "-m", "train", *tiny(tmp_path, toy_csv, "--set", "epochs=1000")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
    end = time.monotonic() + 120
    while not list((tmp_path / "imbalance-grid").glob("*/metrics.jsonl")):
        assert process.poll() is None and time.monotonic() < end, (tmp_path / "log").read_text()
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == status
    said = (tmp_path / "log").read_text()
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert len(list((tmp_path / "imbalance-grid").glob("*/state"))) == 1
