"""train.ensemble: members that fit, a temperature of validation, figures that scikit-learn finds, too; whole or not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ensembles import pair, read, together
from huggingface_hub import ModelCard
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss

from fer_hub.classifier import classify, load_classifier
from fer_hub.hub import read_info
from fer_hub.types import ModelError
from train import data, ensemble_card, ensemble_members, ensemble_scores
from train.ensemble import EnsembleConfig, make
from train.run_folder import RunError
from train.sources import DataError


@pytest.fixture(scope="module")
def members(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models that are wrong in different places."""
    return pair(toy_model, tmp_path_factory.mktemp("members"))


@pytest.fixture(scope="module")
def folder(members: tuple[Path, Path], toy_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of both, the second with twice the weight, each shown two views."""
    return together(members, tmp_path_factory.mktemp("ensembles") / "both", toy_csv)


@pytest.fixture
def spoilt(toy_model: Path, tmp_path: Path) -> Callable[..., str]:
    """Makes a copy of the toy model whose config or metrics say something else, and whose ONNX file is another."""

    def spoil(change: Callable[[dict[str, Any], dict[str, Any]], object], same_file: bool = False) -> str:
        model = Path(shutil.copytree(toy_model, tmp_path / "spoilt"))
        config, result = read(model / "config.json"), read(model / "metrics.json")
        change(config["fer"], result)
        (model / "config.json").write_text(json.dumps(config))
        (model / "metrics.json").write_text(json.dumps(result))
        if not same_file:
            with (model / "onnx/model.onnx").open("ab") as file:
                file.write(bytes.fromhex("7200"))  # an empty metadata entry: another file, the same network
        return str(model)

    return spoil


def mean_of(members: tuple[Path, Path], images: Any) -> Any:
    """The mean by weights 1 and 2."""
    one, two = (probabilities(model, images) for model in members)
    return (one + 2 * two) / 3


def probabilities(model: Path, images: Any) -> Any:
    """Mean of the calibrated probabilities of a model over the face and its mirror image."""
    classifier = load_classifier(model)
    mirrored = [image[:, ::-1].copy() for image in images]
    return (classify(classifier, list(images)) + classify(classifier, mirrored)) / 2


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_figures_are_those_of_the_weighted_mean(folder: Path, members: tuple[Path, Path], toy_csv: Path) -> None:
    splits, result = data.load("as-given", toy_csv), read(folder / "metrics.json")
    for name in ("validation", "test"):
        split = getattr(splits, name)
        mean = mean_of(members, split.images)
        sharpened = mean ** (1 / result["temperature"])
        expected = sharpened / sharpened.sum(1, keepdims=True)
        guesses = expected.argmax(1)
        scores = result[name]
        assert scores["accuracy"] == pytest.approx(accuracy_score(split.labels, guesses))
        assert scores["macro_f1"] == pytest.approx(f1_score(split.labels, guesses, average="macro", zero_division=0))
        assert scores["nll"] == pytest.approx(log_loss(split.labels, expected, labels=range(7)), rel=1e-5)
        assert scores["confusion"] == confusion_matrix(split.labels, guesses, labels=range(7)).tolist()
        assert result["uncalibrated"][name]["nll"] == pytest.approx(
            log_loss(split.labels, mean, labels=range(7)), rel=1e-5
        )


def test_the_temperature_is_the_best_on_validation_not_on_test(
    folder: Path, members: tuple[Path, Path], toy_csv: Path
) -> None:
    splits, found = data.load("as-given", toy_csv), {}
    for name in ("validation", "test"):
        split = getattr(splits, name)
        mean = mean_of(members, split.images)

        def nll(t: float, mean: Any = mean, labels: Any = split.labels) -> float:
            sharpened = mean ** (1 / t)
            return float(log_loss(labels, sharpened / sharpened.sum(1, keepdims=True), labels=range(7)))

        found[name] = minimize_scalar(nll, bounds=(0.05, 20), method="bounded").x
    temperature = read(folder / "metrics.json")["temperature"]
    assert temperature == pytest.approx(found["validation"], abs=2e-3)
    assert temperature != pytest.approx(found["test"], abs=2e-3)


def test_loaded_by_its_folder_it_answers_with_the_calibrated_mean(
    folder: Path, members: tuple[Path, Path], toy_csv: Path
) -> None:
    images = data.load("as-given", toy_csv).test.images[:9]
    mean = mean_of(members, images)
    sharpened = mean ** (1 / read(folder / "config.json")["fer"]["temperature"])
    expected = sharpened / sharpened.sum(1, keepdims=True)
    np.testing.assert_allclose(classify(load_classifier(folder), list(images)), expected, atol=1e-6)


def test_what_is_gained_on_each_member_is_tested_on_the_same_rows(
    folder: Path, members: tuple[Path, Path], toy_csv: Path
) -> None:
    split, result = data.load("as-given", toy_csv).test, read(folder / "metrics.json")
    whole = classify(load_classifier(folder), list(split.images)).argmax(1) == split.labels
    for row, model in zip(result["members"], members, strict=True):
        alone = classify(load_classifier(model), list(split.images)).argmax(1) == split.labels
        assert row["test"]["accuracy"] == pytest.approx(alone.mean())
        gained, lost = int((whole & ~alone).sum()), int((alone & ~whole).sum())
        gain = row["gain"]["test"]
        assert (gain["gained"], gain["lost"]) == (gained, lost)
        assert gain["difference"] == pytest.approx(whole.mean() - alone.mean())
        assert gain["p"] == pytest.approx(binomtest(gained, gained + lost).pvalue if gained + lost else 1.0)
        assert gain["difference_95"][0] <= gain["difference"] <= gain["difference_95"][1]


def test_its_config_says_what_it_is_made_of(folder: Path, toy_run: Path) -> None:
    config, result = read(folder / "config.json"), read(folder / "metrics.json")
    fer, info = config["fer"], read_info(folder)
    assert config["architecture"] == "ensemble"
    assert [row["weight"] for row in fer["members"]] == [1.0, 2.0]
    assert all((folder / row["model"]).resolve().is_dir() and row["revision"] is None for row in fer["members"])
    assert fer["views"] == "flip"
    assert info.temperature == result["temperature"] == fer["calibration"]["temperature"]
    assert fer["calibration"]["folded"] is False
    assert fer["protocol"] == read(toy_run / "model/config.json")["fer"]["protocol"]
    assert fer["metrics"]["test"]["accuracy"] == result["test"]["accuracy"]
    for faces, times in result["latency_ms"].items():
        assert fer["latency_ms"][faces] == times["ensemble"]["p50"] > 0
        fastest = min(row["p50"] for row in times["members"])
        assert times["times_fastest"] == pytest.approx(times["ensemble"]["p50"] / fastest, abs=0.01)
    assert read_info(folder).input == read_info(toy_run / "model").input


# ── choice ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_greedy_choice_takes_what_helps_and_leaves_out_what_does_not() -> None:
    labels = np.array([0, 1])
    # each of two is nearly sure of one row and undecided on the other; together they are right on both
    one, two = np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([[0.5, 0.5], [0.1, 0.9]])
    wrong = np.array([[0.1, 0.9], [0.9, 0.1]])
    counts = ensemble_scores.greedy([wrong, one, two], labels, 6)
    assert counts[0] == 0
    assert counts[1] == counts[2] > 0


def test_the_greedy_choice_is_the_best_of_all_small_ones() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    models = []
    for strength in (1.0, 0.8, 0.0):
        logits = rng.normal(size=(200, 3)) + strength * 2 * np.eye(3)[labels]
        models.append(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    counts = ensemble_scores.greedy(models, labels)

    def nll(weights: Any) -> float:
        mean = np.tensordot(np.array(weights) / sum(weights), np.stack(models), 1)
        return float(log_loss(labels, mean, labels=range(3)))

    assert nll(counts) <= min(nll(row) for row in np.eye(3))
    assert nll(counts) == pytest.approx(min(nll((a, 10 - a, 0)) for a in range(11)), abs=0.01)


def test_a_choice_keeps_its_members_and_counts_and_says_out_of_which(
    members: tuple[Path, Path], toy_csv: Path, tmp_path: Path
) -> None:
    offered = (str(members[0]), str(members[1]))
    result = make(EnsembleConfig(offered, tmp_path / "chosen", "flip", select=True, data=toy_csv))
    assert result is not None
    assert result["offered"] == ["one", "two"]
    rows = read(tmp_path / "chosen" / "config.json")["fer"]["members"]
    assert len(rows) == len(result["members"])
    assert all(row["weight"] == int(row["weight"]) >= 1 for row in rows)
    assert "greedily" in (tmp_path / "chosen" / "README.md").read_text(encoding="utf-8")
    assert make(EnsembleConfig(offered, tmp_path / "chosen", "flip", select=True, data=toy_csv)) is None


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


MISFITS: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], object], str]] = {
    "another protocol": (
        lambda fer, result: fer.update(protocol="random-80-20"),
        "protocol random-80-20 instead of as-given.*may have learned from those that are scored",
    ),
    "another data set": (lambda fer, result: fer.update(dataset="ferplus"), "dataset ferplus instead of"),
    "a run before on other rows": (
        lambda fer, result: result.update(parent={"config": {"protocol": "random-80-20"}, "parent": None}),
        "a run before with protocol random-80-20",
    ),
    "a teacher that may know the rows": (
        lambda fer, result: result.update(teacher=[{"name": "t", "beware": "was nosy."}]),
        r"cannot be a member: it learned from t, which was nosy\. Give members",
    ),
    "other rows": (lambda fer, result: result["config"].update(limit=9), "limit 9 instead of None"),
    "another alignment": (lambda fer, result: fer.update(alignment="eyes"), "its alignment is eyes"),
    "another margin": (lambda fer, result: fer["face_margin"].update(scale=2.0), "its margin is"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_member_that_does_not_fit_is_refused_before_anything_is_computed(
    toy_run: Path, spoilt: Callable[..., str], tmp_path: Path, name: str
) -> None:
    change, said = MISFITS[name]
    out = tmp_path / "out"
    with pytest.raises((ValueError, ModelError), match=said):
        make(EnsembleConfig((str(toy_run), spoilt(change)), out, data=tmp_path / "not read"))
    assert not list(tmp_path.glob("out*"))


def test_a_run_before_that_saw_no_row_which_is_scored_is_no_reason_to_refuse(tmp_path: Path) -> None:
    found = ensemble_members.locate("ferplus-lite0", tmp_path)
    assert {run["protocol"] for run in ensemble_members.earlier(found.result)} == {"ferplus", "official"}
    ensemble_members.check_alike([found, found._replace(file={"sha256": "another"})])


def under(member: ensemble_members.Joining, protocol: str) -> ensemble_members.Joining:
    """A member as if it had been trained under another protocol."""
    info = replace(member.info, fer=member.info.fer | {"protocol": protocol})
    result = member.result | {"config": member.result["config"] | {"protocol": protocol}, "parent": None}
    return member._replace(info=info, result=result, file={"sha256": protocol})


def test_a_member_whose_rows_are_not_scored_may_join_and_not_the_other_way_round(tmp_path: Path) -> None:
    official = ensemble_members.locate("fer-lite0", tmp_path)
    of_folders = under(official, "folders")
    ensemble_members.check_alike([official, of_folders])
    with pytest.raises(ValueError, match=r"official instead of folders.*of one protocol, or fer-lite0 first\."):
        ensemble_members.check_alike([of_folders, official])
    with pytest.raises(ValueError, match=r"random-80-20 instead of official.*Give members of one protocol\."):
        ensemble_members.check_alike([official, under(official, "random-80-20")])


def test_the_card_says_what_a_member_learned_from_that_learned_from_other_rows(folder: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "both"))
    assert "trained on other rows" not in ensemble_card.ensemble_card(copied)
    result = read(copied / "metrics.json")
    result["members"][1] |= {"protocol": "folders", "learned": 22967}
    (copied / "metrics.json").write_text(json.dumps(result))
    said = f"| trained on other rows | two: 22,967 rows of protocol `folders`, {data.PROTOCOLS['folders'].about}; "
    assert said in ensemble_card.ensemble_card(copied)


def test_a_member_of_other_data_is_refused(
    toy_run: Path, spoilt: Callable[..., str], toy_csv: Path, tmp_path: Path
) -> None:
    model = spoilt(lambda fer, result: result.update(data="0123456789abcdef"))
    with pytest.raises(DataError, match="trained on other data"):
        make(EnsembleConfig((str(toy_run), model), tmp_path / "out", data=toy_csv))


def test_options_that_make_no_ensemble_are_refused(toy_run: Path, folder: Path, tmp_path: Path) -> None:
    run, out = str(toy_run), tmp_path / "out"
    cases = {
        "--views flip": EnsembleConfig((run,), out),
        "Known: none, flip, tencrop": EnsembleConfig((run,), out, "upside-down"),
        "given twice": EnsembleConfig((run, run), out),
        "one weight above 0 for each": EnsembleConfig((run,), out, "flip", (1.0, 2.0)),
        "is an ensemble itself": EnsembleConfig((str(folder), run), out),
        "17 models; an ensemble has at most 16 members. Let --select": EnsembleConfig((run,) * 17, out),
        "given twice. Give it once": EnsembleConfig((run,) * 17, out, select=True),  # of more it may choose
        "Leave out --weights": EnsembleConfig((run,), out, "flip", (1.0,), select=True),
        "There is no model": EnsembleConfig(("no-such", run), out),
    }
    for said, config in cases.items():
        with pytest.raises((ValueError, ModelError), match=said):
            make(config)


# ── its folder ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_command_again_does_nothing_and_another_one_is_refused(
    folder: Path, members: tuple[Path, Path], tmp_path: Path
) -> None:
    both, before = (str(members[0]), str(members[1])), {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert make(EnsembleConfig(both, folder, "flip", (1.0, 2.0))) is None
    with pytest.raises(RunError, match=r"other views \(flip, now tencrop\)\."):
        make(EnsembleConfig(both, folder, "tencrop", (1.0, 2.0)))
    with pytest.raises(RunError, match=r"other members \(1 × .*2 × .*now 1 × .*1 × .*\)\."):
        make(EnsembleConfig(both, folder, "flip"))
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="is there and is no ensemble"):
        make(EnsembleConfig(both, tmp_path, "flip"))


def test_what_fails_half_way_leaves_nothing(
    toy_run: Path, toy_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.ensemble.ensemble_card", lambda folder: folder / "no card")  # it has no encode
    with pytest.raises(AttributeError):
        make(EnsembleConfig((str(toy_run),), tmp_path / "out", "flip", data=toy_csv))
    assert not list(tmp_path.iterdir())


def test_its_card_is_valid_and_states_gain_and_cost(folder: Path) -> None:
    text, result = (folder / "README.md").read_text(encoding="utf-8"), read(folder / "metrics.json")
    card = ModelCard(text)
    assert {"fer-hub", "ensemble"} <= set(card.data.tags)
    assert card.data.library_name == "fer-hub"
    figures = {row.metric_type: row.metric_value for row in card.data.eval_results}
    assert figures["accuracy"] == result["test"]["accuracy"]
    assert figures["ece"] == result["test"]["ece"]
    for said in (
        f"{100 * result['test']['accuracy']:.2f} %",
        f"{result['latency_ms']['1']['times_fastest']:.1f} × the time of its fastest member",
        "ensemble of 2 models, 2 views",
        "| one | 0.333 |",
        "| two | 0.667 |",
        f"| × the fastest member | | {result['latency_ms']['1']['times_fastest']:.2f} |",
        "not one network",
        "python -m train ensemble ../../members0/one ../../members0/two --out ../both-again --weights 1 2 --views flip",
    ):
        assert said in text
    for absent in ("import timm", "onnxruntime.InferenceSession", "ort.wasm"):
        assert absent not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


def test_a_card_without_one_of_its_figures_is_not_written(folder: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "copied"))
    result = read(copied / "metrics.json")
    del result["members"][1]["gain"]
    (copied / "metrics.json").write_text(json.dumps(result))
    with pytest.raises(ValueError, match=r"cannot be written: .*gain"):
        ensemble_card.ensemble_card(copied)
