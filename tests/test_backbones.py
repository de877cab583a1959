"""fer_hub.backbones: every network of the registry is built, loaded and described alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import timm
import torch
from conftest import toy_config
from safetensors.torch import save_file
from torch import nn

from fer_hub.backbones import BACKBONES, build, load_initial, load_model, normalisation
from fer_hub.hub import DEFAULT_MODEL, ZOO
from fer_hub.types import ModelError
from train import network

GREY = [name for name, cfg in BACKBONES.items() if len(cfg["mean"]) == 1]
LARGE = {"vgg16", "legacy_xception", "resnet50"}
"""Only their shapes are worked out: hundreds of megabytes, from code of timm."""
SIDE = 64


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_gives_logits_and_features(name: str) -> None:
    with torch.device("meta" if name in LARGE else "cpu"):
        model = build(name, 7).eval()
        images = torch.rand(2, len(BACKBONES[name]["mean"]), SIDE, SIDE)
    with torch.no_grad():
        features = model.forward_features(images)  # type: ignore[operator]
        logits = model(images)
        head = model.forward_head(features)  # type: ignore[operator]
    assert logits.shape == head.shape == (2, 7)
    assert features.ndim == 4
    if name not in LARGE:
        torch.testing.assert_close(head, logits)


@pytest.mark.parametrize("name", [name for name in BACKBONES if name not in LARGE])
def test_the_head_is_small_and_takes_another_number_of_labels(name: str) -> None:
    model = build(name, 7)
    head = model.get_classifier()  # type: ignore[operator]
    assert 0.005 < head.weight.std() < 0.02
    assert not head.bias.any()
    model.reset_classifier(5)  # type: ignore[operator]
    assert model.eval()(torch.rand(1, len(BACKBONES[name]["mean"]), SIDE, SIDE)).shape == (1, 5)


@pytest.mark.parametrize("name", [name for name in BACKBONES if name not in GREY])
def test_normalisation_is_that_of_timms_weights(name: str) -> None:
    cfg = timm.get_pretrained_cfg(name)
    assert normalisation(name) == (cfg.mean, cfg.std)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "resnet19"}, r"timm .* knows no 'resnet19'\. Try pip install"),
        ({"architecture": "hf-hub:somebody/pickled"}, "knows no 'hf-hub:somebody/pickled'"),
        ({"architecture": 18}, "knows no 18"),
        ({"model_args": ["in_chans"]}, r"model_args is \['in_chans'\]; allowed are"),
        ({"model_args": {"pretrained": True, "pretrained_cfg_overlay": {"url": "x.pth"}}}, "only shape the network"),
        ({"model_args": {"checkpoint_path": "x.pth"}}, "only shape the network"),
        ({"model_args": {"no_such": 1}}, r"describes no tf_efficientnet_lite0 \(.*no_such"),
    ],
)
def test_a_config_that_describes_no_network_or_reaches_for_other_files_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    shutil.copytree(ZOO / DEFAULT_MODEL, tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("name", ["resnet19", "timm:resnet19", "timm:", ""])
def test_an_unknown_backbone_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"Unknown backbone .* Known: tf_efficientnet_lite0, .*, and timm:<any"):
        build(name, 7)


def weights_of(model: nn.Module, path: Path) -> Path:
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    return path


@pytest.mark.parametrize(("given", "wanted"), [(3, 1), (1, 3)])
def test_the_first_convolution_is_fitted_to_the_channels(tmp_path: Path, given: int, wanted: int) -> None:
    donor = build("timm:test_resnet", 7, {"in_chans": given}).eval()
    model = build("timm:test_resnet", 7, {"in_chans": wanted}).eval()
    report = load_initial(model, weights_of(donor, tmp_path / "donor.safetensors"))
    assert report == {"missing": [], "unexpected": []}
    grey = torch.rand(2, 1, 48, 48)
    with torch.no_grad():
        ours, theirs = (net(grey.expand(-1, n, -1, -1)) for net, n in ((model, wanted), (donor, given)))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_resnet18s_weights_serve_the_grey_one(tmp_path: Path) -> None:
    donor, model = build("resnet18", 5), build("resnet18_grey", 7)
    report = load_initial(model, weights_of(donor, tmp_path / "resnet18.safetensors"))
    assert report == {"missing": ["fc.bias", "fc.weight"], "unexpected": []}
    torch.testing.assert_close(model.conv1.weight, donor.conv1.weight.sum(1, keepdim=True))


def test_timms_own_weights_of_resnet18_serve_the_grey_one(tmp_path: Path) -> None:
    donor = timm.create_model("resnet18")
    file = {"file": str(weights_of(donor, tmp_path / "resnet18.safetensors"))}  # as if fetched from the Hub
    model = build("resnet18_grey", 7, {"pretrained": True, "pretrained_cfg_overlay": file})
    torch.testing.assert_close(model.conv1.weight, donor.conv1.weight.sum(1, keepdim=True))
    torch.testing.assert_close(model.layer4[1].conv2.weight, donor.layer4[1].conv2.weight)
    ids = {name: timm.get_pretrained_cfg(name).hf_hub_id for name in ("resnet18", "resnet18_grey")}
    assert ids["resnet18"] == ids["resnet18_grey"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1.0.weight": torch.zeros(16, 2, 3, 3)}, r"\(16, 2, 3, 3\), the model wants \(16, 3, 3, 3\)"),
        ({"conv1.0.weight": torch.zeros(8, 1, 3, 3)}, r"\(8, 3, 3, 3\), the model wants \(16, 3, 3, 3\)"),
        ({"bn1.weight": torch.zeros(3)}, r"bn1\.weight has shape \(3,\), the model wants \(32,\)"),
    ],
)
def test_any_other_wrong_shape_is_an_error_with_both_shapes(
    tmp_path: Path, change: dict[str, torch.Tensor], message: str
) -> None:
    model = build("timm:test_resnet", 7)
    path = tmp_path / "wrong.safetensors"
    save_file({k: v.contiguous() for k, v in (model.state_dict() | change).items()}, path)
    with pytest.raises(ModelError, match=message):
        load_initial(model, path)


@pytest.mark.parametrize("name", ["raw_pixel_cnn", "timm:test_resnet", "timm:test_vit"])
@pytest.mark.parametrize("drop_rate", [None, 0.4])
def test_a_network_gets_those_arguments_that_it_takes(tmp_path: Path, name: str, drop_rate: float | None) -> None:
    changes = {"backbone": name, "drop_rate": drop_rate, "drop_path_rate": 0.3}
    model, report = network.make_model(toy_config(tmp_path, tmp_path, **changes), 7)
    own = {"raw_pixel_cnn": 0.25}.get(name, 0.0)
    found = model.head_drop.p if name == "timm:test_vit" else model.drop_rate  # type: ignore[union-attr]
    assert found == (own if drop_rate is None else drop_rate)
    assert any(getattr(m, "drop_prob", 0) for m in model.modules()) == (name != "raw_pixel_cnn")
    assert report == {"missing": [], "unexpected": []}


def test_a_backbone_without_pretrained_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"timm's weights for deep_cnn cannot be had \(No pretrained weights exist"):
        network.make_model(toy_config(tmp_path, tmp_path, backbone="deep_cnn", pretrained=True), 7)
