"""Label spaces, synonyms and display names."""

from __future__ import annotations

from collections.abc import Sequence

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
    "en": {
        "angry": "Angry",
        "disgust": "Disgust",
        "fear": "Fear",
        "happy": "Happy",
        "sad": "Sad",
        "surprise": "Surprise",
        "neutral": "Neutral",
        "contempt": "Contempt",
    },
    "tr": {
        "angry": "Kızgın",
        "disgust": "İğrenme",
        "fear": "Korku",
        "happy": "Mutlu",
        "sad": "Üzgün",
        "surprise": "Şaşkın",
        "neutral": "Nötr",
        "contempt": "Küçümseme",
    },
}

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


def canonical_all(names: Sequence[str]) -> tuple[str, ...]:
    """Canonical forms of all names, order kept.

    Raises:
        ValueError: A name is unknown, or two mean the same label.
    """
    labels = tuple(canonical(name) for name in names)
    if len(set(labels)) != len(labels):
        raise ValueError(f"Labels {list(names)} name the same expression twice: {list(labels)}. Use each once.")
    return labels
