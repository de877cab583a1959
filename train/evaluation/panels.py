"""Explanations to learn from: which faces, by rule and not by taste; why each was read so; before and after alignment.

What is returned holds faces of the data: for a report on one's own disk, never for what is published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from fer_hub.classifier import Classifier, classify
from fer_hub.explain import BLACK_BOX, EXPLAINERS, Explanation, explain
from fer_hub.faces import FaceDetector
from fer_hub.types import Array, Image, InputSpec, ModelError

from .. import align
from ..duplicates import content_hash
from ..metrics import Ints
from .choice import examples, sample

__all__ = ["METHODS", "STAGES", "Example", "Panel", "alignment", "examples", "explained", "mean_maps", "sample", "seen"]

Images = NDArray[np.uint8]
Progress = Callable[[int, int], None]
METHODS = tuple(EXPLAINERS)
STAGES = ("before", "box", "eyes")
"""The image as it is, and the modes of `train.align`."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A face, what the model said, and why."""

    row: int
    true: str
    image: Image
    """S×S×3, the image as the model sees it."""
    scores: dict[str, float]
    """Probability by label, of the image as the data set has it."""
    maps: dict[tuple[str, str], Explanation] = field(default_factory=dict)
    """By method and label."""
    stage: str = "before"
    """A name of STAGES."""
    angle: float | None = None
    """Degrees by which its eyes were found turned; above 0: the eye on the right lies lower."""

    @property
    def predicted(self) -> str:
        """The most probable label."""
        return max(self.scores, key=self.scores.__getitem__)

    def to_dict(self) -> dict[str, Any]:
        """What is shown, as JSON, without the pictures."""
        shown = [{"method": method, "label": label, "probability": self.scores[label]} for method, label in self.maps]
        about = {} if self.angle is None else {"stage": self.stage, "angle": self.angle}
        found = {"row": self.row, "true": self.true, "predicted": self.predicted, **about}
        return found | {"probability": self.scores[self.predicted], "maps": shown}


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """What a figure shows, and how it came about."""

    examples: list[Example]
    methods: tuple[str, ...]
    rule: str
    samples: int
    seed: int
    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON, without the pictures."""
        how = {"methods": list(self.methods), "rule": self.rule, "samples": self.samples, "seed": self.seed}
        return how | {"notes": list(self.notes), "examples": [example.to_dict() for example in self.examples]}


def mean_maps(panel: Panel) -> dict[str, dict[str, Array]]:
    """By true label and method: where the maps are strong on average, whichever way they speak, S×S 0 to 1."""
    means: dict[str, dict[str, Array]] = {}
    for true in dict.fromkeys(example.true for example in panel.examples):
        maps = [m for example in panel.examples if example.true == true for m in example.maps.values()]
        means[true] = {
            method: np.mean([np.abs(m.heat) for m in maps if m.method == method], axis=0) for method in panel.methods
        }
    return means


def explained(
    classifier: Classifier,
    images: Images,
    choice: dict[str, Any],
    methods: Sequence[str] = METHODS,
    *,
    targets: Sequence[str] = ("predicted", "true"),
    samples: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Panel:
    """Why the chosen rows were read as they were; for a wrong one also what speaks for its true label.

    Args:
        classifier: A model at its run time.
        images: N×S×S grey, 0 to 255.
        choice: Of `examples`.
        methods: Names of EXPLAINERS; one that does not apply, or whose package is missing, is left out and noted.
        targets: Which labels to explain: "predicted", "true" or both. A true label that the model lacks has no map.
        samples: Of LIME.
        seed: Of LIME.
        progress: Called with how many faces are done, by method, and all there are.

    Raises:
        ValueError: A method is unknown.
    """
    chosen = [(row, name) for name, kinds in choice["rows"].items() for rows in kinds.values() for row in rows]
    crops = [images[row] for row, _ in chosen]
    scores = _scores(classifier, crops)
    found = [
        Example(row, name, seen(crop, classifier.info.input), score)
        for (row, name), crop, score in zip(chosen, crops, scores, strict=True)
    ]
    return _mapped(classifier, found, methods, targets, choice["rule"], samples, seed, progress)


def _scores(classifier: Classifier, crops: Sequence[Image]) -> list[dict[str, float]]:
    labels = classifier.info.labels
    return [dict(zip(labels, row, strict=True)) for row in classify(classifier, crops).tolist()]


def seen(image: Images, spec: InputSpec) -> Image:
    """A grey image as large as the model's input, H×W×3: what the preprocessing makes of it, before normalisation."""
    way = PILImage.Resampling[spec.interpolation.upper()]
    resized = np.asarray(PILImage.fromarray(image).resize((spec.size[1], spec.size[0]), way))
    return np.repeat(resized[:, :, None], 3, axis=2)


def _mapped(
    classifier: Classifier,
    found: list[Example],
    methods: Sequence[str],
    targets: Sequence[str],
    rule: str,
    samples: int,
    seed: int,
    progress: Progress | None,
) -> Panel:
    """A panel of the examples with the maps of all methods that apply."""
    notes, used = [], []
    for place, method in enumerate(methods):
        try:
            for done, example in enumerate(found, 1):
                asked = Remembering(classifier) if method in BLACK_BOX else classifier
                for label in _targets(example, targets):
                    heat = explain(asked, example.image, method, label, samples=samples, seed=seed)
                    example.maps[method, label] = heat
                if progress:
                    progress(place * len(found) + done, len(methods) * len(found))
            used.append(method)
        except ModelError as error:
            notes.append(f"{method} is left out: {error}")
            for example in found:
                for label in example.scores:
                    example.maps.pop((method, label), None)
    return Panel(found, tuple(used), rule, samples, seed, notes)


class Remembering:
    """A model that is asked about the same picture once, for one face: a second label then costs next to nothing."""

    def __init__(self, classifier: Classifier) -> None:
        """With nothing asked yet."""
        self.info, self._classifier = classifier.info, classifier
        self._known: dict[str, Array] = {}

    def logits(self, crops: Sequence[Image]) -> Array:
        """As the model's own, N×labels."""
        keys = [content_hash(crop) for crop in crops]
        new = {key: crop for key, crop in zip(keys, crops, strict=True) if key not in self._known}
        if new:
            self._known |= zip(new, self._classifier.logits(list(new.values())), strict=True)
        return np.stack([self._known[key] for key in keys])


def _targets(example: Example, targets: Sequence[str]) -> list[str]:
    """Labels to explain, each once, the predicted one first; none that the model does not know (always 0)."""
    wanted = {"predicted": example.predicted, "true": example.true}
    known = [wanted[name] for name in wanted if name in targets and example.scores.get(wanted[name], 0) > 0]
    return list(dict.fromkeys(known))


def alignment(
    classifier: Classifier,
    images: Images,
    labels: Ints,
    names: Sequence[str],
    methods: Sequence[str] = ("grad-cam", "lime"),
    *,
    count: int = 6,
    first: int = 300,
    samples: int = 1000,
    seed: int = 0,
    detector: align.Detector | None = None,
    progress: Progress | None = None,
) -> Panel:
    """The same face before and after alignment: the most turned ones among the first images.

    Args:
        classifier: A model at its run time.
        images: N×S×S grey, 0 to 255.
        labels: N true indices.
        names: C labels.
        methods: As of `explained`; the predicted label of each picture is explained.
        count: Faces, at most.
        first: Images to look at for them.
        samples: Of LIME.
        seed: Of LIME.
        detector: Finds the faces; None: as `train.align`.
        progress: As of `explained`.

    Returns:
        For each face three examples, in the order of STAGES.
    """
    detector = detector or FaceDetector(min_face_size=align.SMALLEST)
    angles = {row: angle for row, angle in enumerate(_angles(images[:first], detector)) if angle is not None}
    rows = sorted(angles, key=lambda row: -abs(angles[row]))[:count]
    stages = {"before": images[rows]} | {mode: align.align(images[rows], mode, detector)[0] for mode in STAGES[1:]}
    found = []
    for place, row in enumerate(rows):
        crops = [stages[stage][place] for stage in STAGES]
        for stage, crop, score in zip(STAGES, crops, _scores(classifier, crops), strict=True):
            face = seen(crop, classifier.info.input)
            found.append(Example(row, names[labels[row]], face, score, stage=stage, angle=angles[row]))
    rule = (
        f"the {len(rows)} most turned of {len(angles)} faces that the detector found in the first "
        f"{len(images[:first])} images; the model expects faces of alignment {classifier.info.alignment!r}"
    )
    return _mapped(classifier, found, methods, ("predicted",), rule, samples, seed, progress)


def _angles(images: Images, detector: align.Detector) -> Iterator[float | None]:
    """By how many degrees the eyes of each image's largest face are turned; None: no face."""
    for image in images:
        faces = align.largest(detector.detect(align.enlarged(image)))
        if not faces:
            yield None
            continue
        across = faces[0].points[1] - faces[0].points[0]
        yield float(np.degrees(np.arctan2(across[1], across[0])))
