"""fer_hub.explain and fer_hub.cam: the maps are those of the libraries, of the right face, and the same every time."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from fer_hub import ModelError, Recognizer, cam
from fer_hub.backbones import build, normalisation
from fer_hub.classifier import TorchClassifier, load_classifier
from fer_hub.cli import main
from fer_hub.explain import AGAINST, EXPLAINERS, FOR, Explanation, explain
from fer_hub.hub import ZOO, zoo_models
from fer_hub.image import crop, read, to_array

PHOTO = Path(__file__).parents[1] / "fer_hub" / "assets" / "examples" / "astronaut.jpg"
LAST = {
    "resnet18": ("layer4", 96),
    "legacy_xception": ("act4", 96),
    "tf_efficientnet_lite0": ("bn2", 96),
    "efficientnet_b0": ("bn2", 64),
    "mobilenetv3_small_100": ("blocks", 64),
    "raw_pixel_cnn": ("blocks", 48),
    "six_conv_cnn": ("blocks", 224),
}
"""Where each network's last map comes from, as pytorch-grad-cam must be told; and an input side."""


class Untrained(TorchClassifier):
    """A network with random weights, as one that was loaded."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        self.module: Any = build(name, 7).eval()
        torch.nn.init.normal_(self.module.get_classifier().weight)


@pytest.fixture(scope="module")
def face() -> NDArray[np.uint8]:
    image, recognizer = read(PHOTO), Recognizer.from_pretrained()
    return crop(image, recognizer.detector.detect(image)[0], recognizer.info.margin)


@pytest.fixture(scope="module")
def model() -> Any:
    return load_classifier(threads=2)


@pytest.mark.parametrize("name", LAST)
def test_grad_cam_is_that_of_pytorch_grad_cam(name: str) -> None:
    classifier, (layer, side) = Untrained(name), LAST[name]
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(1, len(normalisation(name)[0]), side, side, generator=generator)
    theirs = GradCAM(classifier.module, [getattr(classifier.module, layer)])
    compared = 0
    for target in range(7):
        ours = cam.by_gradient(classifier, pixels.numpy(), target)
        expected = theirs(input_tensor=pixels, targets=[ClassifierOutputTarget(target)])[0]
        grown = np.asarray(Image.fromarray(ours).resize((side, side), Image.Resampling.BILINEAR))
        if expected.std() > 1e-3:  # a map that is flat correlates with nothing
            compared += 1
            assert np.corrcoef(grown.ravel(), expected.ravel())[0, 1] >= 0.99, target
    assert compared >= 3


def test_the_onnx_file_alone_gives_the_map_of_the_gradients(model: Any, face: NDArray[np.uint8]) -> None:
    pixels = to_array([face], model.info.input)
    head = cam.head_of(model.info.path / "onnx" / "model.onnx")
    torch_side = load_classifier(runtime="torch")
    assert isinstance(torch_side, TorchClassifier)
    for target in range(7):
        expected = cam.by_gradient(torch_side, pixels, target)
        np.testing.assert_allclose(cam.exactly(head, pixels, target), expected, atol=1e-5)
    assert expected.max() > 0


@pytest.mark.parametrize("file", ["onnx/model.onnx", "model.safetensors"])
def test_the_map_of_a_model_that_was_exported_again_is_not_that_of_the_old_one(tmp_path: Path, file: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    kept: list[Any] = []
    for name in zoo_models():
        for each in ("config.json", file):
            shutil.copy(ZOO / name / each, tmp_path / each)
        kept += [cam.head_of(path) if path.suffix == ".onnx" else cam._torch(tmp_path)] * 2
    first, same, other, again = kept
    assert first is same is not other is again


def test_a_head_of_several_layers_is_left_to_torch(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    network = build("raw_pixel_cnn", 7).eval()
    torch.onnx.export(network, (torch.zeros(1, 1, 48, 48),), path, dynamo=True, verbose=False)
    with pytest.raises(cam.Inexact, match="does not see an average"):
        cam.head_of(path)


def test_a_network_without_a_feature_map_is_told_what_applies() -> None:
    classifier = Untrained("resnet18")
    classifier.module = timm.create_model("test_vit", num_classes=7).eval()
    classifier.info = load_classifier().info
    with pytest.raises(ModelError, match=r"not in a feature map .* Use occlusion or lime"):
        cam.by_gradient(classifier, np.zeros((1, 3, 160, 160), np.float32), 0)


@pytest.mark.parametrize("method", EXPLAINERS)
def test_a_map_covers_the_face_and_is_the_same_every_time(model: Any, face: NDArray[np.uint8], method: str) -> None:
    one, two = (explain(model, face, method, samples=120, seed=3) for _ in range(2))
    assert one.heat.shape == face.shape[:2]
    assert one.heat.dtype == np.float32
    assert np.abs(one.heat).max() == pytest.approx(1)
    assert one.heat.std() > 0.05
    np.testing.assert_array_equal(one.heat, two.heat)
    assert (one.label, one.method) == ("happy", method)
    assert one.probability > 0.5


def test_lime_follows_its_seed(model: Any, face: NDArray[np.uint8]) -> None:
    one, two = (explain(model, face, "lime", samples=60, seed=seed).heat for seed in (0, 1))
    assert not np.array_equal(one, two)


def test_lime_on_a_thousand_pictures_takes_seconds(model: Any, face: NDArray[np.uint8]) -> None:
    start = time.perf_counter()
    explain(model, face, "lime", samples=1000)
    assert time.perf_counter() - start < 30  # five on two free cores; a busy machine is no failure


def test_each_label_has_its_own_map_and_probability(model: Any, face: NDArray[np.uint8]) -> None:
    found = [explain(model, face, "grad-cam", label) for label in model.info.labels]
    assert sum(each.probability for each in found) == pytest.approx(1)
    assert len({each.heat.tobytes() for each in found}) > 3
    assert explain(model, face, "grad-cam", "Happiness").label == "happy"


class Spot:
    """A model that sees one corner only, and how lively it is there."""

    def __init__(self, info: Any) -> None:
        self.info = info

    def logits(self, crops: Any) -> NDArray[np.float32]:
        pixels = to_array(crops, self.info.input)
        lively = pixels[:, :, :24, :24].std((1, 2, 3))
        return np.stack([lively * 4, *[np.zeros_like(lively)] * 6], axis=1).astype(np.float32)


@pytest.mark.parametrize("method", ["lime", "occlusion"])
def test_the_place_on_which_the_answer_hangs_is_found(model: Any, method: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 1), np.uint8).repeat(3, axis=2)
    found = explain(Spot(model.info), picture, method, "angry", samples=300)
    inside, outside = found.heat[4:20, 4:20], found.heat[40:, 40:]
    assert inside.mean() > 0.4
    assert np.abs(outside).mean() < 0.15


def test_what_speaks_for_a_label_is_orange_and_what_speaks_against_it_blue() -> None:
    heat = np.array([[1, -1], [0, 0]], np.float32)
    shown = Explanation("lime", "happy", 0.5, heat, np.full((2, 2, 3), 100, np.uint8)).overlay(strength=1)
    assert tuple(shown[0, 0]) == FOR
    assert tuple(shown[0, 1]) == AGAINST
    assert tuple(shown[1, 1]) == (100, 100, 100)


@pytest.mark.parametrize("method", EXPLAINERS)
def test_a_large_picture_is_explained_as_a_smaller_one(
    model: Any, face: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Occlusion alone makes 196 copies: of a photo of 12 megapixels, 7 GB."""
    large = np.asarray(Image.fromarray(face).resize((1600, 1200)))
    found = explain(model, large, method, samples=20)
    assert found.crop.shape == (384, 512, 3)
    assert found.heat.shape == (384, 512)
    assert np.abs(found.crop.astype(int) - np.asarray(Image.fromarray(large).resize((512, 384)))).mean() < 2


@pytest.mark.parametrize("samples", [-5, 0, 1])
def test_too_few_samples_are_refused(model: Any, face: NDArray[np.uint8], samples: int) -> None:
    with pytest.raises(ValueError, match=f"{samples} samples are too few; 2 or more are allowed"):
        explain(model, face, "lime", samples=samples)
    assert explain(model, face, "lime", samples=2).heat.shape == face.shape[:2]


@pytest.mark.parametrize(
    ("method", "target", "message"),
    [
        ("saliency", None, "Unknown method 'saliency'. Known: grad-cam, lime, occlusion"),
        ("lime", "bored", "Unknown label 'bored'"),
        ("lime", "contempt", "does not know 'contempt'. Its labels: angry, disgust"),
    ],
)
def test_what_cannot_be_explained_is_said(
    model: Any, face: NDArray[np.uint8], method: str, target: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        explain(model, face, method, target)


def test_without_lime_the_message_names_the_extra(
    model: Any, face: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lime.lime_image", None)
    with pytest.raises(ModelError, match=r"lime needs lime\.lime_image.*pip install 'fer_hub\[explain\]'"):
        explain(model, face, "lime")


def test_the_command_writes_a_picture_and_says_which_label(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["explain", str(PHOTO), "--method", "occlusion"]) == 0
    assert "face 1: happy" in capsys.readouterr().out
    assert np.asarray(Image.open("astronaut-occlusion.png")).shape == (240, 480, 3)
    assert main(["explain", str(PHOTO), "--target", "sad", "--whole-image", "--out", "why.png"]) == 0
    assert "face 1: sad" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["astronaut-occlusion.png", "why.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.jpg"], "there is no such file"),
        (["{blank}"], "no face was found. Add --whole-image"),
        ([str(PHOTO), "--target", "bored"], "Unknown label 'bored'"),
        ([str(PHOTO), "--out", "why.txt"], "give a file that ends in"),
        ([str(PHOTO), "--out", "no/such/why.png"], "cannot be written"),
    ],
)
def test_wrong_input_of_the_command_is_one_sentence(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blank = tmp_path / "blank.png"
    Image.new("RGB", (80, 80)).save(blank)
    assert main(["explain", *(text.format(blank=blank) for text in arguments)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert len(said.splitlines()) == 1
