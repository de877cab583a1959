"""What a camera, a network or a pair of sunglasses does to a face, in five severities each."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from scipy import ndimage

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]

FRAME = 48
"""Side of a FER2013 image: lengths below are pixels of it and grow with larger images, but for the side that a face of
low resolution is brought to."""
EYES, MOUTH = (24.2, 18.7), (24.2, 37.9)
"""(x, y) of the point between the eyes and of the middle of the mouth in a FER2013 image, pixels from its corner.

Found with fer_hub.faces.FaceDetector on 1,200 training images drawn at random (seed 0), enlarged as train.align does
it; medians over the 1,060 with a face whose box is no face inside a face (train.margin.LIMITS). Half of all faces lie
within ±1.5 of these heights. Medians of the points: eyes (15.3, 18.9) and (33.3, 18.5), nose (24.2, 29.1), corners
of the mouth (17.0, 38.0) and (31.9, 37.8)."""
BAND = 36
"""Width of the bar over eyes or mouth: the distance of the eyes (18) and half of it on either side."""
BARS = (4, 8, 12, 16, 20)
"""Heights of the bar, the same for both, so that they compare: over the eyes the last one reaches from the brows to
the tip of the nose, over the mouth from there to the chin."""

Change = Callable[[Images, float, np.random.Generator], NDArray[np.floating] | Images]
"""(N×H×W, level, rng) → N×H×W, not rounded or clipped yet."""


@dataclass(frozen=True)
class Corruption:
    """One way to spoil an image."""

    about: str
    """For people: what is done."""
    unit: str
    """What the levels are."""
    levels: tuple[float, float, float, float, float]
    """Of the severities 1 to 5."""
    change: Change

    def __call__(self, images: Images, severity: int, rng: np.random.Generator) -> Images:
        """Spoil images.

        Args:
            images: N×H×W uint8.
            severity: 1 to 5; 0: the images themselves.
            rng: Draws what is random; the same state gives the same for every severity, only stronger.

        Returns:
            N×H×W uint8.

        Raises:
            ValueError: The severity or the array is not of that kind.
        """
        if images.ndim != 3 or images.dtype != np.uint8:
            raise ValueError(f"Got {images.dtype} of shape {images.shape}; N×H×W uint8 is wanted: np.stack the images.")
        if severity not in range(6):
            raise ValueError(f"Severity {severity}: 0 (the image itself) to {len(self.levels)} are allowed.")
        if severity == 0:
            return images
        changed = self.change(images, self.levels[severity - 1], rng)
        return np.rint(changed).clip(0, 255).astype(np.uint8)


def blurred(images: Images, level: float, rng: np.random.Generator) -> Floats:
    """A Gaussian blur."""
    sigma = level * _unit(images)
    return ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma), mode="nearest")


def noisy(images: Images, level: float, rng: np.random.Generator) -> Floats:
    """Gaussian noise, independent from pixel to pixel."""
    return images + np.float32(level) * rng.standard_normal(images.shape, dtype=np.float32)


def exposed(images: Images, level: float, rng: np.random.Generator) -> Floats:
    """All pixels times a factor, cut off at white."""
    return images * np.float32(level)


def flattened(images: Images, level: float, rng: np.random.Generator) -> Floats:
    """Every pixel brought closer to the mean of its image."""
    mean = images.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    return mean + np.float32(level) * (images - mean)


def rotated(images: Images, level: float, rng: np.random.Generator) -> Floats:
    """Turned about the centre, half of the images one way, half the other; the border is repeated."""
    turned = images.astype(np.float32)
    left = rng.permutation(len(images)) % 2 == 0
    for part, degrees in ((left, level), (~left, -level)):
        turned[part] = ndimage.rotate(turned[part], degrees, (1, 2), reshape=False, order=1, mode="nearest")
    return turned


def barred(centre: tuple[float, float]) -> Change:
    """A black bar about a point."""

    def change(images: Images, level: float, rng: np.random.Generator) -> Images:
        (x, y), unit = centre, _unit(images)
        top, bottom, left, right = (
            round(edge * unit) for edge in (y - level / 2, y + level / 2, x - BAND / 2, x + BAND / 2)
        )
        covered = images.copy()
        covered[:, top:bottom, left:right] = 0
        return covered

    return change


def coarse(images: Images, level: float, rng: np.random.Generator) -> Images:
    """Made smaller by averaging, and brought back bicubically, as a small face in a large picture is."""
    height, width = images.shape[1:]
    small = (max(1, round(level * width / height)), round(level))
    box, bicubic = PILImage.Resampling.BOX, PILImage.Resampling.BICUBIC
    return _each(images, lambda image: image.resize(small, box).resize((width, height), bicubic))


def compressed(images: Images, level: float, rng: np.random.Generator) -> Images:
    """Written as JPEG and read again."""

    def change(image: PILImage.Image) -> PILImage.Image:
        buffer = io.BytesIO()
        image.save(buffer, "jpeg", quality=round(level))
        return PILImage.open(buffer)

    return _each(images, change)


def _each(images: Images, change: Callable[[PILImage.Image], PILImage.Image]) -> Images:
    return np.array([np.asarray(change(PILImage.fromarray(image))) for image in images], np.uint8).reshape(images.shape)


def _unit(images: Images) -> float:
    """Pixels of these images that are one pixel of a FER2013 image."""
    return images.shape[1] / FRAME


CORRUPTIONS: dict[str, Corruption] = {
    "blur": Corruption("Gaussian blur", "sigma, px", (0.5, 1, 1.5, 2, 3), blurred),
    "low resolution": Corruption("made smaller and brought back", "side, px", (32, 24, 16, 12, 8), coarse),
    "noise": Corruption("Gaussian noise", "sigma, of 255", (8, 16, 24, 36, 48), noisy),
    "JPEG": Corruption("written as JPEG", "quality", (60, 40, 20, 10, 5), compressed),
    "darkness": Corruption("all pixels times a factor", "factor", (0.7, 0.5, 0.3, 0.2, 0.1), exposed),
    "overexposure": Corruption("the same, cut off at white", "factor", (1.2, 1.4, 1.7, 2, 2.5), exposed),
    "low contrast": Corruption("pixels brought closer to their mean", "factor", (0.7, 0.5, 0.3, 0.2, 0.1), flattened),
    "rotation": Corruption("turned to the left or right", "degrees", (5, 10, 20, 30, 45), rotated),
    "eyes covered": Corruption("black bar, 36 px wide, over the eyes", "height, px", BARS, barred(EYES)),
    "mouth covered": Corruption("black bar, 36 px wide, over the mouth", "height, px", BARS, barred(MOUTH)),
}
"""One entry adds a corruption: to the curves, the strip of examples and the tests.

In the spirit of Hendrycks and Dietterich 2019 (arXiv:1903.12261), whose levels are made for colour images of 224
pixels; these are for grey faces of 48. They were chosen by eye on the example photo, from slight to hard for people,
too, and by no model's scores: a severity of one corruption is not as bad as the same of another."""
