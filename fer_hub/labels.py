"""Label spaces, synonyms, display names, and one set of labels mapped onto another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .languages import LANGUAGES

LABEL_SPACES: dict[str, tuple[str, ...]] = {
    "fer2013-7": ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    "ferplus-8": ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt"),
    "basic-5": ("angry", "fear", "happy", "sad", "surprise"),
}
"""Canonical labels by space, in index order (FER2013: the challenge's CSV; FERPlus: fer2013new.csv)."""

SYNONYMS: dict[str, str] = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "contemptuous": "contempt",
}

DISPLAY: dict[str, dict[str, str]] = {
    language: {key.removeprefix("label."): text for key, text in texts.items() if key.startswith("label.")}
    for language, texts in LANGUAGES.items()
}
"""Names to show, by language and canonical label."""

COLORS: dict[str, str] = {
    "angry": "#D55E00",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "happy": "#F0E442",
    "sad": "#0072B2",
    "surprise": "#56B4E9",
    "neutral": "#BBBBBB",
    "contempt": "#E69F00",
}
"""One colour per expression, the same everywhere: the palette of Okabe and Ito (2008) and a grey."""
OTHER = "#808080"
"""The colour of a label that has none of its own."""
UNCERTAIN = "#767676"
"""Colour of an expression that is uncertain: no label's own; black and white on it have a contrast of 4.5 to 1."""
LEAST = 0.4
"""Confidence below which the app and the commands call an expression uncertain, unless they are told otherwise."""


def canonical(name: str) -> str:
    """The canonical form of a label name: ``"3 Happiness"`` → ``"happy"``.

    Raises:
        ValueError: The name is no known label.
    """
    word = name.strip().lower().lstrip("0123456789_-. ")
    word = SYNONYMS.get(word, word)
    if word not in DISPLAY["en"]:
        raise ValueError(f"Unknown label {name!r}. Known: {', '.join(DISPLAY['en'])}; synonyms: {', '.join(SYNONYMS)}.")
    return word


def labels_of(space: str) -> tuple[str, ...]:
    """The labels of a space, in index order.

    Raises:
        ValueError: The space is unknown.
    """
    if space not in LABEL_SPACES:
        raise ValueError(f"Unknown label space {space!r}. Known: {', '.join(LABEL_SPACES)}.")
    return LABEL_SPACES[space]


def display(label: str, language: str = "en") -> str:
    """The name to show for a canonical label; English where the language is unknown."""
    return DISPLAY.get(language, DISPLAY["en"]).get(label, label)


def color_of_label(label: str) -> str:
    """The colour of a label as "#RRGGBB"; `OTHER` for a label that has none of its own."""
    return COLORS.get(label, OTHER)


def ink(color: str) -> str:
    """Black or white, whichever reads better on a colour (relative luminance, WCAG 2.1).

    Args:
        color: As "#RRGGBB".

    Returns:
        "#000" or "#fff".
    """
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return "#000" if 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179 else "#fff"


def canonical_all(names: Sequence[str]) -> tuple[str, ...]:
    """Canonical forms of all names, order kept.

    Raises:
        ValueError: A name is unknown, or two mean the same label.
    """
    labels = tuple(canonical(name) for name in names)
    if len(set(labels)) != len(labels):
        raise ValueError(f"Labels {list(names)} name the same expression twice: {list(labels)}. Use each once.")
    return labels


def labels_from(given: str | Sequence[str]) -> tuple[str, ...]:
    """Canonical labels by the name of a space, or by their own names: a sequence, or text with commas.

    Raises:
        ValueError: A name is unknown, or two mean the same label.
    """
    if isinstance(given, str) and given in LABEL_SPACES:
        return LABEL_SPACES[given]
    names = given.split(",") if isinstance(given, str) else given
    try:
        labels = canonical_all(names)
    except ValueError as error:
        raise ValueError(f"{error} Or give a label space: {', '.join(LABEL_SPACES)}.") from error
    if not labels:
        raise ValueError(f"No labels were given. Give names, or a label space: {', '.join(LABEL_SPACES)}.")
    return labels


@dataclass(frozen=True, slots=True)
class LabelMap:
    """How the answers of a model are read in another set of labels. Labels are kept or lost, never merged.

    Attributes:
        given: The labels of the model, in the order of its scores.
        wanted: The labels that are asked for, in the order that is asked for; at least one is among the given.
    """

    given: tuple[str, ...]
    wanted: tuple[str, ...]

    @property
    def columns(self) -> tuple[int | None, ...]:
        """For each wanted label where it is among the given ones; None: nowhere."""
        return tuple(self.given.index(label) if label in self.given else None for label in self.wanted)

    @property
    def lost(self) -> tuple[str, ...]:
        """Labels of the model that are not wanted: their probability is taken away, the rest is scaled up to 1."""
        return tuple(label for label in self.given if label not in self.wanted)

    @property
    def undefined(self) -> tuple[str, ...]:
        """Wanted labels that the model does not know: probability 0, never predicted."""
        return tuple(label for label in self.wanted if label not in self.given)

    def apply(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """Probabilities of the given labels as those of the wanted ones.

        Args:
            probabilities: N×given, each row adding up to 1.

        Returns:
            N×wanted, each row adding up to 1. A row whose whole mass is lost says nothing of the labels that are
            kept: they share it equally.

        Raises:
            ValueError: The shape is not N×given.
        """
        if probabilities.ndim != 2 or probabilities.shape[1] != len(self.given):
            raise ValueError(f"Got probabilities of shape {probabilities.shape}; N×{len(self.given)} are needed.")
        known = np.array([column is not None for column in self.columns])
        kept = probabilities[:, [column for column in self.columns if column is not None]].astype(np.float64)
        mass = kept.sum(axis=1, keepdims=True)
        mapped = np.zeros((len(probabilities), len(self.wanted)))
        mapped[:, known] = np.divide(kept, mass, out=np.full_like(kept, 1 / known.sum()), where=mass > 0)
        return mapped

    def sentence(self) -> str:
        """What is lost and what is never predicted, in words."""
        parts = []
        if self.lost:
            its = "its probability is" if len(self.lost) == 1 else "their probabilities are"
            parts.append(f"{_listed(self.lost)} {_is(self.lost)} lost: {its} taken away, the rest is scaled up to 1.")
        if self.undefined:
            them = "it" if len(self.undefined) == 1 else "them"
            names = _listed(self.undefined)
            parts.append(f"{names} {_is(self.undefined)} never predicted: the model does not know {them}.")
        return " ".join(parts) or "The labels are the same: nothing is lost."


def label_map(given: str | Sequence[str], wanted: str | Sequence[str]) -> LabelMap:
    """How scores of the given labels are read as scores of the wanted ones.

    Args:
        given: Of the model: the name of a space, or label names in the order of its scores.
        wanted: The same, of what is asked for.

    Raises:
        ValueError: A name is unknown or occurs twice, or the two have no label in common.
    """
    found = LabelMap(labels_from(given), labels_from(wanted))
    if len(found.undefined) == len(found.wanted):
        raise ValueError(
            f"None of the labels {', '.join(found.wanted)} is one of the model's ({', '.join(found.given)}). "
            "Ask for labels that it knows."
        )
    return found


def _listed(labels: Sequence[str]) -> str:
    """``'a'``; ``'a' and 'b'``; ``'a', 'b' and 'c'``."""
    *first, last = (f"'{label}'" for label in labels)
    return f"{', '.join(first)} and {last}" if first else last


def _is(labels: Sequence[str]) -> str:
    return "is" if len(labels) == 1 else "are"
