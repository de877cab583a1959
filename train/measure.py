"""What the files of a model folder are worth: every one on all of the validation split, and timed in turns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from fer_hub.bench import compare, machine
from fer_hub.hub import VARIANTS
from fer_hub.image import to_array
from fer_hub.types import Array, InputSpec

from . import run_folder
from .data import Split
from .graphs import rounding_everywhere
from .network import Forward, torch_forward

PARITY, PER_LOGIT = 1e-4, 2e-5
"""Largest difference allowed between logits of torch and of the fp32 file, and what an image's largest logit adds for
each 1 of it: single precision rounds relatively, and a picture like none in training can have a logit of -40."""
SAME_LABEL = 0.998
"""Share of images on which fp16 must name torch's label."""
LOSS, FASTER, SMALLER = 0.005, 0.9, 0.5
"""int8 may lose half a point of accuracy, if one image takes at most 0.9 of fp32's time or the file half its bytes."""

SPLIT = "validation"
BATCH, BATCHES = 64, (1, 16)
THREADS = 2
ROUNDS = 10
Row = dict[str, Any]
"""One variant in onnx/variants.json."""


class ParityError(run_folder.RunError):
    """An exported file does not compute what the trained network computes."""


def measure(
    folder: Path,
    model: nn.Module,
    spec: InputSpec,
    split: Split,
    names: Sequence[str] = ("fp32",),
    threads: int = THREADS,
    rounds: int = 3,
) -> dict[str, Any]:
    """The content of onnx/variants.json, every variant still published.

    Args:
        folder: A model folder with the files of these variants, safetensors and config.
        model: The torch module of the same weights, on the CPU.
        spec: Its input contract.
        split: The validation split, all of it.
        names: Names of `fer_hub.hub.VARIANTS`.
        threads: Of ONNX Runtime.
        rounds: Turns of five calls that each file gets at each batch size.

    Raises:
        ParityError: The fp32 file does not compute what torch does.
    """
    files = {name: session(folder / VARIANTS[name], threads) for name in names}
    scored = files | {name: session(as_on_a_gpu(folder), threads) for name in names if name == "fp16"}
    logits = all_logits({"torch": torch_forward(model, torch.device("cpu")), **scored}, split, spec)
    expected = logits.pop("torch")
    if "fp32" in logits:
        check_parity(logits["fp32"], expected)
    times = latencies(files, spec, BATCHES, rounds)
    return {
        "split": SPLIT,
        "n": len(split),
        "reference_accuracy": float((expected.argmax(1) == split.labels).mean()),
        "machine": machine(threads),
        "files": {name: size_and_hash(folder / name) for name in ("model.safetensors", "config.json")},
        "variants": {
            name: {"file": VARIANTS[name], **size_and_hash(folder / VARIANTS[name])}
            | agreement(logits[name], expected, split.labels)
            | {"latency_ms": times[name], "published": True, "why": ""}
            for name in names
        },
        "simplification": None,
    }


# ── what they compute ────────────────────────────────────────────────────────────────────────────────────────────────


def session(model: Path | onnx.ModelProto, threads: int) -> Forward:
    """An ONNX file, or a graph, on ONNX Runtime's CPU provider."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    opened = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return lambda pixels: opened.run(["logits"], {"pixel_values": pixels})[0]


def as_on_a_gpu(folder: Path) -> onnx.ModelProto:
    """The fp16 variant of a model folder as the devices compute it that it is meant for."""
    return rounding_everywhere(onnx.load(folder / VARIANTS["fp16"]))


def all_logits(forwards: Mapping[str, Forward], split: Split, spec: InputSpec) -> dict[str, Array]:
    """N×labels logits by name, the preprocessing done once for all; with a bar on a terminal."""
    found: dict[str, list[Array]] = {name: [] for name in forwards}
    with tqdm(total=len(split), desc="scoring", unit="img", leave=False, disable=None) as bar:
        for start in range(0, len(split), BATCH):
            pixels = to_array(list(split.images[start : start + BATCH]), spec)
            for name, forward in forwards.items():
                found[name].append(forward(pixels))
            bar.update(len(pixels))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def agreement(logits: Array, expected: Array, labels: NDArray[np.int64]) -> Row:
    """Accuracy, share of torch's labels, largest difference from its logits.

    A row that is not finite names no label, and the difference is None then: JSON has no other word for it.
    """
    finite = np.isfinite(logits).all()
    named = np.where(np.isfinite(logits).all(axis=1), logits.argmax(axis=1), -1)
    return {
        "accuracy": float((named == labels).mean()),
        "same_label": float((named == expected.argmax(axis=1)).mean()),
        "max_logit_difference": float(np.abs(logits - expected).max()) if finite else None,
    }


def check_parity(logits: Array, expected: Array) -> None:
    """Whether the fp32 file is the network, image by image.

    Another label is a tie, not a fault, where torch's own logits of both labels are no farther apart than the
    difference that is allowed: torch, too, would break it otherwise with another batch size. It counts in `same_label`.

    Args:
        logits: N×labels of the file.
        expected: N×labels of torch.

    Raises:
        ParityError: Logits differ by more than `tolerance`, or a label differs that is no tie.
    """
    worst, allowed = parity(logits, expected)
    if not worst <= allowed:  # NaN is a difference, too
        raise ParityError(
            f"{VARIANTS['fp32']}: torch and ONNX logits differ by up to {worst:.2e} where {allowed:.2e} is allowed."
        )
    theirs = np.take_along_axis(expected, logits.argmax(axis=1)[:, None], axis=1)[:, 0]
    others = int((expected.max(axis=1) - theirs > tolerance(expected)).sum())
    if others:
        raise ParityError(f"{VARIANTS['fp32']}: it names other labels than torch on {others} of {len(logits)} images.")


def tolerance(expected: Array) -> Array:
    """N: how far the fp32 file's logits of an image may be from torch's, N×labels."""
    return PARITY + PER_LOGIT * np.abs(expected).max(axis=1)


def parity(logits: Array, expected: Array) -> tuple[float, float]:
    """The difference of the image that goes farthest towards what is allowed, or beyond it, and what is allowed there.

    Args:
        logits: N×labels of the file.
        expected: N×labels of torch.
    """
    difference, allowed = np.abs(logits - expected).max(axis=1), tolerance(expected)
    worst = (difference / allowed).argmax()  # of NaN, too
    return float(difference[worst]), float(allowed[worst])


# ── how fast they are ────────────────────────────────────────────────────────────────────────────────────────────────


def latencies(
    forwards: Mapping[str, Forward], spec: InputSpec, batches: Sequence[int], rounds: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds a call by name and batch size, the candidates in turns."""
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in forwards}
    for batch in batches:
        pixels = np.zeros((batch, spec.channels, *spec.size), np.float32)
        for name, timing in compare(_calls(forwards, pixels), rounds).items():
            found[name][str(batch)] = {figure: round(value, 4) for figure, value in asdict(timing).items()}
    return found


def _calls(forwards: Mapping[str, Forward], pixels: Array) -> dict[str, Callable[[], object]]:
    return {name: lambda forward=forward: forward(pixels) for name, forward in forwards.items()}  # type: ignore[misc]


def simplification(graphs: Mapping[str, onnx.ModelProto], spec: InputSpec, threads: int, rounds: int) -> dict[str, Row]:
    """Nodes, bytes and latency of one image by name of the graph, all in full precision."""
    times = latencies({name: session(graph, threads) for name, graph in graphs.items()}, spec, (1,), rounds)
    return {
        name: {"bytes": graph.ByteSize(), "nodes": len(graph.graph.node), "latency_ms": times[name]["1"]}
        for name, graph in graphs.items()
    }


def size_and_hash(path: Path) -> dict[str, Any]:
    """Bytes and SHA-256 of a file."""
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


# ── which are published ──────────────────────────────────────────────────────────────────────────────────────────────


def why_not_fp16(row: Row, fp32: Row, reference_accuracy: float) -> str:
    """Why half precision is not published; empty if it is."""
    if row["same_label"] >= SAME_LABEL:
        return ""
    return f"It names torch's label on {row['same_label']:.2%} of the images; at least {SAME_LABEL:.1%} is asked for."


def why_not_int8(row: Row, fp32: Row, reference_accuracy: float) -> str:
    """Why 8 bits are not published; empty if they are."""
    lost = reference_accuracy - row["accuracy"]
    if lost > LOSS + 1e-9:
        return f"Its accuracy is {100 * lost:.2f} points below torch's; at most {100 * LOSS:g} is allowed."
    time = row["latency_ms"]["1"]["p50"] / fp32["latency_ms"]["1"]["p50"]
    size = row["bytes"] / fp32["bytes"]
    if time <= FASTER or size <= SMALLER:
        return ""
    return (
        f"It takes {time:.2f} of fp32's time for one image and {size:.2f} of its bytes; "
        f"at most {FASTER:g} of the time or {SMALLER:g} of the bytes is asked for."
    )


RULES: dict[str, Callable[[Row, Row, float], str]] = {"fp16": why_not_fp16, "int8": why_not_int8}
"""Variant → what keeps it from being published."""
