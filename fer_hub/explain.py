"""Why a model said so: heat maps over a face for one label, by Grad-CAM, LIME and occlusion.

A map shows what this model's answer hangs on, not why a face looks as it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from .cam import grad_cam
from .classifier import Classifier, classify
from .image import to_array
from .labels import canonical
from .types import Array, Image, ModelError

FOR, AGAINST = (213, 94, 0), (0, 114, 178)
"""Vermilion and blue of Okabe and Ito (2008): told apart with every kind of colour vision."""
PATCH, STRIDE = 1 / 5, 1 / 16
"""Of occlusion: sides of the grey square and of its steps, in units of the face's side."""
SEGMENTS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What speaks for and against a label in a face.

    Attributes:
        method: A name of `EXPLAINERS`.
        label: The label that is explained.
        probability: The model's probability of it, 0 to 1.
        heat: S×S float32 in the coordinates of the crop, -1 to 1: above 0 speaks for the label, below against it;
            scaled so that the strongest place is 1 or -1, all 0 where nothing matters.
        crop: S×S×3 uint8 RGB, the face as the model is given it, in colour.
    """

    method: str
    label: str
    probability: float
    heat: Array
    crop: Image

    def overlay(self, strength: float = 0.65) -> Image:
        """The face, grey, with what speaks for the label in vermilion and what speaks against it in blue (S×S×3)."""
        grey = np.asarray(PILImage.fromarray(self.crop).convert("L"), dtype=np.float32)[..., None]
        color = np.where(self.heat[..., None] >= 0, np.array(FOR, np.float32), np.array(AGAINST, np.float32))
        share = np.abs(self.heat)[..., None] * strength
        blended: Image = (grey * (1 - share) + color * share).round().astype(np.uint8)
        return blended

    def panel(self, side: int = 240) -> Image:
        """The face and its overlay beside each other: side×2·side×3."""
        pair = [PILImage.fromarray(picture).resize((side, side)) for picture in (self.crop, self.overlay())]
        return np.concatenate([np.asarray(picture) for picture in pair], axis=1)


def explain(
    classifier: Classifier,
    crop: Image,
    method: str = "grad-cam",
    target: str | None = None,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> Explanation:
    """Explain one label of one face.

    Args:
        classifier: A model at its run time.
        crop: H×W×3 uint8 RGB, a face as `fer_hub.image.crop` cuts it.
        method: A name of `EXPLAINERS`.
        target: A label; None: the most probable one.
        samples: Of LIME: pictures with regions greyed out.
        seed: Of LIME's draws.

    Raises:
        ValueError: The method is unknown, or the label is none of the model's.
        ModelError: The method does not apply to this network, or a package that it needs is not installed.
    """
    if method not in EXPLAINERS:
        raise ValueError(f"Unknown method {method!r}. Known: {', '.join(EXPLAINERS)}.")
    labels = classifier.info.labels
    scores = classify(classifier, [crop])[0]
    index = int(scores.argmax()) if target is None else _index(target, labels)
    heat = EXPLAINERS[method](classifier, crop, index, samples, seed)
    return Explanation(method, labels[index], float(scores[index]), _fitted(heat, crop), crop)


def _index(target: str, labels: tuple[str, ...]) -> int:
    label = canonical(target)
    if label not in labels:
        raise ValueError(f"The model does not know {label!r}. Its labels: {', '.join(labels)}.")
    return labels.index(label)


def _fitted(heat: Array, crop: Image) -> Array:
    """A map of any size, scaled to the crop's size and to -1 to 1."""
    size = (crop.shape[1], crop.shape[0])
    picture = PILImage.fromarray(heat.astype(np.float32))
    same = picture.size == size
    grown: Array = np.asarray(picture if same else picture.resize(size, PILImage.Resampling.BILINEAR), dtype=np.float32)
    top = np.abs(grown).max()
    return grown / top if top > 0 else grown


def by_gradient(classifier: Classifier, crop: Image, index: int, samples: int, seed: int) -> Array:
    """Grad-CAM: see `fer_hub.cam`."""
    return grad_cam(classifier, to_array([crop], classifier.info.input), index)


def by_occlusion(classifier: Classifier, crop: Image, index: int, samples: int, seed: int) -> Array:
    """By how much the probability falls where a grey square covers the face, averaged over the squares.

    Zeiler and Fergus 2014 (arXiv:1311.2901).
    """
    height, width = crop.shape[:2]
    sides = max(2, round(height * PATCH)), max(2, round(width * PATCH))
    tops, lefts = (_steps(length, side) for length, side in zip((height, width), sides, strict=True))
    places = [(slice(y, y + sides[0]), slice(x, x + sides[1])) for y in tops for x in lefts]
    grey = crop.mean((0, 1)).round().astype(np.uint8)
    before = classify(classifier, [crop])[0, index]
    falls, times = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for place, after in zip(places, classify(classifier, [_covered(crop, p, grey) for p in places]), strict=True):
        falls[place] += before - after[index]
        times[place] += 1
    heat: Array = falls / times
    return heat


def _steps(length: int, side: int) -> list[int]:
    """Where the squares begin along one side: the last one ends at the border."""
    step = max(1, round(length * STRIDE))
    return [*range(0, length - side, step), length - side]


def _covered(crop: Image, place: tuple[slice, slice], grey: NDArray[np.uint8]) -> Image:
    covered = crop.copy()
    covered[place] = grey
    return covered


def by_lime(classifier: Classifier, crop: Image, index: int, samples: int, seed: int) -> Array:
    """LIME: a linear model of the answer over regions that are there or greyed out.

    Ribeiro, Singh, Guestrin 2016 (arXiv:1602.04938), through the library lime; regions by SLIC.
    """
    try:
        from lime.lime_image import LimeImageExplainer
        from skimage.segmentation import slic
    except ImportError as error:
        raise ModelError(f"lime needs {error.name}, which is not installed. pip install 'fer_hub[explain]'") from error
    height, width = classifier.info.input.size
    small = np.asarray(PILImage.fromarray(crop).resize((width, height), PILImage.Resampling.BICUBIC))
    regions = partial(slic, n_segments=SEGMENTS, compactness=10, sigma=1, start_label=0)
    found: Any = LimeImageExplainer(random_state=seed).explain_instance(
        small,
        lambda images: classify(classifier, [image.astype(np.uint8) for image in images]),
        labels=(index,),
        top_labels=None,
        num_samples=samples,
        batch_size=64,
        segmentation_fn=regions,
        random_seed=seed,
    )
    heat = np.zeros(found.segments.shape, np.float32)
    for region, weight in found.local_exp[index]:
        heat[found.segments == region] = weight
    return heat


EXPLAINERS: dict[str, Callable[[Classifier, Image, int, int, int], Array]] = {
    "grad-cam": by_gradient,
    "lime": by_lime,
    "occlusion": by_occlusion,
}
"""Methods by name: from a model, a crop, the index of a label, samples and a seed to a map of any size."""
