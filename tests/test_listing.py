from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
from hub_server import HubServer

from fer_hub.cli import main
from fer_hub.download import Place
from fer_hub.hub import find_model, read_info, zoo_models
from fer_hub.listing import card, describe, figures_of, latency
from fer_hub.recognizer import Recognizer
from fer_hub.types import ModelError

NOT_STATED = (
    "accuracy",
    "accuracy_95",
    "macro_f1",
    "balanced_accuracy",
    "ece",
    "worst",
    "n",
    "dataset",
    "protocol",
    "seed",
    "parameters",
    "licence",
)
PER_CLASS = {
    "angry": {"recall": 0.5, "support": 10},
    "disgust": {"recall": 0.0, "support": 0},
    "sad": {"recall": 0.25, "support": 4},
}


@pytest.fixture
def server() -> Iterator[HubServer]:
    """A Hub on loopback."""
    with HubServer() as running:
        yield running


def written(folder: Path, metrics: Any = None, readme: str | None = None) -> Path:
    """A tiny model with these files beside it."""
    tiny.network(folder, dataset="toy", metrics={"test": {"accuracy": 0.5, "n": 14}})
    if metrics is not None:
        (folder / "metrics.json").write_text(metrics if isinstance(metrics, str) else json.dumps(metrics))
    if readme is not None:
        (folder / "README.md").write_text(readme, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", zoo_models())
def test_a_model_of_the_zoo_states_everything(name: str) -> None:
    row, folder = describe(name), find_model(name, files=("config.json",))
    result = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    test = result["test"]
    for figure in ("accuracy", "macro_f1", "balanced_accuracy", "ece", "n", "accuracy_95"):
        assert row[figure] == test[figure]
    low, high = row["accuracy_95"]
    assert low < row["accuracy"] < high
    worst = test["per_class"][row["worst"]["label"]]["recall"]
    assert row["worst"]["recall"] == worst == min(values["recall"] for values in test["per_class"].values())
    assert row["parameters"] == result["parameters"]
    trained_on = (result["dataset"], result["config"]["protocol"])
    assert (row["dataset"], row["protocol"], row["licence"]) == (*trained_on, "apache-2.0")
    json.dumps(row)


def test_what_a_folder_does_not_state_is_none(tmp_path: Path) -> None:
    row = describe(tiny.network(tmp_path / "tiny"))
    assert {name: row[name] for name in NOT_STATED} == dict.fromkeys(NOT_STATED)
    assert (row["labels"], row["onnx_mb"], row["views"]) == (list(tiny.SEVEN), {"fp32": 0}, "none")


def test_the_worst_class_is_one_that_has_images(tmp_path: Path) -> None:
    row = describe(written(tmp_path / "m", {"parameters": 448, "test": {"ece": 0.1, "per_class": PER_CLASS}}))
    assert row["worst"] == {"label": "sad", "recall": 0.25}
    assert (row["accuracy"], row["n"], row["ece"], row["parameters"]) == (0.5, 14, 0.1, 448)
    assert (row["dataset"], row["macro_f1"]) == ("toy", None)


@pytest.mark.parametrize(
    "metrics",
    [
        {"test": 3},
        {"test": {"per_class": [1]}},
        {"test": {"per_class": {"sad": 0.3, "happy": {"recall": "high"}}}},
        {"test": {"ece": "low", "macro_f1": True, "accuracy_95": [0.1, None]}, "parameters": "<b>many</b>"},
        {"test": {"ece": 10**400}, "parameters": -(10**400)},
        '{"test": {"ece": NaN, "balanced_accuracy": Infinity, "accuracy_95": 7}}',
    ],
)
def test_wrong_values_are_not_passed_on(tmp_path: Path, metrics: Any) -> None:
    row = describe(written(tmp_path / "m", metrics))
    for name in ("worst", "ece", "macro_f1", "accuracy_95", "balanced_accuracy", "parameters"):
        assert row[name] is None
    assert row["accuracy"] == 0.5


@pytest.mark.parametrize(
    ("fer", "figures"),
    [
        ({"metrics": {"test": {"accuracy": 0.5, "n": 14}}}, {"accuracy": 0.5, "n": 14}),
        ({"metrics": {"test": {"accuracy": 0.5}}}, {"accuracy": 0.5}),
        ({"metrics": {"test": {"accuracy": "70 %", "n": 14}}}, {"n": 14}),
        ({"metrics": {"test": {"per_class": PER_CLASS}}}, {"worst": {"label": "sad", "recall": 0.25}}),
        ({"metrics": {"test": {"accuracy": float("nan"), "accuracy_95": [0.1, 0.2]}}}, {"accuracy_95": [0.1, 0.2]}),
        ({"metrics": {"test": [0.5]}}, {}),
        ({"metrics": "good"}, {}),
        ({}, {}),
        ("fer", {}),
        (["metrics"], {}),
        (None, {}),
    ],
)
def test_of_the_figures_in_a_config_only_those_that_are_figures_are_taken(fer: Any, figures: dict[str, Any]) -> None:
    assert figures_of(replace(read_info(find_model()), fer=fer)) == figures


def test_a_wrong_figure_in_the_config_does_not_hide_the_right_one_beside_it(tmp_path: Path) -> None:
    folder = tiny.network(tmp_path / "m", metrics={"test": {"accuracy": "high", "n": 14}})
    (folder / "metrics.json").write_text(json.dumps({"test": {"accuracy": 0.25, "n": 3}}))
    assert {name: describe(folder)[name] for name in ("accuracy", "n")} == {"accuracy": 0.25, "n": 14}


def test_broken_metrics_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"metrics\.json cannot be read as JSON"):
        describe(written(tmp_path / "m", "{"))


@pytest.mark.parametrize(
    ("front", "licence"),
    [
        ("license: mit", "mit"),
        ("license: other\nlicense_name: my-own", "my-own"),
        ("license: other", "other"),
        ("license: [mit]", None),
        ("title: none", None),
        ("- a list", None),
        ("license: {broken", None),
    ],
)
def test_the_licence_is_that_of_the_front_matter(tmp_path: Path, front: str, licence: str | None) -> None:
    assert describe(written(tmp_path / "m", readme=f"---\n{front}\n---\n# M"))["licence"] == licence


def test_the_card_is_the_readme_made_harmless(tmp_path: Path) -> None:
    folder = written(tmp_path / "m", readme="---\nlicense: mit\n---\n# M\n<script>1</script>![a](https://x.org/a.png)")
    assert card(folder) == "# M\na\n"
    assert card(tiny.network(tmp_path / "bare")) == ""
    text = card("fer-lite0")
    assert text.startswith("# fer-lite0\n")
    assert "](data:image/png;base64," in text
    with pytest.raises(ModelError, match="no model 'gone'"):
        card("gone")


def test_a_card_that_is_no_text_is_no_error(tmp_path: Path) -> None:
    folder = written(tmp_path / "m")
    (folder / "README.md").write_bytes(b"# M \xff\n")
    assert card(folder) == "# M \ufffd\n"
    assert describe(folder)["licence"] is None


def test_a_model_on_the_hub_is_described_by_its_small_files(server: HubServer, tmp_path: Path) -> None:
    result = {"parameters": 448, "test": {"macro_f1": 0.4, "per_class": PER_CLASS}}
    readme = "---\nlicense: mit\n---\n# M <img src=x onerror=alert(1)>"
    server.put("me/m", tiny.files(written(tmp_path / "m", result, readme)))
    server.put("me/bare", tiny.files(tiny.network(tmp_path / "bare")))
    place = Place(cache_dir=tmp_path / "cache", token=server.token, endpoint=server.url)
    row = describe("me/m", place)
    assert (row["macro_f1"], row["parameters"], row["licence"], row["accuracy"]) == (0.4, 448, "mit", 0.5)
    assert row["worst"]["label"] == "sad"
    assert card("me/m", place) == "# M\n"
    bare = describe("me/bare", place)
    assert {name: bare[name] for name in NOT_STATED} == dict.fromkeys(NOT_STATED)
    assert card("me/bare", place) == ""
    assert not list((tmp_path / "cache").rglob("model.onnx"))
    offline = Place(cache_dir=tmp_path / "cache", endpoint=server.url, local_files_only=True)
    assert describe("me/m", offline) == row
    server.put("me/m", {"README.md": b"# M\n" + bytes(6_000_000)})
    assert card("me/m", place) == ""


def test_the_latency_is_measured_here_within_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer, calls = Recognizer.from_pretrained(), []
    logits = recognizer.classifier.logits
    monkeypatch.setattr(recognizer.classifier, "logits", lambda crops: calls.append(len(crops)) or logits(crops))
    short = latency(recognizer, seconds=0)
    assert (short.n, calls) == (1, [1] * 4)
    longer = latency(recognizer, seconds=0.3)
    assert longer.n > 1
    assert 0 < longer.minimum <= longer.p50 <= longer.p95
    assert longer.mean * longer.n < 10 * 300


def test_the_line_of_a_model_names_macro_f1_and_the_worst_class(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    first, row = capsys.readouterr().out.splitlines()[0], describe(zoo_models()[0])
    assert f"test accuracy {row['accuracy']:.2%} of 3589 (FER2013), " in first
    assert f"macro-F1 {row['macro_f1']:.3f}" in first
    assert f"worst class {row['worst']['label']} (recall {row['worst']['recall']:.1%})" in first
