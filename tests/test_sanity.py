"""train.evaluation.sanity and randomisation: a right map passes, a wrong one fails, a shuffled network is noticed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import toy_picture
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import bootstrap
from sklearn.metrics import auc

from fer_hub.classifier import TorchClassifier, classify, load_classifier
from fer_hub.explain import EXPLAINERS
from fer_hub.image import to_array
from fer_hub.types import InputSpec, ModelInfo
from train import data
from train.evaluation import randomisation, sanity, sanity_figures
from train.evaluation.randomisation import layers_of, shuffled, similarity
from train.evaluation.sanity import GRID, RANDOM, REFERENCES, STEPS, curves, faithfulness, in_blocks, moved

Image = NDArray[np.uint8]
METHODS = ("grad-cam", "lime", "occlusion")
CORNER = (slice(0, 24), slice(0, 24))


class Corner:
    """A model that looks at the contrast in the upper left quarter, and at nothing else."""

    info = ModelInfo("corner", Path(), "none", ("happy", "sad"), InputSpec((48, 48), 1, (0.5,), (0.5,)))

    def logits(self, crops: Any) -> NDArray[np.float32]:
        contrast = [np.asarray(crop, np.float64)[CORNER].std() for crop in crops]
        return np.array([[value / 12 - 3, 0] for value in contrast], np.float32)


def true_map(*_: Any) -> NDArray[np.float32]:
    heat = np.zeros((48, 48), np.float32)
    heat[CORNER] = 1
    return heat


def smooth_noise(_: Any, crop: Image, *__: Any) -> NDArray[np.float32]:
    """A map that knows nothing, another one for each face."""
    return np.random.default_rng(int(crop.sum())).random((4, 4), np.float32)


MAPS: dict[str, Callable[..., NDArray[np.float32]]] = {
    "true": true_map,
    "wrong": lambda *_: -true_map(),
    "noise": smooth_noise,
    "nothing": lambda *_: np.zeros((3, 3), np.float32),
}


@pytest.fixture(scope="module")
def faces() -> list[Image]:
    return list(np.random.default_rng(0).integers(0, 256, (24, 48, 48), dtype=np.uint8))


@pytest.fixture(scope="module")
def toy_maps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, explainer in MAPS.items():
            patch.setitem(EXPLAINERS, name, explainer)
        yield


@pytest.fixture(scope="module")
def found(faces: list[Image], toy_maps: None) -> dict[str, Any]:
    return faithfulness(Corner(), faces, tuple(MAPS), draws=4)


@pytest.mark.parametrize("kind", ["deletion", "insertion"])
@pytest.mark.parametrize(("method", "sign"), [("true", 1), ("wrong", -1)])
def test_a_true_map_beats_the_random_orders_and_an_inverted_one_loses(
    found: dict[str, Any], kind: str, method: str, sign: int
) -> None:
    for name in RANDOM:
        against = found["methods"][method][kind]["references"][name]
        assert sign * against["gain"] > 0.1, name
        assert min(sign * edge for edge in against["gain_95"]) > 0.05
        assert against["better"] == pytest.approx((1 + sign) / 2, abs=0.13)


@pytest.mark.parametrize("kind", ["deletion", "insertion"])
@pytest.mark.parametrize(("method", "reference"), [("nothing", "blocks"), ("noise", "moved"), ("noise", "other face")])
def test_a_map_that_knows_nothing_is_as_good_as_random(
    found: dict[str, Any], kind: str, method: str, reference: str
) -> None:
    against = found["methods"][method][kind]["references"][reference]
    low, high = against["gain_95"]
    assert low <= 0 <= high
    assert abs(against["gain"]) < 0.05


def test_a_map_that_is_right_for_every_face_is_no_better_than_that_of_another_face(found: dict[str, Any]) -> None:
    for kind in found["methods"]["true"].values():  # only the order of equal blocks differs
        assert abs(kind["references"]["other face"]["gain"]) < 0.01


def test_areas_are_those_of_scikit_learn(found: dict[str, Any]) -> None:
    for kinds in found["methods"].values():
        for kind in kinds.values():
            for row in (kind, *kind["references"].values()):
                assert len(row["curve"]) == len(found["shares"]) == STEPS + 1
                assert row["auc"] == pytest.approx(auc(found["shares"], row["curve"]), abs=1e-5)


def test_gains_are_differences_of_areas_and_the_hardest_reference_has_the_smallest(found: dict[str, Any]) -> None:
    for kinds in found["methods"].values():
        for name, sign in (("deletion", -1), ("insertion", 1)):
            kind = kinds[name]
            assert set(kind["references"]) == set(REFERENCES)
            for row in kind["references"].values():
                assert row["gain"] == pytest.approx(sign * (kind["auc"] - row["auc"]), abs=1e-5)
                assert row["gain_95"][0] <= row["gain"] <= row["gain_95"][1]
            assert kind["references"][kind["hardest"]]["gain"] == min(kind["references"][n]["gain"] for n in RANDOM)


def test_the_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(1).normal(0.1, 0.3, 80)
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=9999).confidence_interval
    assert sanity.mean_95(values) == pytest.approx([theirs.low, theirs.high], abs=0.01)


def test_curves_begin_and_end_with_the_whole_face_and_nothing(found: dict[str, Any], faces: list[Image]) -> None:
    whole = classify(Corner(), faces).max(1).mean()
    for kinds in found["methods"].values():
        for row in (kinds["deletion"], *kinds["deletion"]["references"].values()):
            assert row["curve"][0] == pytest.approx(whole, abs=1e-5)
            assert row["curve"][-1] == pytest.approx(classify(Corner(), [faces[0] * 0]).min(), abs=1e-5)
        assert kinds["insertion"]["curve"][-1] == pytest.approx(whole, abs=1e-5)
        assert kinds["insertion"]["curve"][0] < 0.5


@pytest.mark.parametrize("shape", [(48, 48), (48, 48, 3), (60, 84, 3)])
def test_each_step_takes_the_highest_blocks(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    face = rng.integers(0, 256, shape, dtype=np.uint8)
    heat = rng.permutation(GRID**2).reshape(1, GRID, GRID).astype(float)
    model = Corner()
    result = curves(model, face, 0, heat, rng)[0]
    height, width = shape[0] // GRID, shape[1] // GRID
    for step in range(STEPS + 1):
        covered = face.copy()
        for at in np.argsort(-heat.ravel())[: step * GRID**2 // STEPS]:
            top, left = at // GRID * height, at % GRID * width
            covered[top : top + height, left : left + width] = round(float(face.mean()))
        assert result[0, step] == pytest.approx(classify(model, [covered])[0, 0], abs=1e-6), step


def test_equal_blocks_are_taken_in_an_order_that_the_seed_decides(faces: list[Image]) -> None:
    flat = np.zeros((1, GRID, GRID))
    one, same, other = (curves(Corner(), faces[0], 0, flat, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_blocks_are_means() -> None:
    heat = np.random.default_rng(3).uniform(-1, 1, (48, 48)).astype(np.float32)
    expected = heat.reshape(GRID, 4, GRID, 4).mean((1, 3))
    np.testing.assert_allclose(in_blocks(heat), expected, atol=1e-5)


def test_a_moved_map_is_as_smooth_as_before_and_elsewhere() -> None:
    y, x = np.mgrid[:GRID, :GRID]
    heat = np.exp(-((y - 3.0) ** 2 + (x - 2.0) ** 2) / 8)
    rng = np.random.default_rng(4)
    steepest = max(np.abs(np.diff(heat, axis=axis)).max() for axis in (0, 1))
    tops = set()
    for _ in range(200):
        other = moved(heat, rng)
        assert np.isin(other, heat).all()
        assert max(np.abs(np.diff(other, axis=axis)).max() for axis in (0, 1)) <= steepest
        tops.add(int(other.argmax()))
    assert len(tops) > 60


def test_seeds_reproduce(faces: list[Image], toy_maps: None) -> None:
    one, same, other = (faithfulness(Corner(), faces[:4], ["true"], seed=seed) for seed in (5, 5, 6))
    assert one == same
    assert one["methods"] != other["methods"]
    assert json.loads(json.dumps(one)) == one


@pytest.mark.parametrize(
    ("count", "methods", "message"),
    [(1, ["occlusion"], r"Got 1 faces.*Give at least 2"), (4, ["lyme"], r"Unknown method 'lyme'\. Known: grad-cam")],
)
def test_what_cannot_be_compared_is_refused(faces: list[Image], count: int, methods: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        faithfulness(Corner(), faces[:count], methods)


# ── randomisation ────────────────────────────────────────────────────────────────────────────────────────────────────


class Bands(torch.nn.Module):
    """A network of five layers with a feature map of 12×12."""

    def __init__(self) -> None:
        super().__init__()
        norms = [torch.nn.BatchNorm2d(8), torch.nn.BatchNorm2d(16)]
        convs = [torch.nn.Conv2d(1, 8, 5, 2, 2, bias=False), torch.nn.Conv2d(8, 16, 5, 2, 2, bias=False)]
        self.body = torch.nn.Sequential(convs[0], norms[0], torch.nn.ReLU(), convs[1], norms[1], torch.nn.ReLU())
        self.rows = torch.nn.Parameter(torch.randn(1, 16, 12, 1))
        self.fc = torch.nn.Linear(16, 7)

    def forward_features(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.body(pixels) * self.rows  # where a band lies, decides

    def forward_head(self, features: torch.Tensor) -> torch.Tensor:
        return self.fc(features.mean((2, 3)))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(pixels))


class Toy(TorchClassifier):
    """Trained for a second to tell the height of a band."""

    info = ModelInfo("toy", Path(), "bands", tuple("abcdefg"), InputSpec((48, 48), 1, (0.5,), (0.25,)))

    def __init__(self, crops: list[Image], truth: list[int]) -> None:
        torch.manual_seed(0)
        self._torch, self.module = torch, Bands()
        pixels, labels = torch.from_numpy(to_array(crops, self.info.input)), torch.tensor(truth)
        optimiser = torch.optim.Adam(self.module.parameters(), 0.02)
        for _ in range(30):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(self.module(pixels), labels).backward()
            optimiser.step()
        self.module.eval()


@pytest.fixture(scope="module")
def toy_faces() -> list[Image]:
    rng = np.random.default_rng(7)
    return [toy_picture(i % 7, rng) for i in range(42)]


@pytest.fixture(scope="module")
def toy(toy_faces: list[Image]) -> TorchClassifier:
    return Toy(toy_faces, [i % 7 for i in range(42)])


def test_a_copy_that_is_not_shuffled_makes_the_same_maps(
    toy: TorchClassifier, toy_faces: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    def copied(classifier: TorchClassifier, *_: Any) -> TorchClassifier:
        twin = copy.copy(classifier)
        twin.module = copy.deepcopy(classifier.module)
        return twin

    monkeypatch.setattr(randomisation, "shuffled", copied)
    result = randomisation.randomisation(toy, toy_faces, METHODS, samples=30, seeds=2, depths=(1,))
    for method in METHODS:
        assert result["methods"][method]["similarity"] == 1, method
        assert result["methods"][method]["depths"][-1]["by_seed"] == [1, 1]


def test_shuffled_weights_make_other_maps(toy: TorchClassifier, toy_faces: list[Image]) -> None:
    result = randomisation.randomisation(toy, toy_faces, ["grad-cam", "occlusion"], seeds=4, depths=(0, 1))
    cascade, occlusion = (result["methods"][name] for name in ("grad-cam", "occlusion"))
    assert cascade["similarity"] < 0.3
    assert occlusion["similarity"] < 0.3
    assert [row["layers"] for row in cascade["depths"]] == [1, result["layers"]]
    assert [row["share"] for row in occlusion["depths"]] == [1]
    assert (cascade["faces"], occlusion["faces"]) == (24, randomisation.OTHERWISE)
    for row in cascade["depths"]:
        assert row["similarity_95"][0] <= row["similarity"] <= row["similarity_95"][1]
        assert len(row["by_seed"]) == 4
    assert json.loads(json.dumps(result)) == result


def test_the_same_seed_shuffles_alike(toy: TorchClassifier, toy_faces: list[Image]) -> None:
    crops = toy_faces[:6]
    one, same, other = (
        randomisation.randomisation(toy, crops, ["grad-cam"], seeds=2, depths=(1,), seed=seed) for seed in (0, 0, 1)
    )
    assert one == same
    assert one["methods"]["grad-cam"]["depths"] != other["methods"]["grad-cam"]["depths"]


def test_tensors_keep_their_numbers_and_the_model_its_weights(toy: TorchClassifier, toy_faces: list[Image]) -> None:
    before = {name: tensor.clone() for name, tensor in toy.module.state_dict().items()}
    twin = shuffled(toy, toy_faces, 1.0, 0)
    changed = 0
    for (name, own), other in zip(toy.module.named_parameters(), twin.module.parameters(), strict=True):
        torch.testing.assert_close(own.flatten().sort().values, other.flatten().sort().values, rtol=0, atol=0)
        changed += not torch.equal(own, other)
        torch.testing.assert_close(own, before[name], rtol=0, atol=0)
    for name, tensor in toy.module.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert changed >= len(layers_of(toy.module))
    assert not any(layer.training for layer in twin.module.modules())


def test_the_last_layer_is_shuffled_first(toy: TorchClassifier, toy_faces: list[Image]) -> None:
    twin = shuffled(toy, toy_faces, 0.0, 0)
    differ = {
        name
        for (name, own), other in zip(toy.module.state_dict().items(), twin.module.state_dict().values(), strict=True)
        if not torch.equal(own, other)
    }
    assert differ == {"fc.weight", "fc.bias"}


def test_activations_neither_die_nor_grow_in_a_shuffled_network(toy: TorchClassifier, toy_faces: list[Image]) -> None:
    pixels = torch.from_numpy(to_array(toy_faces, toy.info.input))
    for seed in range(4):
        twin = shuffled(toy, toy_faces, 1.0, seed)
        with torch.no_grad():
            spread = twin.module.forward_features(pixels).std(0).mean()
            whole = toy.module.forward_features(pixels).std(0).mean()
        assert 0.1 < spread / whole < 10
        assert classify(twin, toy_faces).std(0).max() > 1e-3


def test_similarity_is_a_signed_rank_correlation() -> None:
    one = np.arange(9, dtype=np.float32).reshape(3, 3)
    assert similarity(one, one**3) == pytest.approx(1)
    assert similarity(one, -one) == pytest.approx(-1)
    assert np.isnan(similarity(one, one * 0))


def test_flat_maps_are_counted_and_left_out() -> None:
    row = randomisation._described(np.array([[0.5, np.nan], [0.1, 0.3], [np.nan, np.nan]]))
    assert row["by_seed"] == [0.5, 0.2, None]
    assert row["similarity"] == 0.35
    assert row["flat"] == 0.5


@pytest.mark.parametrize(("seeds", "depths"), [(1, (1,)), (2, ()), (2, (0, 0.5))])
def test_too_few_shuffles_are_refused(
    toy: TorchClassifier, toy_faces: list[Image], seeds: int, depths: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match="Give 2 seeds or more, and depths up to 1"):
        randomisation.randomisation(toy, toy_faces, METHODS, seeds=seeds, depths=depths)


# ── figures, and the embedded model ──────────────────────────────────────────────────────────────────────────────────


def texts(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(lambda each: hasattr(each, "get_text")))


def test_figures_show_every_method_and_every_curve(found: dict[str, Any]) -> None:
    figure = sanity_figures.curves(found)
    for axes, kind in zip(figure.axes, ["deletion"] * len(MAPS) + ["insertion"] * len(MAPS), strict=True):
        method = axes.get_title().split(":")[0]
        expected = found["methods"][method][kind]
        drawn = [line.get_ydata() for line in axes.lines]
        assert [list(each) for each in drawn] == [
            expected["curve"],
            *(r["curve"] for r in expected["references"].values()),
        ]
    assert "24 faces" in texts(figure)
    assert all(f"{share:.0%}" in texts(sanity_figures.gains(found)) for share in (0, 1))


def test_the_figure_of_similarities_shows_each_shuffle(toy: TorchClassifier, toy_faces: list[Image]) -> None:
    result = randomisation.randomisation(toy, toy_faces, ["grad-cam", "occlusion"], seeds=3, depths=(0, 1))
    left, right = sanity_figures.similarities(result).axes
    means = [1, *(row["similarity"] for row in result["methods"]["grad-cam"]["depths"])]
    assert means in [list(line.get_ydata()) for line in left.lines]
    for row in result["methods"].values():
        assert row["depths"][-1]["by_seed"] in [list(line.get_ydata()) for line in right.lines]


@pytest.mark.slow
def test_maps_of_the_embedded_model_are_better_than_maps_in_a_wrong_place(fer2013_dir: Path) -> None:
    test = data.load("official", fer2013_dir).test
    crops = list(test.images[data.evenly(len(test), 24)])
    result = faithfulness(load_classifier(threads=2), crops, ["grad-cam", "occlusion"])
    for kind in ("deletion", "insertion"):
        assert result["methods"]["grad-cam"][kind]["references"]["moved"]["gain"] > 0
        for name in RANDOM:  # Grad-CAM's map, 3×3, is too coarse to cover as quickly as scattered blocks do
            assert result["methods"]["occlusion"][kind]["references"][name]["gain"] > 0.05
