"""Whether the places that a map marks matter: deletion and insertion curves, against random orders.

Petsiuk, Das, Saenko 2018 (RISE, arXiv:1806.07421). Whether a map depends on the weights: see `randomisation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageFilter
from tqdm import tqdm

from fer_hub.classifier import Classifier, classify
from fer_hub.explain import EXPLAINERS, explain
from fer_hub.types import Image

from ..metrics import RESAMPLES

Floats = NDArray[np.float64]

GRID, STEPS = 12, 18
"""A face is taken apart in 12×12 blocks, in 18 steps of 8; of FER2013 a block is 4×4 pixels."""
BLUR = 1 / 10
"""Standard deviation of the blur, in units of the face's side: no expression is left, but light and shape are."""
CURVES = {
    "deletion": (-1, "the blocks are covered with the mean grey of the face; the lower the area, the better"),
    "insertion": (1, "the blocks are put back on the blurred face; the higher the area, the better"),
}
"""Grey takes everything away; blocks on a blurred face, unlike on a grey one, make no sharp edges (RISE)."""
REFERENCES = {
    "blocks": "blocks in a random order",
    "moved": "the map itself, mirrored and shifted at random: just as smooth, but in the wrong place",
    "other face": "the same method's map of another face: what is right for any face, but not for this one",
}
RANDOM = ("blocks", "moved")
"""Those that know nothing. Scattered blocks harm a picture more than as many that lie together, hence `moved`."""


def faithfulness(
    classifier: Classifier,
    crops: Sequence[Image],
    methods: Sequence[str] = tuple(EXPLAINERS),
    *,
    samples: int = 200,
    draws: int = 2,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """How the probability of the predicted label follows the blocks of a face, taken in the order of its map.

    Args:
        classifier: A model at its run time.
        crops: N faces, H×W×3 or H×W (grey) uint8, N at least 2.
        methods: Names of `EXPLAINERS`.
        samples: Of LIME.
        draws: Random orders of a face, of each kind.
        seed: Of these orders, of the order of equal blocks, and of LIME.
        progress: Show a bar with rate and time left (only on a terminal).

    Returns:
        JSON values: n, samples, draws, seed, blocks, shares (of the face, P), and by method and name of `CURVES`:
        curve (mean probability, P), auc, hardest (the one of `RANDOM` with the smallest gain), and by name of
        `REFERENCES`: curve, auc, gain (area by which the map is better, mean over the faces), gain_95 (bootstrap
        over the faces), better (share of the faces).

    Raises:
        ValueError: Fewer than two faces, or a method is unknown.
    """
    check(crops, methods)
    targets = classify(classifier, crops).argmax(1)
    bar = tqdm(total=len(crops) * (len(methods) + 1), unit="face", leave=False, disable=None if progress else True)
    maps, rows = {}, []
    with bar:
        for method in methods:
            bar.set_description(method)
            maps[method] = blocks_of(classifier, crops, targets, method, samples, seed, bar)
        bar.set_description("deletion and insertion")
        for face, crop in enumerate(crops):
            rng = np.random.default_rng((seed, face))
            rows.append(_walk(classifier, crop, int(targets[face]), _orders(maps, face, draws, rng), rng))
            bar.update()
    walks = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return {
        "n": len(crops),
        "samples": samples,
        "draws": draws,
        "seed": seed,
        "blocks": GRID**2,
        "shares": np.linspace(0, 1, STEPS + 1).round(6).tolist(),
        "methods": {method: _compared(walks, method, seed) for method in methods},
    }


def check(crops: Sequence[Image], methods: Sequence[str]) -> None:
    """Refuse what no comparison can be made of (ValueError)."""
    if len(crops) < 2:
        raise ValueError(f"Got {len(crops)} faces; a map is compared with that of another face. Give at least 2.")
    if unknown := [method for method in methods if method not in EXPLAINERS]:
        raise ValueError(f"Unknown method {unknown[0]!r}. Known: {', '.join(EXPLAINERS)}.")


def rgb(crop: Image) -> Image:
    """H×W×3 or H×W (grey) to H×W×3."""
    return crop if crop.ndim == 3 else np.stack([crop] * 3, axis=-1)


def blocks_of(
    classifier: Classifier,
    crops: Sequence[Image],
    targets: NDArray[np.int64],
    method: str,
    samples: int,
    seed: int,
    bar: tqdm[Any],
) -> Floats:
    """The map of each face for its label, in blocks: N×GRID×GRID, -1 to 1."""
    maps = np.empty((len(crops), GRID, GRID))
    for face, (crop, target) in enumerate(zip(crops, targets, strict=True)):
        label = classifier.info.labels[target]
        maps[face] = in_blocks(explain(classifier, rgb(crop), method, label, samples=samples, seed=seed).heat)
        bar.update()
    return maps


def in_blocks(heat: NDArray[np.floating[Any]]) -> Floats:
    """The mean of a map in each of GRID×GRID blocks; rounded, so that blocks of one value are equal to the last bit."""
    boxes = PILImage.fromarray(heat.astype(np.float32)).resize((GRID, GRID), PILImage.Resampling.BOX)
    return np.asarray(boxes, dtype=np.float64).round(5)


def moved(blocks: Floats, rng: np.random.Generator) -> Floats:
    """A map in a wrong place: laid out endlessly by mirrors, so that no seam appears, shifted, and perhaps turned."""
    side = len(blocks)
    endless = np.pad(blocks, ((0, side), (0, side)), mode="symmetric")
    shifted = np.roll(endless, rng.integers(0, 2 * side, 2), (0, 1))[:side, :side]
    return shifted.T if rng.random() < 0.5 else shifted


def _orders(maps: Mapping[str, Floats], face: int, draws: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Every order in which a face is taken apart, as maps K×GRID×GRID by name."""
    orders = {"blocks": rng.random((draws, GRID, GRID))}
    for method, blocks in maps.items():
        another = (face + rng.integers(1, len(blocks))) % len(blocks)
        orders[method] = blocks[[face]]
        orders[f"{method} moved"] = np.stack([moved(blocks[face], rng) for _ in range(draws)])
        orders[f"{method} other face"] = blocks[[another]]
    return orders


def _walk(
    classifier: Classifier, crop: Image, target: int, orders: Mapping[str, Floats], rng: np.random.Generator
) -> dict[str, Floats]:
    """Curves of one face, deletion and insertion, by the name of the order: the mean of its K orders (2×P)."""
    found = curves(classifier, crop, target, np.concatenate(list(orders.values())), rng)
    ends = np.cumsum([len(each) for each in orders.values()])[:-1]
    return {name: part.mean(0) for name, part in zip(orders, np.split(found, ends), strict=True)}


def curves(
    classifier: Classifier, crop: Image, target: int, maps: Floats, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Probability of a label while a face is covered (deletion) and uncovered (insertion), the highest blocks first.

    Args:
        classifier: A model at its run time.
        crop: H×W×3 or H×W uint8.
        target: Index of the label.
        maps: K×GRID×GRID.
        rng: Decides among blocks of equal height.

    Returns:
        K×2×(STEPS + 1), the second axis in the order of `CURVES`; first and last point: nothing and everything.
    """
    ties = rng.random(maps.shape)
    first = np.array([np.lexsort((tie.ravel(), -each.ravel())) for each, tie in zip(maps, ties, strict=True)])
    ranks = first.argsort(1).reshape(maps.shape)
    rows, columns = (np.arange(length) * GRID // length for length in crop.shape[:2])
    cuts = np.arange(1, STEPS) * GRID**2 // STEPS
    taken = ranks[:, None, rows[:, None], columns] < cuts[:, None, None]
    taken = taken.reshape(*taken.shape, *(1,) * (crop.ndim - 2))
    grey, blurred = np.full_like(crop, round(float(crop.mean()))), _blurred(crop)
    pictures = [np.where(mask, after, before) for before, after in ((crop, grey), (blurred, crop))
                for order in taken for mask in order]  # fmt: skip
    whole, covered, start, *rest = classify(classifier, [crop, grey, blurred, *pictures])[:, target]
    result = np.empty((len(maps), 2, STEPS + 1))
    result[:, 0, 0], result[:, 0, -1], result[:, 1, 0], result[:, 1, -1] = whole, covered, start, whole
    result[:, :, 1:-1] = np.reshape(rest, (2, len(maps), STEPS - 1)).transpose(1, 0, 2)
    return result


def _blurred(crop: Image) -> Image:
    return np.asarray(PILImage.fromarray(crop).filter(ImageFilter.GaussianBlur(max(crop.shape[:2]) * BLUR)))


def area(curve: NDArray[np.float64]) -> Floats:
    """Area under curves (…×P) over the share of the face, 0 to 1."""
    return np.asarray(np.trapezoid(curve, dx=1 / (curve.shape[-1] - 1), axis=-1))


def _compared(walks: Mapping[str, Floats], method: str, seed: int) -> dict[str, Any]:
    """A method's curves, each beside its references."""
    names = {name: name if name in walks else f"{method} {name}" for name in REFERENCES}
    found = {}
    for which, (kind, (sign, _)) in enumerate(CURVES.items()):
        own = walks[method][:, which]
        references = {}
        for name, key in names.items():
            gains = sign * (area(own) - area(walks[key][:, which]))
            measured = {"gain": gains.mean(), "gain_95": mean_95(gains, seed), "better": np.mean(gains > 0)}
            references[name] = _curve(walks[key][:, which]) | _plain(measured)
        hardest = min(RANDOM, key=lambda name: references[name]["gain"])
        found[kind] = _curve(own) | {"hardest": hardest, "references": references}
    return found


def _curve(rows: Floats) -> dict[str, Any]:
    return _plain({"curve": rows.mean(0), "auc": area(rows).mean()})


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.round(value, 6).tolist() for name, value in values.items()}


def mean_95(values: Floats, seed: int = 0) -> list[float]:
    """95 % percentile bootstrap interval of the mean of N values: [low, high]."""
    drawn = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    return [float(edge) for edge in np.quantile(values[drawn].mean(1), (0.025, 0.975))]
