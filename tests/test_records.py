"""train.records: results of finished runs, kept byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from records_made_up import keep, result_of

from train import cards, leaderboard, records, tried
from train.__main__ import main
from train.config import different
from train.presets import Run, expand
from train.run_folder import write_json

GRID = "imbalance-grid"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results"


def begin(run: Run) -> Path:
    """The folder of a run that is not finished."""
    write_json(run.config.out / "config.json", {})
    return run.config.out


def finish(run: Run, **changes: Any) -> Path:
    """The folder of a run that is finished."""
    write_json(begin(run) / "result.json", result_of(run, **changes))
    return run.config.out


def record(out: Path, *arguments: str | Path) -> int:
    return main(["record", *map(str, arguments), "--out", str(out)])


def test_a_record_is_the_result_byte_for_byte_in_its_presets_group(tmp_path: Path, out: Path) -> None:
    run = expand(GRID, tmp_path / GRID)[0]
    folder = finish(run)
    assert record(out, folder) == 0
    kept = out / GRID / f"{run.slug}.json"
    assert kept.read_bytes() == (folder / "result.json").read_bytes()
    assert records.read(GRID, out) == {run.slug: json.loads(kept.read_bytes())}
    assert sorted(out.rglob("*.*")) == [kept]  # no temporary file is left


def test_a_sweeps_finished_runs_are_recorded_and_the_others_named(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = expand(GRID, tmp_path / GRID)
    for run in runs[:3]:
        finish(run)
    begin(runs[3])
    assert record(out, tmp_path / GRID) == 0
    assert set(records.read(GRID, out)) == {run.slug for run in runs[:3]}
    said = capsys.readouterr().out
    assert f"{runs[3].config.out}: left out, it is not finished" in said
    assert said.count("result.json") == 3
    assert record(out, tmp_path / GRID) == 0
    assert capsys.readouterr().out.count("is there already") == 3


def test_a_run_outside_of_presets_needs_a_group(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = finish(expand(GRID, tmp_path / "elsewhere")[0])
    assert record(out, folder) == 2
    assert "lies in no preset's folder. Give --group, one of imbalance-grid" in capsys.readouterr().err
    assert record(out, folder, "--group", "mine") == 2
    assert "'mine' is no group" in capsys.readouterr().err
    assert record(out, folder, "--group", "records", "--name", "first") == 0
    assert list(records.read("records", out)) == ["first"]


def test_an_ensembles_metrics_are_its_record_and_a_model_within_a_run_has_none(tmp_path: Path, out: Path) -> None:
    result = result_of(expand(GRID, tmp_path)[0])
    for name, members in (("both", [{}, {}]), ("model", [])):
        write_json(tmp_path / name / "config.json", {})
        write_json(tmp_path / name / "metrics.json", result | ({"members": members} if members else {}))
    assert record(out, tmp_path / "both", "--group", "records") == 0
    assert record(out, tmp_path / "model", "--group", "records") == 2
    assert list(records.read("records", out)) == ["both"]


def test_an_unfinished_run_is_refused_and_nothing_else_is_written(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = expand(GRID, tmp_path / GRID)
    assert record(out, finish(runs[0]), begin(runs[1])) == 2
    assert f"{runs[1].config.out} holds no finished run" in capsys.readouterr().err
    assert not out.exists()


NAME = "resnet18--mixup-0.2--seed-0"


def test_a_trial_is_recorded_as_a_trial_alone(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = finish(expand(GRID, tmp_path / GRID)[0], trial=True)
    result = json.loads((folder / "result.json").read_bytes())
    untested = {name: value for name, value in result.items() if name not in ("test", "uncalibrated")}
    write_json(folder / "result.json", untested)
    assert record(out, folder) == 2
    assert "is a trial (no test score, or part of the rows), no result. Give --group trials." in capsys.readouterr().err
    assert record(out, tmp_path / GRID) == 0
    assert record(out, folder, "--group", "trials") == 2
    assert "names no trial. Call it <base>--<trial>--seed-<n>" in capsys.readouterr().err
    assert not out.exists()
    assert record(out, folder, "--group", "trials", "--name", NAME) == 0
    assert list(records.read("trials", out)) == [NAME]
    assert [group["name"] for group in tried.groups_of(records.read("trials", out))] == ["resnet18"]


def test_a_run_of_a_part_of_the_rows_that_scored_the_test_split_is_recorded_nowhere(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finish(expand(GRID, tmp_path / GRID)[0], limit=50)
    assert record(out, folder) == 2
    assert "no result. Train it on all rows, without --limit." in capsys.readouterr().err
    assert record(out, folder, "--group", "trials", "--name", NAME) == 2
    assert "has scores of the test split: that is no trial" in capsys.readouterr().err
    assert not out.exists()


def test_a_result_without_a_test_score_is_a_trial(tmp_path: Path) -> None:
    result = result_of(expand(GRID, tmp_path)[0])
    assert not records.only_chose(result)
    assert records.only_chose({name: value for name, value in result.items() if name != "test"})


def test_a_record_of_another_config_is_kept_until_it_is_to_be_replaced(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = expand(GRID, tmp_path / GRID)[0]
    assert record(out, finish(run)) == 0
    before = (out / GRID / f"{run.slug}.json").read_bytes()
    folder = finish(run, seed=1, lr=0.5)
    assert record(out, folder) == 2
    assert "other values for lr, seed. Give another --name, or --replace" in capsys.readouterr().err
    assert (out / GRID / f"{run.slug}.json").read_bytes() == before
    assert record(out, folder, "--name", "second") == 0
    assert record(out, folder, "--replace") == 0
    assert {result["config"]["seed"] for result in records.read(GRID, out).values()} == {1}


def test_a_field_of_later_days_makes_no_other_config(tmp_path: Path) -> None:
    config = result_of(expand(GRID, tmp_path)[0])["config"]
    older = {name: value for name, value in config.items() if name not in ("targets", "teacher", "sam", "camera")}
    assert different(config, older) == []
    assert different(config | {"camera": 0.5}, older) == ["camera"]


def test_two_runs_cannot_have_one_name(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [finish(run) for run in expand(GRID, tmp_path / GRID)[:2]]
    assert record(out, *folders, "--name", "same") == 2
    assert "Two runs would be" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(("folder", "message"), [(".", "holds no run"), ("nowhere", "holds no run")])
def test_a_folder_without_runs_is_refused(
    tmp_path: Path, out: Path, folder: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert record(out, tmp_path / folder) == 2
    assert message in capsys.readouterr().err


def test_a_name_is_one_folders_file(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert record(out, finish(expand(GRID, tmp_path / GRID)[0]), "--name", "../x") == 2
    assert "letters, digits" in capsys.readouterr().err


# ── leaderboards from records ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_leaderboards_of_all_presets_are_written_from_records_and_link_to_their_picture(
    tmp_path: Path, out: Path
) -> None:
    runs = expand(GRID, tmp_path)
    keep(out, GRID, runs[0].slug, result_of(runs[0]))
    paths = leaderboard.write_recorded(tmp_path / "boards", out)
    assert len(paths) == 18
    for path in paths:
        if path.suffix == ".md":
            assert cards.RELATIVE.findall(path.read_text()) == [path.with_suffix(".png").name]
            assert path.with_suffix(".png").is_file()
    text = (tmp_path / "boards" / f"{GRID}.md").read_text()
    assert "1 of 60 runs done" in text


def test_two_records_of_one_cell_both_appear_and_the_drawing_shows_the_better_on_validation(
    tmp_path: Path, out: Path
) -> None:
    run = expand(GRID, tmp_path)[0]
    first = keep(out, GRID, run.slug, result_of(run, validation=3, test=1))
    second = keep(out, GRID, f"{run.slug}--seed-1", result_of(run, validation=2, test=4, seed=1, teacher=["both"]))
    rows = leaderboard.recorded_rows(GRID, out)
    assert [row["seed"] for row in rows[:2]] == [0, 1]
    assert "teacher both (share 0.5, temperature 2)" in rows[1]["unlike"]
    assert second["test"]["accuracy"] > first["test"]["accuracy"]
    cells = leaderboard.heat_cells(GRID, rows)[2]
    assert cells["legacy_xception cross-entropy", "none"]["value"] == first["test"]["accuracy"]
    text = leaderboard.as_markdown(GRID, rows)
    assert "1 of 60 runs done" in text
    assert text.count("| legacy_xception | cross-entropy |") == 6


def test_two_records_of_one_column_are_named_apart(tmp_path: Path, out: Path) -> None:
    run = expand("cnn-architectures", tmp_path)[0]
    for name in (run.slug, "second"):
        keep(out, "cnn-architectures", name, result_of(run))
    text = leaderboard.as_markdown("cnn-architectures", leaderboard.recorded_rows("cnn-architectures", out))
    assert "| traditional_cnn (second) | report | difference | traditional_cnn (traditional_cnn) | report |" in text
    assert "| resnet50 | report |" in text


def test_a_record_of_an_older_version_has_its_row(tmp_path: Path, out: Path) -> None:
    run = expand("imbalance-grid-aligned", tmp_path)[0]
    result = result_of(run, pretrained=True)
    for name in ("targets", "on_missing", "teacher", "sam", "camera", "first_size", "init_share", "balance"):
        del result["config"][name]
    keep(out, "imbalance-grid-aligned", run.slug, result)
    row = leaderboard.recorded_rows("imbalance-grid-aligned", out)[0]
    assert row["done"]
    assert row["unlike"] == ["on_missing keep"]
    assert not row["same_test"]


def test_trials_have_no_row(tmp_path: Path, out: Path) -> None:
    run = expand(GRID, tmp_path)[0]
    result = result_of(run, trial=True)
    del result["test"]
    keep(out, GRID, run.slug, result)
    assert not any(row["done"] for row in leaderboard.recorded_rows(GRID, out))
    assert not any(row["done"] for row in leaderboard.rows_of(GRID, records.read(GRID, out)))
