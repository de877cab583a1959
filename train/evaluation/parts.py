"""PARTS of the report beyond the scores: from the models and the data to values, figures and what these show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from fer_hub.classifier import TorchClassifier, classify, load_classifier
from fer_hub.explain import EXPLAINERS, explain
from fer_hub.types import Image, ModelError

from ..data import Data, Split, evenly
from . import (
    panels,
    panels_figures,
    randomisation,
    robustness,
    robustness_figures,
    sanity,
    sanity_figures,
    shift,
)
from .candidates import Candidate, free, members, place_of

TOGETHER = 6
"""Models that one figure can tell apart."""
EACH = 15
"""Faces of each label whose maps are averaged."""


@dataclass(frozen=True)
class Asked:
    """What a part works on."""

    data: Data
    name: str
    """Of the split."""
    candidates: Sequence[Candidate]
    rows: int
    """Of the split, evenly spread, that corruptions are tried on."""
    faces: int
    """Of the split, evenly spread, whose explanations are tried."""
    lime_samples: int
    """Pictures that LIME asks for a face that is shown."""
    others: Sequence[shift.Foreign]
    """Other data sets."""
    seed: int

    @property
    def split(self) -> Split:
        """The rows that are scored."""
        split: Split = getattr(self.data, self.name)
        return split


@dataclass
class Part:
    """A section of the report."""

    values: dict[str, Any] | None
    """JSON; None: there is nothing to show."""
    figures: dict[str, tuple[Figure, dict[str, Any]]] = field(default_factory=dict)
    """By name: the drawing, and its {model, alt, caption}."""

    def draw(self, name: str, figure: Figure, alt: str, caption: str, model: str | None = None) -> None:
        """Add a figure."""
        self.figures[name] = figure, {"model": model, "alt": alt, "caption": caption}


def robust(asked: Asked) -> Part:
    """Accuracy as the images get worse."""
    truth, found = asked.split.labels, {}
    for each in asked.candidates[:TOGETHER]:

        def predict(images: Any, model: Any = each.classifier) -> Any:
            return classify(model, list(images))

        found[each.name] = robustness.robustness(
            predict, asked.split.images, truth, asked.data.labels, asked.rows, asked.seed, progress=True
        )
    part = Part({"models": found})
    what = f"accuracy of {', '.join(found)} by severity, a panel for each corruption"
    left = f" Only the first {TOGETHER} models were tried." if len(asked.candidates) > TOGETHER else ""
    caption = f"Accuracy by severity; bands: 95 % intervals.{left}"
    part.draw("robustness", robustness_figures.curves(found), what, caption)
    part.draw(
        "corruptions",
        robustness_figures.examples(),
        "one face of the public domain under every corruption, from mild to severe",
        "What the severities look like (photo: Eileen Collins, NASA S95-02404, public domain).",
    )
    return part


def copied(asked: Asked) -> Part:
    """The scores with and without rows known from training."""
    if asked.name == "train":
        return Part(None)
    found = {
        each.name: shift.copies(asked.data, asked.name, each.probabilities(asked.name)) for each in asked.candidates
    }
    return Part({"models": found})


def foreign(asked: Asked) -> Part:
    """The scores on other data sets, labels mapped by name."""
    found: dict[str, dict[str, Any]] = {}
    for rows in asked.others:
        name = free(rows.name, list(found))
        for each in asked.candidates:
            bar = tqdm(range(0, len(rows.images), 128), desc=f"{each.name}, {rows.name}", leave=False, disable=None)
            parts = [classify(each.classifier, list(rows.images[i : i + 128])) for i in bar]
            found.setdefault(name, {})[each.name] = shift.cross(rows, np.concatenate(parts))
    return Part({"sets": found} if found else None)


def explanations(asked: Asked) -> Part:
    """Whether the explanations explain."""
    crops = [sanity.rgb(asked.split.images[row]) for row in evenly(len(asked.split), asked.faces)]
    part, values = Part(None), {}
    for each in asked.candidates:
        methods, notes = usable(each, crops[0])
        found = {
            "notes": notes,
            "faithfulness": sanity.faithfulness(each.classifier, crops, methods, seed=asked.seed, progress=True),
            "randomisation": _randomised(each, crops, methods, asked.seed, notes),
        }
        values[each.name] = found
        _draw_sanity(part, each.name, found)
    part.values = {"models": values}
    return part


def _randomised(
    each: Candidate, crops: Sequence[Image], methods: Sequence[str], seed: int, notes: list[str]
) -> dict[str, Any] | None:
    """The model-randomisation check; None, and a note, where there is no single torch module to shuffle."""
    if len(members(each.classifier)) > 1:
        notes.append("Model randomisation shuffles one network; of an ensemble, look at its members.")
        return None
    try:
        model = load_classifier(place_of(each.sources[0]), runtime="torch")
    except ModelError as error:
        notes.append(f"Model randomisation needs the weights on torch: {error}")
        return None
    if not isinstance(model, TorchClassifier):
        notes.append("Model randomisation shuffles a network as it is: not one whose views are averaged.")
        return None
    return randomisation.randomisation(model, crops, methods, seed=seed, progress=True)


def usable(each: Candidate, crop: Image) -> tuple[list[str], list[str]]:
    """The methods that explain this model here, and why the others do not."""
    methods, notes = [], []
    for method in EXPLAINERS:
        try:
            explain(each.classifier, crop, method, samples=8)
            methods.append(method)
        except ModelError as error:
            notes.append(f"{method}: {error}")
    return methods, notes


def _draw_sanity(part: Part, name: str, found: dict[str, Any]) -> None:
    faithful, shuffled = found["faithfulness"], found["randomisation"]
    part.draw(
        f"deletion {name}", sanity_figures.curves(faithful),
        f"deletion and insertion curves of {name} by method, beside random orders",
        "Probability of the predicted label as the face is covered (above) or uncovered (below) in the map's order.",
        name,
    )  # fmt: skip
    part.draw(
        f"gains {name}", sanity_figures.gains(faithful),
        f"gain in area of each method of {name} over each reference, with 95 % intervals",
        "By how much the map's order is better than each reference; right of 0 it is better.", name,
    )  # fmt: skip
    if shuffled is not None:
        part.draw(
            f"randomisation {name}", sanity_figures.similarities(shuffled),
            f"similarity of the maps of {name} before and after its weights were shuffled",
            "Rank correlation of the maps before and after weights are shuffled, from the head downwards.", name,
        )  # fmt: skip


def faces(asked: Asked) -> Part:
    """Faces of the data with their explanations."""
    split, labels = asked.split, asked.data.labels
    part, values = Part(None), {}
    for each in asked.candidates:
        methods, notes = usable(each, sanity.rgb(split.images[0]))
        choice = panels.examples(each.probabilities(asked.name), split.labels, labels, seed=asked.seed)
        with tqdm(desc=f"{each.name}: faces explained", unit="face", leave=False, disable=None) as bar:
            steps = _steps(bar)
            how: dict[str, Any] = {"samples": asked.lime_samples, "seed": asked.seed, "progress": steps}
            shown = panels.explained(each.classifier, split.images, choice, methods, **how)
            turned = panels.alignment(each.classifier, split.images, split.labels, labels, methods[:2], **how)
            drawn = panels.sample(split.labels, labels, EACH, asked.seed)
            quick = [method for method in methods if method != "lime"]
            mean = panels.explained(each.classifier, split.images, drawn, quick, targets=("predicted",), **how)
        values[each.name] = {"notes": notes, "classes": shown.to_dict(), "alignment": turned.to_dict()}
        _draw_faces(
            part, each.name, shown, turned, panels_figures.average_panel(mean, split.images, split.labels, labels)
        )
    part.values = {"models": values}
    return part


def _steps(bar: Any) -> panels.Progress:
    """A bar as the function that `explained` tells how far it is."""

    def step(done: int, total: int) -> None:
        bar.total = total
        bar.n = done
        bar.refresh()

    return step


def _draw_faces(part: Part, name: str, shown: panels.Panel, turned: panels.Panel, mean: Figure) -> None:
    part.draw(
        f"faces {name}", panels_figures.class_panel(shown),
        f"for each true label a right and a wrong prediction of {name}, with what speaks for and against it",
        f"Chosen by rule: {shown.rule}.", name,
    )  # fmt: skip
    part.draw(
        f"alignment {name}", panels_figures.alignment_panel(turned),
        f"the same faces before and after alignment, with the answers of {name} and their maps",
        f"Chosen by rule: {turned.rule}.", name,
    )  # fmt: skip
    part.draw(
        f"mean {name}", mean,
        f"mean face of each true label, and where the maps of {name} are strong on average",
        "Where the model looks on average.", name,
    )  # fmt: skip


PARTS: dict[str, tuple[str, Callable[[Asked], Part]]] = {
    "robustness": ("robustness", robust),
    "copies": ("copies", copied),
    "foreign": ("foreign", foreign),
    "explanations": ("sanity", explanations),
    "faces": ("panels", faces),
}
"""What --parts can name → the page's section, and what makes it."""
