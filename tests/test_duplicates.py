from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageEnhance, ImageFilter

from fer_hub.faces import FaceDetector
from fer_hub.image import crop
from fer_hub.types import Margin
from train import duplicates, sources
from train.duplicates import SIMILAR, copies, correlation, details, groups, identical, similar

PHOTO = Path(__file__).parents[1] / "fer_hub" / "assets" / "examples" / "astronaut.jpg"
Picture = NDArray[np.uint8]


def photos(count: int, seed: int = 0) -> Picture:
    """Pictures that have nothing in common: blurred noise, as bright in the middle as a face."""
    rng = np.random.default_rng(seed)
    middle = np.hypot(*np.meshgrid(np.linspace(-1, 1, 48), np.linspace(-1, 1, 48)))
    noise = [PILImage.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8)) for _ in range(count)]
    fields = [np.asarray(one.filter(ImageFilter.GaussianBlur(2))).astype(float) for one in noise]
    return np.stack([(150 + 2 * (f - f.mean()) - 110 * middle).clip(0, 255).astype(np.uint8) for f in fields])


@pytest.fixture(scope="module")
def face() -> Picture:
    photo = np.asarray(PILImage.open(PHOTO))
    (found,) = FaceDetector(min_face_size=40).detect(photo)
    return np.asarray(PILImage.fromarray(crop(photo, found, Margin(1.1))).convert("L").resize((48, 48)))


def noisy(image: Picture) -> Picture:
    return (image + np.random.default_rng(1).normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)


def stamped(image: Picture) -> Picture:
    changed = image.copy()
    changed[30:34, 6:40:3] = 230
    return changed


CHANGES = {
    "brighter": lambda image: np.asarray(ImageEnhance.Brightness(PILImage.fromarray(image)).enhance(1.3)),
    "less contrast": lambda image: np.asarray(ImageEnhance.Contrast(PILImage.fromarray(image)).enhance(0.5)),
    "noise": noisy,
    "mirrored": lambda image: image[:, ::-1],
    "mirrored and noise": lambda image: noisy(image)[:, ::-1],
    "a line of text": stamped,
    "light from one side": lambda image: (image * np.linspace(0.4, 1, 48)).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_photo_is_found_and_other_pictures_are_not(change: str, face: Picture) -> None:
    images = np.concatenate([photos(30), face[None], CHANGES[change](face)[None], photos(5, seed=1)])
    assert similar(images).tolist() == [[30, 31]]
    assert groups(images).tolist() == [*range(31), 30, *range(32, 37)]


def test_portraits_alike_in_their_light_are_told_apart_by_their_details() -> None:
    images = photos(40)
    flat = images.reshape(40, -1).astype(float)
    by_pixels = np.corrcoef(flat)[np.triu_indices(40, 1)]
    pairs = np.stack(np.triu_indices(40, 1), axis=1)
    assert by_pixels.max() > SIMILAR > correlation(details(images), pairs, flip=False).max()


def test_images_of_one_colour_are_identical_to_each_other_and_similar_to_nothing(face: Picture) -> None:
    blank = np.zeros((3, 48, 48), np.uint8)
    images = np.concatenate([blank, blank + 7, face[None]])
    assert identical(images).tolist() == [0, 0, 0, 3, 3, 3, 6]
    assert len(similar(images)) == 0


def test_all_rows_of_identical_images_are_in_the_pairs_but_never_with_each_other(face: Picture) -> None:
    other = noisy(face)
    images = np.stack([face, other, face, other, photos(1)[0]])
    assert similar(images).tolist() == [[0, 1], [0, 3], [1, 2], [2, 3]]
    assert groups(images).tolist() == [0, 0, 0, 0, 4]


def test_copies_are_pixel_identical_only(face: Picture) -> None:
    assert copies(np.stack([face, noisy(face), photos(1)[0]]), np.stack([photos(1)[0], face])).tolist() == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("side", [24, 96, 130])
def test_any_size_will_do(side: int, face: Picture) -> None:
    images = np.concatenate([photos(3), face[None], noisy(face)[None]])
    resized = [np.asarray(PILImage.fromarray(image).resize((side, side))) for image in images]
    assert similar(np.stack(resized)).tolist() == [[3, 4]]


def test_the_search_is_done_once_for_the_same_images(face: Picture) -> None:
    images = np.concatenate([photos(9, seed=5), face[None], noisy(face)[None]])
    before = set(duplicates.cache_folder().glob("similar-*"))
    first = similar(images)
    (made,) = set(duplicates.cache_folder().glob("similar-*")) - before
    duplicates.keep(made, np.array([[0, 1]]))  # a mark: whoever reads it did not search
    assert first.tolist() == [[9, 10]] and similar(images).tolist() == [[0, 1]]
    assert similar(images[::-1]).tolist() == [[0, 1]]  # other order, other content: searched, and truly 0 and 1
    assert similar(images[1:]).tolist() == [[8, 9]]


def test_fer2013_has_the_known_copies(fer2013_dir: Path) -> None:
    rows = sources.read(fer2013_dir)
    train, validation, test = (rows.images[rows.usage == usage] for usage in sources.USAGES)
    assert len(np.unique(identical(rows.images))) == 34034
    started = time.process_time()
    found = [int(copies(of, among).sum()) for of, among in ((validation, train), (test, train), (test, validation))]
    assert found == [280, 288, 44]
    assert time.process_time() - started < 3  # seconds of a CPU: at most half of one for each pair
