"""The values that travel between the parts: plain, frozen, numpy at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""An RGB image: H×W×3, uint8."""

Array = NDArray[np.float32]


INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
ALIGNMENTS = ("none", "eyes")


class ImageError(ValueError):
    """An image that cannot be used. The message says what was given, what is allowed, what to do."""


class ModelError(ValueError):
    """A model that cannot be found or loaded. The message says which file and what to do."""


class VideoError(ValueError):
    """A video that cannot be used. The message says what was given, what is allowed, what to do."""


class ChoiceError(ValueError):
    """A choice that cannot be met. The message says what was chosen and what is allowed."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One detected face.

    Attributes:
        box: (x0, y0, x1, y1) in pixels of the image; may reach past its border.
        score: The detector's probability that this is a face, 0 to 1.
        points: 5×2 float32, (x, y) pixels: left eye, right eye, nose, left and right mouth corner,
            left and right as seen in the picture.
    """

    box: tuple[float, float, float, float]
    score: float
    points: Array

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON: ``{box, score, points}``."""
        return {
            "box": [round(float(v), 2) for v in self.box],
            "score": round(float(self.score), 4),
            "points": [[round(float(x), 2), round(float(y), 2)] for x, y in self.points],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The expression of one face.

    Attributes:
        label: The most probable label.
        confidence: Its calibrated probability, 0 to 1.
        scores: Probability by label, in the model's label order; they add up to 1.
        face: Where it was found; None when the whole image was used because the caller asked for it.
    """

    label: str
    confidence: float
    scores: Mapping[str, float]
    face: Face | None

    @classmethod
    def of(cls, scores: Mapping[str, float], face: Face | None) -> Prediction:
        """The prediction that follows from the scores: the first of the most probable labels."""
        label = max(scores, key=scores.__getitem__)
        return cls(label, scores[label], scores, face)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON: ``{box, score, points, label, confidence, scores}``."""
        found = self.face.to_dict() if self.face else {"box": None, "score": None, "points": None}
        return found | {
            "label": self.label,
            "confidence": round(self.confidence, 6),
            "scores": {name: round(p, 6) for name, p in self.scores.items()},
        }


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a model's input must look like; read from ``config.json``, never from a model's name.

    Attributes:
        size: (height, width) in pixels.
        channels: 1 or 3.
        mean: Per channel, on the 0 to 1 scale.
        std: Per channel, on the 0 to 1 scale.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos".
        grey: Whether colour is taken away first, as for models trained on grey images.
    """

    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    grey: bool = True


@dataclass(frozen=True, slots=True)
class Margin:
    """How the frame of the training images lies around a detected box.

    Attributes:
        scale: Side of the square frame, in units of the longer side of the box.
        shift_x: Centre of the frame minus centre of the box, same units, to the right.
        shift_y: The same, downwards.
    """

    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Everything about a model folder but its weights.

    Attributes:
        name: Folder or repository name.
        path: The folder.
        architecture: timm's name of the network.
        labels: Canonical labels, in the order of the logits.
        input: The input contract.
        margin: The crop around a detected face.
        alignment: "none", or "eyes" where the crop is turned until the eyes are level.
        temperature: The logits are divided by it before the softmax.
        fer: The whole "fer" block of ``config.json`` (data set, protocol, metrics …).
    """

    name: str
    path: Path
    architecture: str
    labels: tuple[str, ...]
    input: InputSpec
    margin: Margin = Margin()
    alignment: str = "none"
    temperature: float = 1.0
    fer: Mapping[str, Any] = field(default_factory=dict)
