"""What is wrong with a model folder, before anything of it is sent: every problem, not only the first."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from huggingface_hub import ModelCard

from fer_hub.classifier import OnnxClassifier, TorchClassifier, softmax
from fer_hub.download import TAG
from fer_hub.hub import MEASURED, VARIANTS, read_info, read_variants
from fer_hub.image import to_array
from fer_hub.types import Array, Image, InputSpec

from ..ensemble_members import is_ensemble
from ..finished import CONFIG, METRICS, WEIGHTS
from ..measure import parity, size_and_hash

PICTURE = "figures/confusion.png"
REQUIRED = (CONFIG, METRICS, WEIGHTS, VARIANTS["fp32"], MEASURED, PICTURE)
FRONT_MATTER = ("license", "library_name", "pipeline_tag", "tags", "model_name", "eval_results")
INPUTS = 16
TOLERANCE = 0.25
"""How much less probable than torch's first label a variant's label may be to torch: near ties may fall either way."""


def folder_problems(folder: Path) -> list[str]:
    """Missing files, files that do not belong together, files that do not compute the same."""
    problems = list(_missing(folder))
    for needed, check in CHECKS:
        if all((folder / file).is_file() for file in needed):
            problems += tried(check, folder)
    return problems


def tried(check: Callable[[Path], Iterator[str]], folder: Path) -> list[str]:
    """A check's problems; a file that cannot even be read is one of them."""
    try:
        return list(check(folder))
    except (KeyError, TypeError, AttributeError) as error:
        return [f"{folder}: its files do not fit each other ({type(error).__name__} {error}). {export(folder)}"]
    except (ValueError, OSError) as error:
        return [str(error)]


def export(folder: Path) -> str:
    """What to type where exported files lack or differ."""
    if is_ensemble(folder):
        return f"Remove {folder}, and make it again: python -m train ensemble"
    return f"Type: python -m train export {folder}"


def _missing(folder: Path) -> Iterator[str]:
    for file in REQUIRED:
        if not (folder / file).is_file():
            yield f"{file} is missing. {export(folder)}"


def agree(folder: Path) -> Iterator[str]:
    """Whether config.json and metrics.json tell of the same run."""
    info, metrics = read_info(folder), json.loads((folder / METRICS).read_text(encoding="utf-8"))
    for split, scores in info.fer.get("metrics", {}).items():
        if metrics.get(split, {}).get("accuracy") != scores["accuracy"]:
            yield f"config.json and metrics.json state different accuracies on {split}. {export(folder)}"
    scored = tuple(metrics["test"]["per_class"])
    if scored != info.labels:
        yield f"metrics.json scores {', '.join(scored)}; config.json names {', '.join(info.labels)}."


def _variants(folder: Path) -> Iterator[str]:
    """Whether the files are those that were measured, and none is left over from before."""
    measured = read_variants(folder) or {}
    rows: dict[str, Any] = measured["variants"]
    published = {row["file"]: row for row in rows.values() if row["published"]}
    for file, row in (measured["files"] | published).items():
        if not _is_measured(folder / file, row):
            yield f"{file} is not the file that was measured: missing, or changed since. {export(folder)}"
    for path in sorted((folder / "onnx").glob("*.onnx")):
        if f"onnx/{path.name}" not in published:
            yield f"onnx/{path.name} is there, but {MEASURED} does not publish it. {export(folder)}"


def _is_measured(path: Path, row: dict[str, Any]) -> bool:
    return path.is_file() and size_and_hash(path).items() <= row.items()


def _parity(folder: Path) -> Iterator[str]:
    """Whether every ONNX file computes what the safetensors do, on fixed pictures."""
    torch_side = TorchClassifier(folder)
    pixels = to_array(pictures(torch_side.info.input), torch_side.info.input)
    expected = torch_side.forward(pixels)
    for name, file in VARIANTS.items():
        if (folder / file).is_file():
            yield from _differs(name, file, OnnxClassifier(folder, 1, name).forward(pixels), expected)


def _differs(name: str, file: str, logits: Array, expected: Array) -> Iterator[str]:
    if name == "fp32":
        worst, allowed = parity(logits, expected)
        if not worst <= allowed:  # NaN is a difference, too
            yield f"{file} and {WEIGHTS} differ by up to {worst:.1e} in their logits where {allowed:.1e} is allowed."
        return
    lost = _lost(logits, expected)
    if not lost <= TOLERANCE:
        yield f"{file} names labels that {WEIGHTS} finds less probable than its own by up to {lost:.0%}."


def _lost(logits: Array, expected: Array) -> float:
    """How much less probable the labels of one side are to the other than its own, at most; 0: the same labels."""
    probabilities = softmax(expected)
    chosen = np.take_along_axis(probabilities, logits.argmax(axis=1)[:, None], axis=1)[:, 0]
    return float((probabilities.max(axis=1) - chosen).max()) if np.isfinite(logits).all() else float("inf")


def pictures(spec: InputSpec, n: int = INPUTS) -> list[Image]:
    """Fixed pictures of soft blobs, H×W×3 uint8: the kind of input that filters are made for, and of nobody."""
    rng = np.random.default_rng(0)
    height, width = spec.size
    rough = rng.integers(0, 256, (n, 6, 6, 3)).astype(np.uint8)
    blown_up = [PIL.Image.fromarray(blobs).resize((width, height), PIL.Image.Resampling.BICUBIC) for blobs in rough]
    return [np.asarray(picture) for picture in blown_up]


CHECKS: tuple[tuple[tuple[str, ...], Callable[[Path], Iterator[str]]], ...] = (
    ((CONFIG, METRICS), agree),
    ((MEASURED,), _variants),
    ((CONFIG, WEIGHTS, VARIANTS["fp32"]), _parity),
)
"""The files that a check needs, and the check."""


def card_problems(text: str) -> list[str]:
    """What a card lacks: licence, tags, figures; or that it cannot be read as one."""
    try:
        data = ModelCard(text).data
    except (ValueError, TypeError, KeyError) as error:
        return [f"The card's front matter cannot be read: {error}"]
    found = [f"The card states no {name}." for name in FRONT_MATTER if not getattr(data, name, None)]
    tags: Sequence[str] = data.tags or ()
    return found if TAG in tags else [*found, f"The card lacks the tag {TAG}."]
