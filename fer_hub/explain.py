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
from .ensemble import Ensemble
from .image import to_array
from .labels import canonical
from .relabel import Relabelled
from .types import Array, Image, ModelError

FOR, AGAINST = (213, 94, 0), (0, 114, 178)
"""Vermilion and blue of Okabe and Ito (2008): told apart with every kind of colour vision."""
LINE = 0.5
"""Of a border between regions: how white it is, 0 to 1."""
PATCH, STRIDE = 1 / 5, 1 / 16
"""Of occlusion: sides of the grey square and of its steps, in units of the face's side."""
SEGMENTS = 50
LARGEST = 512
"""Longer side of what is explained, in pixels: many copies of it are made, and networks look at less."""
IN_REGIONS = frozenset({"lime"})
"""Methods that weigh regions, not places: their maps have sharp borders, which an overlay draws."""
BLACK_BOX = frozenset({"lime", "occlusion"})
"""Methods that only ask a model for answers: about the same pictures, whichever label is explained."""

Regions = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What speaks for and against a label in a face.

    Attributes:
        method: A name of `EXPLAINERS`.
        label: The label that is explained.
        probability: The model's probability of it, 0 to 1.
        heat: S×S float32 in the coordinates of the crop, -1 to 1: above 0 speaks for the label, below against it;
            scaled so that the strongest place is 1 or -1, all 0 where nothing matters.
        crop: S×S×3 uint8 RGB, the face as the model is given it, in colour; made smaller where it was above `LARGEST`.
        regions: S×S, which region each pixel is of, where the method weighs regions; otherwise None.
    """

    method: str
    label: str
    probability: float
    heat: Array
    crop: Image
    regions: Regions | None = None

    def overlay(self, strength: float = 0.65, side: int | None = None) -> Image:
        """The face, grey, with what speaks for the label in vermilion and what speaks against it in blue.

        Args:
            strength: Share of the colour where the map is strongest, 0 to 1.
            side: Of the picture, in pixels; None: the crop's own.

        Returns:
            S×S×3, or side×side×3; thin lines between the regions, where there are any.
        """
        size = (self.crop.shape[1], self.crop.shape[0]) if side is None else (side, side)
        face = PILImage.fromarray(self.crop).convert("L").resize(size, PILImage.Resampling.BICUBIC)
        heat = _resized(self.heat, size, smooth=self.regions is None)[..., None]
        color = np.where(heat >= 0, np.array(FOR, np.float32), np.array(AGAINST, np.float32))
        share = np.abs(heat) * strength
        blended = np.asarray(face, np.float32)[..., None] * (1 - share) + color * share
        if self.regions is not None:
            lines = _borders(_resized(self.regions.astype(np.float32), size, smooth=False))
            blended[lines] += LINE * (255 - blended[lines])
        picture: Image = blended.round().astype(np.uint8)
        return picture

    def panel(self, side: int = 240) -> Image:
        """The face and its overlay beside each other: side×2·side×3."""
        face = PILImage.fromarray(self.crop).resize((side, side))
        return np.concatenate([np.asarray(face), self.overlay(side=side)], axis=1)


def _resized(values: Array, size: tuple[int, int], smooth: bool) -> Array:
    """A map brought to (width, height): smoothly, or with its sharp borders kept."""
    way = PILImage.Resampling.BILINEAR if smooth else PILImage.Resampling.NEAREST
    picture = PILImage.fromarray(values.astype(np.float32))
    return np.asarray(picture if picture.size == size else picture.resize(size, way), dtype=np.float32)


def _borders(regions: Array) -> NDArray[np.bool_]:
    """Pixels whose neighbour to the right or below is of another region."""
    lines = np.zeros(regions.shape, bool)
    lines[:, :-1] |= regions[:, 1:] != regions[:, :-1]
    lines[:-1] |= regions[1:] != regions[:-1]
    return lines


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
        crop: H×W×3 uint8 RGB, a face as `fer_hub.image.crop` cuts it; made smaller where it is above `LARGEST`.
        method: A name of `EXPLAINERS`.
        target: A label; None: the most probable one.
        samples: Of LIME: pictures with regions greyed out, 2 or more.
        seed: Of LIME's draws.

    Raises:
        ValueError: The method is unknown, the label is none of the model's, or the samples are too few.
        ModelError: The method does not apply to this network, or a package that it needs is not installed.
    """
    if method not in EXPLAINERS:
        raise ValueError(f"Unknown method {method!r}. Known: {', '.join(EXPLAINERS)}.")
    if samples < 2:
        raise ValueError(f"{samples} samples are too few; 2 or more are allowed. Try 1000.")
    labels, scores = classifier.info.labels, classify(classifier, [crop])[0]
    crop = _at_most(crop, LARGEST)
    index = int(scores.argmax()) if target is None else _index(target, labels)
    in_regions = method in IN_REGIONS
    heat = _fitted(EXPLAINERS[method](classifier, crop, index, samples, seed), crop, smooth=not in_regions)
    regions = np.unique(heat, return_inverse=True)[1].reshape(heat.shape) if in_regions else None
    return Explanation(method, labels[index], float(scores[index]), heat, crop, regions)


def _at_most(crop: Image, side: int) -> Image:
    """The crop, its longer side brought to so many pixels where it has more."""
    height, width = crop.shape[:2]
    share = side / max(height, width)
    if share >= 1:
        return crop
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(PILImage.fromarray(crop).resize(size, PILImage.Resampling.BICUBIC))


def _index(target: str, labels: tuple[str, ...]) -> int:
    label = canonical(target)
    if label not in labels:
        raise ValueError(f"The model does not know {label!r}. Its labels: {', '.join(labels)}.")
    return labels.index(label)


def _fitted(heat: Array, crop: Image, smooth: bool = True) -> Array:
    """A map of any size, scaled to the crop's size and to -1 to 1."""
    grown = _resized(heat, (crop.shape[1], crop.shape[0]), smooth)
    top = np.abs(grown).max()
    return grown / top if top > 0 else grown


def by_gradient(classifier: Classifier, crop: Image, index: int, samples: int, seed: int) -> Array:
    """Grad-CAM: see `fer_hub.cam`. Of an ensemble: the weighted mean of its members' maps of the face as it is.

    Of a model asked in other labels: of the label in the model itself.
    """
    if isinstance(classifier, Relabelled):
        return by_gradient(classifier.classifier, crop, classifier.own_index(index), samples, seed)
    if not isinstance(classifier, Ensemble):
        return grad_cam(classifier, to_array([crop], classifier.info.input), index)
    label = classifier.info.labels[index]
    maps = [by_gradient(each, crop, each.info.labels.index(label), samples, seed) for each in classifier.members]
    mean: Array = np.average([_fitted(heat, crop, True) for heat in maps], axis=0, weights=classifier.weights)
    return mean.astype(np.float32)


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
        from skimage.segmentation import slic

        explainer = _lime(seed)
    except ImportError as error:
        raise ModelError(f"lime needs {error.name}, which is not installed. pip install 'fer_hub[explain]'") from error
    height, width = classifier.info.input.size
    small = np.asarray(PILImage.fromarray(crop).resize((width, height), PILImage.Resampling.BICUBIC))
    found = explainer.explain_instance(
        small,
        lambda images: classify(classifier, list(images)),
        labels=(index,),
        top_labels=None,
        num_samples=samples,
        batch_size=64,
        segmentation_fn=partial(slic, n_segments=SEGMENTS, compactness=10, sigma=1, start_label=0),
        random_seed=seed,
    )
    heat = np.zeros(found.segments.shape, np.float32)
    for region, weight in found.local_exp[index]:
        heat[found.segments == region] = weight
    return heat


def _lime(seed: int) -> Any:
    """The library's explainer, which draws the same pictures as ever, but whole batches at once and without a bar."""
    from lime.lime_image import LimeImageExplainer

    class Explainer(LimeImageExplainer):  # type: ignore[misc]
        def data_labels(
            self,
            image: Image,
            fudged_image: Image,
            segments: Regions,
            classifier_fn: Callable[[Image], Array],
            num_samples: int,
            batch_size: int = 10,
        ) -> tuple[NDArray[np.int64], Array]:
            there = self.random_state.randint(0, 2, (num_samples, segments.max() + 1))
            there[0] = 1  # the first one is the face itself
            batches = (there[start : start + batch_size] for start in range(0, num_samples, batch_size))
            scores = [classifier_fn(np.where(batch[:, segments, None] == 1, image, fudged_image)) for batch in batches]
            return there, np.concatenate(scores)

    return Explainer(random_state=seed)


EXPLAINERS: dict[str, Callable[[Classifier, Image, int, int, int], Array]] = {
    "grad-cam": by_gradient,
    "lime": by_lime,
    "occlusion": by_occlusion,
}
"""Methods by name: from a model, a crop, the index of a label, samples and a seed to a map of any size."""
