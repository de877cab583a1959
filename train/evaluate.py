"""Score models again, from their files: a table, and a report to look at."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from fer_hub.classifier import RUNTIMES
from fer_hub.hub import DEFAULT_MODEL

from . import data, metrics
from .evaluation import candidates, report, shift
from .evaluation.candidates import Candidate
from .evaluation.parts import PARTS, Asked


@dataclass(frozen=True)
class EvaluateConfig:
    """Score models on a split, and say how far their answers can be trusted."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Names of the zoo, model folders, runs, ONNX files or Hub ids; default: the embedded model."""
    data: Path | None = None
    """What train.sources can read; default: the environment variable FER2013_DIR."""
    protocol: str | None = None
    """Which splits; default: those of the first model. "as-given" for another data set; labels are mapped by name."""
    split: Literal["train", "validation", "test"] = "test"
    """Which of them; of FER2013, test is PrivateTest and validation is PublicTest."""
    runtimes: tuple[Literal["onnx", "torch"], ...] = RUNTIMES  # type: ignore[assignment]
    """The first one is scored, the others compared with it."""
    variant: str = "fp32"
    """Of the ONNX file: fp32, fp16, int8, or auto."""
    tta: Literal["none", "flip", "tencrop"] = "none"
    """Test-time augmentation: the views of a face whose probabilities are averaged."""
    ensemble: bool = False
    """Also score all the models as one, their probabilities averaged."""
    out: Path | None = None
    """Folder for report.html, report.json and the logits; default: only the table is printed."""
    parts: tuple[str, ...] = tuple(PARTS)
    """Of the report, beside the scores: robustness, copies, foreign, explanations, faces; none for the scores alone."""
    foreign: tuple[Path, ...] = ()
    """Other data sets to score, too."""
    rows: int = 1000
    """Of the split, evenly spread, that blur, noise and the like are tried on."""
    faces: int = 200
    """Of the split, evenly spread, whose explanations are put to the test."""
    lime_samples: int = 1000
    """Pictures that LIME asks for a face that is shown."""
    seed: int = 0
    """Of everything that is drawn."""


def evaluate(config: EvaluateConfig) -> dict[str, dict[str, Any]]:
    """Every figure of the models on the split, by model; printed as a table.

    Raises:
        ModelError: A model is not to be had.
        ValueError: An option is unknown or out of range, or the data do not fit.
    """
    check_options(config)
    first, *others = config.runtimes or RUNTIMES
    sources = config.models or (DEFAULT_MODEL,)
    loaded = candidates.opened(sources, first, config.variant)
    protocol = config.protocol or candidates.own_protocol(loaded[0].info)
    splits = data.load(protocol, config.data)
    found = candidates.load(sources, loaded, first, config.variant, config.tta, splits.labels, config.ensemble)
    splits, remarks = fitting(splits, found, protocol, config)
    notes = candidates.known_rows(found, splits, protocol)
    foreign = [shift.read_foreign(path, splits.labels, learnt=learnt(splits)) for path in config.foreign]
    single = found[: len(sources)]
    scores = {each.name: _score(each, splits, config, () if each in single else single) for each in found}
    split = getattr(splits, config.split)
    compared = found if others else []
    agreements = {each.name: candidates.agreement(each, config.split, split, config.tta) for each in compared}
    print(table(scores))
    agreed = [f"{name}: {candidates.sentence(its)}" for name, its in agreements.items()]
    for line in [*agreed, *_maps(found), *notes, *remarks]:
        print(line)
    if config.out is not None:
        how = {name: getattr(config, name) for name in ("rows", "faces", "lime_samples", "seed")}
        asked = Asked(splits, config.split, found, others=foreign, **how)
        command = typed(replace(config, protocol=protocol))
        report.write(config.out, asked, protocol, config.parts, agreements, notes, remarks, command)
        print(", ".join(str(config.out / name) for name in (report.PAGE, report.JSON, report.LOGITS)))
    return scores


def check_options(config: EvaluateConfig) -> None:
    """Whether the options can be met, before anything is computed.

    Raises:
        ValueError: They cannot.
    """
    if unknown := [name for name in config.parts if name not in (*PARTS, "none")]:
        raise ValueError(f"Unknown part {unknown[0]!r}. Known: {', '.join(PARTS)}, none.")
    if config.foreign and config.out is None:
        raise ValueError("--foreign is part of the report. Give a folder for it: --out report")
    for name, least in {"rows": 1, "faces": 2, "lime_samples": 2}.items():
        if getattr(config, name) < least:
            raise ValueError(f"Out of range: --{name.replace('_', '-')} {getattr(config, name)}. Give {least} or more.")


def fitting(
    splits: data.Data, found: list[Candidate], protocol: str, config: EvaluateConfig
) -> tuple[data.Data, list[str]]:
    """The data as the models learned from them, and sentences on what is otherwise."""
    wanted = candidates.alignments(found)
    modes, missing = ({each[at] for each in wanted} for at in (0, 1))
    if modes == {"none"}:
        return splits, []
    if len(modes) > 1:
        named = ", ".join(sorted(modes))
        return splits, [f"The models want faces of different alignment ({named}); these are not aligned."]
    drop = missing == {"drop"}
    aligned = data.load(protocol, config.data, align=modes.pop(), on_missing="drop" if drop else "keep")
    counts = aligned.notes["alignment"][config.split]
    lost = f"{counts['not_detected']} of {counts['samples']} images in which no face was found"
    if drop:
        return aligned, [f"Left out, as where the models were trained: {lost}."]
    return aligned, [f"Among the rows are {lost}; not all of the models know such ones."] if "drop" in missing else []


def learnt(splits: data.Data) -> np.ndarray:
    """The images that models of this protocol learned from and were chosen on."""
    return np.concatenate([splits.train.images, splits.validation.images])


def _score(each: Candidate, splits: data.Data, config: EvaluateConfig, members: Sequence[Candidate]) -> dict[str, Any]:
    """Ask a model for the split, and for the validation split if thresholds are to be chosen."""
    split = getattr(splits, config.split)
    candidates.ask(each, config.split, split, members)
    if config.out is not None and len(splits.validation):
        candidates.ask(each, "validation", splits.validation, members)
    return metrics.score(each.logits[config.split], split.labels, splits.labels, each.temperature)


def typed(config: EvaluateConfig) -> str:
    """The command that makes this report, folders of this machine left out."""
    words = ["python", "-m", "train", "evaluate", *(_short(model) for model in config.models)]
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name in ("models", "data", "out") or value == field.default:
            continue
        values = value if isinstance(value, tuple) else () if value is True else (value,)
        words += [f"--{field.name.replace('_', '-')}", *(_short(str(each)) for each in values)]
    return shlex.join([*words, "--out", "report"])


def _short(name: str) -> str:
    return Path(name).name if Path(name).is_absolute() else name


def _maps(found: list[Candidate]) -> list[str]:
    return [f"{each.name}: {row['sentence']}" for each in found for row in each.maps]


def model_logits(model: str | None, runtime: str, split: data.Split, variant: str = "fp32") -> np.ndarray:
    """N×labels logits of a model's file on a split."""
    found = candidates.load_classifier(model, runtime=runtime, variant=variant)
    return candidates.logits_of(found, split, str(model))


def table(scores: dict[str, dict[str, Any]]) -> str:
    """One line for each model."""
    width = max(8, *(len(name) for name in scores))
    head = f"{'':{width}}{'n':>6} {'accuracy':>9} {'95 %':>17} {'balanced':>9} {'macro-F1':>9} {'NLL':>7} {'ECE':>7}"
    lines = [head]
    for name, row in scores.items():
        low, high = row["accuracy_95"]
        lines.append(
            f"{name:{width}}{row['n']:6} {row['accuracy']:9.4f} {low:10.4f}–{high:.4f} {row['balanced_accuracy']:9.4f} "
            f"{row['macro_f1']:9.4f} {row['nll']:7.4f} {row['ece']:7.4f}"
        )
    return "\n".join(lines)
