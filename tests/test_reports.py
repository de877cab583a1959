"""train.reports, train.anchors: pages that say what the records say, and nothing else."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
from PIL import Image
from records_made_up import interval, keep, result_of, scores

from fer_hub.backbones import timm_name
from fer_hub.hub import zoo_models
from fer_hub.labels import labels_of
from train import anchors, cards, data, leaderboard, reports, tried
from train.__main__ import main
from train.anchors import Candidate
from train.config import RunConfig
from train.data import PROTOCOLS
from train.ensemble import EnsembleConfig
from train.layouts import references
from train.presets import PRESETS, expand
from train.records import RecordConfig
from train.rows import USAGES
from train.sweep import SweepConfig, planned

GRID = "imbalance-grid"
FILES = {
    reports.PAGE,
    anchors.PAGE,
    cards.TEMPLATES / tried.PAGE,
    *(leaderboard.BOARDS / f"{name}.md" for name in PRESETS),
}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results"


def table_row(page: str, first: str) -> list[str]:
    """Cells of the first table row that begins with this cell."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def recorded(name: str, accuracy: float, **changes: Any) -> Candidate:
    """A result under a protocol with this accuracy on validation and test."""
    config = {"protocol": "official", "backbone": "x", "image_size": 48, "seed": 0}
    test = scores("fer2013-7") | {"accuracy": accuracy, "accuracy_95": [accuracy - 0.01, accuracy + 0.01]}
    config |= {key: value for key, value in changes.items() if key in config}
    rest = {key: value for key, value in changes.items() if key not in config}
    return Candidate(name, "", {"config": config, "test": test, "validation": {"accuracy": accuracy}} | rest)


# ── the page on the reports ──────────────────────────────────────────────────────────────────────────────────────────


def test_without_records_every_preset_is_not_run_yet_and_its_cells_are_empty(out: Path) -> None:
    page = reports.page(out)
    assert page.count("`): not run yet.") == len(PRESETS)
    assert set(table_row(page, "legacy_xception")[2:]) == {""}
    assert "None" not in page


def test_every_report_and_every_preset_has_its_section(out: Path) -> None:
    page = reports.page(out)
    assert len(re.findall(r"^## \d\. ", page, re.MULTILINE)) == len(reports.prose()["reports"]) == 5
    told = [name for section in reports.prose()["reports"] for name in section["presets"]]
    assert sorted(told) == sorted(PRESETS)
    for name in PRESETS:
        assert f"](leaderboards/{name}.md)" in page
        assert f"![{name}](leaderboards/{name}.png)" in page
        assert f"python -m train sweep {name} " in page
        assert references()[name]["note"] in page


def test_the_best_is_chosen_by_validation_not_by_test(tmp_path: Path, out: Path) -> None:
    runs = expand(GRID, tmp_path)
    chosen = keep(out, GRID, runs[0].slug, result_of(runs[0], validation=3, test=1))
    other = keep(out, GRID, runs[6].slug, result_of(runs[6], validation=2, test=4))
    assert other["test"]["accuracy"] > chosen["test"]["accuracy"]
    assert reports.summary(GRID, out)["best"]["ours"]["slug"] == runs[0].slug
    page = reports.page(out)
    line = next(line for line in page.splitlines() if line.startswith("**Tables II to VI**"))
    assert f"(`{GRID}`): {interval(chosen['test'])} %" in line
    difference = f"{100 * (chosen['test']['accuracy'] - 0.6708):+.2f}".replace("-", "−")
    assert "n = 210, seed 0, 30 epochs at most" in line
    assert f"; {difference} points to the report's best. 2 of 60 runs done" in line


def test_a_network_has_its_best_beside_the_reports_best_of_that_network(tmp_path: Path, out: Path) -> None:
    run = next(run for run in expand(GRID, tmp_path) if run.axes["backbone"] == "resnet18")
    test = keep(out, GRID, run.slug, result_of(run, pretrained=True))["test"]
    row = table_row(reports.page(out), "resnet18")
    difference = f"{100 * (test['accuracy'] - 0.6454):+.2f}".replace("-", "−")
    assert row[1:] == [
        "64.54", interval(test), difference, f"[{run.slug}](results/{GRID}/{run.slug}.json)", "timm's own",
        "210", "0", "30", "",
    ]  # fmt: skip


def test_a_single_figure_is_the_one_in_the_result(tmp_path: Path, out: Path) -> None:
    run = expand("raw-pixel-8", tmp_path)[0]
    test = keep(out, "raw-pixel-8", run.slug, result_of(run))["test"]
    fear = test["per_class"]["fear"]["recall"]
    rows = [line for line in reports.page(out).splitlines() if line.startswith("| epochs 60 | recall of fear |")]
    assert rows == [f"| epochs 60 | recall of fear | 2.00 | {100 * fear:.2f} | {100 * (fear - 0.02):+.2f} |"]


@pytest.mark.parametrize("changes", [{"trial": True}, {"limit": 60}, {"protocol": "official"}, {"on_missing": "drop"}])
def test_trials_and_runs_on_another_test_set_are_never_our_best(
    tmp_path: Path, out: Path, changes: dict[str, Any]
) -> None:
    run = expand(GRID, tmp_path)[0]
    keep(out, GRID, run.slug, result_of(run) | {"config": result_of(run, **changes)["config"]})
    keep(out, "trials", run.slug, result_of(run))
    assert reports.summary(GRID, out)["best"]["ours"] is None
    assert reports.page(out).count("`): not run yet.") == len(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_an_interval_stands_behind_every_accuracy_of_ours(tmp_path: Path, out: Path, name: str) -> None:
    runs = expand(name, tmp_path)
    tests = [keep(out, name, run.slug, result_of(run, test=1 + run.number / 10))["test"] for run in runs[:4]]
    page = reports.page(out) + reports.readme_block(out)
    accuracies = {f"{100 * test['accuracy']:.2f}": interval(test) for test in tests}
    shown = [line for line in page.splitlines() if "](results/" in line or line.startswith("**") or "OSTİM:" in line]
    for text, whole in accuracies.items():
        for line in shown:
            assert line.count(f" {text} ") == line.count(whole)
    assert any(whole in line for whole in accuracies.values() for line in shown)


@pytest.mark.parametrize(("n", "said"), [(210, "; n 7178)"), (7178, ")")])
def test_a_test_set_of_another_size_than_the_reports_is_said(tmp_path: Path, out: Path, n: int, said: str) -> None:
    run = expand(GRID, tmp_path)[0]
    result = result_of(run)
    keep(out, GRID, run.slug, result | {"test": result["test"] | {"n": n}})
    row = table_row(reports.readme_block(out), references()[GRID]["source"])
    assert row[1] == f"67.08 (legacy_xception none cross-entropy{said}"


def test_sentences_get_their_figures_from_the_code(out: Path) -> None:
    page = reports.page(out)
    official, clean = (PROTOCOLS[name].sizes for name in ("official", "official-clean"))
    assert official and clean
    assert f"{official[0] - clean[0]:,} images of Training are copies" in page
    assert "1,188 of 7,178 test images without a found face are dropped, 5,990 are left" in page
    assert "the CNN scores 94.74 %. That is above its 87.43 %" in page
    with pytest.raises(jinja2.UndefinedError):
        reports.filled("{{ nothing }}", reports.facts())


def test_the_interval_of_a_report_is_that_of_its_number_of_images() -> None:
    assert reports.half_width(0.5, 100) == pytest.approx(0.098)


@pytest.mark.slow
def test_the_rows_of_training_by_class_are_those_of_the_data(fer2013_dir: Path) -> None:
    split = data.read_split(fer2013_dir, "train")
    labels = labels_of("fer2013-7")
    counts = dict(zip(labels, np.bincount(split.labels).tolist(), strict=True))
    assert counts == reports.prose()["training"]


# ── anchors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("anchor", anchors.read()["anchors"], ids=lambda anchor: anchor["what"])
def test_an_anchor_has_a_panel_a_share_and_a_query_of_known_protocols(anchor: dict[str, Any]) -> None:
    assert anchor["panel"] in anchors.read()["panels"]
    assert 0 < anchor["figure"] < 1
    assert set(anchor["query"]["protocol"]) <= PROTOCOLS.keys()
    assert anchor["query"].get("kind", "single") in anchors.KINDS
    tested = {sizes[2] for name in anchor["query"]["protocol"] if (sizes := PROTOCOLS[name].sizes)}
    assert len(tested) == 1  # one test set


TO_RUN = [*anchors.read()["next"], *reports.prose()["reports"]]
TO_RECORD = re.findall(r"python -m train record .*?(?= &&)", reports.PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("line", [*(c for each in TO_RUN for c in each["commands"] if c[0] != "#"), *TO_RECORD])
def test_a_command_that_is_to_be_run_is_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, *words = shlex.split(line.removeprefix("python -m train "))
    given: list[Any] = []
    places = {"run": "loop.train", "sweep": "sweep.sweep", "ensemble": "ensemble.ensemble"}
    places |= {"record": "records.record"}
    monkeypatch.setattr(f"train.{places[name]}", _taking(given, name))
    assert main([name, *words]) == 0
    if isinstance(given[0], RunConfig):
        assert timm_name(given[0].backbone)
        assert given[0].protocol in PROTOCOLS
    elif isinstance(given[0], SweepConfig):
        assert planned(replace(given[0], init_dir=None, init_run=()))[0]
    elif isinstance(given[0], RecordConfig):
        assert given[0].replace  # the project's own records are there, of other settings


def _taking(given: list[Any], name: str) -> Any:
    """A function with the command's own parameter that only keeps what it is given."""
    kinds: dict[str, Any] = {"run": RunConfig, "sweep": SweepConfig, "ensemble": EnsembleConfig, "record": RecordConfig}

    def take(config: Any) -> None:
        given.append(config)

    take.__annotations__["config"] = kinds[name]
    return take


@pytest.mark.parametrize("query", [{"protocol": ["mine"]}, {"protocol": ["official"], "kind": "both"}])
def test_a_query_of_something_unknown_is_an_error(query: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"protocols are official.*kinds are single, ensemble"):
        anchors.best([], query)


def test_a_query_finds_the_best_on_validation_of_its_protocol_and_kind() -> None:
    several = {"members": [{}, {}]}
    found = [
        recorded("a", 0.70),
        recorded("b", 0.72),
        recorded("better on test", 0.75, validation={"accuracy": 0.6}),
        recorded("elsewhere", 0.9, protocol="folders"),
        recorded("views", 0.71, members=[{}]),
        recorded("both", 0.8, **several),
    ]
    for query, name in (({"kind": "single"}, "b"), ({"kind": "ensemble"}, "both"), ({}, "both")):
        best = anchors.best(found, {"protocol": ["official", "official-clean"], **query})
        assert best and best.name == name
    assert anchors.best(found, {"protocol": ["ferplus"]}) is None


@pytest.mark.parametrize(
    ("accuracy", "expected"), [(0.75, "yes"), (0.74, "yes"), (0.735, "no, but within the interval"), (0.7, "no")]
)
def test_an_anchor_is_reached_by_the_test_accuracy(accuracy: float, expected: str) -> None:
    assert anchors.reached(0.74, recorded("a", accuracy)) == expected


def test_ours_stands_beside_an_anchor_with_its_interval_or_the_cells_are_empty() -> None:
    ours = recorded("mine", 0.745)
    page = anchors.page(anchors.rows_of([ours]))
    row = table_row(page, "Residual Masking Network")
    assert row[1] == "74.14"
    assert row[5:] == [interval(ours.result["test"]), "210, 0", "[mine](): x, 48×48; one view", "yes"]
    assert set(table_row(page, "Residual Masking Network, ensemble of 7")[5:]) == {""}
    assert set(table_row(page, "QCS")[5:]) == {""}


def test_trials_are_no_candidates(tmp_path: Path, out: Path) -> None:
    run = expand(GRID, tmp_path)[0]
    keep(out, "trials", "a", result_of(run))
    keep(out, "records", "b", result_of(run, trial=True))
    keep(out, "records", "c", result_of(run))
    assert {each.name for each in anchors.candidates(out)} == {"c", *zoo_models()}


def test_an_ensemble_says_what_it_is_made_of_and_has_a_row_in_the_readmes_table(tmp_path: Path, out: Path) -> None:
    result = result_of(expand(GRID, tmp_path)[0])
    members = [{"name": name, "architecture": name, "size": [96, 96]} for name in ("resnet18", "vgg16")]
    members[1]["protocol"] = "folders"
    result |= {
        "dataset": "fer2013",
        "config": {"protocol": "official", "views": "flip", "members": ["a", "fer-lite0"], "weights": [1.0, 2.0]},
        "members": members,
    }
    keep(out, "records", "both", result)
    found = anchors.outside(out)
    assert [(each.kind, each.about) for each in found] == [
        ("ensemble", "2 models: resnet18, vgg16 (learned under folders); views: flip")
    ]
    row = table_row(reports.readme_block(out), "[both](model_cards/results/records/both.json)")
    assert row[1] == "2 × resnet18, vgg16, views: flip"
    command = "python -m train ensemble runs/a fer-lite0 --out runs/both --weights 1 2 --views flip"
    assert command in anchors.page([], out).splitlines()
    assert row[-1] == "210"  # an ensemble has no seed


def test_one_model_with_several_views_is_single_and_named() -> None:
    one = {"name": "mine", "architecture": "resnet18", "size": [48, 64]}  # height and width
    config = {"protocol": "official", "views": "flip", "members": ["mine"], "weights": [1.0]}
    found = Candidate("mine-flip", "", {"config": config, "members": [one]})
    assert (found.kind, found.about) == ("single", "mine, resnet18, 64×48; views: flip")


def test_a_run_outside_of_presets_is_in_the_readme_and_its_command_on_the_page(tmp_path: Path, out: Path) -> None:
    run, counts = expand(GRID, tmp_path)[0], dict(zip(USAGES, (1000, 200, 210), strict=True))
    result = result_of(run, protocol="ferplus") | {"parent": None, "dataset": "ferplus", "rows": counts}
    keep(out, "records", "mine", result)
    keep(out, "records", "elsewhere", result_of(run))  # another test set than PrivateTest
    keep(out, "records", "doubtful", result | {"teacher": [{"name": "t", "beware": "knows all."}]})
    assert [each.name for each in anchors.outside(out)] == ["mine"]
    block = reports.readme_block(out)
    row = table_row(block, "[mine](model_cards/results/records/mine.json)")
    assert interval(result["test"]).split(" ")[0] in row[3]
    assert "FER2013 with FERPlus' labels, protocol `ferplus`" in block
    assert "as links: recorded" in block
    page = anchors.page([], out)
    assert "[mine](results/records/mine.json), " in page
    assert "python -m train run --out runs/mine --protocol ferplus" in page


def test_the_drawing_has_each_anchor_and_each_of_ours_once(tmp_path: Path) -> None:
    rows = anchors.rows_of([recorded("mine", 0.745)])
    mine = [row for row in rows if row["panel"] == "fer2013"]
    found = anchors.bars(mine)
    assert len(found) == len(mine) + 1
    assert [bar["figure"] for bar in found] == sorted((bar["figure"] for bar in found), reverse=True)
    (own,) = [bar for bar in found if bar["ours"]]
    assert (own["low"], own["figure"], own["high"]) == pytest.approx((0.735, 0.745, 0.755))
    anchors.draw(rows, tmp_path / "records.png")
    with Image.open(tmp_path / "records.png") as image:
        assert image.width > 600


# ── what is committed ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_pages_are_what_the_result_files_say() -> None:
    assert reports.PAGE.read_text(encoding="utf-8") == reports.page()
    assert anchors.PAGE.read_text(encoding="utf-8") == anchors.page(anchors.rows_of(anchors.candidates()))


def test_the_page_of_what_was_tried_is_what_the_result_files_say(tmp_path: Path) -> None:
    page = tried.write(tmp_path)[0]
    assert (cards.TEMPLATES / tried.PAGE).read_bytes() == page.read_bytes()


@pytest.mark.parametrize("name", PRESETS)
def test_the_leaderboards_are_what_the_result_files_say(name: str) -> None:
    rows = leaderboard.recorded_rows(name)
    board = leaderboard.BOARDS / name
    assert board.with_suffix(".md").read_text(encoding="utf-8") == leaderboard.as_markdown(name, rows, f"{name}.png")
    assert board.with_suffix(".csv").read_text(encoding="utf-8") == leaderboard.as_csv(name, rows)


@pytest.mark.parametrize("path", sorted(FILES - {cards.TEMPLATES / tried.PAGE}), ids=lambda path: path.name)
def test_every_link_of_a_page_leads_to_a_file(path: Path) -> None:
    linked = cards.RELATIVE.findall(path.read_text(encoding="utf-8"))
    assert linked
    assert not [file for file in linked if not (path.parent / file).is_file()]
