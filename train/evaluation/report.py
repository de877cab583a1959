"""The report of an evaluation: every figure as JSON, the saved logits, and one page to look at."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import fer_hub
from fer_hub.bench import compare, cpu_name
from fer_hub.classifier import softmax

from .. import figures as drawings
from .. import metrics, run_folder
from ..data import PROTOCOLS
from . import calibration, candidates, comparison, page, selective, trust_figures
from .candidates import Candidate
from .parts import PARTS, Asked, Part

JSON, PAGE, LOGITS = "report.json", "report.html", "logits"
ROUNDS = 5


def write(
    out: Path,
    asked: Asked,
    protocol: str,
    parts: Sequence[str],
    agreements: Mapping[str, dict[str, Any]],
    notes: Sequence[str] = (),
    remarks: Sequence[str] = (),
    command: str | None = None,
) -> dict[str, Any]:
    """Make all parts and write report.json, report.html and logits/<model>.npz.

    Args:
        out: The folder.
        asked: Models, asked for their answers already, and data.
        protocol: Of the data.
        parts: Names of PARTS.
        agreements: By model, as `candidates.agreement` says it.
        notes: What makes the rows less than fresh to a model, in sentences.
        remarks: What else is to be known of the rows, in sentences.
        command: What was typed.

    Returns:
        What report.json holds.
    """
    save_logits(out / LOGITS, asked)
    made = {PARTS[name][0]: PARTS[name][1](asked) for name in PARTS if name in parts}
    report = {
        "title": f"Evaluation of {', '.join(each.name for each in asked.candidates)}",
        "written": datetime.now(UTC).strftime("%Y-%m-%d"),
        "fer_hub_version": fer_hub.__version__,
        "command": command,
        "notes": list(notes),
        "remarks": list(remarks),
        "data": about_data(asked, protocol),
        "models": _models(asked, agreements),
        "comparison": _comparison(asked),
        "label_map": _label_maps(asked),
        **{section: made[section].values if section in made else None for section, _ in PARTS.values()},
    }
    drawn = _drawn(asked, report, made)
    report["figures"] = {name: text for name, (_, text) in drawn.items()}
    run_folder.write_json(out / JSON, report)
    page.write(out / PAGE, report, {name: figure for name, (figure, _) in drawn.items()})
    return report


def about_data(asked: Asked, protocol: str) -> dict[str, Any]:
    """Which rows were scored."""
    counts = asked.split.counts(len(asked.data.labels)).tolist()
    return {
        "dataset": asked.data.dataset,
        "protocol": PROTOCOLS[protocol].about,
        "split": asked.name,
        "n": len(asked.split),
        "digest": asked.data.digest,
        "labels": list(asked.data.labels),
        "supports": dict(zip(asked.data.labels, counts, strict=True)),
    }


def about_model(asked: Asked, each: Candidate, agreement: dict[str, Any] | None) -> dict[str, Any]:
    """What a model is and every figure of its answers; its latency is measured beside the others'."""
    truth, labels, info = asked.split.labels, asked.data.labels, each.classifier.info
    before, after = each.uncalibrated(asked.name), each.probabilities(asked.name)
    height, width = info.input.size
    return {
        "name": each.name,
        "source": ", ".join(each.sources),
        "runtime": each.runtime,
        "variant": each.variant if each.runtime == "onnx" else None,
        "architecture": info.architecture,
        "input": f"{width}×{height}",
        "parameters": candidates.parameters_of(each.classifier),
        "bytes": candidates.size_of(each.classifier),
        "views": candidates.views_of(each.classifier),
        "temperature": each.temperature,
        "calibrated": each.calibrated,
        "scores": metrics.score(each.logits[asked.name], truth, labels, each.temperature),
        "uncalibrated": None if before is None else _plain(metrics.score(before, truth, labels)),
        "calibration": calibration.calibration(None if before is None else softmax(before), after, truth),
        "selective": selective.score(after, truth, labels, _chosen_on(asked, each)),
        "runtimes": candidates.sentence(agreement) if agreement else None,
        "agreement": agreement,
    }


def _plain(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: scores[name] for name in metrics.UNCALIBRATED}


def _chosen_on(asked: Asked, each: Candidate) -> selective.Rows | None:
    """Where thresholds are chosen: the validation split, if another one is scored."""
    if "validation" not in each.logits or asked.name == "validation":
        return None
    return selective.Rows(each.probabilities("validation"), asked.data.validation.labels)


def _models(asked: Asked, agreements: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    face = [asked.split.images[0]]
    calls = {each.name: lambda model=each.classifier: model.logits(face) for each in asked.candidates}
    times, about = compare(calls, ROUNDS), f"{cpu_name()}, one face at a time"
    rows = []
    for each in asked.candidates:
        latency = {"p50": times[each.name].p50, "p95": times[each.name].p95, "about": about}
        rows.append(about_model(asked, each, agreements.get(each.name)) | {"latency": latency})
    return rows


def _comparison(asked: Asked) -> list[dict[str, Any]] | None:
    if len(asked.candidates) < 2:
        return None
    answers = {each.name: each.probabilities(asked.name) for each in asked.candidates}
    return comparison.compare_models(answers, asked.split.labels, asked.data.labels, asked.seed)


def _label_maps(asked: Asked) -> dict[str, Any] | None:
    maps = {each.name: each.maps for each in asked.candidates if each.maps}
    return {"models": maps} if maps else None


def _drawn(asked: Asked, report: dict[str, Any], made: Mapping[str, Part]) -> dict[str, tuple[Figure, dict[str, Any]]]:
    """All figures by name, each with {section, model, alt, caption}."""
    found = {}
    for section, part in {"models": _drawn_models(asked, report), **made}.items():
        for name, (figure, text) in part.figures.items():
            found[name] = figure, {"section": text.pop("section", section)} | text
    return found


def _drawn_models(asked: Asked, report: dict[str, Any]) -> Part:
    part, truth, labels = Part({}), asked.split.labels, asked.data.labels

    def add(section: str, name: str, figure: Figure, alt: str, caption: str, model: str | None = None) -> None:
        part.draw(name, figure, alt, caption, model)
        part.figures[name][1]["section"] = section

    for each, row in zip(asked.candidates, report["models"], strict=True):
        name = each.name
        add("models", f"confusion {name}", drawings.confusion(row["scores"], labels),
            f"confusion matrix of {name}", "Each row a true label, in per cent of its faces.", name)  # fmt: skip
        add("models", f"roc {name}", drawings.roc(each.probabilities(asked.name), truth, labels),
            f"ROC curve of each label of {name} against the rest", "Each label against the rest.", name)  # fmt: skip
        add("calibration", f"reliability {name}", trust_figures.reliability(row["calibration"]),
            f"accuracy by confidence of {name}, before and after calibration",
            "Accuracy by confidence, with 95 % intervals; beneath, how many faces.", name)  # fmt: skip
    curves = {row["name"]: row["selective"] for row in report["models"]}
    add("selective", "risk", trust_figures.risk_coverage(curves), "risk by coverage of each model",
        "Share of errors among the answers, by the share of faces that get one.")  # fmt: skip
    if report["comparison"]:
        add("comparison", "differences", trust_figures.differences(report["comparison"]),
            "difference in accuracy of each pair of models, with 95 % intervals",
            "Paired differences in accuracy; an interval that holds 0 may be chance.")  # fmt: skip
    return part


def save_logits(folder: Path, asked: Asked) -> None:
    """What every figure is computed from: logits, labels and temperature by model, as logits/<number>.npz."""
    shutil.rmtree(folder, ignore_errors=True)
    for number, each in enumerate(asked.candidates, 1):
        arrays: dict[str, Any] = {f"{name}_logits": rows for name, rows in each.logits.items()}
        arrays |= {f"{name}_labels": getattr(asked.data, name).labels for name in each.logits}
        arrays |= {"temperature": each.temperature, "names": list(asked.data.labels), "model": each.name}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        run_folder.write_bytes(folder / f"{number}.npz", buffer.getvalue())
