"""train.inherit: initial weights for a backbone out of another one's; python -m train inherit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file, save_model
from torch import nn

from fer_hub.backbones import build, head_weights, load_initial
from train.__main__ import main
from train.inherit import selected, thinned, untouched

WIDE, NARROW = "mobilenetv3_small_100", "timm:mobilenetv3_small_050"


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "wide.safetensors"
    save_model(build(WIDE, 1000), str(path))
    return path


def inherit(source: Path | str, theirs: str, ours: str, out: Path) -> int:
    return main(["inherit", str(source), "--source-backbone", theirs, "--backbone", ours, "--out", str(out)])


@pytest.mark.parametrize(
    ("given", "shape", "kept"),
    [
        (torch.arange(6), (6,), [0, 1, 2, 3, 4, 5]),
        (torch.arange(6), (3,), [0, 2, 4]),
        (torch.arange(5), (3,), [0, 1, 3]),
        (torch.arange(8).reshape(2, 4), (1, 2), [[0, 2]]),
        (torch.arange(25).reshape(1, 1, 5, 5), (1, 1, 3, 3), [[[[6, 7, 8], [11, 12, 13], [16, 17, 18]]]]),
        (torch.tensor(7), (), 7),
    ],
    ids=["all", "every other", "uneven", "output and input channels", "the middle of a filter", "a number"],
)
def test_evenly_spaced_channels_and_the_middle_of_filters_are_kept(
    given: torch.Tensor, shape: tuple[int, ...], kept: list[int]
) -> None:
    assert thinned(given, torch.Size(shape)).tolist() == kept


def test_a_network_of_the_same_sizes_computes_the_same_features() -> None:
    torch.manual_seed(0)
    donor, heir = build(WIDE, 7).eval(), build(WIDE, 7).eval()
    heir.load_state_dict(selected(donor, heir), strict=False)
    image = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(heir.forward_features(image), donor.forward_features(image))  # type: ignore[operator]


def numbered(model: nn.Module, axis: Callable[[torch.Tensor], int]) -> nn.Module:
    """The model, every weight the number of its channel along an axis."""
    weights = {}
    for name, weight in model.state_dict().items():
        shape = [1] * weight.ndim
        if shape:
            shape[axis(weight)] = -1
            weight = torch.arange(weight.shape[axis(weight)]).reshape(shape).expand_as(weight)
        weights[name] = weight.contiguous()
    model.load_state_dict(weights)
    return model


def test_a_layer_takes_in_those_channels_that_the_one_before_hands_on() -> None:
    heir = build(NARROW, 7)
    out = selected(numbered(build(WIDE, 7), lambda _: 0), heir)
    taken_in = selected(numbered(build(WIDE, 7), lambda weight: min(1, weight.ndim - 1)), heir)
    block = "blocks.2.1"
    expanded = out[f"{block}.conv_pw.weight"][:, 0, 0, 0].tolist()
    assert len(expanded) < build(WIDE, 7).get_submodule(f"{block}.conv_pw").out_channels
    for name in ("bn1.weight", "bn1.running_var", "bn2.bias"):
        assert out[f"{block}.{name}"].tolist() == expanded
    assert out[f"{block}.conv_dw.weight"][:, 0, 0, 0].tolist() == expanded
    assert taken_in[f"{block}.se.conv_reduce.weight"][0, :, 0, 0].tolist() == expanded
    assert taken_in[f"{block}.conv_pwl.weight"][0, :, 0, 0].tolist() == expanded
    before = out["blocks.2.0.conv_pwl.weight"][:, 0, 0, 0].tolist()
    assert taken_in[f"{block}.conv_pw.weight"][0, :, 0, 0].tolist() == before == out["blocks.2.0.bn3.weight"].tolist()


def test_a_layer_of_the_same_name_but_another_kind_is_left_as_it_begins_and_so_is_what_is_larger() -> None:
    donor, heir = build("tf_efficientnet_lite0", 7), build("mobilenetv3_large_100", 7)
    chosen = selected(donor, heir)
    assert {"blocks.6.0.bn1.weight"} <= donor.state_dict().keys() & heir.state_dict().keys() - chosen.keys()
    assert not {"conv_head.weight", "classifier.weight"} & chosen.keys()
    assert "conv_stem.weight" in chosen  # a Conv2d here, one with other padding there
    left = untouched(heir.state_dict().keys() - head_weights(heir), chosen.keys())
    assert {"blocks.2.2", "blocks.6", "blocks.4.0.se", "conv_head"} <= set(left)
    assert not any(name.startswith("blocks.6.") for name in left)


def test_the_command_writes_a_file_that_a_run_can_begin_with(
    wide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "weights" / "mobilenetv3_small_050.safetensors"
    assert inherit(wide, WIDE, NARROW, out) == 0
    printed = capsys.readouterr().out
    model = build(NARROW, 7)
    report = load_initial(model, out)
    assert report == {"missing": sorted(head_weights(model)), "unexpected": []}
    stem = load_file(wide)["conv_stem.weight"]
    assert torch.equal(model.state_dict()["conv_stem.weight"], thinned(stem, load_file(out)["conv_stem.weight"].shape))
    assert "100% of the weights" in printed
    assert "left as they begin: none" in printed
    with safe_open(out, "pt") as file:
        assert file.metadata() == {"source": "wide.safetensors", "method": "weight selection"}
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_what_the_file_lacks_is_not_taken_from_the_random_weights_in_its_place(
    wide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = {name: weight for name, weight in load_file(wide).items() if not name.startswith("blocks.4.")}
    save_file(part, tmp_path / "part.safetensors")
    assert inherit(tmp_path / "part.safetensors", WIDE, NARROW, tmp_path / "out.safetensors") == 0
    assert "left as they begin: blocks.4\n" in capsys.readouterr().out
    assert not [name for name in load_file(tmp_path / "out.safetensors") if name.startswith("blocks.4.")]


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        (WIDE, "vgg16", f"{WIDE} has no layer that vgg16 could take weights from. Give another --source-backbone"),
        ("resnet18", NARROW, "Give weights of the same backbone"),
        ("resnet81", NARROW, "Unknown backbone 'resnet81'. Known: tf_efficientnet_lite0"),
        (WIDE, "vgg61", "Unknown backbone 'vgg61'"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(
    wide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], theirs: str, ours: str, said: str
) -> None:
    assert inherit(wide, theirs, ours, tmp_path / "out.safetensors") == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inherit(tmp_path / "gone.safetensors", WIDE, NARROW, tmp_path / "out.safetensors") == 2
    assert "gone.safetensors: there is no such weights file" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["fer-lite0", "toy"])
def test_weights_that_a_run_left_are_refused_for_what_they_have_seen_would_be_forgotten(
    toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    given = toy_run if source == "toy" else source
    assert inherit(given, "tf_efficientnet_lite0", "mobilenetv3_large_100", tmp_path / "out.safetensors") == 2
    assert "was left by a run" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
