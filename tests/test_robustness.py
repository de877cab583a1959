"""Corruptions do what they say, grow with severity and repeat; the figures are scikit-learn's."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from numpy.typing import NDArray
from PIL import Image as PILImage
from scipy import ndimage
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from fer_hub.faces import FaceDetector
from train import data
from train.align import LARGE, PAD, SMALLEST, enlarged, largest
from train.data import evenly
from train.evaluation import robustness_figures
from train.evaluation.corruptions import BAND, BARS, CORRUPTIONS, EYES, MOUTH
from train.evaluation.robustness import corrupted, figures, robustness
from train.margin import LIMITS

Images = NDArray[np.uint8]
LABELS = ("angry", "happy", "sad")


@pytest.fixture(scope="module")
def face() -> Images:
    return robustness_figures.example_face()


def textures(count: int, side: int = 48, seed: int = 0) -> Images:
    """Random pictures with the spectrum of photographs: amplitude falls as 1/frequency."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    fields = np.fft.ifft2(np.fft.fft2(rng.normal(size=(count, side, side))) / frequency).real
    low, high = (edge(fields, axis=(1, 2), keepdims=True) for edge in (np.min, np.max))
    return np.rint(255 * (fields - low) / (high - low)).astype(np.uint8)


def spoiled(images: Images, name: str, severity: int, seed: int = 0) -> Images:
    return CORRUPTIONS[name](images, severity, np.random.default_rng(seed))


# ── corruptions ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("side", [48, 96])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_keeps_shape_and_type_and_leaves_its_input_alone(name: str, side: int) -> None:
    images = textures(4, side)
    before = images.copy()
    for severity in range(6):
        got = spoiled(images, name, severity)
        assert got.shape == images.shape and got.dtype == np.uint8
        assert np.array_equal(got, images) == (severity == 0)
    assert np.array_equal(images, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("kind", ["face", "textures"])
def test_the_distance_from_the_original_grows_with_severity(name: str, kind: str, face: Images) -> None:
    images = face[None] if kind == "face" else textures(40)
    far = [np.abs(spoiled(images, name, s).astype(float) - images).mean() for s in range(6)]
    assert far[0] == 0
    assert all(more > less for less, more in pairwise(far)), far


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_seed_gives_the_same_again_and_a_larger_image_is_spoiled_alike(name: str, face: Images) -> None:
    images = textures(6)
    assert np.array_equal(spoiled(images, name, 3), spoiled(images, name, 3))
    random = name in ("noise", "rotation")
    assert np.array_equal(spoiled(images, name, 3), spoiled(images, name, 3, seed=5)) != random
    if name in ("noise", "JPEG"):
        return  # of single pixels, and of blocks of eight: finer in a larger image
    double = np.asarray(PILImage.fromarray(face).resize((96, 96), PILImage.Resampling.BICUBIC))
    back = PILImage.fromarray(spoiled(double[None], name, 5)[0]).resize((48, 48), PILImage.Resampling.BOX)
    assert np.abs(np.asarray(back, float) - spoiled(face[None], name, 5)[0]).mean() < 5


def test_jpeg_is_what_pillow_writes_and_reads_at_that_quality(face: Images) -> None:
    for severity, quality in enumerate(CORRUPTIONS["JPEG"].levels, 1):
        buffer = io.BytesIO()
        PILImage.fromarray(face).save(buffer, "jpeg", quality=quality)
        assert np.array_equal(spoiled(face[None], "JPEG", severity)[0], np.asarray(PILImage.open(buffer)))


@pytest.mark.parametrize("degrees", [90.0, 10.0])
def test_half_are_turned_one_way_and_half_the_other(degrees: float, face: Images) -> None:
    images = np.stack([face] * 6)
    got = CORRUPTIONS["rotation"].change(images, degrees, np.random.default_rng(0))
    if degrees == 90:
        left, right = np.rot90(face), np.rot90(face, -1)
    else:
        pil = PILImage.fromarray(face.astype(np.float32))
        left, right = (np.asarray(pil.rotate(a, PILImage.Resampling.BILINEAR)) for a in (degrees, -degrees))
    inside = np.hypot(*np.mgrid[-23.5:24, -23.5:24]) < 22  # beyond, Pillow has black where the border is repeated
    ways = [[np.abs(one - way)[inside].mean() < 0.5 for way in (left, right)] for one in got]
    assert sorted(ways) == [[False, True]] * 3 + [[True, False]] * 3


@pytest.mark.parametrize(
    ("name", "severity", "value"),
    [
        ("darkness", 2, 50), ("darkness", 5, 10), ("overexposure", 1, 120), ("overexposure", 5, 250),
        ("low contrast", 4, 108), ("noise", 1, None),
    ],
)  # fmt: skip
def test_single_pixels_come_out_as_worked_out_by_hand(name: str, severity: int, value: int | None) -> None:
    images = np.full((3, 48, 48), 100, np.uint8)
    if name == "low contrast":
        images[:, :24] = 180  # mean 140: 140 - 0.2 · 40 = 132
        assert spoiled(images, name, severity)[:, -1].tolist() == [[132] * 48] * 3
    elif value is None:
        got = spoiled(images, name, severity).astype(float) - 100
        assert got.std() == pytest.approx(CORRUPTIONS[name].levels[0], rel=0.03) and abs(got.mean()) < 0.3
    else:
        assert np.unique(spoiled(images, name, severity)).tolist() == [value]


def test_blur_and_low_resolution_are_those_of_scipy_and_of_means_over_blocks(face: Images) -> None:
    expected = ndimage.gaussian_filter(face.astype(float), 2, mode="nearest")
    assert np.abs(spoiled(face[None], "blur", 4)[0] - expected).max() <= 0.51
    blocks = face.reshape(24, 2, 24, 2).mean(axis=(1, 3))
    small = PILImage.fromarray(np.floor(blocks + 0.5).astype(np.uint8))
    expected = np.asarray(small.resize((48, 48), PILImage.Resampling.BICUBIC), float)
    assert np.abs(spoiled(face[None], "low resolution", 2)[0] - expected).max() <= 2  # Pillow rounds twice


@pytest.mark.parametrize(("name", "middle"), [("eyes covered", EYES), ("mouth covered", MOUTH)])
def test_a_bar_touches_its_band_alone(name: str, middle: tuple[float, float]) -> None:
    images = textures(3).clip(1)
    for severity, height in enumerate(BARS, 1):
        changed = np.all(spoiled(images, name, severity) != images, axis=0)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert changed.sum() == height * BAND and (len(rows), len(columns)) == (height, BAND)
        assert abs(rows.mean() + 0.5 - middle[1]) <= 0.5 and abs(columns.mean() + 0.5 - middle[0]) <= 0.5


@pytest.mark.slow
def test_the_bars_lie_where_the_detector_finds_eyes_and_mouth_in_training_images(fer2013_dir: Path) -> None:
    split = data.read_split(fer2013_dir, "train")
    detector = FaceDetector(min_face_size=SMALLEST)
    chosen = split.images[np.random.default_rng(1).permutation(len(split))[:250]]
    faces = [found for image in chosen for found in largest(detector.detect(enlarged(image)))]
    sides = np.array([LARGE / max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in (found.box for found in faces)])
    points = np.stack([found.points for found in faces])[(sides > LIMITS[0]) & (sides < LIMITS[1])]
    points = (points - PAD) * 48 / LARGE
    found = [np.median(points[:, part].mean(axis=1), axis=0) for part in ((0, 1), (3, 4))]
    assert np.abs(np.array(found) - (EYES, MOUTH)).max() < 0.8


@pytest.mark.parametrize(
    ("images", "severity", "message"),
    [
        (np.zeros((2, 48, 48), np.uint8), 6, "Severity 6: 0 .* to 5"),
        (np.zeros((48, 48), np.uint8), 1, "N×H×W uint8"),
        (np.zeros((2, 48, 48)), 1, "float64 .* N×H×W uint8"),
    ],
)
def test_what_is_no_stack_of_images_or_no_severity_is_refused(images: Any, severity: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spoiled(images, "blur", severity)


# ── scores ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def by_brightness(images: Images) -> NDArray[np.float64]:
    """Three labels by the mean brightness: probabilities of a model that darkness misleads."""
    means = images.mean(axis=(1, 2))[:, None]
    near = np.exp(-(((means - np.array([60, 120, 180])) / 40) ** 2)) + 0.01
    return near / near.sum(axis=1, keepdims=True)


def lit(count: int) -> tuple[Images, NDArray[np.int64]]:
    """Pictures around three brightnesses, and which."""
    labels = np.random.default_rng(3).integers(0, 3, count)
    images = textures(count) * 0.2 + np.array([40, 95, 150])[labels][:, None, None]
    return images.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return robustness(by_brightness, *lit(300), LABELS, rows=270)


def test_the_figures_are_scikit_learns_on_the_same_pixels(result: dict[str, Any]) -> None:
    images, labels = lit(300)
    rows = evenly(300, 270)
    images, labels = images[rows], labels[rows]
    assert (result["n"], result["of"]) == (270, 300)
    assert result["majority"] == np.bincount(labels).max() / 270
    for name, severity in [("darkness", 0), ("darkness", 2), ("noise", 5), ("mouth covered", 5)]:
        parts = [corrupted(images[at : at + 256], name, severity, start=at) for at in (0, 256)]
        probabilities = by_brightness(np.concatenate(parts))
        guesses = probabilities.argmax(axis=1)
        row = result["corruptions"][name]["severities"][severity]
        assert row["accuracy"] == pytest.approx(accuracy_score(labels, guesses))
        assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, guesses))
        assert row["macro_f1"] == pytest.approx(f1_score(labels, guesses, average="macro", zero_division=0))
        assert row["confidence"] == pytest.approx(probabilities.max(axis=1).mean())
        assert row["accuracy_95"][0] <= row["accuracy"] <= row["accuracy_95"][1]
    dark = [row["accuracy"] for row in result["corruptions"]["darkness"]["severities"]]
    assert dark[0] == result["clean"]["accuracy"] > 0.9 and dark[5] < 0.5  # the model is as fragile as it was made


def test_the_mean_is_that_of_all_corruptions_and_severities(result: dict[str, Any]) -> None:
    accuracies = [[row["accuracy"] for row in of["severities"][1:]] for of in result["corruptions"].values()]
    assert np.shape(accuracies) == (len(CORRUPTIONS), 5)
    assert result["mean_accuracy"] == pytest.approx(np.mean(accuracies))
    assert result["retained"] == pytest.approx(np.mean(accuracies) / result["clean"]["accuracy"])
    assert [of["mean_accuracy"] for of in result["corruptions"].values()] == pytest.approx(np.mean(accuracies, axis=1))
    low, high = result["mean_accuracy_95"]
    assert low < result["mean_accuracy"] < high
    json.dumps(result, allow_nan=False)


def test_a_model_that_sees_nothing_scores_the_same_everywhere() -> None:
    images, labels = lit(60)
    fixed = np.array([0.2, 0.5, 0.3])
    got = robustness(lambda part: np.tile(fixed, (len(part), 1)), images, labels, LABELS, rows=None)
    share = float((labels == 1).mean())
    every = [row for of in got["corruptions"].values() for row in of["severities"]]
    assert {row["accuracy"] for row in every} == {share} == {got["mean_accuracy"]}
    assert {round(row["ece"], 9) for row in every} == {round(abs(share - 0.5), 9)}


def test_the_interval_of_the_mean_draws_rows_not_answers() -> None:
    """A row that is right everywhere is one row: the interval is that of n rows, not of fifty times n."""
    images, labels = lit(200)
    right = np.arange(200) % 2 == 0
    answers = np.eye(3)[np.where(right, labels, (labels + 1) % 3)]
    got = robustness(lambda part: answers, images, labels, LABELS, rows=None)
    low, high = got["mean_accuracy_95"]
    assert got["mean_accuracy"] == 0.5
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 200), rel=0.1)


def test_probabilities_of_nought_are_scored_and_those_of_another_shape_are_not() -> None:
    row = figures(np.eye(3)[[0, 1, 1]], np.array([0, 1, 2]), LABELS)
    assert row["accuracy"] == pytest.approx(2 / 3) and row["ece"] == pytest.approx(1 / 3) and row["confidence"] == 1
    images, labels = lit(5)
    with pytest.raises(ValueError, match="5 rows and 3 labels"):
        robustness(lambda part: np.full((len(part), 4), 0.25), images, labels, LABELS)
    with pytest.raises(ValueError, match="no image"):
        robustness(by_brightness, images[:0], labels[:0], LABELS)


# ── drawings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_curves_show_what_was_scored(result: dict[str, Any]) -> None:
    names = [f"model {i}" for i in range(5)]
    figure = robustness_figures.curves(dict.fromkeys(names, result))
    panels = [axes for axes in figure.axes if axes.lines]
    assert [axes.get_title() for axes in panels] == list(CORRUPTIONS)
    for axes in panels:
        lines = axes.lines[: len(names)]
        expected = [row["accuracy"] for row in result["corruptions"][axes.get_title()]["severities"]]
        assert all(line.get_ydata() == pytest.approx(expected) for line in lines)
        for looks in (lambda x: to_hex(x.get_color()), lambda x: x.get_marker(), lambda x: str(x._dash_pattern)):
            assert len({looks(line) for line in lines}) == len(names)  # told apart without colour, too
    (alone, *_) = robustness_figures.curves({"one": result}).axes
    rows = result["corruptions"][alone.get_title()]["severities"]
    assert alone.lines[0].get_label() == "mean confidence"
    assert alone.lines[0].get_ydata() == pytest.approx([row["confidence"] for row in rows])
    with pytest.raises(ValueError, match="7 models; 1 to 6"):
        robustness_figures.curves(dict.fromkeys("abcdefg", result))


def test_the_strip_shows_the_example_face_as_a_model_would_get_it(face: Images) -> None:
    assert face.shape == (48, 48)
    (found,) = largest(FaceDetector(min_face_size=SMALLEST).detect(enlarged(face)))
    eyes = (found.points[:2].mean(axis=0) - PAD) * 48 / LARGE
    assert np.abs(eyes - EYES).max() < 4  # framed as FER2013 frames
    shown = [axes.images[0].get_array() for axes in robustness_figures.examples().axes]
    assert len(shown) == 6 * len(CORRUPTIONS)
    assert sum(np.array_equal(one, face) for one in shown) == len(CORRUPTIONS)
    assert any(np.array_equal(one, corrupted(face[None], "noise", 4)[0]) for one in shown)
