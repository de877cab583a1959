"""Every ONNX file of a finished model, from its safetensors: made, measured on validation, published or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from torch import nn

from fer_hub import __version__
from fer_hub.backbones import load_model
from fer_hub.hub import MEASURED, VARIANTS, read_config, read_info
from fer_hub.types import InputSpec

from . import cards, export, graphs, measure, quantize, run_folder
from .calibrate import Calibration
from .data import Data
from .finished import CONFIG, WEIGHTS, check_replaceable, copied, data_of, model_folder


class Sources(NamedTuple):
    """What variants are made from."""

    simple: onnx.ModelProto
    """The simplified graph, fp32; the file of that name is made of it in place."""
    folded: onnx.ModelProto
    """The same, batch norms folded into the filters."""
    splits: Data
    spec: InputSpec


MAKERS: dict[str, Callable[[Sources], onnx.ModelProto]] = {
    "fp32": lambda sources: graphs.halved(sources.simple),
    "fp16": lambda sources: quantize.half_precision(sources.folded),
    "int8": lambda sources: quantize.eight_bits(sources.folded, sources.splits.train, sources.spec),
}
"""Variant → its graph. One entry here, one in fer_hub.hub.VARIANTS and a rule in train.measure.RULES add a variant."""


def export_variants(
    source: str | Path,
    out: Path | None = None,
    data: Path | None = None,
    variants: Sequence[str] = tuple(VARIANTS),
    threads: int = measure.THREADS,
    say: Callable[[str], None] = lambda stage: None,
) -> dict[str, Any]:
    """Write all ONNX files of a model, their measurements and the card anew.

    A temperature that was not folded into the head is folded now. A variant that cannot be made, or that is not good
    enough, is listed with the reason, its file left out.

    Args:
        source: A run's folder, a model folder, or a name of the zoo.
        out: The model folder to write; None: where the model lies.
        data: What train.sources.read takes; None: the environment variable FER2013_DIR.
        variants: Names of `fer_hub.hub.VARIANTS`; fp32 is always written.
        threads: Of ONNX Runtime, for the timings.
        say: Told each stage, in a few words.

    Returns:
        What onnx/variants.json holds.

    Raises:
        ParityError: The fp32 file does not compute what torch does.
        DataError: The data are not those that the model was trained on.
        ValueError: No model there, an unknown variant, or a folder that is not to be replaced.
    """
    names = _known(variants)
    folder = model_folder(source)
    target = out or folder
    check_replaceable(target)
    say("reading the data")
    splits = data_of(folder, data)
    with copied(folder, target) as new:
        found = _write(new, splits, names, threads, say)
        say("rendering the card")
        run_folder.write_bytes(new / "README.md", cards.model_card(new).encode())
        run_folder.replace_folder(new, target)
    return found


def _known(variants: Sequence[str]) -> list[str]:
    """The variants in their own order, fp32 among them."""
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown:
        raise ValueError(f"Unknown variant {unknown[0]!r}. Known: {', '.join(VARIANTS)}.")
    return [name for name in VARIANTS if name in {"fp32", *variants}]


def _write(new: Path, splits: Data, names: Sequence[str], threads: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything but the card."""
    model, spec = load_model(new), read_info(new).input
    config = refreshed(new, model)
    say("exporting")
    raw = graphs.translated(model, spec)
    sources = Sources(graphs.simplified(raw), graphs.simplified(raw, fold_norms=True), splits, spec)
    say("timing what simplifying brings")
    steps = {"raw": raw, "plain": graphs.by_default(raw), "simplified": sources.simple}
    simplification = measure.simplification(steps, spec, threads, measure.ROUNDS)
    failed = _make(new, config, sources, names, threads, say)
    made = [name for name in names if name not in failed]
    say(f"scoring {', '.join(made)} on {len(splits.validation)} validation images")
    found = measure.measure(new, model, spec, splits.validation, made, threads, measure.ROUNDS)
    left_out = dict.fromkeys(VARIANTS, "It was left out when the model was exported.") | failed
    found["variants"] = {name: found["variants"].get(name) or _not_made(name, left_out[name]) for name in VARIANTS}
    _judge(new, found)
    found["simplification"] = simplification
    run_folder.write_json(new / MEASURED, found)
    return found


def refreshed(folder: Path, model: nn.Module) -> dict[str, Any]:
    """config.json as it is written today; of an older model the temperature is folded, and both files are written.

    Args:
        folder: A model folder that may be changed.
        model: Its module, whose head may be divided in place.
    """
    before = read_config(folder)
    config, fer = {"dtype": export.DTYPE} | before, before["fer"]
    if "calibration" not in fer:
        found = Calibration(fer["temperature"])
        config["fer"] = fer | export.calibration(found, export.fold(model, found)) | {"fer_hub_version": __version__}
        export.write_weights(model, folder / WEIGHTS)
    if config != before:
        run_folder.write_json(folder / CONFIG, config)
    return config


def _make(
    new: Path,
    config: dict[str, Any],
    sources: Sources,
    names: Sequence[str],
    threads: int,
    say: Callable[[str], None],
) -> dict[str, str]:
    """Write each variant's file; why one could not be made, by name."""
    failed = {}
    for name in names:
        say(f"making {name}")
        path = new / VARIANTS[name]
        try:
            graphs.write(MAKERS[name](sources), config, path)
            measure.session(path, threads)(np.zeros((2, sources.spec.channels, *sources.spec.size), np.float32))
        except Exception as error:  # converters have types of their own for every kind of graph they do not take
            if name == "fp32" or isinstance(error, OSError):
                raise
            path.unlink(missing_ok=True)
            failed[name] = f"It could not be made ({type(error).__name__}: {(str(error).splitlines() or [''])[0]})."
    return failed


def _not_made(name: str, why: str) -> measure.Row:
    """The row of a variant of which there is no file: no figures."""
    figures = ("bytes", "sha256", "accuracy", "same_label", "max_logit_difference", "latency_ms")
    return {"file": VARIANTS[name], **dict.fromkeys(figures), "published": False, "why": why}


def _judge(new: Path, found: dict[str, Any]) -> None:
    """Say of each variant whether it is good enough; the files of those that are not are removed."""
    rows = found["variants"]
    for name, rule in measure.RULES.items():
        row = rows.get(name)
        if row is None or row["bytes"] is None:
            continue
        row["why"] = rule(row, rows["fp32"], found["reference_accuracy"])
        row["published"] = not row["why"]
        if row["why"]:
            (new / row["file"]).unlink()
