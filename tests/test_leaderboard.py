"""train.leaderboard, train.layouts: tables that hold what the result files hold, beside what the reports give."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
from PIL import Image

from fer_hub.labels import labels_of
from train import cards, leaderboard, metrics
from train.__main__ import main
from train.config import to_json
from train.layouts import LAYOUTS, difference, references, value
from train.presets import PRESETS, Run, expand
from train.run_folder import write_json

SPACES = {"raw-pixel-8": "ferplus-8", "five-class": "basic-5"}


def scores(space: str, seed: int = 0) -> dict[str, Any]:
    """Scores of made-up logits that are right more often than not."""
    rng, labels = np.random.default_rng(seed), labels_of(space)
    truth = np.arange(210) % len(labels)
    logits = rng.normal(size=(len(truth), len(labels)))
    logits[np.arange(len(truth)), truth] += 1.5
    return metrics.score(logits, truth, labels)


def finish(run: Run, space: str = "fer2013-7", external: bool = False) -> dict[str, Any]:
    """The result file of a run that was never trained."""
    test = scores(space, run.number)
    result = {
        "config": to_json(run.config),
        "test": test,
        "external": scores(space, 99) if external else None,
        "uncalibrated": {"test": {"nll": test["nll"] + 0.5, "ece": test["ece"]}},
        "seconds": 12.5,
    }
    write_json(run.config.out / "result.json", result)
    return result


def table_rows(text: str) -> list[list[str]]:
    """Cells of the lines of Markdown tables."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_sweep_without_results_has_the_reports_figures_and_empty_cells(name: str, tmp_path: Path) -> None:
    paths = leaderboard.write(tmp_path / name, name)
    assert [path.suffix for path in paths] == [".csv", ".md", ".png"]
    text = paths[1].read_text()
    runs = expand(name, tmp_path)
    assert f"0 of {len(runs)} runs done" in text
    assert references()[name]["source"] in text
    with paths[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(runs)
    assert {row["accuracy"] for row in rows} == {""}
    with Image.open(paths[2]) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize("name", PRESETS)
def test_every_row_of_every_table_has_as_many_cells_as_its_head(name: str, tmp_path: Path) -> None:
    for run in expand(name, tmp_path / name)[:-1]:
        finish(run, SPACES.get(name, "fer2013-7"))
    text = leaderboard.write(tmp_path / name, name)[1].read_text()
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == (5 if name == "imbalance-grid" else 1)
    for table in tables:
        assert len({len(row) for row in table_rows(table)}) == 1
    assert "None" not in text


def test_the_imbalance_grid_has_the_layout_of_the_reports_tables(tmp_path: Path) -> None:
    runs = expand("imbalance-grid", tmp_path)
    results = {run.number: finish(run) for run in runs[::2]}
    text = leaderboard.write(tmp_path, "imbalance-grid")[1].read_text()
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == [
        "## Table II of the report: sampling none",
        "## Table III of the report: sampling undersample",
        "## Table IV of the report: sampling oversample:disgust",
        "## Table V of the report: sampling hybrid:3000",
        "## Table VI of the report: sampling hybrid:8989",
    ]
    sections = dict(zip((line[3:] for line in heads), text.split("## ")[1:], strict=True))
    cells = {tuple(row[:2]): row for row in table_rows(sections[heads[1][3:]])[2:]}
    assert len(cells) == 12
    done = cells["legacy_xception", "cross-entropy"]
    assert done[3] == "53.34" and done[6] == "51.99"  # as the report has it, whether the run is done or not
    run = next(run for run in runs if run.slug == "legacy_xception--undersample--weighted")
    test = results[run.number]["test"]
    row = cells["legacy_xception", "weighted"]
    assert row[2] == f"{100 * test['weighted_precision']:.2f}"
    assert row[5] == f"{100 * test['accuracy']:.2f}"
    assert row[7] == f"{100 * (test['accuracy'] - 0.4784):+.2f}".replace("-", "−")
    assert row[8] == "–".join(f"{100 * v:.2f}" for v in test["accuracy_95"])
    assert row[-3:] == [str(test["n"]), "0", "random initial weights"]
    assert "36 of 60 runs done, 6 of them as another run of the list" in text


def test_weights_that_are_all_1_need_no_run_of_their_own(tmp_path: Path) -> None:
    runs = {run.slug: run for run in expand("imbalance-grid", tmp_path) if run.axes["backbone"] == "resnet18"}
    own = ("resnet18--hybrid-8989--cross-entropy", "resnet18--hybrid-8989--weighted")
    for slug in ("resnet18--none--cross-entropy", "resnet18--undersample--cross-entropy", *own):
        finish(runs[slug])
    rows = {row["called"]: row for row in leaderboard.rows_of("imbalance-grid", leaderboard.read(tmp_path))}
    assert not rows["resnet18 none weighted"]["done"]
    assert not rows["resnet18 undersample focal"]["done"]
    assert not rows["resnet18 hybrid:3000 weighted"]["done"]
    lent, lender = rows["resnet18 undersample weighted"], rows["resnet18 undersample cross-entropy"]
    assert (lent["done"], lent["same_as"]) == (True, lender["slug"])
    for key, figures in lender["figures"].items():
        assert lent["figures"][key]["value"] == figures["value"]
    assert lent["figures"]["accuracy"]["report"] == 0.2751  # its own cell's
    assert rows["resnet18 hybrid:8989 weighted"]["same_as"] is None
    text = leaderboard.as_markdown("imbalance-grid", list(rows.values()))
    assert "5 of 60 runs done, 1 of them as another run of the list" in text
    assert "the same run as resnet18--undersample--cross-entropy, random initial weights |" in text


def test_the_aligned_table_says_that_its_test_set_is_another(tmp_path: Path) -> None:
    text = leaderboard.write(tmp_path, "imbalance-grid-aligned")[1].read_text()
    assert "## Table VII of the report" in text
    assert "smaller and easier" in text
    assert "5,990" in text


def test_reports_with_few_runs_have_a_column_for_each(tmp_path: Path) -> None:
    results = {run.number: finish(run, "ferplus-8") for run in expand("raw-pixel-8", tmp_path)[:2]}
    rows = {row[0]: row[1:] for row in table_rows(leaderboard.write(tmp_path, "raw-pixel-8")[1].read_text())}
    assert rows[""][::3] == ["epochs 60", "epochs 15", "epochs 360"]
    fear = results[1]["test"]["per_class"]["fear"]["recall"]
    assert rows["recall of fear"][:3] == [f"{100 * fear:.2f}", "2.00", f"{100 * (fear - 0.02):+.2f}"]
    assert rows["accuracy"][6:] == ["", "69.80", ""]
    loss = results[2]["uncalibrated"]["test"]["nll"]
    assert rows["test loss, before calibration"][3:6] == [f"{loss:.3f}", "0.919", f"{loss - 0.919:+.3f}"]


def test_an_external_set_stands_beside_the_reports(tmp_path: Path) -> None:
    run = expand("five-class", tmp_path)[1]
    result = finish(run, "basic-5", external=True)
    rows = {row[0]: row[1:] for row in table_rows(leaderboard.write(tmp_path, "five-class")[1].read_text())}
    own = result["external"]["accuracy"]
    assert rows["external set: accuracy"][3:] == [f"{100 * own:.2f}", "94.74", ""]  # of other images: no difference
    assert rows["accuracy"][3:] == [f"{100 * result['test']['accuracy']:.2f}", "87.43", ""]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("accuracy", lambda test: test["accuracy"]),
        ("per_class.sad.recall", lambda test: test["per_class"]["sad"]["recall"]),
        ("per_class.contempt.recall", lambda test: None),
        ("mean_sensitivity", lambda test: test["balanced_accuracy"]),
        ("mean_specificity", lambda test: np.mean([c["specificity"] for c in test["per_class"].values()])),
        ("lowest_roc_auc", lambda test: min(c["roc_auc"] for c in test["per_class"].values())),
        ("highest_roc_auc", lambda test: max(c["roc_auc"] for c in test["per_class"].values())),
        ("external.accuracy", lambda test: None),
        ("external.mean_specificity", lambda test: None),
    ],
)
def test_a_figure_is_found_in_the_result_or_derived_from_it(key: str, expected: Any) -> None:
    test = scores("fer2013-7")
    wanted, found = expected(test), value({"test": test, "external": None}, key)
    assert found == (wanted if wanted is None else pytest.approx(wanted))


def test_an_undefined_auc_is_not_the_lowest() -> None:
    per_class = {"angry": {"roc_auc": 0.8}, "fear": {"roc_auc": None}}
    assert value({"test": {"per_class": per_class}}, "lowest_roc_auc") == 0.8
    assert value({"test": {"per_class": {"fear": {"roc_auc": None}}}}, "lowest_roc_auc") is None


@pytest.mark.parametrize(
    ("own", "report", "expected"),
    [(0.7, 0.65, 0.05), (0.6, [0.67, 0.68], -0.07), (0.675, [0.67, 0.68], 0), (0.7, [0.67, 0.68], 0.02)],
)
def test_the_difference_to_a_range_is_that_to_its_nearer_end(own: float, report: Any, expected: float) -> None:
    assert difference(own, report) == pytest.approx(expected)


@pytest.mark.parametrize(("own", "report"), [(None, 0.5), (0.5, None), (None, None)])
def test_there_is_no_difference_to_nothing(own: float | None, report: float | None) -> None:
    assert difference(own, report) is None


@pytest.mark.parametrize(
    ("arguments", "changes", "expected"),
    [
        ({}, {"pretrained": True}, []),
        ({}, {"init": Path("weights/resnet18.imagenet.safetensors")}, []),
        ({}, {}, ["random initial weights"]),
        ({}, {"pretrained": True, "epochs": 3, "limit": 50}, ["epochs 3", "limit 50"]),
        ({}, {"pretrained": True, "batch_size": 32}, ["batch_size 32"]),
        ({}, {"pretrained": True, "protocol": "official"}, ["protocol official"]),
        ({}, {"pretrained": True, "targets": "both"}, ["learned from labels and FERPlus' votes"]),
        ({}, {"pretrained": True, "lr": 0.5}, ["recipe report-1 with lr 0.5"]),
        (
            {"recipe_name": "ours"},
            {"pretrained": True, "lr": 1e-3, "teacher": (Path("runs/both"),)},
            ["recipe ours with lr 0.001", "teacher both (share 0.5, temperature 2)"],
        ),
        ({"recipe_name": "ours"}, {"pretrained": True}, ["recipe ours"]),
    ],
)
def test_a_row_says_in_what_it_is_not_as_the_report(
    arguments: dict[str, Any], changes: dict[str, Any], expected: list[str]
) -> None:
    run = expand("imbalance-grid", Path("x"), **arguments)[0]
    config = to_json(dataclasses.replace(run.config, **changes))
    assert leaderboard.unlike("imbalance-grid", PRESETS["imbalance-grid"], config) == expected


def test_results_outside_the_presets_list_follow_it_and_are_counted_apart(tmp_path: Path) -> None:
    finish(expand("imbalance-grid", tmp_path)[0])
    finish(expand("imbalance-grid", tmp_path, changes={"backbone": "resnet50", "loss": "focal"})[0])
    table, text, _ = leaderboard.write(tmp_path, "imbalance-grid")
    assert "1 of 60 runs done; 1 besides." in text.read_text()
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 61
    assert (rows[60]["backbone"], rows[60]["loss"], rows[60]["accuracy_report"]) == ("resnet50", "focal", "")


def test_a_run_that_goes_on_from_another_says_so_in_table_and_figure(tmp_path: Path) -> None:
    finish(expand("raw-pixel-8", tmp_path)[0], SPACES["raw-pixel-8"])
    changes = {"epochs": 4, "init": tmp_path / "epochs-60" / "model"}
    finish(expand("raw-pixel-8", tmp_path, changes=changes)[0], SPACES["raw-pixel-8"])
    rows = leaderboard.rows_of("raw-pixel-8", leaderboard.read(tmp_path))
    _, columns, _ = leaderboard.heat_cells("raw-pixel-8", rows)
    assert columns == ["epochs 60", "epochs 15", "epochs 360", "epochs 4 after epochs-60"]
    assert "| epochs 4 after epochs-60 | report |" in leaderboard.as_markdown("raw-pixel-8", rows)


def test_the_csv_holds_the_results_own_numbers(tmp_path: Path) -> None:
    run = expand("imbalance-grid", tmp_path)[0]
    test = finish(run)["test"]
    with leaderboard.write(tmp_path, "imbalance-grid")[0].open(newline="") as file:
        row = next(csv.DictReader(file))
    assert float(row["accuracy"]) == pytest.approx(test["accuracy"], abs=1e-6)
    assert float(row["accuracy_report"]) == 0.6708
    assert float(row["accuracy_difference"]) == pytest.approx(test["accuracy"] - 0.6708, abs=1e-6)
    assert [float(row["accuracy_low"]), float(row["accuracy_high"])] == pytest.approx(test["accuracy_95"], abs=1e-6)
    assert (row["table"], row["n"], row["seed"], row["epochs"]) == ("II", "210", "0", "30")


def test_the_command_rebuilds_from_the_result_files_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "realtime-7"
    finish(expand("realtime-7", folder)[0])
    assert main(["leaderboard", str(folder)]) == 0
    first = (folder / "leaderboard.md").read_bytes()
    (folder / "leaderboard.md").write_text("edited")
    assert main(["leaderboard", str(folder), "--preset", "realtime-7"]) == 0
    assert (folder / "leaderboard.md").read_bytes() == first
    assert capsys.readouterr().out.count("leaderboard.png") == 2


@pytest.mark.parametrize(
    ("folder", "message"), [("nowhere", "nowhere is no folder"), ("", "Unknown preset"), ("x", "x is no folder")]
)
def test_a_folder_that_is_no_sweep_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str, message: str
) -> None:
    assert main(["leaderboard", str(tmp_path / folder)]) == 2
    assert message in capsys.readouterr().err


def test_the_template_refuses_a_missing_value() -> None:
    with pytest.raises(jinja2.UndefinedError):
        cards.render("leaderboard.md.j2", name="x", about="y")


def test_the_template_holds_no_typed_figure() -> None:
    text = (cards.TEMPLATES / "leaderboard.md.j2").read_text()
    words = text.replace("95 % interval", "").replace("100 *", "")
    for code in ("%.3f", "%.2f", "%+.3f", "%+.2f", "[0]", "[1]", "[1:]", "length > 1"):
        words = words.replace(code, "")
    assert not [char for char in words.replace(".j2", "") if char.isdigit()]


@pytest.mark.parametrize("name", ["imbalance-grid", "imbalance-grid-aligned"])
def test_every_cell_of_the_first_reports_tables_has_a_run(name: str) -> None:
    wanted = [tuple(run.axes.items()) for run in expand(name, Path("x"))]
    given = [tuple(row["run"].items()) for row in references()[name]["rows"]]
    assert sorted(given) == sorted(wanted)
    for row in references()[name]["rows"]:
        assert row["figures"]["weighted_recall"] == row["figures"]["accuracy"]  # an average by support is the accuracy


@pytest.mark.parametrize("name", PRESETS)
def test_the_reports_figures_are_shares_that_a_table_shows(name: str) -> None:
    runs = [run.axes for run in expand(name, Path("x"))]
    for row in references()[name]["rows"]:
        assert any(row["run"] == axes for axes in runs)
        assert row["figures"].keys() <= LAYOUTS[name].figures.keys()
        for key, figure in row["figures"].items():
            ends = figure if isinstance(figure, list) else [figure]
            assert key == "loss" or all(0 <= end <= 1 for end in ends)
