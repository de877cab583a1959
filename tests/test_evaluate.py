"""python -m train evaluate: every figure of the report, in JSON and on the page, from the saved logits alone."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
import tiny_models
from html_tables import Tables
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve

from fer_hub.classifier import load_classifier
from fer_hub.hub import ZOO
from fer_hub.labels import display, labels_of
from fer_hub.types import ModelError
from train import data, leaks
from train.__main__ import main
from train.evaluate import EvaluateConfig, evaluate, fitting
from train.evaluation import candidates
from train.evaluation.candidates import own_protocol

FILE = ZOO / "fer-lite0" / "onnx" / "model_quantized.onnx"
NAMES = ("fer-lite0", "model_quantized", "ensemble of 2")
BINS = 15
LABELS = labels_of("fer2013-7")

slow = pytest.mark.slow


class Answers:
    """What one model of the report was saved to have said."""

    def __init__(self, path: Path) -> None:
        saved = np.load(path)
        self.name, self.labels, self.names = str(saved["model"]), saved["test_labels"], saved["names"].tolist()
        self.p = softmax(saved["test_logits"].astype(np.float64) / saved["temperature"], axis=1)
        self.chosen_p = softmax(saved["validation_logits"].astype(np.float64) / saved["temperature"], axis=1)
        self.chosen_labels = saved["validation_labels"]
        self.guesses, self.confidence = self.p.argmax(1), self.p.max(1)
        self.hits = self.guesses == self.labels

    def bins(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Counts, confidence and accuracy of the bins that are not empty, by scikit-learn."""
        accuracy, confidence = calibration_curve(self.hits, self.confidence, n_bins=BINS)
        counts = np.histogram(self.confidence, np.linspace(0, 1, BINS + 1))[0]
        return counts[counts > 0], confidence, accuracy

    def ece(self) -> float:
        counts, confidence, accuracy = self.bins()
        return float((counts * np.abs(confidence - accuracy)).sum() / counts.sum())

    def risks(self) -> np.ndarray:
        """Share of errors among the surest 1 to N faces (no two are equally sure here)."""
        order = np.argsort(-self.confidence)
        return (~self.hits[order]).cumsum() / np.arange(1, len(order) + 1)


def pc(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, fer2013_dir: Path) -> Path:
    """The embedded model, its 8-bit file alone, and both as one."""
    folder = tmp_path_factory.mktemp("evaluation") / "report"
    models = ("fer-lite0", str(FILE))
    options: dict[str, Any] = {"runtimes": ("onnx",), "ensemble": True, "parts": ("robustness", "copies"), "rows": 24}
    evaluate(EvaluateConfig(models, fer2013_dir, out=folder, **options))
    return folder


@pytest.fixture(scope="module")
def report(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def page(out: Path) -> Tables:
    return Tables((out / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def answers(out: Path) -> list[Answers]:
    found = [Answers(path) for path in sorted((out / "logits").iterdir())]
    assert tuple(each.name for each in found) == NAMES
    return found


@slow
def test_every_score_of_the_json_is_scikit_learns(report: dict[str, Any], answers: list[Answers]) -> None:
    for model, each in zip(report["models"], answers, strict=True):
        truth, guesses, scores = each.labels, each.guesses, model["scores"]
        averages = {
            f"{average}_{name}": value
            for average in ("macro", "weighted")
            for name, value in zip(
                ("precision", "recall", "f1"),
                sk.precision_recall_fscore_support(truth, guesses, average=average)[:3],
                strict=True,
            )
        }
        wanted = averages | {
            "n": 3589,
            "accuracy": sk.accuracy_score(truth, guesses),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, guesses),
            "macro_roc_auc": sk.roc_auc_score(truth, each.p, multi_class="ovr"),
            "nll": sk.log_loss(truth, each.p),
            "ece": each.ece(),
        }
        assert {name: scores[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)
        assert scores["confusion"] == sk.confusion_matrix(truth, guesses).tolist()
        rows = sk.precision_recall_fscore_support(truth, guesses)
        for index, label in enumerate(each.names):
            precision, recall, f1, support = (values[index] for values in rows)
            area = sk.roc_auc_score(truth == index, each.p[:, index])
            expected = {"precision": precision, "recall": recall, "f1": f1, "support": support, "roc_auc": area}
            mine = {name: scores["per_class"][label][name] for name in expected}
            assert mine == pytest.approx(expected, abs=1e-6)


@slow
def test_the_summary_says_what_the_logits_say(page: Tables, answers: list[Answers]) -> None:
    rows = page.rows("Each model on 3,589 faces")
    for row, each in zip(rows, answers, strict=True):
        recalls = sk.recall_score(each.labels, each.guesses, average=None)
        worst = f"{pc(recalls.min())} | {display(each.names[int(recalls.argmin())])}"
        assert row[0] == each.name
        assert row[1].startswith(f"{pc(each.hits.mean(), 2)} | ")
        assert row[2:8] == [
            f"{sk.f1_score(each.labels, each.guesses, average='macro'):.3f}",
            pc(recalls.mean()),
            worst,
            f"{sk.log_loss(each.labels, each.p):.3f}",
            f"{each.ece():.3f}",
            f"{each.risks().mean():.4f}",
        ]


@slow
def test_the_tables_by_expression_are_scikit_learns(page: Tables, answers: list[Answers]) -> None:
    rows, counts = [], []
    for each in answers:
        precision, recall, f1, support = sk.precision_recall_fscore_support(each.labels, each.guesses)
        matrix = sk.confusion_matrix(each.labels, each.guesses)
        for index, label in enumerate(each.names):
            area = sk.roc_auc_score(each.labels == index, each.p[:, index])
            figures = [
                f"{support[index]:,}",
                pc(recall[index]),
                pc(precision[index]),
                f"{f1[index]:.3f}",
                f"{area:.3f}",
            ]
            rows.append([display(label), *figures])
            shares = matrix[index] / matrix[index].sum()
            cells = [f"{100 * share:.0f} % | {count:,}" for share, count in zip(shares, matrix[index], strict=True)]
            counts.append([display(label), *cells])
    assert page.rows("By expression") == rows
    assert page.rows("Rows: the label") == counts


@slow
def test_the_calibration_tables_are_scikit_learns(page: Tables, answers: list[Answers]) -> None:
    after = [row for row in page.rows("Before calibration and after") if row[1] == "after"]
    bins = page.rows("Confidence and accuracy in 15 bins")
    for row, each in zip(after, answers, strict=True):
        brier = ((each.p - np.eye(7)[each.labels]) ** 2).sum(1).mean()
        gap = 100 * (each.confidence.mean() - each.hits.mean())
        assert row[2].startswith(f"{each.ece():.3f} | ")
        assert row[7:9] == [f"{sk.log_loss(each.labels, each.p):.3f}", f"{brier:.3f}"]
        assert row[9] == f"{gap:+.2f}".replace("-", "−")
        mine, bins = bins[:BINS], bins[BINS:]
        full = [row[1:4] for row in mine if row[1] != "0"]
        wanted = zip(*each.bins(), strict=True)
        assert full == [[f"{count:,}", pc(confidence), pc(accuracy)] for count, confidence, accuracy in wanted]
    assert not bins


@slow
def test_calibration_is_undone_for_the_figures_before_it(report: dict[str, Any]) -> None:
    """The embedded model's calibration is in its last layer; metrics.json holds what the run saw before that."""
    result = json.loads((ZOO / "fer-lite0" / "metrics.json").read_text(encoding="utf-8"))
    before, kept = report["models"][0]["uncalibrated"], result["uncalibrated"]["test"]
    assert {name: before[name] for name in ("nll", "ece")} == pytest.approx(
        {name: kept[name] for name in ("nll", "ece")}, abs=1e-4
    )


@slow
def test_what_silence_brings_is_counted_again(page: Tables, answers: list[Answers]) -> None:
    rows = page.rows("Errors among the answers")
    held = page.rows("At least so accurate")
    for row, each in zip(rows, answers, strict=True):
        risks, n = each.risks(), len(each.labels)
        last = [risks[int(np.ceil(share * n)) - 1] for share in (0.5, 0.7, 0.8, 0.9, 1.0)]
        assert row[1] == f"{risks.mean():.4f}"
        assert row[3:] == [pc(risk) for risk in last]
        mine, held = held[:5], held[5:]
        for line in mine:
            if "not reached" in line[1]:
                continue
            threshold = float(line[1])  # of three digits: faces within half of the last may fall on either side
            near = np.abs(each.confidence - threshold) < 0.0006
            answered = int(line[2].split("|")[1].split("of")[0].replace(",", ""))
            assert answered == pytest.approx((each.confidence >= threshold).sum(), abs=int(near.sum()) + 1)
            hits = each.hits[np.argsort(-each.confidence)][:answered]
            assert line[3] == pc(hits.mean())
    assert not held


@slow
def test_the_comparison_is_mcnemars(report: dict[str, Any], answers: list[Answers]) -> None:
    by_name = {each.name: each for each in answers}
    assert len(report["comparison"]) == 3
    for pair in report["comparison"]:
        a, b = by_name[pair["a"]].hits, by_name[pair["b"]].hits
        assert (pair["only_a"], pair["only_b"]) == ((a & ~b).sum(), (b & ~a).sum())
        assert pair["p"] == pytest.approx(binomtest(int((a & ~b).sum()), int((a ^ b).sum())).pvalue)
        assert pair["difference"] == pytest.approx(a.mean() - b.mean())
        assert pair["difference_95"][0] <= pair["difference"] <= pair["difference_95"][1]
        guesses = by_name[pair["a"]].guesses, by_name[pair["b"]].guesses
        assert pair["kappa"] == pytest.approx(sk.cohen_kappa_score(*guesses))
        assert pair["oracle"] == pytest.approx((a | b).mean())


@slow
def test_the_ensemble_is_the_mean_of_its_members_probabilities(answers: list[Answers]) -> None:
    one, other, both = answers
    np.testing.assert_allclose(both.p, (one.p + other.p) / 2, atol=1e-6)


@slow
def test_the_copies_are_those_that_a_search_by_bytes_finds(
    report: dict[str, Any], page: Tables, answers: list[Answers], fer2013_dir: Path
) -> None:
    splits = data.load("official", fer2013_dir)
    earlier = {image.tobytes() for split in (splits.train, splits.validation) for image in split.images}
    same = np.array([image.tobytes() in earlier for image in splits.test.images])
    for each in answers:
        found = report["copies"]["models"][each.name]
        assert found["identical"] == same.sum()
        assert found["without"]["n"] + found["copies"]["n"] == found["all"]["n"] == 3589
        assert found["all"]["accuracy"] == pytest.approx(each.hits.mean())
        total = (
            found["without"]["accuracy"] * found["without"]["n"] + found["copies"]["accuracy"] * found["copies"]["n"]
        )
        assert total == pytest.approx(each.hits.sum())
    rows = page.rows("Scores with and without")
    assert [row[3] for row in rows[::3]] == [pc(each.hits.mean(), 2) for each in answers]


@slow
def test_the_page_needs_nothing_from_elsewhere(out: Path) -> None:
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text and 'src="http' not in text
    assert text.count("<img ") == text.count('src="data:image/png;base64,') >= 9
    assert len(text) < 12e6


# ── small ones ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, toy_model: Path, toy_csv: Path) -> tuple[Path, dict[str, Any]]:
    """A report of a small network with every part, on pictures in which nobody finds a face."""
    folder = tmp_path_factory.mktemp("toy") / "report"
    own = tmp_path_factory.mktemp("models") / "small"
    shutil.copytree(toy_model, own)
    evaluate(
        EvaluateConfig(
            (str(own),), toy_csv, protocol="as-given", out=folder, foreign=(toy_csv,), rows=20, faces=2, lime_samples=30
        )
    )
    return folder, json.loads((folder / "report.json").read_text(encoding="utf-8"))


@slow
def test_a_report_of_all_parts_is_written(toy: tuple[Path, dict[str, Any]]) -> None:
    folder, report = toy
    assert all(report[part] is not None for part in ("robustness", "copies", "foreign", "sanity", "panels"))
    assert report["comparison"] is None and report["label_map"] is None
    assert {path.name for path in folder.iterdir()} == {"report.html", "report.json", "logits"}
    sanity = report["sanity"]["models"]["small"]
    assert sanity["faithfulness"]["methods"].keys() == {"grad-cam", "lime", "occlusion"}
    assert sanity["randomisation"]["methods"].keys() == {"grad-cam", "lime", "occlusion"}
    assert report["panels"]["models"]["small"]["classes"]["examples"]


@slow
def test_another_data_set_that_was_learnt_from_is_said_to_be_none(toy: tuple[Path, dict[str, Any]]) -> None:
    foreign = toy[1]["foreign"]["sets"]["fer2013"]["small"]
    assert (foreign["n"], foreign["seen"]) == (320, 260)
    assert "they are not foreign" in (toy[0] / "report.html").read_text(encoding="utf-8")


def test_a_table_alone_writes_nothing(
    tmp_path: Path, toy_model: Path, toy_csv: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scores = evaluate(EvaluateConfig((str(toy_model),), toy_csv, protocol="as-given"))
    printed = capsys.readouterr().out
    (name,) = scores
    result = json.loads((toy_model / "metrics.json").read_text(encoding="utf-8"))
    assert scores[name]["accuracy"] == pytest.approx(result["test"]["accuracy"])
    assert "torch gives the same label on 60 of 60" in printed
    assert not list(tmp_path.iterdir())


def test_a_models_labels_are_mapped_to_those_of_the_data(
    tmp_path: Path, toy_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = toy_csv.read_text(encoding="utf-8").splitlines()
    five = tmp_path / "fer2013.csv"
    five.write_text(
        "\n".join([lines[0], *(line for line in lines[1:] if line[0] not in "16")]) + "\n", encoding="utf-8"
    )
    options: dict[str, Any] = {"protocol": "as-given", "runtimes": ("onnx",), "parts": ("none",)}
    scores = evaluate(EvaluateConfig(("fer-lite0",), five, out=tmp_path / "report", **options))
    assert list(scores["fer-lite0"]["per_class"]) == ["angry", "fear", "happy", "sad", "surprise"]
    assert "disgust" in capsys.readouterr().out
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    (found,) = report["label_map"]["models"]["fer-lite0"]
    assert report["notes"] == ["fer-lite0 was trained under official, not as-given: it knows some of these rows."]
    assert (found["lost"], found["undefined"]) == (["disgust", "neutral"], [])
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert html.escape(found["sentence"]).replace("&#x27;", "&#39;") in page


def test_a_model_is_scored_on_its_own_splits_unless_others_are_asked_for(tmp_path: Path, toy_model: Path) -> None:
    for source, protocol in ((str(toy_model), "as-given"), ("fer-lite0", "official"), ("ferplus-lite0", "ferplus")):
        assert own_protocol(load_classifier(source).info) == protocol
    for stated in ({}, {"protocol": "somebody's own"}):
        source = str(tiny_models.network(tmp_path / str(len(stated)), **stated))
        assert own_protocol(load_classifier(source).info) == "official"


KEPT_OUT = "Left out, as where the models were trained: 3 of 60 images in which no face was found."
AMONG = "Among the rows are 3 of 60 images in which no face was found; not all of the models know such ones."
APART = "The models want faces of different alignment (box, none); these are not aligned."


@pytest.mark.parametrize(
    ("wanted", "loaded", "said"),
    [
        ({("none", "keep")}, None, []),
        ({("none", "keep"), ("none", "drop")}, None, []),
        ({("box", "keep")}, ("box", "keep"), []),
        ({("box", "drop")}, ("box", "drop"), [KEPT_OUT]),
        ({("eyes", "keep"), ("eyes", "drop")}, ("eyes", "keep"), [AMONG]),
        ({("box", "drop"), ("none", "keep")}, None, [APART]),
    ],
)
def test_models_are_scored_on_rows_as_they_learned_from(
    monkeypatch: pytest.MonkeyPatch,
    wanted: set[tuple[str, str]],
    loaded: tuple[str, str] | None,
    said: list[str],
) -> None:
    asked = []

    def load(*_: object, align: str, on_missing: str) -> Any:
        asked.append((align, on_missing))
        return SimpleNamespace(notes={"alignment": {"test": {"samples": 60, "not_detected": 3, "left": 57}}})

    monkeypatch.setattr(data, "load", load)
    monkeypatch.setattr(candidates, "alignments", lambda found: wanted)
    assert fitting(SimpleNamespace(), [], "official", EvaluateConfig())[1] == said  # type: ignore[arg-type]
    assert asked == ([loaded] if loaded else [])


def test_how_a_model_was_aligned_is_what_its_run_says(toy_model: Path, tmp_path: Path) -> None:
    def of(**run: str) -> set[tuple[str, str]]:
        model = Path(shutil.copytree(toy_model, tmp_path / "-".join(["model", *run.values()])))
        result = json.loads((model / "metrics.json").read_text(encoding="utf-8"))
        (model / "metrics.json").write_text(json.dumps(result | {"config": result["config"] | run}), encoding="utf-8")
        opened = candidates.opened([str(model)], "onnx", "fp32")
        return candidates.alignments(candidates.load([str(model)], opened, "onnx", "fp32", "none", LABELS, False))

    assert of() == {("none", "keep")}
    assert of(align="box", on_missing="drop") == {("box", "drop")}


def test_a_models_own_rows_are_known_as_such_however_they_were_prepared(toy_model: Path, toy_csv: Path) -> None:
    own = json.loads((toy_model / "metrics.json").read_text(encoding="utf-8"))
    trained = {"protocol": "as-given", "dataset": "fer2013", **{name: own[name] for name in ("data", "origin")}}
    whole = data.load("as-given", toy_csv)
    less = data.load("as-given", toy_csv, limit=30)
    assert less.digest != whole.digest == trained["data"]
    assert leaks.knows(trained, less, "as-given") is None
    assert "may be among its own" in str(leaks.knows(trained | {"origin": "another"}, whole, "as-given"))
    assert "may be among its own" in str(leaks.knows(trained | {"origin": None}, less, "as-given"))


def test_views_are_named_and_counted(tmp_path: Path, toy_model: Path, toy_csv: Path) -> None:
    options: dict[str, Any] = {"parts": ("none",), "tta": "flip", "out": tmp_path / "report"}
    evaluate(EvaluateConfig((str(toy_model),), toy_csv, **options))
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    (model,) = report["models"]
    assert (model["name"], model["views"]) == ("toy (flip)", 2)
    assert model["agreement"]["same_label"] == 60
    assert report["command"].endswith("evaluate model --protocol as-given --tta flip --parts none --out report")
    assert (model["calibrated"], model["uncalibrated"]) == ("its own, before its answers were averaged or mapped", None)
    assert model["agreement"]["probabilities"] < 1e-4


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"faces": 1}, ValueError, r"Out of range: --faces 1\. Give 2 or more"),
        ({"foreign": (Path("other"),)}, ValueError, "--foreign is part of the report"),
        ({"foreign": (Path("nowhere"),), "out": Path("report")}, ValueError, "nowhere"),
        ({"parts": ("robust",)}, ValueError, r"Unknown part 'robust'\. Known: robustness, copies"),
        ({"ensemble": True}, ValueError, "only one is named"),
        ({"models": ("nowhere",)}, ModelError, "There is no model 'nowhere'"),
        ({"tta": "crop"}, ValueError, r"Unknown views 'crop'\. Known: none, flip, tencrop"),
        ({"variant": "int4"}, ValueError, "Unknown variant 'int4'"),
        ({"protocol": "fer"}, ValueError, "Unknown protocol 'fer'"),
    ],
)
def test_what_cannot_be_evaluated_is_said(
    toy_csv: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        evaluate(EvaluateConfig(**({"models": ("fer-lite0",), "data": toy_csv, "protocol": "as-given"} | changes)))


def test_the_command_takes_models_without_a_flag(
    tmp_path: Path, toy_model: Path, toy_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["evaluate", str(toy_model), "--data", str(toy_csv), "--protocol", "as-given", "--runtimes", "onnx"]
    assert main(given) == 0
    assert "accuracy" in capsys.readouterr().out
    assert main([*given[:1], str(tmp_path / "none.onnx"), *given[2:]]) == 2
    assert "none.onnx" in capsys.readouterr().err
