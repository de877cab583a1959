"""fer_hub.cnns: the networks of the reports, their layers, sizes and export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from fer_hub.backbones import build
from fer_hub.cnns import PlainCnn, default_cfgs
from fer_hub.types import InputSpec
from train import export, measure, run_folder

PLAIN = [name for name in default_cfgs if name != "resnet18_grey"]
PARAMETERS = {
    "raw_pixel_cnn": 1_212_999,
    "traditional_cnn": 1_274_855,
    "vgg16_grey": 14_984_519,
    "deep_cnn": 7_050_055,
    "six_conv_cnn": 13_136_103,
    "resnet18_grey": 11_173_831,
}


def random_model(name: str) -> nn.Module:
    """Weights as files hold them, and a head wide enough for the logits to differ."""
    torch.manual_seed(0)
    model = build(name, 7)
    nn.init.normal_(model.get_classifier().weight, std=0.1)  # type: ignore[operator]
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    model.train()(torch.rand(4, 1, 64, 64))  # so that the norms hold the statistics of this batch
    model.load_state_dict(export.rounded(model.state_dict()))
    return model.eval()


def test_every_network_is_counted_here() -> None:
    assert PARAMETERS.keys() == default_cfgs.keys()


@pytest.mark.parametrize("name", PARAMETERS)
def test_networks_have_these_many_parameters(name: str) -> None:
    assert sum(p.numel() for p in build(name, 7).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", PLAIN)
def test_the_dense_layer_sees_the_feature_map_as_it_is_at_the_native_size(name: str) -> None:
    model = build(name, 7).eval()
    assert isinstance(model, PlainCnn)
    features = model.forward_features(torch.rand(1, *timm.get_pretrained_cfg(name).input_size))
    if name == "raw_pixel_cnn":
        assert features.shape[1:] == (256, 6, 6)  # averaged
    else:
        assert features[0].numel() == model.head[0].in_features


def test_vgg16_grey_has_the_convolutions_and_poolings_of_vgg16() -> None:
    def layers(network: nn.Module) -> list[object]:
        found = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.MaxPool2d))]
        return [module.out_channels if isinstance(module, nn.Conv2d) else "pool" for module in found]

    with torch.device("meta"):
        original = timm.create_model("vgg16").features
    assert layers(build("vgg16_grey", 7)) == layers(original)


def test_six_conv_cnn_has_the_layers_of_the_report() -> None:
    model = build("six_conv_cnn", 5)
    kinds = (nn.Conv2d, nn.MaxPool2d, nn.Dropout, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d)
    found = [module for module in model.modules() if isinstance(module, kinds)]
    names = {nn.MaxPool2d: "pool", nn.BatchNorm1d: "norm", nn.BatchNorm2d: "norm"}
    layers: list[object] = []
    for module in found:
        if isinstance(module, nn.Conv2d):
            assert module.kernel_size == (3, 3)
            layers.append(module.out_channels)
        elif isinstance(module, nn.Linear):
            layers.append((module.in_features, module.out_features))
        elif not isinstance(module, nn.Dropout):
            layers.append(names[type(module)])
        elif module.p:
            layers.append(module.p)
    convolutions = [32, 32, "pool", 64, 64, "pool", 0.3, 128, "pool", 128, "pool"]
    assert layers == [*convolutions, (25_088, 512), "norm", (512, 5)]
    assert model.drop_rate == 0.5


def test_resnet18_grey_is_resnet18_with_one_channel_and_dropout() -> None:
    grey, colour = build("resnet18_grey", 7), build("resnet18", 7)
    ours, theirs = ({k: v.shape for k, v in model.state_dict().items()} for model in (grey, colour))
    assert ours.pop("conv1.weight") == (64, 1, 7, 7)
    assert theirs.pop("conv1.weight") == (64, 3, 7, 7)
    assert ours == theirs
    assert (grey.drop_rate, colour.drop_rate) == (0.3, 0.0)


@pytest.mark.parametrize("name", PLAIN)
def test_dropout_acts_in_training_only(name: str) -> None:
    model = build(name, 7, {"drop_rate": 0.5})
    features = torch.rand(8, model.num_features)
    model.head = nn.Identity()
    model.grid = 1
    given = features[:, :, None, None]
    torch.testing.assert_close(model.eval().forward_head(given, pre_logits=True), features)
    dropped = model.train().forward_head(given, pre_logits=True)
    assert 0.4 < (dropped == 0).float().mean() < 0.6


@pytest.mark.parametrize(
    ("name", "side"),
    [("traditional_cnn", 48), ("deep_cnn", 96), ("six_conv_cnn", 100)],
)
def test_onnx_equals_torch_at_sizes_that_divide_and_that_do_not(name: str, side: int, tmp_path: Path) -> None:
    model, path = random_model(name), tmp_path / "model.onnx"
    export.write_onnx(model, InputSpec((side, side), 1, (0.5,), (0.5,)), {}, path)
    images = torch.rand(3, 1, side, side)
    (logits,) = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        None, {"pixel_values": images.numpy()}
    )
    with torch.no_grad():
        expected = model(images).numpy()
    assert np.ptp(expected, axis=0).max() > 1e-2  # the images are told apart
    np.testing.assert_allclose(logits, expected, atol=measure.PARITY)


@pytest.mark.parametrize("name", default_cfgs)
def test_timm_loads_a_model_folder_bit_for_bit(name: str, tmp_path: Path) -> None:
    model = random_model(name)
    size = [1, 64, 64]
    cfg = {"input_size": size, "mean": [0.5], "std": [0.5], "num_classes": 7, "classifier": "fc"}
    cfg["first_conv"] = model.pretrained_cfg["first_conv"]  # type: ignore[index]
    about = {"architecture": name, "num_classes": 7, "num_features": model.num_features}
    run_folder.write_json(tmp_path / "config.json", about | {"model_args": {"in_chans": 1}, "pretrained_cfg": cfg})
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, tmp_path / "model.safetensors")
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    images = torch.rand(2, *size)
    with torch.no_grad():
        assert torch.equal(loaded(images), model(images))
