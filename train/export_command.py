"""`python -m train export`: all ONNX files of a model, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from fer_hub.hub import VARIANTS

from . import measure
from .variants import export_variants


@dataclass(frozen=True)
class ExportConfig:
    """Write every ONNX variant of a model and measure it."""

    source: Annotated[str, tyro.conf.Positional]
    """A run's folder, a model folder, or a name of the zoo."""
    out: Path | None = None
    """The model folder to write; default: where the model lies, which is replaced when all is done."""
    data: Path | None = None
    """What the model was trained on; default: the environment variable FER2013_DIR."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Which to make, names of fer_hub.hub.VARIANTS; fp32 always is."""
    threads: int = measure.THREADS
    """Of ONNX Runtime, for the timings."""


def export(config: ExportConfig) -> None:
    """Write every ONNX variant of a model, measure them on all of validation, and render its card anew."""
    if config.threads < 1:
        raise ValueError(f"Out of range: --threads {config.threads}. Give 1 or more.")
    found = export_variants(config.source, config.out, config.data, config.variants, config.threads, say)
    print(f"\n{variants_table(found)}\n\n{simplification_table(found)}")


def say(stage: str) -> None:
    """Name the stage that begins."""
    print(f"{stage} …", flush=True)


def variants_table(found: dict[str, Any]) -> str:
    """Each variant's size, agreement with torch and latency, and whether it is published."""
    machine = found["machine"]
    lines = [
        f"{found['n']} {found['split']} images, torch {found['reference_accuracy']:.4f}; "
        f"{machine['cpu']}, {machine['threads']} threads, ONNX Runtime {machine['onnxruntime']}",
        "variant       MB  accuracy  same label  max. diff.  1 img, ms   16, ms",
    ]
    return "\n".join(lines + [_line(name, row) for name, row in found["variants"].items()])


def _line(name: str, row: measure.Row) -> str:
    end = "" if row["published"] else f"  not published: {row['why']}"
    if row["bytes"] is None:
        return f"{name:8}{end}"
    worst = "not finite" if row["max_logit_difference"] is None else f"{row['max_logit_difference']:.1e}"
    one, sixteen = (row["latency_ms"][str(batch)]["p50"] for batch in measure.BATCHES)
    return (
        f"{name:8} {row['bytes'] / 1e6:7.2f} {row['accuracy']:9.4f} {row['same_label']:11.2%} {worst:>11} "
        f"{one:10.2f} {sixteen:8.2f}{end}"
    )


def simplification_table(found: dict[str, Any]) -> str:
    """The exporter's graph as it is against the simplified one, one image a call, all in full precision."""
    lines = ["graph         nodes      MB  mean, ms      min      max    FPS: mean     min     max"]
    for name, row in found["simplification"].items():
        t = row["latency_ms"]
        times = " ".join(f"{t[figure]:8.2f}" for figure in ("mean", "minimum", "maximum"))
        fps = " ".join(f"{1000 / t[figure]:7.0f}" for figure in ("mean", "maximum", "minimum"))
        lines.append(f"{name:12} {row['nodes']:6} {row['bytes'] / 1e6:7.2f} {times}      {fps}")
    return "\n".join(lines)
