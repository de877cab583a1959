"""Whether a map depends on what the network has learnt: maps before and after its weights are shuffled.

Adebayo et al. 2018 (arXiv:1810.03292): a map that stays as it is shows the picture, not the model.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr, t
from tqdm import tqdm

from fer_hub.classifier import TorchClassifier, classify
from fer_hub.explain import EXPLAINERS
from fer_hub.types import Array, Image

from ..data import evenly
from .sanity import check, rgb

Floats = NDArray[np.float64]

DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the layers that are shuffled, from the head downwards; 0: the last layer only."""
FACES = {"grad-cam": 24}
OTHERWISE = 4
"""Faces of a method that is not in FACES: it asks the network a hundred times and more for one map."""
STATISTICS = 64
"""Faces that the batch norms of a shuffled network are fitted on."""


def randomisation(
    classifier: TorchClassifier,
    crops: Sequence[Image],
    methods: Sequence[str] = tuple(EXPLAINERS),
    *,
    samples: int = 100,
    seeds: int = 8,
    depths: Sequence[float] = DEPTHS,
    faces: Mapping[str, int] = FACES,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """How alike the maps of a network and of the same network with shuffled weights are.

    For the same label: Spearman's rank correlation of the two maps, signed, each map as the method makes it (of
    Grad-CAM: as coarse as the feature map). All maps of one shuffled network have much in common, so that shuffles
    are the sample, not faces: intervals are Student's over the shuffles. A map that is the same everywhere has no
    ranks; such pairs are left out and counted (flat).

    Args:
        classifier: The network, on torch; left as it is.
        crops: N faces of one size, H×W×3 or H×W (grey) uint8, N at least 2.
        methods: Names of `EXPLAINERS`.
        samples: Of LIME.
        seeds: Shuffles, at least 2.
        depths: Shares of the layers, 0 to 1, the last one 1. A method that is not in `faces` is tried with that only.
        faces: How many of the faces, evenly spread, by method; others: OTHERWISE.
        seed: Of the shuffles, and of LIME.
        progress: Show bars (only on a terminal).

    Returns:
        JSON values: n, seeds, samples, layers (how many there are), and by method: faces, map (height and width),
        depths (rows of share, layers, similarity, similarity_95, by_seed, flat: a share of the pairs; None where
        every map is flat), similarity (of the last row), and, of the network as it is: other_face and other_label,
        the similarity of the maps of two faces, and of two labels (the first and the second) of one face.

    Raises:
        ValueError: Fewer than two faces or shuffles, unknown methods, or depths that do not end in 1.
    """
    check(crops, methods)
    if seeds < 2 or not depths or depths[-1] != 1:
        raise ValueError(f"Got {seeds} seeds and depths {tuple(depths)}. Give 2 seeds or more, and depths up to 1.")
    first, second = classify(classifier, crops).argsort(1)[:, :-3:-1].T
    found = {}
    for method in methods:
        rows = evenly(len(crops), faces.get(method, OTHERWISE))
        maps = partial(_maps, method, [rgb(crops[row]) for row in rows], samples=samples, seed=seed)
        own = maps(classifier, first[rows])
        table = []
        for depth in depths if method in faces else depths[-1:]:
            what = f"{method}, {depth:.0%} of the layers shuffled"
            numbers = range(seed * seeds, (seed + 1) * seeds)
            bar = tqdm(numbers, desc=what, leave=False, disable=None if progress else True)
            twins = (shuffled(classifier, crops[:STATISTICS], depth, number) for number in bar)
            table.append(
                {"share": float(depth), "layers": count_of(classifier, depth)}
                | _described(np.array([_similarities(own, maps(twin, first[rows])) for twin in twins]))
            )
        found[method] = {
            "faces": len(rows),
            "map": list(own[0].shape),
            "depths": table,
            "similarity": table[-1]["similarity"],
            "other_face": _mean(_similarities(own, own[1:] + own[:1])),
            "other_label": _mean(_similarities(own, maps(classifier, second[rows]))),
        }
    return {"n": len(crops), "seeds": seeds, "samples": samples, "layers": count_of(classifier, 1), "methods": found}


def _maps(
    method: str, crops: Sequence[Image], network: TorchClassifier, targets: NDArray[Any], *, samples: int, seed: int
) -> list[Array]:
    """A map of each crop, as coarse as the method makes it."""
    explainer = EXPLAINERS[method]
    return [explainer(network, crop, int(target), samples, seed) for crop, target in zip(crops, targets, strict=True)]


def _similarities(maps: Sequence[Array], others: Sequence[Array]) -> list[float]:
    return [similarity(one, other) for one, other in zip(maps, others, strict=True)]


def similarity(one: Array, other: Array) -> float:
    """Spearman's rank correlation of two maps of one shape, -1 to 1; NaN where one of them is the same everywhere."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def _described(found: Floats) -> dict[str, Any]:
    """Similarities, shuffles×faces (NaN: flat), in figures."""
    by_seed = [_mean(row) for row in found]
    known = np.array([value for value in by_seed if value is not None])
    half = float(t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else None
    return {
        "similarity": (middle := _mean(known)),
        "similarity_95": None if middle is None or half is None else [round(middle - half, 4), round(middle + half, 4)],
        "by_seed": by_seed,
        "flat": round(float(np.isnan(found).mean()), 4),
    }


def _mean(values: Sequence[float] | Floats) -> float | None:
    """The mean of those that are not NaN; None where there are none."""
    known = [value for value in values if not np.isnan(value)]
    return round(float(np.mean(known)), 4) if known else None


def layers_of(module: Any) -> list[Any]:
    """Layers with weights of their own, from the input to the head (in the order in which they were made)."""
    return [layer for layer in module.modules() if next(layer.parameters(recurse=False), None) is not None]


def count_of(classifier: TorchClassifier, depth: float) -> int:
    """Layers in such a share; the last one at least."""
    return max(1, round(depth * len(layers_of(classifier.module))))


def shuffled(classifier: TorchClassifier, crops: Sequence[Image], depth: float, seed: int) -> TorchClassifier:
    """A copy, in whose last layers the numbers of each tensor have changed places.

    Batch norms among them learn mean and variance anew, from these crops: with those of the trained network the
    activations would grow or die out from layer to layer, and a map of zeros differs from every other for no good
    reason.

    Args:
        classifier: The network.
        crops: At least 2 faces.
        depth: Share of the layers, 0 to 1.
        seed: Of the shuffle.
    """
    import torch

    twin = copy.copy(classifier)
    twin.module = copy.deepcopy(classifier.module)
    generator = torch.Generator().manual_seed(seed)
    chosen = layers_of(twin.module)[-count_of(classifier, depth) :]
    with torch.no_grad():
        for layer in chosen:
            for tensor in layer.parameters(recurse=False):
                tensor.copy_(tensor.flatten()[torch.randperm(tensor.numel(), generator=generator)].view_as(tensor))
    norms = [layer for layer in chosen if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    if norms:
        twin.logits(crops)
    twin.module.eval()
    return twin
