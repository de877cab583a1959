"""train.evaluation.page: one page that holds everything, escapes everything, and has no gaps."""

from __future__ import annotations

import base64
import copy
import io
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from fer_hub.classifier import softmax
from fer_hub.labels import LABEL_SPACES
from train import metrics
from train.evaluation import calibration, comparison, page, selective

LABELS = LABEL_SPACES["fer2013-7"]
ODD = 'a<b>&"mine"'
"""A model's name that breaks a page which does not escape."""
VOID = {"meta", "img", "br", "link", "input", "hr"}


def outputs(seed: int, rows: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Logits, mostly right, and truths."""
    truth = np.random.default_rng(0).integers(0, 7, rows)
    return np.random.default_rng(seed).normal(size=(rows, 7)) + 2 * np.eye(7)[truth], truth


@cache
def known(name: str, seed: int) -> dict[str, Any]:
    """A model as the report has it; for reading only."""
    logits, truth = outputs(seed)
    scores = metrics.score(logits, truth, LABELS, 1.3)
    held = selective.score(softmax(logits, 1.3), truth, LABELS, selective.Rows(softmax(logits, 1.3), truth))
    return {
        "name": name, "source": f"runs/{name}", "runtime": "onnx", "variant": "fp32", "architecture": "resnet18",
        "input": "48×48 pixels, grey", "parameters": 11_000_000, "bytes": 44_000_000, "views": 1,
        "calibrated": "temperature 1.3000",
        "scores": scores, "uncalibrated": metrics.score(logits, truth, LABELS),
        "calibration": calibration.calibration(softmax(logits), softmax(logits, 1.3), truth), "selective": held,
        "runtimes": "same label on 240 of 240", "latency": {"p50": 1.5, "p95": 2.5, "about": "2 threads"},
    }  # fmt: skip


def model(name: str, seed: int, **changes: Any) -> dict[str, Any]:
    """The same with changes, to be changed further."""
    return copy.deepcopy(known(name, seed)) | changes


@cache
def pairs() -> list[dict[str, Any]]:
    """The comparison of the two models of a full report; for reading only."""
    chances = {name: softmax(outputs(seed)[0]) for name, seed in (("first", 1), (ODD, 2))}
    return comparison.compare_models(chances, outputs(0)[1], LABELS)


def without_options(name: str, seed: int) -> dict[str, Any]:
    """A model of which only what must be known is known."""
    logits, truth = outputs(seed)
    held = selective.score(softmax(logits), truth, LABELS)
    names = ("variant", "parameters", "bytes", "uncalibrated", "runtimes", "latency")
    return model(name, seed, selective=held, **dict.fromkeys(names))


def minimal() -> dict[str, Any]:
    """A report of one model without any optional part."""
    supports = dict(zip(LABELS, np.bincount(outputs(0)[1], minlength=7).tolist(), strict=True))
    data = {"dataset": "FER2013", "protocol": "As given.", "split": "test", "n": 240, "digest": None}
    report = {"title": "Evaluation", "written": "2026-01-02", "fer_hub_version": "1.2.3", "command": None}
    report |= {"notes": [], "remarks": []}
    optional = [name for name in page.SECTIONS if name not in page.ALWAYS]
    return {
        **report, "data": data | {"labels": list(LABELS), "supports": supports},
        "models": [without_options("only", 1)], "figures": {}, **dict.fromkeys(optional),
    }  # fmt: skip


def figures_of(accuracy: float) -> dict[str, Any]:
    """What train.evaluation.robustness.figures gives."""
    near = [accuracy - 0.1, accuracy + 0.1]
    shares = dict.fromkeys(("balanced_accuracy", "macro_f1", "ece", "confidence"), 0.5)
    return {"n": 12, "accuracy": accuracy, "accuracy_95": near, **shares}


@cache
def parts() -> dict[str, Any]:
    """The optional parts of a full report, of its first model; for reading only."""
    blur = {"about": "gaussian blur", "unit": "pixels", "levels": ["sigma: 1", 2, 3, 4, 5], "mean_accuracy": 0.4}
    robust = {"n": 12, "of": 240, "majority": 0.2, "clean": figures_of(0.7), "mean_accuracy": 0.4, "retained": 0.6}
    robust |= {"mean_accuracy_95": [0.3, 0.5], "corruptions": {"blur": blur | {"severities": [figures_of(0.5)] * 6}}}
    copies = {"n": 240, "identical": 3, "similar": 2, "earlier": ["train"], "same_label": 0.9, "copies": None}
    foreign = {"dataset": "other", "n": 9, "rows": {"happy": 9}, "left_out": {"contempt": 4}, "missing": ["fear"]}
    foreign |= {"seen": 2, "open": figures_of(0.3), "closed": figures_of(0.6)}
    sets = {"other": {"first": foreign}}
    sanity = {"notes": ["lime: not installed"], "faithfulness": {"n": 12, "methods": {}}}
    for method, gain in (("occlusion", 0.2), ("grad-cam", -0.2)):
        other = {"auc": 0.4, "gain": gain, "gain_95": [gain - 0.1, gain + 0.1], "better": 0.8}
        kind = {"auc": 0.5, "hardest": "moved", "references": dict.fromkeys(("blocks", "moved", "other face"), other)}
        sanity["faithfulness"]["methods"][method] = {"deletion": kind, "insertion": kind}  # type: ignore[index]
    row = {"faces": 4, "map": [3, 3], "similarity": 0.1, "other_face": 0.5, "other_label": None}
    row |= {"depths": [{"similarity_95": [-0.1, 0.3]}]}
    sanity["randomisation"] = {"layers": 9, "seeds": 8, "methods": {"grad-cam": row}}
    mapped = {"given": ["happy", "contempt"], "wanted": ["happy"], "sentence": "contempt is lost"}
    found = {"robustness": robust, "copies": copies | {"all": figures_of(0.7), "without": figures_of(0.6)}}
    found |= {"sanity": sanity, "panels": {"notes": ["lime: not installed"]}, "label_map": [mapped]}
    return {name: {"models": {"first": part}} for name, part in found.items()} | {"foreign": {"sets": sets}}


def full() -> tuple[dict[str, Any], dict[str, Figure]]:
    """A report of two models with every part, and a figure in every section."""
    report = minimal()
    report |= {"title": "Two <models> & more", "command": "python -m train evaluate a b", "models": []}
    report["data"] |= {"digest": "3f<9", "split": "validation"}
    report["models"] = [model("first", 1), model(ODD, 2)]
    report["comparison"] = copy.deepcopy(pairs())
    report |= {name: copy.deepcopy(part) for name, part in parts().items()}
    sections = list(page.SECTIONS)
    texts = {name: {"section": name, "model": None, "alt": f"alt {name}", "caption": f"<{name}>"} for name in sections}
    texts["own"] = {"section": "models", "model": ODD, "alt": f"alt of {ODD}", "caption": "own"}
    report["figures"] = texts
    return report, {name: drawing() for name in texts}


def drawing() -> Figure:
    """The smallest figure."""
    figure = Figure(figsize=(1, 0.5))
    figure.subplots().plot([0, 1])
    return figure


class Reader(HTMLParser):
    """Reads a page strictly: every element closed by its own end tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        self.text += data.replace("\N{NO-BREAK SPACE}", " ")

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def small() -> Reader:
    return Reader(page.render(minimal(), {}))


@pytest.fixture(scope="module")
def whole() -> Reader:
    return Reader(page.render(*full()))


@pytest.mark.parametrize("name", ["small", "whole"])
def test_nothing_on_the_page_comes_from_elsewhere_and_nothing_runs(name: str, request: pytest.FixtureRequest) -> None:
    reader: Reader = request.getfixturevalue(name)
    for tag, attributes in reader.elements:
        assert tag not in ("script", "link", "iframe", "object")
        assert not [key for key in attributes if key.startswith("on")]
        assert (attributes.get("src") or "data:image/png;base64,").startswith("data:image/png;base64,")
        assert (attributes.get("href") or "#").startswith("#")
    (style,) = [text for text in [reader.text.split(":root")[1]] if text]
    assert "url(" not in style and "@import" not in style


@pytest.mark.parametrize("name", ["small", "whole"])
def test_every_link_leads_to_a_place_on_the_page(name: str, request: pytest.FixtureRequest) -> None:
    reader: Reader = request.getfixturevalue(name)
    places = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(set(places)) == len(places)
    assert {link["href"] for link in reader.all("a")} <= {f"#{place}" for place in places}
    assert len(reader.all("a")) > 5


def test_a_report_of_one_model_without_options_shows_only_what_it_has(small: Reader) -> None:
    shown = {attributes["id"] for attributes in small.all("section")}
    assert shown == {"summary", "data", "models", "calibration", "selective", "glossary"}
    assert "Thresholds chosen" not in small.text and "None" not in small.text


def test_a_full_report_has_every_section_in_order(whole: Reader) -> None:
    shown = [attributes["id"] for attributes in whole.all("section")]
    assert shown == ["summary", "data", *page.SECTIONS, "glossary"]
    for said in ("sigma: 1, 2, 3, 4, 5 pixels", "3 occur pixel for pixel", "Not scored, since the models have no such",
                 "better than both random orders in both curves", "do not rely on this map", "lime: not installed",
                 "contempt is lost"):  # fmt: skip
        assert said in whole.text
    assert "None" not in whole.text


def test_every_figure_is_on_the_page_once_with_its_alt_text(whole: Reader) -> None:
    pictures = whole.all("img")
    assert sorted(str(image["alt"]) for image in pictures) == sorted(
        [*(f"alt {name}" for name in page.SECTIONS), f"alt of {ODD}"]
    )
    for image in pictures:
        found = Image.open(io.BytesIO(base64.b64decode(str(image["src"]).split(",")[1])))
        shown = int(image["width"] or 0), int(image["height"] or 0)
        assert shown == pytest.approx(np.array(found.size) * page.SCREEN / page.DPI, abs=0.6)


def test_the_summary_comes_first_and_says_what_the_scores_say(small: Reader) -> None:
    scores = minimal()["models"][0]["scores"]
    summary = small.text.split("Contents")[0]
    for value in (f"{scores['accuracy']:.2%}".replace("%", " %"), f"{scores['nll']:.3f}", f"{scores['ece']:.3f}"):
        assert value in summary
    worst = min(row["recall"] for row in scores["per_class"].values())
    assert f"{100 * worst:.1f} %" in summary


def test_a_class_without_rows_is_not_the_worst() -> None:
    report = minimal()
    classes = report["models"][0]["scores"]["per_class"]
    classes["disgust"] |= {"support": 0, "recall": 0.0}
    summary = Reader(page.render(report, {})).text.split("Contents")[0]
    assert "Disgust" not in summary


def test_names_are_escaped_wherever_they_stand(whole: Reader) -> None:
    text = page.render(*full())
    assert ODD in whole.text and "Two <models> & more" in whole.text and "3f<9" in whole.text
    assert "a<b>&" not in text and "Two <models>" not in text and "&amp;lt;" not in text


def test_the_test_split_and_another_are_spoken_of_differently(small: Reader, whole: Reader) -> None:
    assert "only scored" in small.text and "only scored" not in whole.text
    remarked = Reader(page.render(minimal() | {"remarks": ["3 images are left out."]}, {}))
    assert "3 images are left out." in remarked.text and "only scored" in remarked.text
    assert "a little too good" in whole.text and "a little too good" not in small.text


def test_a_threshold_that_was_never_reached_says_so() -> None:
    report = full()[0] | {"figures": {}}
    rows = report["models"][0]["selective"]["thresholds"]
    rows[-1] |= {"threshold": None, "accuracy": None, "accuracy_95": None, "coverage": 0.0}
    for row in rows[-1]["per_class"]:
        row["accuracy"] = None
    assert "not reached on the validation split" in Reader(page.render(report, {})).text


@pytest.mark.parametrize(("difference", "ahead"), [(0.02, "first"), (-0.02, ODD), (0.0, None)])
def test_a_comparison_is_told_in_a_sentence(difference: float, ahead: str | None) -> None:
    report = full()[0] | {"figures": {}}
    (pair,) = report["comparison"]
    pair |= {"difference": difference, "only_a": 9, "only_b": 4, "p_holm": 0.2}
    text = Reader(page.render(report, {})).text
    assert (f"{ahead} alone is right on {9 if ahead == 'first' else 4}" in text) is (ahead is not None)
    assert ("may well be chance (p = 0.200)" in text) is (ahead is not None)
    assert ("are right equally often" in text) is (ahead is None)


@pytest.mark.parametrize(
    "keys",
    [
        ("title",), ("command",), ("data", "digest"), ("models", 0, "bytes"), ("models", 1, "scores", "nll"),
        ("models", 0, "calibration", "before", "mce"), ("models", 0, "selective", "thresholds", 2, "coverage"),
        ("comparison", 0, "kappa"), ("robustness",),
    ],
)  # fmt: skip
def test_a_missing_value_is_an_error_and_no_gap(keys: tuple[Any, ...]) -> None:
    report = part = full()[0] | {"figures": {}}
    for key in keys[:-1]:
        part = part[key]
    del part[keys[-1]]
    with pytest.raises(ValueError, match=f"value is missing: .*{keys[-1]}"):
        page.render(report, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"section": "nowhere"}, "Allowed: models"),
        ({"section": "robustness"}, "'robustness' is None"),
        ({"alt": " "}, "no alt text"),
        ({"model": "unheard of"}, "no model of the report"),
    ],
)
def test_a_figure_that_would_not_be_seen_is_refused(change: dict[str, str], message: str) -> None:
    text = {"section": "models", "model": None, "alt": "a line", "caption": "A line."} | change
    with pytest.raises(ValueError, match=message):
        page.render(minimal() | {"figures": {"one": text}}, {"one": drawing()})


def test_a_figure_needs_its_text_and_a_text_its_figure() -> None:
    for texts, figures in (({}, {"one": drawing()}), ({"one": {}}, {})):
        with pytest.raises(ValueError, match="one"):
            page.render(minimal() | {"figures": texts}, figures)


def test_the_page_is_written_whole(tmp_path: Path) -> None:
    page.write(tmp_path / "report" / "index.html", minimal(), {})
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>") and text.rstrip().endswith("</html>")
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["index.html"]
