from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import ImageColor

from fer_hub.labels import (
    COLORS,
    DISPLAY,
    LABEL_SPACES,
    OTHER,
    UNCERTAIN,
    canonical,
    canonical_all,
    color_of_label,
    display,
    ink,
    label_map,
    labels_from,
    labels_of,
)

PAIRS = list(itertools.product(LABEL_SPACES, repeat=2))
LOST = {
    ("ferplus-8", "fer2013-7"): ("contempt",),
    ("ferplus-8", "basic-5"): ("neutral", "disgust", "contempt"),
    ("fer2013-7", "basic-5"): ("disgust", "neutral"),
}
"""From the larger to the smaller; the other way these labels are undefined, in the order of the larger."""


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("happy", "happy"),
        ("Happiness", "happy"),
        (" ANGER ", "angry"),
        ("0 angry", "angry"),
        ("3_surprised", "surprise"),
        ("fearful", "fear"),
        ("Contempt", "contempt"),
    ],
)
def test_synonyms_have_one_canonical_form(given: str, wanted: str) -> None:
    assert canonical(given) == wanted


def test_an_unknown_label_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"Unknown label 'bored'.*angry.*happiness"):
        canonical("bored")


def test_two_names_of_one_expression_are_refused() -> None:
    with pytest.raises(ValueError, match="same expression twice"):
        canonical_all(["anger", "happy", "angry"])


def test_an_unknown_space_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="fer2013-7"):
        labels_of("fer2014")


def test_every_label_of_every_space_has_a_name_in_every_language_and_a_colour_of_its_own() -> None:
    labels = {label for space in LABEL_SPACES.values() for label in space}
    assert all(labels <= names.keys() for names in DISPLAY.values())
    assert len({COLORS[label] for label in labels}) == len(labels)


def test_a_label_without_a_colour_of_its_own_has_the_grey_of_all_others() -> None:
    assert color_of_label("happy") == COLORS["happy"]
    assert color_of_label("bored") == OTHER not in COLORS.values()


def contrast(one: str, other: str) -> float:
    """WCAG 2.1's ratio of two colours' luminances."""
    lights = []
    for color in (one, other):
        parts = np.array(ImageColor.getrgb(color)) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ (0.2126, 0.7152, 0.0722)))
    return (max(lights) + 0.05) / (min(lights) + 0.05)


@pytest.mark.parametrize("color", [*COLORS.values(), OTHER, UNCERTAIN, "#000000", "#FFFFFF"])
def test_ink_is_the_more_readable_of_black_and_white(color: str) -> None:
    other = {"#000": "#fff", "#fff": "#000"}[ink(color)]
    assert contrast(color, ink(color)) >= max(4.5, contrast(color, other))


def test_display_falls_back_to_english() -> None:
    assert display("happy", "tr") == "Mutlu"
    assert display("happy", "xx") == "Happy"


@pytest.mark.parametrize(("given", "wanted"), PAIRS)
def test_what_is_lost_and_what_is_undefined_between_every_two_spaces(given: str, wanted: str) -> None:
    found = label_map(given, wanted)
    assert found.lost == LOST.get((given, wanted), ())
    assert found.undefined == LOST.get((wanted, given), ())
    assert found.wanted == LABEL_SPACES[wanted]


@pytest.mark.parametrize(("given", "wanted"), PAIRS)
def test_between_every_two_spaces_a_label_keeps_its_share_of_what_is_kept(given: str, wanted: str) -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.full(len(LABEL_SPACES[given]), 0.4), 50)
    mapped = label_map(given, wanted).apply(probabilities)
    assert mapped.dtype == np.float64
    assert mapped.shape == (50, len(LABEL_SPACES[wanted]))
    for before, after in zip(probabilities, mapped, strict=True):
        old = dict(zip(LABEL_SPACES[given], before, strict=True))
        whole = sum(old[label] for label in LABEL_SPACES[wanted] if label in old)
        assert after.tolist() == pytest.approx([old.get(label, 0) / whole for label in LABEL_SPACES[wanted]])
        assert sum(after) == pytest.approx(1)


EIGHT = [0.1, 0.2, 0.05, 0.05, 0.1, 0.1, 0.2, 0.2]
"""Neutral, happy, surprise, sad, angry, disgust, fear, contempt."""
FIVE = [0.1, 0.2, 0.4, 0.1, 0.2]
"""Angry, fear, happy, sad, surprise."""


@pytest.mark.parametrize(
    ("given", "wanted", "probabilities", "expected"),
    [
        ("ferplus-8", "fer2013-7", EIGHT, [0.125, 0.125, 0.25, 0.25, 0.0625, 0.0625, 0.125]),
        ("ferplus-8", "basic-5", EIGHT, [1 / 6, 1 / 3, 1 / 3, 1 / 12, 1 / 12]),
        ("basic-5", "fer2013-7", FIVE, [0.1, 0, 0.2, 0.4, 0.1, 0.2, 0]),
        ("basic-5", "ferplus-8", FIVE, [0, 0.4, 0.2, 0.1, 0.1, 0, 0.2, 0]),
        ("basic-5", ["sadness", "Joy"], FIVE, [0.2, 0.8]),
        ("basic-5", "contempt, happy", FIVE, [0, 1]),
    ],
)
def test_maps_of_labels_by_hand(
    given: str, wanted: str | list[str], probabilities: list[float], expected: list[float]
) -> None:
    (mapped,) = label_map(given, wanted).apply(np.array([probabilities])).tolist()
    assert mapped == pytest.approx(expected)


def test_contempt_does_not_become_disgust() -> None:
    sure = np.eye(8)[[7]] * 0.98 + 0.0025
    mapped = label_map("ferplus-8", "fer2013-7").apply(sure)
    assert mapped.tolist() == [pytest.approx([1 / 7] * 7)]


def test_a_face_of_which_all_is_lost_says_nothing_of_what_is_kept() -> None:
    found = label_map("ferplus-8", ["happy", "sad", "neutral"])
    assert found.apply(np.eye(8)[[7, 1]]).tolist() == [[1 / 3, 1 / 3, 1 / 3], [1, 0, 0]]
    with_unknown = label_map("basic-5", ["happy", "contempt", "sad"])
    assert with_unknown.apply(np.eye(5)[[0]]).tolist() == [[0.5, 0, 0.5]]


def test_no_faces_are_mapped_to_none() -> None:
    assert label_map("ferplus-8", "basic-5").apply(np.empty((0, 8))).shape == (0, 5)


@pytest.mark.parametrize("shape", [(3, 8), (7,), (1, 1, 7)])
def test_probabilities_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="N×7 are needed"):
        label_map("fer2013-7", "basic-5").apply(np.zeros(shape))


TAKEN = "taken away, the rest is scaled up to 1."


@pytest.mark.parametrize(
    ("given", "wanted", "sentence"),
    [
        ("ferplus-8", "fer2013-7", f"'contempt' is lost: its probability is {TAKEN}"),
        ("fer2013-7", "basic-5", f"'disgust' and 'neutral' are lost: their probabilities are {TAKEN}"),
        (
            "ferplus-8",
            "basic-5",
            f"'neutral', 'disgust' and 'contempt' are lost: their probabilities are {TAKEN}",
        ),
        ("fer2013-7", "ferplus-8", "'contempt' is never predicted: the model does not know it."),
        ("basic-5", "fer2013-7", "'disgust' and 'neutral' are never predicted: the model does not know them."),
        (
            ["happy", "contempt"],
            ["happy", "disgust"],
            f"'contempt' is lost: its probability is {TAKEN} 'disgust' is never predicted: the model does not know it.",
        ),
        ("basic-5", "basic-5", "The labels are the same: nothing is lost."),
        (["happy", "sad"], ["sad", "happy"], "The labels are the same: nothing is lost."),
    ],
)
def test_a_map_says_what_it_loses(given: str | list[str], wanted: str | list[str], sentence: str) -> None:
    assert label_map(given, wanted).sentence() == sentence


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        ("basic-5", LABEL_SPACES["basic-5"]),
        ("joy", ("happy",)),
        ("Sadness, joy", ("sad", "happy")),
        (["anger", "0 happy"], ("angry", "happy")),
        (("fear",), ("fear",)),
    ],
)
def test_labels_are_given_by_the_name_of_a_space_or_by_their_own(
    given: str | list[str], labels: tuple[str, ...]
) -> None:
    assert labels_from(given) == labels


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("basic-6", r"Unknown label 'basic-6'.*label space: fer2013-7, ferplus-8, basic-5"),
        ("happy, joy", "same expression twice"),
        ([], "No labels were given"),
        ("", "Unknown label ''"),
        (["happy", "basic-5"], "Unknown label 'basic-5'"),
    ],
)
def test_what_names_no_labels_is_refused(given: str | list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        labels_from(given)


def test_labels_with_nothing_in_common_have_no_map() -> None:
    with pytest.raises(ValueError, match=r"None of the labels contempt is one of the model's \(angry.*that it knows"):
        label_map("basic-5", ["contempt"])
