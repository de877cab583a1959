"""How FER2013 frames a face: the margin around a detected box, fitted on the training images."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fer_hub.faces import FaceDetector
from fer_hub.types import Face

from . import data, run_folder, sources
from .align import LARGE, PAD, SMALLEST, enlarged, largest

FITTED = Path(__file__).with_name("margins.json")
LIMITS = (0.6, 1.8)


@dataclass(frozen=True)
class MarginConfig:
    """Fit the face margin."""

    data: Path | None = None
    """What train.sources can read; default: the environment variable FER2013_DIR."""
    rows: int = 4000
    """Training images to look at, drawn at random."""
    seed: int = 0
    """Draws them."""
    name: str | None = None
    """Name of the data set in train/margins.json; default: the data set's own."""


def margins() -> dict[str, Any]:
    """What was fitted, by data set."""
    fitted: dict[str, Any] = json.loads(FITTED.read_text(encoding="utf-8"))
    return fitted


def fitted_margin(name: str) -> dict[str, float]:
    """The stored margin of a data set, as `fer_hub.types.Margin` takes it.

    Raises:
        ValueError: None was fitted for that data set.
    """
    fitted = margins()
    if name not in fitted:
        raise ValueError(f"No margin is fitted for {name!r}. Known: {', '.join(fitted)}. Run python -m train margin.")
    return {key: fitted[name]["median"][key] for key in ("scale", "shift_x", "shift_y")}


def fit(config: MarginConfig) -> dict[str, Any]:
    """Detect faces in training images, relate box to frame, print and store the statistics."""
    rows = sources.read(config.data or data.default_source())
    images = rows.images[rows.usage == "train"]
    drawn = np.random.default_rng(config.seed).permutation(len(images))[: config.rows]
    detector = FaceDetector(min_face_size=SMALLEST)
    found = [relation(face) for i in tqdm(drawn, unit="img") for face in largest(detector.detect(enlarged(images[i])))]
    if not found:
        raise data.DataError(f"No face was found in {len(drawn)} images; nothing can be fitted. Check --data.")
    result = summary(np.array(found), len(drawn))
    known = json.loads(FITTED.read_text(encoding="utf-8")) if FITTED.exists() else {}
    run_folder.write_json(FITTED, known | {config.name or rows.name: result})
    print(json.dumps(result, indent=1))
    return result


def relation(face: Face) -> tuple[float, float, float]:
    """(scale, shift_x, shift_y) that lead from the box to the frame of the original image."""
    x0, y0, x1, y1 = face.box
    unit = max(x1 - x0, y1 - y0)
    centre = PAD + LARGE / 2
    return LARGE / unit, (centre - (x0 + x1) / 2) / unit, (centre - (y0 + y1) / 2) / unit


def summary(found: NDArray[np.float64], rows: int) -> dict[str, Any]:
    """Medians and quartiles; boxes far out of proportion (a face inside a face) are left out and counted."""
    kept = found[(found[:, 0] > LIMITS[0]) & (found[:, 0] < LIMITS[1])]
    names = ("scale", "shift_x", "shift_y")
    low, median, high = (np.quantile(kept, q, axis=0).round(4).tolist() for q in (0.25, 0.5, 0.75))
    return {
        "rows": rows,
        "found": len(found),
        "kept": len(kept),
        "median": dict(zip(names, median, strict=True)),
        "quartiles": {name: [low[i], high[i]] for i, name in enumerate(names)},
    }
