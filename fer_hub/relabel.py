"""A model asked in other labels than its own: FERPlus' eight as FER2013's seven, seven as the basic five, and back."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .classifier import Classifier, classify
from .ensemble import Ensemble
from .labels import LABEL_SPACES, LabelMap, label_map, labels_from
from .types import Array, Image, ModelError

ITS_OWN = frozenset({"label_space", "metrics", "calibration", "temperature"})
"""What the "fer" block of a config says of the model's own labels, and of no others."""


class Relabelled:
    """A model whose answers are read in other labels (`fer_hub.labels.LabelMap` says how).

    Attributes:
        classifier: The model itself.
        map: From its labels to those that were asked for.
        info: The model's, with these labels; without figures, which were measured with its own.
    """

    def __init__(self, classifier: Classifier, labels: str | Sequence[str]) -> None:
        """Read a model's answers in other labels; warns where it does not know one.

        Args:
            classifier: A model at its run time.
            labels: The name of a label space, or label names.

        Raises:
            ValueError: A name is unknown or occurs twice, or the model knows none of them.
        """
        info = classifier.info
        self.classifier, self.map = classifier, label_map(info.labels, labels)
        if self.map.undefined:
            warnings.warn(f"{info.name} as {', '.join(self.map.wanted)}: {self.map.sentence()}", stacklevel=2)
        space = next((name for name, known in LABEL_SPACES.items() if known == self.map.wanted), "custom")
        fer = {name: value for name, value in info.fer.items() if name not in ITS_OWN}
        fer |= {"label_space": space, "labels_of_the_model": list(info.labels)}
        self.info = replace(info, labels=self.map.wanted, temperature=1.0, fer=fer)

    def logits(self, crops: Sequence[Image]) -> Array:
        """Logarithms of the mapped probabilities: N×labels float32, minus infinity where a label is undefined."""
        with np.errstate(divide="ignore"):
            logits: Array = np.log(self.map.apply(classify(self.classifier, crops))).astype(np.float32)
        return logits

    def own_index(self, index: int) -> int:
        """Where a label stands among the model's own.

        Raises:
            ModelError: The model does not know it.
        """
        column = self.map.columns[index]
        if column is None:
            raise ModelError(
                f"{self.info.name} does not know {self.map.wanted[index]!r}: it has no output to look at. "
                f"Its labels: {', '.join(self.map.given)}."
            )
        return column


def relabelled(classifier: Classifier, labels: str | Sequence[str] | None) -> Classifier:
    """A model whose answers are in these labels; the model itself where they are its own, or None.

    Raises:
        ValueError: A name is unknown or occurs twice, or the model knows none of them.
    """
    if labels is None or labels_from(labels) == classifier.info.labels:
        return classifier
    return Relabelled(classifier, labels)


def together(
    models: Sequence[Classifier], views: str = "none", labels: str | Sequence[str] | None = None
) -> Classifier:
    """One model, or several as an ensemble, shown these views of each face and asked in these labels.

    Args:
        models: At their run times. Several have to know the same of the labels.
        views: A name of `fer_hub.views.VIEWS`; an ensemble that has these views already is left as it is.
        labels: The name of a label space, or label names; None: their own.

    Raises:
        ModelError: The models do not fit together.
        ValueError: There is none, or the views or a label are unknown.
    """
    if labels is not None and len(models) > 1:
        models = [relabelled(model, known) for model, known in zip(models, _known(models, labels), strict=True)]
    if len(models) == 1 and views in ("none", getattr(models[0], "views", "none")):
        return relabelled(models[0], labels)
    return relabelled(Ensemble.of(models, views=views), labels)


def maps_in(classifier: Classifier) -> list[tuple[str, LabelMap]]:
    """Every map of labels inside a model, with the name of the model that it reads."""
    if isinstance(classifier, Relabelled):
        return [(classifier.info.name, classifier.map), *maps_in(classifier.classifier)]
    if isinstance(classifier, Ensemble):
        return [found for member in classifier.members for found in maps_in(member)]
    return []


def _known(models: Sequence[Classifier], labels: str | Sequence[str]) -> list[tuple[str, ...]]:
    """What each model knows of these labels: each the same."""
    wanted = labels_from(labels)
    known = [tuple(label for label in wanted if label in model.info.labels) for model in models]
    if len(set(known)) > 1:
        each = "; ".join(f"{m.info.name}: {', '.join(its)}" for m, its in zip(models, known, strict=True))
        raise ModelError(f"Of the labels {', '.join(wanted)} the models do not know the same ({each}). Ask for fewer.")
    label_map(models[0].info.labels, wanted)  # says so where they know none
    return known
