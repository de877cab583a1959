"""Several models asked about the same faces, side by side."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from time import perf_counter
from typing import Any

import numpy as np

from .classifier import Classifier, Network
from .ensemble import ARCHITECTURE, Ensemble
from .labels import label_map
from .recognizer import Recognizer
from .relabel import Relabelled
from .types import Face, Image, ModelError, ModelInfo, Prediction


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What one model says of all faces.

    Attributes:
        name: By which it was given.
        info: Of the model.
        predictions: One for each face; none where it failed.
        seconds: To crop and classify all faces; the search for them is not in it.
        error: Why there is no answer, as a sentence; "" where there is one.
        megabytes: Of the files that were loaded, 10⁶ bytes each; of an ensemble all of its members'. None where that
            is not known.
    """

    name: str
    info: ModelInfo
    predictions: tuple[Prediction, ...]
    seconds: float
    error: str = ""
    megabytes: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            ``{name, architecture, labels, megabytes, ms, error, faces: [{label, confidence, scores}]}``.
        """
        rows = [prediction.to_dict() for prediction in self.predictions]
        return {
            "name": self.name,
            "architecture": self.info.architecture,
            "labels": list(self.info.labels),
            "megabytes": None if self.megabytes is None else round(self.megabytes, 2),
            "ms": round(self.seconds * 1000, 2),
            "error": self.error or None,
            "faces": [{what: row[what] for what in ("label", "confidence", "scores")} for row in rows],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The answers of several models on the faces of one image. Faces are counted from 0.

    Attributes:
        size: (height, width) of the image in pixels.
        faces: The same for all models; None stands for the whole image.
        detection_seconds: To find them; 0 where they were given.
        answers: One for each model, in the order in which they were given.
        average: What all of them say together (see `with_average`); it has no vote of its own. None where it was not
            asked for, or cannot be made.
        average_error: Why it cannot be made, as a sentence; "" where there is nothing to say.
    """

    size: tuple[int, int]
    faces: tuple[Face | None, ...]
    detection_seconds: float
    answers: tuple[Answer, ...]
    average: Answer | None = None
    average_error: str = ""

    @property
    def answered(self) -> tuple[Answer, ...]:
        """The answers of the models that did not fail."""
        return tuple(answer for answer in self.answers if not answer.error)

    def votes(self, face: int) -> dict[str, int]:
        """How many models name each label that any of them names; the most named first.

        Of labels that are named equally often, the one with the larger sum of confidences stands first.
        """
        named = [answer.predictions[face] for answer in self.answered]
        sums = {label: sum(p.confidence for p in named if p.label == label) for label in {p.label for p in named}}
        counts = {label: sum(p.label == label for p in named) for label in sums}
        ranked = sorted(sums, key=lambda label: (-counts[label], -sums[label], label))
        return {label: counts[label] for label in ranked}

    def majority(self, face: int) -> str | None:
        """The label that most models name, as `votes` ranks them; None where no model answered."""
        return next(iter(self.votes(face)), None)

    def agreement(self, face: int) -> float | None:
        """Share, 0 to 1, of the pairs of models that name the same label; None for fewer than two models."""
        pairs = list(combinations([answer.predictions[face].label for answer in self.answered], 2))
        return sum(one == other for one, other in pairs) / len(pairs) if pairs else None

    def mean_agreement(self) -> float | None:
        """Mean of the agreement over all faces; None for fewer than two models, or no face."""
        shares = [self.agreement(face) for face in range(len(self.faces))]
        known = [share for share in shares if share is not None]
        return sum(known) / len(known) if known else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ``{width, height, detection_ms, faces, models, average, average_error, agreement}``.

        A face is ``{box, score, points, majority, agreement}``, box, score and points None for the whole image; a model
        is what `Answer.to_dict` makes of it, its faces in the same order, and so is the average.
        """
        nowhere = {"box": None, "score": None, "points": None}
        return {
            "width": self.size[1],
            "height": self.size[0],
            "detection_ms": round(self.detection_seconds * 1000, 2),
            "faces": [
                (face.to_dict() if face else nowhere)
                | {"majority": self.majority(number), "agreement": _rounded(self.agreement(number))}
                for number, face in enumerate(self.faces)
            ],
            "models": [answer.to_dict() for answer in self.answers],
            "average": self.average.to_dict() if self.average else None,
            "average_error": self.average_error or None,
            "agreement": _rounded(self.mean_agreement()),
        }


def compare_models(
    recognizers: Mapping[str, Recognizer],
    image: Image,
    *,
    whole_image: bool = False,
    faces: Sequence[Face | None] | None = None,
) -> Comparison:
    """Ask models about the same faces, one model after the other; the faces are looked for once, by the
    first model's detector.

    Each model crops the faces by its own margin. A model that fails leaves the answers of the others as they are.

    Args:
        recognizers: The models, by name.
        image: H×W×3 uint8 RGB.
        whole_image: Take the image as one face, without looking for any.
        faces: Found already, None for the whole image; without them they are looked for.

    Raises:
        ImageError: The array is no image.
        ValueError: There is no model.
    """
    if not recognizers:
        raise ValueError("There is no model to compare. Give one or more.")
    started = perf_counter()
    if faces is None:
        faces = [None] if whole_image else next(iter(recognizers.values())).detector.detect(image)
        detection_seconds = perf_counter() - started
    else:
        detection_seconds = 0.0
    answers = tuple(_ask(name, recognizer, image, faces) for name, recognizer in recognizers.items())
    return Comparison((image.shape[0], image.shape[1]), tuple(faces), detection_seconds, answers)


def with_average(comparison: Comparison) -> Comparison:
    """The comparison with the average of its answers; where there is none to make, with a sentence that says why."""
    if len(comparison.answered) < 2:
        problem = f"{len(comparison.answered)} models gave an answer; an average needs two or more."
        return replace(comparison, average=None, average_error=problem)
    try:
        return replace(comparison, average=averaged(comparison), average_error="")
    except ModelError as error:
        return replace(comparison, average=None, average_error=str(error))


def averaged(comparison: Comparison) -> Answer:
    """The models as an ensemble: the mean of the probabilities that they gave; nothing is computed anew.

    Only labels that all of them know are kept, in the order of the first model; the probability of others is taken
    away and the rest is scaled up to 1, as `fer_hub.labels.LabelMap` does. Models that failed are left out. The name
    says which models and which labels are in it; its seconds are the sum of theirs.

    Raises:
        ModelError: No model answered, or no label is known to all.
    """
    answers = comparison.answered
    if not answers:
        raise ModelError("None of the models gave an answer: there is nothing to average.")
    labels = tuple(label for label in answers[0].info.labels if all(label in a.info.labels for a in answers))
    if not labels:
        each = "; ".join(f"{answer.name}: {', '.join(answer.info.labels)}" for answer in answers)
        raise ModelError(f"No label is known to all of the models ({each}). Average others.")
    lost = dict.fromkeys(label for a in answers for label in a.info.labels if label not in labels)
    name = f"mean of {', '.join(answer.name for answer in answers)}"
    name += f", without {', '.join(lost)}" if lost else ""
    info = replace(
        answers[0].info, name=name, architecture=ARCHITECTURE, labels=labels, temperature=1.0, fer={"metrics": {}}
    )
    rows = np.mean([_probabilities(answer, labels) for answer in answers], axis=0).tolist()
    predictions = tuple(
        Prediction.of(dict(zip(labels, row, strict=True)), face)
        for row, face in zip(rows, comparison.faces, strict=True)
    )
    return Answer(name, info, predictions, sum(answer.seconds for answer in answers))


def _ask(name: str, recognizer: Recognizer, image: Image, faces: Sequence[Face | None]) -> Answer:
    started, predictions, problem = perf_counter(), [], ""
    try:
        (predictions,) = recognizer.classify_faces([image], [faces])
    except ModelError as error:
        problem = str(error)
    except Exception as error:  # onnxruntime and torch have types of their own for every kind of trouble
        logging.getLogger("fer_hub").warning("%s failed", name, exc_info=error)
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        problem = f"{name} gave no answer ({reason}). Fetch or export it again, or leave it out."
    seconds = perf_counter() - started
    return Answer(name, recognizer.info, tuple(predictions), seconds, problem, _megabytes(recognizer.classifier))


def _megabytes(classifier: Classifier) -> float | None:
    """Of the files that a model was loaded from; None where it came from none, or one is gone."""
    if isinstance(classifier, Relabelled):
        return _megabytes(classifier.classifier)
    if isinstance(classifier, Ensemble):
        sizes = [_megabytes(member) for member in classifier.members]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None
    try:
        return classifier.file.stat().st_size / 1e6 if isinstance(classifier, Network) else None
    except OSError:
        return None


def _probabilities(answer: Answer, labels: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Faces×labels."""
    known = answer.info.labels
    rows = np.array([[p.scores[label] for label in known] for p in answer.predictions]).reshape(-1, len(known))
    return label_map(known, labels).apply(rows)


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
