from __future__ import annotations

import pytest

from fer_hub.labels import COLORS, DISPLAY, LABEL_SPACES, canonical, canonical_all, display, labels_of


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


def test_display_falls_back_to_english() -> None:
    assert display("happy", "tr") == "Mutlu"
    assert display("happy", "xx") == "Happy"
