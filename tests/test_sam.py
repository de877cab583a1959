"""train.sam: the gradient is taken where the weights climbed to, and everything else is as without it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from conftest import toy_config
from safetensors.torch import load_file
from torch import nn

from fer_hub.backbones import build
from train import figures, loop, sam, start
from train.config import RunConfig
from train.run_folder import Interrupted

RADIUS = 0.3


def loss_of(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (model(x).squeeze(1) - y).square().mean()


def test_a_step_is_the_one_written_by_hand() -> None:
    torch.manual_seed(0)
    model, x, y = nn.Linear(3, 1).double(), torch.randn(5, 3).double(), torch.randn(5).double()
    w, b = model.weight[0].detach().clone(), model.bias[0].detach().clone()

    def slope(w: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        error = x @ w + b - y
        return 2 * error @ x / len(y), 2 * error.mean()

    gw, gb = slope(w, b)
    norm = (gw.square().sum() + gb.square()).sqrt()
    wanted_w, wanted_b = slope(w + RADIUS * gw / norm, b + RADIUS * gb / norm)

    loss_of(model, x, y).backward()
    with sam.climbed(model, RADIUS):
        assert model.weight.grad is None
        loss_of(model, x, y).backward()
    assert model.weight.grad is not None and model.bias.grad is not None
    torch.testing.assert_close(model.weight.grad[0], wanted_w)
    torch.testing.assert_close(model.bias.grad[0], wanted_b)
    assert not torch.allclose(wanted_w, gw)


def test_the_weights_are_afterwards_exactly_what_they_were_also_when_the_step_fails() -> None:
    model = build("timm:test_resnet", 7)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    model(torch.randn(4, 3, 48, 48)).square().mean().backward()
    with pytest.raises(KeyError), sam.climbed(model, RADIUS):
        apart = sum(float((weight - before[name]).detach().square().sum()) for name, weight in model.named_parameters())
        assert apart**0.5 == pytest.approx(RADIUS, rel=1e-4)
        raise KeyError
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_a_gradient_of_nothing_moves_nothing() -> None:
    model = nn.Linear(2, 1)
    (model(torch.ones(1, 2)) * 0).sum().backward()
    before = model.weight.detach().clone()
    with sam.climbed(model, RADIUS):
        assert torch.equal(model.weight, before)


@pytest.mark.parametrize("backbone", ["timm:test_resnet", "tf_efficientnet_lite0", "deep_cnn"])
def test_the_statistics_of_batch_norm_move_once(backbone: str) -> None:
    model = build(backbone, 7).train()
    x = torch.randn(4, 3 if backbone != "deep_cnn" else 1, 48, 48)
    model(x).square().mean().backward()
    after_one = {name: buffer.clone() for name, buffer in model.named_buffers()}
    assert any(name.endswith("running_mean") and buffer.abs().sum() for name, buffer in after_one.items())
    with sam.climbed(model, RADIUS):
        inside = model(x)
    assert all(torch.equal(buffer, after_one[name]) for name, buffer in model.named_buffers())
    model(x + 1)
    assert not all(torch.equal(buffer, after_one[name]) for name, buffer in model.named_buffers())
    assert not torch.allclose(inside, model.eval()(x), atol=1e-3)  # the batch's own statistics were used


def test_a_run_differs_from_one_without_it_and_broken_off_ends_the_same(
    toy_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "draw", lambda *_: None)  # takes longer than training here
    monkeypatch.setattr(figures, "draw_run", lambda *_: None)

    def config(name: str, radius: float) -> RunConfig:
        changes = {"sam": radius, "drop_rate": 0.3, "checkpoint_every": 1, "trial": True, "epochs": 1}
        return toy_config(tmp_path / name, toy_csv, **changes)

    plain, whole, broken = config("plain", 0.0), config("whole", 0.1), config("broken", 0.1)
    results = [loop.train(each) for each in (plain, whole)]
    for _ in range(3):
        with pytest.raises(Interrupted):
            loop.train(broken, deadline=time.monotonic())
    assert loop.train(broken)["validation"] == results[1]["validation"]
    weights = [load_file(each.out / "best.safetensors") for each in (plain, whole, broken)]
    assert all(torch.equal(weights[1][name], weights[2][name]) for name in weights[1])
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    rows = [json.loads((each.out / "metrics.jsonl").read_text().splitlines()[0]) for each in (plain, whole)]
    assert rows[0]["train_loss"] != rows[1]["train_loss"]


def test_half_precision_with_scaled_gradients_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--sam 0\.05 cannot take the scaled gradients of --precision fp16"):
        RunConfig(out=Path("run"), sam=0.05, precision="fp16")


@pytest.mark.parametrize("radius", [-0.1, float("nan"), float("inf")])
def test_a_radius_that_none_can_be_is_refused(radius: float) -> None:
    with pytest.raises(ValueError, match="Out of range: --sam"):
        RunConfig(out=Path("run"), sam=radius)
