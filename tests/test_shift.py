"""Copies are found where they were planted; another data set is scored by the labels that it shares."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_csv
from numpy.typing import NDArray
from PIL import Image as PILImage
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from fer_hub.classifier import softmax
from fer_hub.labels import labels_of
from train import data, duplicates
from train.data import Data, DataError, Split
from train.evaluation.shift import copied, copies, cross, read_foreign, restricted

Images = NDArray[np.uint8]
FER2013 = labels_of("fer2013-7")
LABELS = ("angry", "happy", "sad")


def textures(count: int, seed: int) -> Images:
    """Pictures that have nothing in common: blurred noise."""
    rng = np.random.default_rng(seed)
    images = np.kron(rng.integers(0, 256, (count, 16, 16)), np.ones((3, 3), int))
    return images.astype(np.uint8)


def noisy(images: Images) -> Images:
    return (images + np.random.default_rng(9).normal(0, 4, images.shape)).clip(0, 255).astype(np.uint8)


def planted() -> Data:
    """Test rows 0, 1: identical to train 3, validation 2; 2: train 5 with noise; 3: validation 4 mirrored; 4: to 5.

    Validation row 0 is identical to train 7. Labels are 0, 1, 2, 0 … in every split.
    """
    train, validation, test = textures(12, 0), textures(9, 1), textures(10, 2)
    test[0], test[1], test[2], test[3], test[4] = (
        train[3], validation[2], noisy(train[5]), validation[4][:, ::-1], noisy(test[5]),
    )  # fmt: skip
    validation[0] = train[7]
    splits = [Split(images, np.arange(len(images)) % 3) for images in (train, validation, test)]
    return Data("custom", LABELS, *splits, dataset="toy")


def guesses_of(truth: NDArray[np.int64], right: NDArray[np.bool_], classes: int = 3) -> NDArray[np.float64]:
    """Probabilities of a model that is right for some rows, one label too high for the others."""
    named = np.where(right, truth, (truth + 1) % classes)
    return np.full((len(truth), classes), 0.1 / (classes - 1)) + np.eye(classes)[named] * (0.9 - 0.1 / (classes - 1))


# ── copies ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_copies_are_found_where_they_were_planted_and_not_within_a_split() -> None:
    found = copied(planted(), "test")
    assert np.flatnonzero(found["identical"]).tolist() == [0, 1]
    assert np.flatnonzero(found["similar"]).tolist() == [2, 3]
    # labels: test 0 is 0 and train 3 is 0; test 1 is 1, validation 2 is 2; test 2 is 2, train 5 is 2; test 3 is 0,
    # validation 4 is 1
    assert np.flatnonzero(found["same_label"]).tolist() == [0, 2]
    found = copied(planted(), "validation")
    assert np.flatnonzero(found["identical"]).tolist() == [0] and not found["similar"].any()


def test_the_scores_with_and_without_them_are_scikit_learns() -> None:
    toy = planted()
    truth = toy.test.labels
    right = np.isin(np.arange(10), [0, 1, 2, 3, 6, 7])
    got = copies(toy, "test", guesses_of(truth, right))
    assert (got["n"], got["identical"], got["similar"], got["same_label"]) == (10, 2, 2, 0.5)
    assert got["earlier"] == ["train", "validation"]
    assert [got[part]["n"] for part in ("all", "without", "copies")] == [10, 6, 4]
    assert got["all"]["accuracy"] == pytest.approx(0.6)
    assert got["without"]["accuracy"] == pytest.approx(2 / 6)
    assert got["copies"]["accuracy"] == 1
    named = np.where(right, truth, (truth + 1) % 3)
    assert got["without"]["macro_f1"] == pytest.approx(f1_score(truth[4:], named[4:], average="macro"))
    assert got["all"]["macro_f1"] == pytest.approx(f1_score(truth, named, average="macro"))
    json.dumps(got, allow_nan=False)


def test_the_order_of_the_rows_in_the_source_changes_nothing() -> None:
    toy = planted()
    rng = np.random.default_rng(4)
    places = np.split(rng.permutation(31), [12, 21])
    shuffled = [
        Split(s.images, s.labels, rows=np.sort(p))
        for s, p in zip((toy.train, toy.validation, toy.test), places, strict=True)
    ]
    moved = Data("custom", LABELS, *shuffled, dataset="toy")
    unsorted = Data("custom", LABELS, *(Split(s.images, s.labels, rows=s.rows[::-1]) for s in shuffled), dataset="toy")
    for other in (moved, unsorted):
        for name, mask in copied(other, "test").items():
            assert mask.tolist() == copied(toy, "test")[name].tolist()


def test_a_split_without_copies_has_no_figures_of_them_and_train_has_no_earlier_split() -> None:
    toy = planted()
    apart = Data("custom", LABELS, toy.train, toy.validation, Split(textures(6, 5), np.arange(6) % 3), dataset="toy")
    got = copies(apart, "test", guesses_of(np.arange(6) % 3, np.ones(6, bool)))
    assert got["copies"] is None and got["same_label"] is None and got["without"] == got["all"]
    with pytest.raises(ValueError, match=r"'train' has no earlier one .* validation, test"):
        copies(toy, "train", guesses_of(toy.train.labels, np.ones(12, bool)))
    with pytest.raises(ValueError, match="3 rows of probabilities for the 10 rows of test"):
        copies(toy, "test", np.full((3, 3), 1 / 3))


@pytest.mark.slow
def test_fer2013s_own_copies_are_those_that_a_run_is_warned_of(fer2013_dir: Path) -> None:
    official = data.load("official", fer2013_dir, limit=3589)
    seen = np.concatenate([official.train.images, official.validation.images])
    expected = duplicates.copies(official.test.images, seen)
    assert expected.sum() > 44  # validation alone holds so many
    assert np.array_equal(copied(official, "test")["identical"], expected)


# ── another data set ─────────────────────────────────────────────────────────────────────────────────────────────────


def folder_of(root: Path, counts: dict[str, int], split: str = "test", seed: int = 0) -> Path:
    """Class folders with so many pictures each."""
    for at, (label, count) in enumerate(counts.items()):
        for i, image in enumerate(textures(count, seed=seed + at)):
            path = root / split / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PILImage.fromarray(image).save(path)
    return root


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Folders in another vocabulary: four labels of FER2013, and contempt."""
    return folder_of(tmp_path / "other", {"Happiness": 5, "anger": 4, "sadness": 3, "contempt": 2, "neutral": 6})


def test_rows_are_taken_by_the_name_of_their_label_and_the_rest_is_counted(other: Path) -> None:
    found = read_foreign(other, FER2013)
    assert len(found.truth) == len(found.images) == 18
    assert {label: int((found.truth == i).sum()) for i, label in enumerate(FER2013) if label in found.shared} == {
        "angry": 4, "happy": 5, "sad": 3, "neutral": 6,
    }  # fmt: skip
    assert found.left_out == {"contempt": 2}
    assert found.missing == ("disgust", "fear", "surprise")
    assert found.seen is None


def test_open_and_closed_are_scored_as_said(other: Path) -> None:
    found = read_foreign(other, FER2013)
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(18, 7)) + 1.5 * np.eye(7)[found.truth]
    got = cross(found, softmax(logits))
    kept = [FER2013.index(label) for label in found.shared]
    names = logits.argmax(axis=1)
    closed = np.array(kept)[logits[:, kept].argmax(axis=1)]
    assert got["rows"] == {"angry": 4, "happy": 5, "sad": 3, "neutral": 6}
    assert got["outside"] == int((~np.isin(names, kept)).sum()) > 0
    for variant, guesses in (("open", names), ("closed", closed)):
        row = got[variant]
        assert row["n"] == got["n"] == 18
        assert row["accuracy"] == pytest.approx(accuracy_score(found.truth, guesses))
        assert row["macro_f1"] == pytest.approx(f1_score(found.truth, guesses, labels=kept, average="macro"))
        recalls = [np.mean(guesses[found.truth == i] == i) for i in kept]
        assert row["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert balanced_accuracy_score(found.truth, closed) == pytest.approx(got["closed"]["balanced_accuracy"])
    assert got["open"]["confidence"] == pytest.approx(softmax(logits).max(axis=1).mean())
    assert got["closed"]["confidence"] == pytest.approx(softmax(logits[:, kept]).max(axis=1).mean())
    assert got["closed"]["accuracy"] >= got["open"]["accuracy"]
    json.dumps(got, allow_nan=False)


def test_a_set_with_all_labels_scores_the_same_both_ways(toy_csv: Path) -> None:
    found = read_foreign(toy_csv, FER2013, split="test")
    got = cross(found, softmax(np.random.default_rng(0).normal(size=(len(found.truth), 7))))
    assert (got["n"], got["missing"], got["left_out"], got["outside"]) == (60, [], {}, 0)
    wide, close = (dict(got[variant]) for variant in ("open", "closed"))
    assert wide.pop("accuracy_95") == close.pop("accuracy_95")
    assert wide == pytest.approx(close)


def test_a_model_that_always_names_a_missing_label_is_wrong_throughout(other: Path) -> None:
    found = read_foreign(other, FER2013)
    got = cross(found, np.tile(np.eye(7)[FER2013.index("disgust")], (18, 1)))
    assert (got["open"]["accuracy"], got["open"]["macro_f1"], got["outside"]) == (0, 0, 18)
    assert got["closed"]["accuracy"] == pytest.approx(4 / 18)  # all equal: the first of the shared, angry
    assert got["closed"]["confidence"] == pytest.approx(1 / 4)


def test_one_split_of_it_is_scored_alone_and_learnt_images_are_counted(tmp_path: Path) -> None:
    rows = [(label % 7, usage, image) for usage, seed in (("Training", 0), ("PrivateTest", 1))
            for label, image in enumerate(textures(14, seed))]  # fmt: skip
    source = write_csv(tmp_path / "fer2013.csv", rows)
    learnt = np.concatenate([textures(14, 1)[:5], textures(3, 8)])
    assert len(read_foreign(source, FER2013).truth) == 28
    found = read_foreign(source, FER2013, split="test", learnt=learnt)
    assert (len(found.truth), found.seen) == (14, 5)
    assert np.array_equal(found.images, textures(14, 1))
    assert read_foreign(source, FER2013, learnt=np.zeros((2, 96, 96), np.uint8)).seen is None
    assert read_foreign(source, ("happy", "sad")).left_out == {
        "angry": 4, "disgust": 4, "fear": 4, "surprise": 4, "neutral": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda path: read_foreign(path, ("fear", "disgust")), DataError, "no row with one of .* fear, disgust"),
        (lambda path: read_foreign(path, FER2013, split="dev"), ValueError, "Unknown split 'dev'. Known: train"),
        (lambda path: read_foreign(path, FER2013, split="train"), DataError, "the split train of other"),
    ],
)
def test_what_cannot_be_scored_is_said(
    other: Path, ask: Callable[[Path], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ask(other)


def test_restricted_probabilities_are_the_softmax_of_the_wanted_logits_in_their_order() -> None:
    logits = np.random.default_rng(1).normal(0, 3, (20, 7))
    wanted = ("sad", "angry", "neutral")
    columns = [FER2013.index(label) for label in wanted]
    assert restricted(softmax(logits), FER2013, wanted) == pytest.approx(softmax(logits[:, columns]))
    assert restricted(softmax(logits), FER2013, FER2013) == pytest.approx(softmax(logits))
    assert restricted(np.eye(7)[:1], FER2013, wanted[::2]).tolist() == [[0.5, 0.5]]
    with pytest.raises(ValueError, match="No probabilities of contempt; there are those of angry"):
        restricted(softmax(logits), FER2013, ("sad", "contempt"))
