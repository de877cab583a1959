"""What an ensemble is worth: beside each of its members alone, on the same rows and in the same turns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fer_hub.bench import compare as time_in_turns
from fer_hub.classifier import Classifier
from fer_hub.ensemble import Ensemble
from fer_hub.types import Array, Image

from . import metrics
from .data import Split
from .evaluation.candidates import logits_of
from .evaluation.comparison import compare
from .metrics import Floats, Ints

ROUNDS, FACES = 5, (1, 16)
SIDE = 224
"""Pixels of the faces that are timed: what a camera gives, so that their preprocessing counts."""
STEPS = 20
"""Of the greedy choice; Caruana et al. 2004 let it run until the score no longer rises."""
SCORES = ("n", "accuracy", "accuracy_95", "balanced_accuracy", "macro_f1", "nll", "ece")
WHOLE = "ensemble"
"""What the ensemble is called among its members."""


class Scored(NamedTuple):
    """One classifier's figures on a split."""

    scores: dict[str, Any]
    uncalibrated: dict[str, Any]
    logits: Array
    hits: NDArray[np.bool_]


def scored(logits: Array, split: Split, labels: Sequence[str], temperature: float) -> Scored:
    """Every figure of logits on a split, calibrated and not."""
    plain = metrics.score(logits, split.labels, labels)
    scores = metrics.score(logits, split.labels, labels, temperature)
    before = {name: plain[name] for name in metrics.UNCALIBRATED}
    return Scored(scores, before, logits, logits.argmax(1) == split.labels)


def score_members(ensemble: Ensemble, split: Split, names: Sequence[str], whole: Scored) -> list[dict[str, Any]]:
    """What each member attains alone with one view, and what the ensemble gains on it.

    Args:
        ensemble: Of these members.
        split: The rows on which `whole` was scored.
        names: Of the members.
        whole: The ensemble's figures.

    Returns:
        For each member JSON values: scores, and gain {difference, difference_95 (paired bootstrap), p (McNemar,
        exact), gained and lost (rows that one alone gets right)}.
    """
    found = []
    labels = ensemble.info.labels
    for member, name in zip(ensemble.members, names, strict=True):
        logits = logits_of(member, split, f"{name} alone")[:, [member.info.labels.index(label) for label in labels]]
        alone = scored(logits, split, labels, member.info.temperature)
        test = compare(whole.hits, alone.hits)
        gain = {name: test[name] for name in ("difference", "difference_95", "p")}
        gain |= {"gained": test["only_a"], "lost": test["only_b"]}
        found.append({"scores": {name: alone.scores[name] for name in SCORES}, "gain": gain})
    return found


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def latencies(ensemble: Ensemble, split: Split) -> dict[str, Any]:
    """Milliseconds a call of the ensemble and of each member alone, in turns, from face crops to logits.

    Returns:
        JSON values: faces (how many, as text) → {ensemble, members: [...] in their order: {p50, p95}, times_fastest:
        the ensemble's median in units of the fastest member's}.
    """
    crops = enlarged(split.images[: max(FACES)])
    return {str(count): _times(ensemble, (crops * count)[:count]) for count in FACES}


def _times(ensemble: Ensemble, faces: list[Image]) -> dict[str, Any]:
    calls = {str(at): partial(member.logits, faces) for at, member in enumerate(ensemble.members)}
    timings = time_in_turns({WHOLE: partial(ensemble.logits, faces)} | calls, ROUNDS)
    rows = {name: {"p50": round(t.p50, 4), "p95": round(t.p95, 4)} for name, t in timings.items()}
    whole = rows.pop(WHOLE)
    fastest = min(row["p50"] for row in rows.values())
    return {"ensemble": whole, "members": list(rows.values()), "times_fastest": round(whole["p50"] / fastest, 2)}


def enlarged(images: NDArray[np.uint8]) -> list[Image]:
    """Faces of the data at the size and in the colours of a camera: SIDE×SIDE×3."""
    sized = [PIL.Image.fromarray(image).convert("RGB").resize((SIDE, SIDE)) for image in images]
    return [np.asarray(image) for image in sized]


# ── choice ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def greedy(probabilities: Sequence[Floats], labels: Ints, steps: int = STEPS) -> list[int]:
    """How often each model is to be taken: ensemble selection with replacement (Caruana et al. 2004).

    From none, the model is added whose addition leaves the mean with the least NLL; the best of all steps counts.

    Args:
        probabilities: N×C of each model, on the rows that may choose.
        labels: N true indices.
        steps: How many are added.

    Returns:
        A count for each model; 0: leave it out.
    """
    rows = np.arange(len(labels))
    right = np.stack([p[rows, labels] for p in probabilities]).astype(np.float64)
    total, counts, tried = np.zeros(len(labels)), [0] * len(right), []
    for step in range(1, steps + 1):
        nll = -np.log(((total + right) / step).clip(1e-12)).mean(1)
        best = int(nll.argmin())
        total, counts[best] = total + right[best], counts[best] + 1
        tried.append((float(nll[best]), list(counts)))
    return min(tried)[1]


def choose(members: Sequence[Classifier], names: Sequence[str], views: str, split: Split) -> list[int]:
    """How often each model is to be taken, shown these views, on a split that may choose."""
    labels = members[0].info.labels
    found = []
    for member, name in zip(members, names, strict=True):
        columns = [member.info.labels.index(label) for label in labels]
        found.append(np.exp(logits_of(Ensemble.of([member], views=views), split, name))[:, columns])
    return greedy(found, split.labels)
