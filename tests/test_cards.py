"""train.cards: every figure comes from a result file, and a missing one is an error."""

from __future__ import annotations

import copy
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest
import tyro
import yaml
from huggingface_hub import ModelCard, ModelCardData

from fer_hub.hub import MEASURED, ZOO, zoo_models
from train import card_data, cards, reports
from train.cards import Sibling
from train.config import RunConfig, to_json

README = cards.ROOT / "README.md"
SECTIONS = [
    "Intended use",
    "Protocol",
    "Results",
    "Speed and size",
    "Input and output",
    "Other ways to load it",
    "Training",
    "Data and bias",
    "Ethics and law",
    "Licence and citation",
]
FILES = {"config": "config.json", "result": "metrics.json", "variants": MEASURED}
OLDER = {
    "result": ["data", "dataset", "notes", "labels", "rows_per_epoch", "epochs_run", "emissions"],
    "scores": ["macro_roc_auc", "confusion_normalised"],
    "class": ["specificity", "roc_auc"],
    "run": ["targets", "align", "on_missing", "external", "optimizer", "schedule", "patience", "choose_by", "rotate"],
}
"""What the first version did not write."""


def timing(p50: float) -> dict[str, float]:
    return {"mean": 1.1 * p50, "p50": p50, "p95": 1.5 * p50, "minimum": 0.9 * p50, "maximum": 2 * p50, "n": 25}


def variant(file: str, size: int, accuracy: float, p50: float, **changes: Any) -> dict[str, Any]:
    values = {"file": file, "bytes": size, "accuracy": accuracy, "same_label": 1.0, "max_logit_difference": 2e-5}
    latency = {"1": timing(p50), "16": timing(10 * p50)}
    return values | {"latency_ms": latency, "published": True, "why": ""} | changes


WHY = "Accuracy falls by 2.00 points; at most 0.5 are allowed."
VARIANTS: dict[str, Any] = {
    "split": "validation",
    "n": 60,
    "reference_accuracy": 0.75,
    "machine": {"cpu": "A processor", "threads": 2, "onnxruntime": "1.31.1"},
    "files": {},
    "variants": {
        "fp32": variant("onnx/model.onnx", 2_000_000, 0.75, 4.0),
        "fp16": variant("onnx/model_fp16.onnx", 1_900_000, 0.745, 5.0, same_label=0.999),
        "int8": variant("onnx/model_quantized.onnx", 1_000_000, 0.73, 3.0, published=False, why=WHY),
    },
    "simplification": {
        "plain": {"bytes": 2_100_000, "nodes": 50, "latency_ms": timing(4.5)},
        "simplified": {"bytes": 2_000_000, "nodes": 40, "latency_ms": timing(4.0)},
    },
}


@pytest.fixture
def folder(toy_model: Path, tmp_path: Path) -> Path:
    """A model folder that a test may change, with all variants."""
    copied = Path(shutil.copytree(toy_model, tmp_path / "toy"))
    (copied / MEASURED).write_text(json.dumps(VARIANTS))
    shutil.copy(copied / "onnx/model.onnx", copied / "onnx/model_fp16.onnx")
    return copied


def read(folder: Path, name: str = "result") -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / FILES[name]).read_text(encoding="utf-8"))
    return values


def change(folder: Path, name: str, how: Callable[[dict[str, Any]], object]) -> Path:
    """A file of the folder with its values changed in place."""
    values = read(folder, name)
    how(values)
    (folder / FILES[name]).write_text(json.dumps(values))
    return folder


def section(card: str, title: str) -> str:
    """The text under a heading, up to the next of its level or a higher one."""
    found = re.search(rf"^(##+) {re.escape(title)}\n(.*?)(?=^##? |\Z)", card, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title}"
    return found[2]


def blocks(card: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)


# ── files and figures ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_value_is_an_error_not_a_gap() -> None:
    with pytest.raises(jinja2.UndefinedError, match="groups"):
        cards.render("results.md.j2")


@pytest.mark.parametrize(
    ("file", "path"),
    [
        *(("result", key) for key in ("temperature", "test", "machine", "best_epoch", "parameters", "uncalibrated")),
        *(("result", f"test.{key}") for key in ("accuracy", "accuracy_95", "per_class", "ece", "weighted_f1")),
        *(("config", key) for key in ("architecture", "label_names", "fer.face_margin", "fer.fer_hub_version")),
        *(("variants", key) for key in ("machine", "variants.fp32", "simplification", "variants.int8.why")),
    ],
)
def test_a_card_without_one_of_its_figures_is_not_written(folder: Path, file: str, path: str) -> None:
    *parents, gone = path.split(".")

    def remove(values: dict[str, Any]) -> None:
        for key in parents:
            values = values[key]
        del values[gone]

    with pytest.raises(ValueError, match=rf"cannot be written: .*'{gone}'.* Run: python -m train export"):
        cards.model_card(change(folder, file, remove))


@pytest.mark.parametrize(
    ("file", "advice"), [("config.json", "Give a model folder"), (MEASURED, "Run: python -m train export .*toy")]
)
def test_a_folder_without_one_of_its_files_gets_advice_not_a_card(folder: Path, file: str, advice: str) -> None:
    (folder / file).write_text("{")
    with pytest.raises(ValueError, match=rf"{file} cannot be read as JSON .*{advice}"):
        cards.model_card(folder)
    (folder / file).unlink()
    with pytest.raises(ValueError, match=rf"{file} is missing\. {advice}"):
        cards.model_card(folder)


def test_the_card_follows_the_result_not_a_typed_figure(folder: Path) -> None:
    before = cards.model_card(folder)
    after = cards.model_card(change(folder, "result", lambda r: r["test"].update(accuracy=0.98765)))
    changed = [line for line, old in zip(after.splitlines(), before.splitlines(), strict=True) if line != old]
    assert changed[0].strip() == "value: 0.98765"
    assert [line.count("98.77") for line in changed[1:]] == [1, 1]  # the first screen and the table


def test_a_result_of_the_first_version_still_gets_a_card(folder: Path) -> None:
    def older(result: dict[str, Any]) -> None:
        scores = [result["validation"], result["test"]]
        classes = [row for figures in scores for row in figures["per_class"].values()]
        for kind, places in (("result", [result]), ("scores", scores), ("class", classes), ("run", [result["config"]])):
            for place in places:
                for key in OLDER[kind]:
                    place.pop(key, None)

    newer = cards.model_card(folder)
    card = cards.model_card(change(folder, "result", older))
    assert "| specificity | ROC AUC |" in newer
    assert "macro ROC AUC" in newer
    assert "specificity" not in card
    assert "ROC AUC" not in card
    assert ModelCard(newer).data.metrics == [*ModelCard(card).data.metrics[:4], "roc_auc", "nll", "ece"]
    assert [line for line in card.splitlines() if line.startswith("## ")] == [f"## {title}" for title in SECTIONS]


# ── front matter ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_front_matter_is_what_the_hub_reads(folder: Path) -> None:
    text = cards.model_card(folder, repo_id="me/toy-net")
    data = ModelCard(text).data
    assert isinstance(data, ModelCardData)
    assert (data.library_name, data.pipeline_tag, data.model_name) == ("timm", "image-classification", "toy-net")
    assert {"fer-hub", "onnx", "facial-expression-recognition"} <= set(data.tags)
    assert data.to_dict() == yaml.safe_load(text.split("---\n")[1])  # nothing is lost on the way
    assert set(data.metrics) == {found.metric_type for found in data.eval_results}


def test_the_model_index_holds_the_figures_of_the_test_split(folder: Path) -> None:
    result, results = read(folder), ModelCard(cards.model_card(folder)).data.eval_results
    found = {(r.metric_type, r.metric_name): r for r in results}
    accuracy, f1 = found["accuracy", "Accuracy"], found["f1", "Macro-F1"]
    assert accuracy.metric_value == result["test"]["accuracy"]
    assert (f1.metric_value, f1.metric_args) == (result["test"]["macro_f1"], {"average": "macro"})
    assert found["balanced_accuracy", "Balanced accuracy"].metric_value == result["test"]["balanced_accuracy"]
    for r in results:
        assert (r.dataset_config, r.dataset_split, r.dataset_revision) == ("as-given", "test split", result["data"])
        assert r.task_type == "image-classification"


def test_an_external_set_has_results_of_its_own(folder: Path) -> None:
    def add(result: dict[str, Any]) -> None:
        result["external"] = result["validation"] | {"accuracy": 0.4321}
        result["config"]["external"] = "others.csv"

    card = cards.model_card(change(folder, "result", add))
    values = {r.dataset_name: r.metric_value for r in ModelCard(card).data.eval_results if r.metric_type == "accuracy"}
    assert values["others.csv"] == 0.4321
    assert "| others.csv (another set) |" in section(card, "Results")
    assert "| **43.21** |" in section(card, "Results")


LICENCES = [
    ("fer2013", "apache-2.0", None, ["fer2013"]),
    ("ferplus", "apache-2.0", None, ["ferplus"]),
    ("some/faces", "other", "depends-on-the-training-data", ["some/faces"]),
    ("holiday photos", "other", "depends-on-the-training-data", None),
]


@pytest.mark.parametrize(("dataset", "licence", "name", "datasets"), LICENCES)
def test_licence_and_data_are_those_of_the_data_set(
    folder: Path, dataset: str, licence: str, name: str | None, datasets: list[str] | None
) -> None:
    text = cards.model_card(change(folder, "config", lambda c: c["fer"].update(dataset=dataset)))
    card, about = ModelCard(text), cards.about_dataset(dataset)
    assert (card.data.license, card.data.license_name, card.data.datasets) == (licence, name, datasets)
    assert about["licence"][1:] in section(text, "Data and bias")
    assert about["bias"] in section(text, "Data and bias")
    assert about["weights"] in section(text, "Licence and citation")
    assert ("arXiv" in section(text, "Licence and citation")) == (licence == "apache-2.0")


RUN = {"backbone": "tf_efficientnet_lite0", "init": None, "pretrained": False}
PRETRAINED = RUN | {"pretrained": True}
BASES = [
    ({"config": RUN}, None),
    ({"config": RUN | {"init": "mine.safetensors"}}, None),
    ({"config": PRETRAINED}, "timm/tf_efficientnet_lite0.in1k"),
    ({"config": PRETRAINED | {"backbone": "timm:resnet18.tv_in1k"}}, "timm/resnet18.tv_in1k"),
    ({"config": PRETRAINED | {"backbone": "deep_cnn"}}, None),
    ({"config": RUN | {"init": "a/model"}, "parent": {"config": PRETRAINED}}, "timm/tf_efficientnet_lite0.in1k"),
    ({"config": RUN | {"init": "a/model"}, "parent": {"config": RUN, "parent": None}}, None),
]


@pytest.mark.parametrize(("result", "base"), BASES)
def test_the_base_model_is_named_only_where_it_is_known(result: dict[str, Any], base: str | None) -> None:
    assert card_data.base_model(result) == base


@pytest.mark.parametrize("country", [{"country": "TUR"}, {}])
def test_emissions_are_given_in_grams_where_they_were_measured(folder: Path, country: dict[str, str]) -> None:
    assert "co2_eq_emissions" not in ModelCard(cards.model_card(folder)).data
    measured = {"grams": 12.346, "source": "codecarbon"} | country
    text = cards.model_card(change(folder, "result", lambda r: r.update(emissions=measured)))
    told = ModelCard(text).data["co2_eq_emissions"]
    assert (told["emissions"], told["source"], told["training_type"]) == (12.346, "codecarbon", "pre-training")
    assert told.get("geographical_location") == country.get("country")
    assert told["hardware_used"] == read(folder)["machine"]["device"]
    assert f"12.35 g (last run; codecarbon{', TUR' if country else ''})" in section(text, "Training")


# ── sections ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_screen_says_what_it_is_how_good_and_how_to_use_it(folder: Path) -> None:
    result = read(folder)
    first = cards.model_card(folder, repo_id="me/toy-net").split("---\n", 2)[2].split("## Intended use")[0]
    assert first.startswith("# toy-net\n")
    assert "angry, disgust, fear, happy, sad, surprise, neutral" in first
    assert f"**{100 * result['test']['accuracy']:.2f} % of " in first
    assert "2.00 MB as ONNX; 4.0 ms a face on 2 CPU threads" in first
    assert 'Recognizer.from_pretrained("me/toy-net")' in first
    assert len(first.splitlines()) < 25


def test_the_sections_are_there_in_order_and_links_lead_to_them(folder: Path) -> None:
    card = cards.model_card(folder)
    assert [line[3:] for line in card.splitlines() if line.startswith("## ")] == SECTIONS
    anchors = {title.lower().replace(" ", "-") for title in SECTIONS}
    assert set(re.findall(r"\]\(#([^)]+)\)", card)) <= anchors
    assert "\n\n\n" not in re.sub(r"```.*?```", "code", card, flags=re.DOTALL)


def test_the_protocol_says_what_was_learned_chosen_and_scored_on(folder: Path) -> None:
    result, text = read(folder), section(cards.model_card(folder), "Protocol")
    assert "`as-given`: the source's own splits and labels" in text
    assert "train split, 200 rows; sampling none, loss cross-entropy" in text
    assert f"validation split, 60 rows: epoch {result['best_epoch']} of 2 by accuracy" in text
    assert "| scored once on | test split, 60 rows |" in text
    assert "no ensemble; one view, no test-time augmentation" in text
    assert "| seed | 0 |" in text
    assert "trial" not in text


def test_the_protocol_says_what_makes_the_figures_mean_less(folder: Path) -> None:
    def spoil(result: dict[str, Any]) -> None:
        result["config"] |= {"limit": 1000, "align": "eyes", "targets": "votes", "choose_by": "macro_f1"}
        counts = {"samples": 200, "not_detected": 7, "left": 193}
        result["notes"] = {"dropped": {"not a face": 3}, "leaks": {"train→test": 12, "train→validation": 0}}
        result["notes"] |= {"alignment": {"train": counts}, "warnings": ["test is odd."]}

    text = section(cards.model_card(change(folder, "result", spoil)), "Protocol")
    assert "| trial | at most 1,000 rows of each split were used |" in text
    assert "learning FERPlus' votes; faces aligned (eyes)" in text
    assert "by macro-f1" in text
    assert "| left out | 3 rows: not a face |" in text
    assert "| no face found | 7 of 200 rows of train split, 193 used |" in text
    assert "| identical images | 12 in train→test" in text
    assert "| beware | test is odd. |" in text
    assert "train→validation" not in text


def test_the_results_are_those_of_the_result_file(folder: Path) -> None:
    result, text = read(folder), section(cards.model_card(folder), "Results")
    both = [result["validation"], result["test"]]
    assert f"| **accuracy, %** | **{100 * both[0]['accuracy']:.2f}** | **{100 * both[1]['accuracy']:.2f}** |" in text
    assert f"| macro-F1 | {both[0]['macro_f1']:.4f} | {both[1]['macro_f1']:.4f} |" in text
    for label, row in result["test"]["per_class"].items():
        figures = [f"{row[key]:.3f}" for key in ("precision", "recall", "f1", "specificity", "roc_auc")]
        assert f"| {label} | {row['support']} | {' | '.join(figures)} |" in text
    before, after = result["uncalibrated"]["test"], result["test"]
    assert f"calibration error, 15 bins | {before['ece']:.4f} | {after['ece']:.4f} |" in text
    assert f"log-likelihood | {before['nll']:.4f} | {after['nll']:.4f} |" in text
    assert f"calibrated (temperature {result['temperature']})" in text


def test_balanced_labels_are_said_with_what_they_cost(folder: Path) -> None:
    assert "were balanced" not in cards.model_card(folder)
    before = {"accuracy": 0.5123, "balanced_accuracy": 0.3, "macro_f1": 0.3}

    def balance(result: dict[str, Any]) -> None:
        result["config"]["balance"] = 0.01
        result["balance"] = {"share": 0.35, "before": before}

    result = read(change(folder, "result", balance))
    text = section(cards.model_card(folder), "Results")
    accuracy, recall = (f"{100 * result['validation'][name]:.2f}" for name in ("accuracy", "balanced_accuracy"))
    assert "fell by 0.35 of the logarithm" in text
    assert "cost no more than 1.00 points of accuracy" in text
    assert f"the accuracy went from 51.23 % to {accuracy} %, the balanced accuracy from 30.00 % to {recall} %" in text
    plain = 100 * result["uncalibrated"]["test"]["accuracy"]
    assert f"| accuracy, % | {plain:.2f} | {100 * result['test']['accuracy']:.2f} |" in text


def test_an_area_that_is_undefined_is_a_dash(folder: Path) -> None:
    card = cards.model_card(change(folder, "result", lambda r: r["test"]["per_class"]["sad"].update(roc_auc=None)))
    assert re.search(r"^\| sad \|.*\| – \|$", card, re.MULTILINE)


FOLDED = [
    ({"temperature": 1.0, "calibration": {"folded": True}}, "softmax(logits): calibrated", "already in the last layer"),
    ({"temperature": 1.37}, "softmax(logits / 1.37)", "divide the logits by 1.37"),
    ({"temperature": 1.37, "calibration": {"folded": False}}, "softmax(logits / 1.37)", "divide the logits by 1.37"),
]


@pytest.mark.parametrize(("fer", "probabilities", "said"), FOLDED)
def test_the_card_says_whether_the_logits_must_be_divided(
    folder: Path, fer: dict[str, Any], probabilities: str, said: str
) -> None:
    change(folder, "config", lambda c: c["fer"].pop("calibration", None))
    card = cards.model_card(change(folder, "config", lambda c: c["fer"].update(fer)))
    assert probabilities in section(card, "Input and output")
    assert said in section(card, "Results")


def test_the_speed_table_has_a_row_for_each_variant_with_machine_and_threads(folder: Path) -> None:
    text = section(cards.model_card(folder), "Speed and size")
    assert "A processor, 2 threads, ONNX Runtime 1.31.1" in text
    assert "all 60 faces of validation split, on which torch in single precision attains 75.00 %" in text
    row = "| fp16 | [`onnx/model_fp16.onnx`](onnx/model_fp16.onnx) | 1.90 | 74.50 | 99.90 |"
    assert f"{row} 5.00 / 7.50 | 50.00 / 75.00 | 320 |" in text
    assert "| int8 | not published | 1.00 | 73.00 |" in text
    assert "accuracy −2.00 points, 0.50 × the size, 0.75 × the time for one face" in text
    assert f"**Not published:** {WHY}" in text
    assert "| plain | 50 | 2.10 | 4.95 | 4.05 | 9.00 | 202 |" in text


def test_a_run_that_has_just_ended_has_one_variant_and_no_comparison_of_graphs(folder: Path) -> None:
    only = {"variants": {"fp32": VARIANTS["variants"]["fp32"]}, "simplification": None}
    text = section(cards.model_card(change(folder, "variants", lambda v: v.update(only))), "Speed and size")
    assert "| fp32 | [`onnx/model.onnx`](onnx/model.onnx) | 2.00 | 75.00 | 100.00 |" in text
    assert "Logits differ from torch's by up to 2.0e-05." in text
    assert not any(word in text for word in ("fp16", "int8", "published", "plain"))


def test_the_input_contract_is_that_of_the_config(folder: Path) -> None:
    config = read(folder, "config")
    margin = config["fer"]["face_margin"]
    text = section(cards.model_card(folder), "Input and output")
    assert f"longer side × {margin['scale']}" in text
    assert f"({margin['shift_x']}, {margin['shift_y']})" in text
    assert "48×48, bicubic, antialiased" in text
    assert "float32, N×3×48×48; only N varies" in text
    assert "0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral" in text
    assert "grey (luma, ITU-R 601), repeated over the 3 channels" in text


def test_the_law_is_named(folder: Path) -> None:
    text = section(cards.model_card(folder), "Ethics and law")
    assert all(words in text for words in ("2024/1689", "Art. 5(1)(f)", "Annex III, 1(c)", "Art. 50(3)"))


SOURCES = [
    ("me/toy-net", "me/toy-net", "hf-hub:me/toy-net"),
    (None, "toy", "local-dir:toy"),
]


@pytest.mark.parametrize(("repo_id", "source", "timm_source"), SOURCES)
def test_the_four_snippets_name_the_model(folder: Path, repo_id: str | None, source: str, timm_source: str) -> None:
    card = cards.model_card(folder, repo_id=repo_id)
    ours, timm, ort = blocks(card, "python")
    (page,) = blocks(card, "html")
    assert f'from_pretrained("{source}")' in ours
    assert f'create_model("{timm_source}", pretrained=True)' in timm
    assert "fer_hub" not in timm + ort + page
    assert "onnx" in ort
    assert "<script" in page


def test_names_come_from_the_repository_the_zoo_the_run_or_the_folder(tmp_path: Path) -> None:
    zoo = ZOO / "fer-lite0"
    assert card_data.names_of(zoo, None) == ("fer-lite0", "fer-lite0", "local-dir:fer_hub/zoo/fer-lite0")
    assert card_data.names_of(zoo, "me/x") == ("x", "me/x", "hf-hub:me/x")
    assert card_data.names_of(tmp_path / "mine" / "model", None) == ("mine", "model", "local-dir:model")
    assert card_data.names_of(tmp_path / "mine" / "model.tmp", None) == ("mine", "model", "local-dir:model")
    assert card_data.names_of(tmp_path / "net", None) == ("net", "net", "local-dir:net")


def test_every_file_that_a_card_names_is_there(folder: Path) -> None:
    linked = cards.RELATIVE.findall(cards.model_card(folder))
    assert {"figures/confusion.png", "figures/reliability.png", "onnx/model.onnx", "onnx/model_fp16.onnx"} <= set(
        linked
    )
    assert not [file for file in linked if not (folder / file).is_file()]
    shutil.rmtree(folder / "figures")
    assert not [file for file in cards.RELATIVE.findall(cards.model_card(folder)) if "figures" in file]


# ── recipe ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def parsed(command: str) -> RunConfig:
    """What `python -m train run` makes of a printed command."""
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:4] == ["python", "-m", "train", "run"]
    return tyro.cli(RunConfig, args=words[4:])


def test_the_printed_command_is_the_run(folder: Path) -> None:
    result = change(folder, "result", lambda r: r["config"].update(drop_rate=None, compile=True, sampling="hybrid:30"))
    card, run = cards.model_card(result), read(folder)["config"]
    (command,) = blocks(section(card, "Training"), "bash")
    assert to_json(parsed(command)) == run
    assert parsed(command).out == Path("runs/toy")
    assert "From random weights:" in section(card, "Training")
    assert max(map(len, command.splitlines())) <= 102


def test_the_runs_before_are_printed_first_and_leave_what_the_next_begins_with(folder: Path) -> None:
    run = read(folder)["config"]
    first = {"config": run | {"pretrained": True}, "parent": None, "seconds": 600.0}
    both = change(folder, "result", lambda r: (r.update(parent=first), r["config"].update(init="first/model")))
    text = section(cards.model_card(both), "Training")
    one, other = (parsed(command) for command in blocks(text, "bash"))
    assert (one.out, one.pretrained) == (Path("runs/first"), True)
    assert (other.out, other.init) == (Path("runs/toy"), Path("runs/first/model/model.safetensors"))
    assert re.findall(r"^(?:From|Then).*:$", text, re.MULTILINE) == [
        "From timm's pretrained weights:",
        "Then, from the weights which that run left:",
    ]
    assert "10 minutes" in text


def test_a_run_that_begins_with_a_model_of_the_zoo_names_it_and_the_runs_that_made_it(folder: Path) -> None:
    parent = {name: cards.read_result(ZOO / "fer-lite0")[name] for name in ("config", "parent", "seconds")}
    both = change(folder, "result", lambda r: (r.update(parent=parent), r["config"].update(init="fer-lite0")))
    *_, before, last = (parsed(command) for command in blocks(section(cards.model_card(both), "Training"), "bash"))
    assert (before.out, last.out, last.init) == (Path("runs/fer-lite0"), Path("runs/toy"), Path("fer-lite0"))


# ── siblings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def sibling(folder: Path, name: str, validation: float, link: str | None = None, **run: Any) -> Sibling:
    result = copy.deepcopy(read(folder))
    result["validation"]["accuracy"] = validation
    result["config"] |= run
    return Sibling(name, link, result)


def test_siblings_are_compared_by_validation_and_this_one_is_bold(folder: Path) -> None:
    url = "https://example.org/me/better"
    others = [sibling(folder, "worse", 0.0), sibling(folder, "better", 1.0, url, loss="focal:2", image_size=64)]
    itself = Sibling("called-otherwise", "https://example.org/me/toy", read(folder))
    card = cards.model_card(folder, siblings=[others[0], itself, others[1]], collection="https://example.org/all")
    text = section(card, "Beside the other models of the grid")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ") and "network, input" not in line]
    assert [row[0] for row in rows] == [f"| [better]({url})", "| **toy**", "| worse"]
    assert rows[0][1:3] == ["timm:test_resnet, 64×64", "none, focal:2"]
    accuracy = f"{100 * read(folder)['test']['accuracy']:.2f}"
    assert [row[5].split(" ")[0] for row in rows] == [accuracy, f"**{accuracy}**", accuracy]
    assert "protocol" not in text
    assert "](https://example.org/all)" in text


def test_protocols_are_named_where_they_differ(folder: Path) -> None:
    card = cards.model_card(folder, siblings=[sibling(folder, "clean", 0.5, protocol="official-clean")])
    text = section(card, "Beside the other models of the grid")
    assert "| network, input | protocol | sampling, loss |" in text
    assert "| official-clean |" in text


def test_without_siblings_there_is_no_comparison_but_the_collection_is_linked(folder: Path) -> None:
    itself = [Sibling("toy", None, read(folder))]
    assert cards.model_card(folder, siblings=itself) == cards.model_card(folder)
    card = cards.model_card(folder, collection="https://example.org/all")
    assert "Beside the other models" not in card
    assert "](https://example.org/all)" in section(card, "Collection")


# ── zoo and README ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_table_has_a_line_for_each_model(toy_model: Path) -> None:
    lines = cards.results_table(dict.fromkeys(("one", "two"), read(toy_model))).splitlines()
    wanted = f"**{100 * read(toy_model)['test']['accuracy']:.2f} %**"
    assert [line[:8] for line in lines if wanted in line] == ["| one | ", "| two | "]


def test_only_the_text_between_the_marks_is_replaced() -> None:
    readme = f"# Title\n\nbefore\n{cards.BEGIN}\nold | table \\1\n{cards.END}\nafter \\g<0>\n"
    written = cards.with_results(readme, "new \\1 table\n")
    assert written == f"# Title\n\nbefore\n{cards.BEGIN}\nnew \\1 table\n{cards.END}\nafter \\g<0>\n"
    assert cards.with_results(written, "new \\1 table\n") == written


@pytest.mark.parametrize("readme", ["# Title\n", f"{cards.BEGIN}\n", f"{cards.END}\n{cards.BEGIN}\n"])
def test_a_readme_without_both_marks_is_refused(readme: str) -> None:
    with pytest.raises(ValueError, match=r"The README has no marks\. Put '<!-- results"):
        cards.with_results(readme, "table\n")


def test_only_links_to_files_beside_it_change_when_a_card_moves() -> None:
    text = "![a](figures/a.png) [b](onnx/b.onnx) [c](#c) [d](https://e.org/f.png) x[0](y) [g](/me/h.png)"
    moved = "![a](../z/figures/a.png) [b](../z/onnx/b.onnx) [c](#c) [d](https://e.org/f.png) x[0](y) [g](/me/h.png)"
    assert cards.relocated(text, "../z/") == moved


def test_the_readmes_table_is_what_the_result_files_say() -> None:
    assert zoo_models(), f"{ZOO} holds no model"
    text = README.read_text(encoding="utf-8")
    assert cards.with_results(text, reports.readme_block()) == text


def test_the_zoos_cards_are_what_the_result_files_say() -> None:
    assert zoo_models(), f"{ZOO} holds no model"
    for name in zoo_models():
        card = cards.model_card(ZOO / name)
        assert (ZOO / name / "README.md").read_text(encoding="utf-8") == card
        moved = (cards.TEMPLATES / f"{name}.md").read_text(encoding="utf-8")
        assert moved == cards.relocated(card, f"../fer_hub/zoo/{name}/")
        linked = cards.RELATIVE.findall(moved)
        assert linked
        assert not [file for file in linked if not (cards.TEMPLATES / file).is_file()]
