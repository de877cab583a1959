from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from fer_hub.faces import FaceDetector
from fer_hub.image import crop
from fer_hub.types import Face, Image, Margin
from train import align as module
from train import figures, sources
from train.align import CHUNK, SIDE_ALIGNED, SMALLEST, align, draw_examples, enlarged, table

PHOTO = Path(__file__).parents[1] / "fer_hub" / "assets" / "examples" / "astronaut.jpg"


class Counting:
    """Finds the same face everywhere; after so many images it is stopped by the user."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.seen, self.stop_after = 0, stop_after

    def detect(self, image: Image) -> list[Face]:
        if self.seen >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += 1
        return [Face((60.0, 60.0, 200.0, 200.0), 1.0, np.zeros((5, 2), np.float32))]


def noise(count: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 48), dtype=np.uint8)


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    photo = np.asarray(PILImage.open(PHOTO))
    (face,) = FaceDetector(min_face_size=40).detect(photo)
    tilted = PILImage.fromarray(crop(photo, face, Margin(1.3))).convert("L").rotate(20, PILImage.Resampling.BICUBIC)
    return np.asarray(tilted.resize((48, 48)))


def slope(image: NDArray[np.uint8]) -> float:
    """By how many degrees the eyes are off the level."""
    (face,) = FaceDetector(min_face_size=SMALLEST).detect(enlarged(image))
    right, down = face.points[1] - face.points[0]
    return abs(float(np.degrees(np.arctan2(down, right))))


def test_the_largest_face_fills_the_aligned_image_and_eyes_levels_it(astronaut: NDArray[np.uint8]) -> None:
    images = np.stack([astronaut, np.zeros((48, 48), np.uint8)])
    (box, found), (eyes, found_again) = align(images, "box"), align(images, "eyes")
    assert box.shape == eyes.shape == (2, SIDE_ALIGNED, SIDE_ALIGNED)
    assert found.tolist() == found_again.tolist() == [True, False]
    assert slope(box[0]) > 12 > 6 > slope(eyes[0])


def test_an_image_without_a_face_is_kept_whole() -> None:
    image = noise(1, 3)
    aligned, found = align(image, "box")
    whole = PILImage.fromarray(image[0]).resize((SIDE_ALIGNED, SIDE_ALIGNED), PILImage.Resampling.BICUBIC)
    assert not found[0] and np.array_equal(aligned[0], np.asarray(whole))


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'nose'\. Known: box, eyes"):
        align(noise(1, 0), "nose")


def test_what_was_written_before_an_interruption_is_not_done_again() -> None:
    images = noise(CHUNK + 100, 11)
    with pytest.raises(KeyboardInterrupt):
        align(images, "box", Counting(stop_after=CHUNK + 40))
    rest = Counting()
    aligned, found = align(images, "box", rest)
    assert rest.seen == 100 and found.all()
    untouched = Counting()
    again, _ = align(images[::-1], "box", untouched)
    assert untouched.seen == 0 and np.array_equal(again[::-1], aligned)
    expected = [module._record(image, "box", Counting())[1] for image in images[[0, CHUNK, CHUNK + 99]]]
    assert np.array_equal(aligned[[0, CHUNK, CHUNK + 99]], expected)


def test_the_same_image_twice_is_detected_once_and_modes_are_kept_apart() -> None:
    images = np.repeat(noise(3, 12), 2, axis=0)
    first, second = Counting(), Counting()
    aligned, _ = align(images, "box", first)
    align(images, "eyes", second)
    assert (first.seen, second.seen) == (3, 3)
    assert np.array_equal(aligned[::2], aligned[1::2])


def test_no_images_are_no_error() -> None:
    aligned, found = align(noise(0, 0), "box")
    assert aligned.shape == (0, SIDE_ALIGNED, SIDE_ALIGNED) and len(found) == 0


def test_the_table_has_samples_not_detected_and_left_by_split() -> None:
    notes = {"alignment": {"train": {"samples": 62923, "not_detected": 10463, "left": 52460}}}
    assert table(notes).splitlines()[1].split() == ["train", "62,923", "10,463", "(16.6%)", "52,460"]
    assert table({}) == ""


@pytest.mark.parametrize("found", [[True] * 6, [False] * 6, [True, False] * 3])
def test_examples_are_drawn_with_the_missing_ones_marked(found: list[bool], tmp_path: Path) -> None:
    mask = np.array(found)
    figure = draw_examples(noise(6, 0), noise(6, 1), mask, count=4)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles.count("not found") == {6: 0, 0: 4, 3: 1}[mask.sum()]
    figures.save(figure, tmp_path / "aligned.png")
    assert PILImage.open(tmp_path / "aligned.png").width > 200


def test_most_faces_of_fer2013_are_found(fer2013_dir: Path) -> None:
    images = sources.read(fer2013_dir).images[::900]
    aligned, found = align(images, "eyes")
    assert 0.75 < found.mean() < 0.99
    assert np.abs(aligned.mean((1, 2)) - images.mean((1, 2))).mean() < 30
