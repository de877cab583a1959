"""train.optim: the learning rate is what the schedules' names promise, and survives an interruption."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from train.config import RunConfig
from train.optim import OPTIMIZERS, SCHEDULES, Schedule, make_optimizer

LOSSES = [1.0, 0.9, 0.95, 0.94, 0.93, 0.92, 0.91, 0.9, 0.9, 0.5, 0.50001, 0.6, 0.6, 0.6, 0.4]


def config(**changes: object) -> RunConfig:
    values: dict[str, object] = {"lr": 0.1, "warmup": 0.0, "weight_decay": 0.3}
    return RunConfig(out=Path("run"), **(values | changes))  # type: ignore[arg-type]


def make(steps: int = 100, **changes: object) -> tuple[Schedule, torch.optim.Optimizer]:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = make_optimizer(config(**changes), model)
    return Schedule(config(**changes), optimizer, steps), optimizer


def rates(schedule: Schedule, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        schedule.step()
    return found


def test_cosine_rises_over_the_warm_up_and_falls_to_nothing_as_torchs_does() -> None:
    found = rates(*make(steps=100, schedule="cosine", warmup=0.1), 101)
    assert found[:10] == pytest.approx([0.01 * (i + 1) for i in range(10)])
    reference = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(reference, T_max=90)
    for rate in found[10:]:
        assert rate == pytest.approx(reference.param_groups[0]["lr"], abs=1e-9)
        reference.step()
        cosine.step()


def test_constant_stays() -> None:
    assert set(rates(*make(schedule="constant"), 50)) == {0.1}


@pytest.mark.parametrize(("factor", "patience"), [(0.1, 3), (0.5, 1), (0.75, 0)])
def test_plateau_falls_when_torchs_does(factor: float, patience: int) -> None:
    schedule, optimizer = make(schedule="plateau", plateau_factor=factor, plateau_patience=patience)
    reference = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(reference, factor=factor, patience=patience)
    seen = set()
    for loss in LOSSES:
        schedule.end_epoch(loss)
        plateau.step(loss)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(reference.param_groups[0]["lr"])
        seen.add(round(optimizer.param_groups[0]["lr"], 9))
    assert len(seen) > 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_goes_on_where_it_stood(name: str) -> None:
    first, optimizer = make(schedule=name, warmup=0.2, plateau_patience=1)
    for loss in LOSSES:
        rates(first, optimizer, 3)
        first.end_epoch(loss)
    second, other = make(schedule=name, warmup=0.2, plateau_patience=1)
    second.load_state_dict(first.state_dict())
    assert second.lr == first.lr == other.param_groups[0]["lr"]
    assert rates(second, other, 30) == rates(first, optimizer, 30)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimiser_learns_and_does_not_decay_biases_and_norms(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Linear(5, 1)
    optimizer = make_optimizer(config(optimizer=name, lr=0.05, weight_decay=0.0), model)
    inputs, wanted = torch.randn(64, 5), torch.randn(64, 1)
    losses = []
    for _ in range(60):
        loss = (model(inputs) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert math.isfinite(losses[-1])
    assert losses[-1] < 0.95 * losses[0]
    decayed = {len(group["params"]): group["weight_decay"] for group in make(optimizer=name)[1].param_groups}
    assert decayed == {3: 0.0, 1: 0.3}  # bias and the norm's two vectors; the one matrix


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adamW"}, r"Unknown optimizer 'adamW'. Known: adamw, adam, sgd"),
        ({"schedule": "step"}, r"Unknown schedule 'step'. Known: cosine, plateau, constant"),
    ],
)
def test_unknown_names_list_the_known_ones(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)
