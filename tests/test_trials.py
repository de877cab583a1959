"""train.trials, train.view_scores, train.tried: one change at a time, no test split, a table that equals records."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fer_hub.classifier import load_classifier
from fer_hub.labels import labels_of
from fer_hub.views import VIEWS
from train import metrics, records, run_folder, tried
from train.__main__ import main
from train.config import RunConfig, choices, differing, to_json
from train.data import Split
from train.trials import BASE, TRIALS, TrialsConfig, base_of, planned

ROOT = Path(__file__).parents[1]
TINY = ("protocol=as-given", "batch_size=32", "ema=0.5", "drop_path_rate=0")
LABELS = labels_of("fer2013-7")


def tiny(out: Path, data: Path, *more: str) -> list[str]:
    """Arguments of trials of seconds."""
    sets = [part for text in TINY for part in ("--set", text)]
    base = ["--backbone", "timm:test_resnet", "--epochs", "2", "--data", str(data), "--out", str(out)]
    return ["trials", *base, *sets, *more]


def scores(right: float, n: int = 3589, accuracy_95: tuple[float, float] | None = None) -> dict[str, Any]:
    """Scores of made-up logits of which so many are right."""
    truth = np.arange(n) % len(LABELS)
    guesses = np.where(np.arange(n) < round(right * n), truth, (truth + 1) % len(LABELS))
    logits = np.random.default_rng(0).normal(0, 0.1, (n, len(LABELS)))
    logits[np.arange(n), guesses] += 2.0
    found = metrics.score(logits, truth, LABELS)
    return found | ({"accuracy_95": list(accuracy_95)} if accuracy_95 else {})


def result(right: float, seed: int = 0, n: int = 3589, seconds: float = 100.0, **changes: Any) -> dict[str, Any]:
    """The result of a trial that was never run."""
    config = to_json(RunConfig(Path("x"), backbone="traditional_cnn", image_size=48, seed=seed, trial=True, **changes))
    machine = {"device": "x86_64", "threads": 2}
    return {"config": config, "validation": scores(right, n), "seconds": seconds, "machine": machine}


def cells(text: str) -> dict[str, list[str]]:
    """Rows of Markdown tables by their first cell."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {line[0]: line for line in lines}


def page_of(results: dict[str, dict[str, Any]], folder: Path) -> str:
    return tried.write_page(results, folder / "tried.md", folder / "tried.png")[0].read_text(encoding="utf-8")


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", TRIALS)
def test_a_trial_differs_from_the_base_in_exactly_what_it_names(name: str) -> None:
    config = TrialsConfig(only=(name,), teacher=(Path("runs/a/model"),), image_size=32)
    base, *others = planned(config)
    assert base.axes["trial"] == BASE
    assert to_json(base.config) == to_json(base_of(config))
    assert [run.axes["trial"] for run in others] == ([] if name == BASE else [name])
    for run in others:
        assert set(differing(run.config, to_json(base.config))) == set(TRIALS[name])
        assert run.config.trial
        for field in ("sampling", "loss", "schedule", "protocol"):
            assert getattr(run.config, field).partition(":")[0] in {n.partition(":")[0] for n in choices(field)}


def test_without_names_all_trials_run_that_change_something_each_with_every_seed() -> None:
    runs = planned(TrialsConfig(seeds=(0, 1)))
    names = [name for name in TRIALS if name not in ("size-48", "teacher")]  # the base has 48, and no teacher is given
    assert [(run.axes["trial"], run.config.seed) for run in runs] == [(name, seed) for name in names for seed in (0, 1)]
    assert [run.number for run in runs] == list(range(1, len(runs) + 1))
    assert len({run.config.out for run in runs}) == len(runs)


def test_a_base_with_other_values_has_other_folders() -> None:
    options: list[dict[str, Any]] = [{}, {"epochs": 9}, {"image_size": 64}, {"backbone": "deep_cnn"}]
    options += [{"init": Path("a.safetensors")}, {"precision": "bf16"}, {"set": ("lr=1e-2",)}]
    bases = [planned(TrialsConfig(only=(BASE,), **option))[0].slug for option in options]
    assert len(set(bases)) == len(bases)
    assert all(tried.parts_of(slug)[1] == BASE for slug in bases)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nope"], "Unknown trial 'nope'. Known: base, size-48"),
        (["--only", "size-48"], "The trial 'size-48' changes nothing: the base has image_size 48."),
        (["--only", "teacher"], "Give --teacher MODEL_DIR."),
        (["--set", "lr=fast"], "--set lr=fast: lr is a number."),
        (["--shard", "3/2"], "--shard '3/2' is not of the form i/n"),
        (["--time-budget", "9"], "--time-budget '9' is no time."),
        (["--epochs", "0"], "Out of range: --epochs 0"),
        (["--views-of", "toy", "--seeds", "1"], "--views-of trains nothing: --seeds, --dry-run would have no effect."),
        *((["--set", f"{name}=1"], f"--set {name}: trials have options of their own") for name in ("epochs", "seed")),
        (["--set", "teacher=fer-lite0"], "--set teacher: trials have"),
    ],
)
def test_a_wrong_word_is_one_sentence_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["trials", *arguments, "--dry-run"]) == 2
    assert message in capsys.readouterr().err


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trials", "--out", str(tmp_path / "trials"), "--only", "ema-0", "--seeds", "0", "1", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["3/4", "traditional_cnn-size-48-epochs-8--ema-0--seed-0", "open"]
    assert not list(tmp_path.iterdir())


def test_trials_in_many_processes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["trials", "--out", str(tmp_path)]) == 2
    assert "Share its runs with --shard i/n instead." in capsys.readouterr().err


def test_no_trial_scores_the_test_split_and_its_table_comes_from_its_results(
    tmp_path: Path, toy_csv: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from train import attempts, network

    asked: list[Split] = []
    given = network.split_logits

    def noting(forward: Any, split: Split, spec: Any) -> Any:
        asked.append(split)
        return given(forward, split, spec)

    monkeypatch.setattr(network, "split_logits", noting)
    folder = tmp_path / "trials"
    assert main(tiny(folder, toy_csv, "--only", "mixup-0.2")) == 0
    data = attempts.data_of(planned(TrialsConfig(data=toy_csv, set=TINY))[0].config)
    assert asked and all(split is data.validation for split in asked)
    found = {path.parent.name: json.loads(path.read_bytes()) for path in folder.glob("*/result.json")}
    assert {tried.parts_of(name)[1] for name in found} == {"base", "mixup-0.2"}
    assert all("test" not in each and each["config"]["trial"] for each in found.values())
    assert not list(folder.glob("*/model"))
    said = capsys.readouterr().out
    rows = cells((folder / "tried.md").read_text(encoding="utf-8"))
    for name, each in found.items():
        assert rows[tried.parts_of(name)[1]][2].startswith(f"{100 * each['validation']['accuracy']:.2f} ")
        assert f"validation accuracy {each['validation']['accuracy']:.4f}" in said
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}
    assert main(tiny(folder, toy_csv, "--only", "mixup-0.2", "erase-0")) == 0  # the others are done already
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert cells((folder / "tried.md").read_text(encoding="utf-8"))["erase-0"][1] == "erase 0.25 → 0.0"


@pytest.mark.slow
def test_a_killed_command_goes_on_and_ends_as_an_unbroken_one(tmp_path: Path, toy_csv: Path) -> None:
    more = ("--only", "ema-0", "--set", "checkpoint_every=2")
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    command = [sys.executable, "-m", "train", *tiny(broken, toy_csv, *more)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
    end = time.monotonic() + 120
    try:
        while not list(broken.glob("*/state/*")):
            assert process.poll() is None and time.monotonic() < end, (tmp_path / "log").read_text()
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait(60)
    assert len(list(broken.glob("*/result.json"))) < 2
    assert main(tiny(broken, toy_csv, *more)) == 0
    assert main(tiny(whole, toy_csv, *more)) == 0
    for path in whole.glob("*/result.json"):
        other = json.loads((broken / path.parent.name / "result.json").read_bytes())
        assert json.loads(path.read_bytes())["validation"] == other["validation"]


@pytest.mark.slow
def test_trials_of_every_kind_run(tmp_path: Path, toy_csv: Path, toy_model: Path) -> None:
    names = [BASE, "first-size", "mixup-0.2", "ema-0", "sam-0.05", "plateau", "weighted", "teacher"]
    options = ("--teacher", str(toy_model), "--set", "limit=64")
    assert main(tiny(tmp_path, toy_csv, *options, "--only", *names)) == 0
    failed = {path.parent.name: path.read_text().splitlines()[-1] for path in tmp_path.glob("*/error.txt")}
    done = {tried.parts_of(path.parent.name)[1] for path in tmp_path.glob("*/result.json")}
    assert not failed
    assert done == set(names)


# ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_views_of_a_model_are_scored_on_validation_alone(
    tmp_path: Path, toy_csv: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train import finished, view_scores

    asked: list[int] = []
    given = view_scores.logits_of

    def noting(model: Any, split: Split, what: str) -> Any:
        asked.append(len(split))
        return given(model, split, what)

    monkeypatch.setattr(view_scores, "logits_of", noting)
    command = ["trials", "--views-of", str(toy_model.parent), "--data", str(toy_csv), "--out", str(tmp_path)]
    assert main(command) == 0
    split = finished.data_of(toy_model, toy_csv).validation
    assert asked == [len(split)] * len(VIEWS)
    rows = cells((tmp_path / "tried.md").read_text(encoding="utf-8"))
    for views, trial, count in (("none", BASE, "1"), ("flip", "views-flip", "2"), ("tencrop", "views-tencrop", "10")):
        mine = json.loads((tmp_path / f"toy--{trial}--seed-0" / "result.json").read_bytes())
        guesses = load_classifier(toy_model, views=views).logits(split.images).argmax(1)
        assert mine["validation"]["accuracy"] == pytest.approx((guesses == split.labels).mean())
        assert "test" not in mine
        assert rows[trial][2].startswith(f"{100 * mine['validation']['accuracy']:.2f} ")
        assert rows[trial][-1] == count
    assert rows["views-flip"][1] == "views none → flip"
    asked.clear()
    assert main(command) == 0
    assert not asked  # what is done is not done again


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_tables_figures_equal_the_records(tmp_path: Path) -> None:
    base, other = result(0.60, seconds=100.0), result(0.66, seconds=150.0, mixup=0.2)
    text = page_of({"cnn--base--seed-0": base, "cnn--mixup-0.2--seed-0": other}, tmp_path)
    rows = cells(text)
    for name, each in (("base", base), ("mixup-0.2", other)):
        figures = each["validation"]
        low, high = figures["accuracy_95"]
        assert rows[name][2] == f"{100 * figures['accuracy']:.2f} ({100 * low:.2f}–{100 * high:.2f})"
        wanted = [f"{figures[key]:.3f}" for key in ("macro_f1", "nll", "ece")]
        assert rows[name][5:10] == [*wanted, "0", f"{each['seconds']:.0f}"]
    gain = 100 * (other["validation"]["accuracy"] - base["validation"]["accuracy"])
    assert rows["mixup-0.2"][3].startswith(f"{gain:+.2f} (±")
    assert rows["mixup-0.2"][1] == "mixup 0.0 → 0.2"
    assert rows["mixup-0.2"][4] == "better"
    assert rows["mixup-0.2"][10] == "1.50"
    assert "None" not in text
    assert {len(row) for row in rows.values()} == {12}
    with Image.open(tmp_path / "tried.png") as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("accuracies", "base_seeds", "verdict"),
    [
        ([0.61], [0.60], "inside the noise"),
        ([0.59], [0.60], "inside the noise"),
        ([0.63], [0.60], "better"),
        ([0.57], [0.60], "worse"),
        ([0.63], [0.58, 0.62], "inside the noise"),  # seeds lie further apart than what was gained
        ([0.61, 0.65], [0.60, 0.60], "inside the noise"),
        ([0.64, 0.65], [0.60, 0.61], "better"),
    ],
)
def test_a_difference_inside_the_noise_is_said_to_be_so(
    tmp_path: Path, accuracies: list[float], base_seeds: list[float], verdict: str
) -> None:
    found = {f"cnn--base--seed-{seed}": result(right, seed) for seed, right in enumerate(base_seeds)}
    found |= {f"cnn--ema-0--seed-{seed}": result(right, seed, ema=0.0) for seed, right in enumerate(accuracies)}
    text = page_of(found, tmp_path)
    assert cells(text)["ema-0"][4] == verdict
    assert f"{verdict[0].upper()}{verdict[1:]}: ema-0" in text
    alone = "It was run with one seed: what another seed would give is not known." in text
    assert alone == (len(base_seeds) == 1)


@pytest.mark.parametrize(
    ("lost", "won", "verdict"),
    [(0, 40, "better"), (40, 0, "worse"), *((n, m, "inside the noise") for n, m in ((400, 440), (3, 0), (0, 0)))],
)
def test_rows_that_are_compared_one_by_one_show_smaller_differences(
    tmp_path: Path, lost: int, won: int, verdict: str
) -> None:
    n, right = 3589, np.arange(3589) < 2150
    other = right.copy()
    other[:lost], other[n - won :] = False, True
    found = {}
    for trial, hits in (("base", right), ("ema-0", other)):
        each = result(hits.mean(), **({"ema": 0.0} if trial == "ema-0" else {}))
        found[f"cnn--{trial}--seed-0"] = each | {"hits": metrics.hits(np.eye(2)[hits.astype(int)], np.ones(n, int))}
    row = cells(page_of(found, tmp_path))["ema-0"]
    assert row[4] == verdict
    noise = 196 * np.std(other.astype(int) - right.astype(int), ddof=1) / np.sqrt(n)
    assert row[3].endswith(f"(±{noise:.2f})")


def test_several_seeds_are_a_mean_and_their_spread(tmp_path: Path) -> None:
    found = {f"cnn--base--seed-{seed}": result(right, seed) for seed, right in ((0, 0.60), (1, 0.61), (2, 0.64))}
    text = page_of(found, tmp_path)
    each = [r["validation"]["accuracy"] for r in found.values()]
    row = cells(text)["base"]
    assert row[2].startswith(f"{100 * np.mean(each):.2f} (")
    assert row[2].endswith(f"seeds {100 * min(each):.2f}–{100 * max(each):.2f}")
    assert row[8] == "0, 1, 2"
    assert f"Its seeds 0, 1, 2 differ by up to {100 * (max(each) - min(each)):.2f} points." in text


@pytest.mark.parametrize("changes", [{"mixup": 0.4}, {"n": 3000}])
def test_seeds_that_differ_in_more_than_the_seed_are_no_mean(tmp_path: Path, changes: dict[str, Any]) -> None:
    found = {"cnn--base--seed-0": result(0.6), "cnn--base--seed-1": result(0.6, 1, **changes)}
    with pytest.raises(ValueError, match=r"The seeds of cnn--base differ in (mixup|validation rows)"):
        page_of(found, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_row_without_a_base_is_listed_without_a_difference(tmp_path: Path) -> None:
    text = page_of({"cnn--ema-0--seed-0": result(0.6, ema=0.0)}, tmp_path)
    assert "No base is recorded" in text
    assert cells(text)["ema-0"][3:5] == ["", "no base"]
    assert cells(text)["ema-0"][1] == cells(text)["ema-0"][10] == ""
    assert "base" not in cells(text)


def test_other_validation_rows_or_another_device_are_not_compared(tmp_path: Path) -> None:
    found = {"cnn--base--seed-0": result(0.6), "cnn--align-box--seed-0": result(0.7, n=3000, align="box")}
    found["cnn--ema-0--seed-0"] = result(0.6, ema=0.0) | {"machine": {"device": "NVIDIA H100"}}
    rows = cells(page_of(found, tmp_path))
    assert rows["align-box"][3:5] == ["", "other validation rows"]
    assert rows["align-box"][10] == "1.00"
    assert rows["ema-0"][10] == ""


@pytest.mark.parametrize("place", [{"test": scores(0.7)}, {"uncalibrated": {"test": {"accuracy": 0.7}}}])
def test_a_record_with_test_scores_is_refused(tmp_path: Path, place: dict[str, Any]) -> None:
    found = {"cnn--base--seed-0": result(0.6), "cnn--ema-0--seed-0": result(0.6, ema=0.0) | place}
    with pytest.raises(ValueError, match="cnn--ema-0--seed-0 has scores of the test split: that is no trial"):
        page_of(found, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["ema-0", "cnn--ema-0", "cnn--ema-0--0"])
def test_a_record_that_names_no_trial_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="names no trial"):
        page_of({name: result(0.6)}, tmp_path)


def test_each_base_has_its_own_table_in_the_order_of_the_trials(tmp_path: Path) -> None:
    names = ("ema-0", "mixup-0.2", "size-96", "own-idea", "base")
    found = {f"{base}--{name}--seed-0": result(0.6) for base in ("cnn", "resnet18") for name in names}
    text = page_of(found, tmp_path)
    for part in text.split("## ")[1:]:
        order = re.findall(r"^\| ([a-z][\w.-]*) \|", part, re.MULTILINE)
        assert order == ["trial", "base", "size-96", "mixup-0.2", "ema-0", "own-idea"]
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == ["cnn", "resnet18"]


def test_without_records_the_page_says_so(tmp_path: Path) -> None:
    assert tried.write(tmp_path, tmp_path / "results") == [tmp_path / "tried.md"]
    assert "No trial is recorded yet." in (tmp_path / "tried.md").read_text(encoding="utf-8")


def test_what_is_recorded_is_what_the_page_is_written_from(tmp_path: Path) -> None:
    runs = planned(TrialsConfig(out=tmp_path / "trials", only=("ema-0",)))
    for run, right in zip(runs, (0.6, 0.61), strict=True):
        run_folder.write_json(run.config.out / "config.json", to_json(run.config))
        made = result(right) | {"config": to_json(run.config)}
        run_folder.write_json(run.config.out / "result.json", made)
    results = tmp_path / "results"
    assert main(["record", str(tmp_path / "trials"), "--group", "trials", "--out", str(results)]) == 0
    page, picture = tried.write(tmp_path, results)
    assert f"]({picture.relative_to(tmp_path).as_posix()})" in page.read_text(encoding="utf-8")
    assert {run.slug for run in runs} == set(records.read("trials", results))
    own = tried.write_runs(tmp_path / "trials")[0].read_text(encoding="utf-8")
    assert cells(own) == cells(page.read_text(encoding="utf-8"))
