"""train.recipes: what a report states is what its runs do."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.config import RunConfig, to_json
from train.recipes import RECIPES, recipe, recipes_of

STATED = {
    "report-1": {"epochs": 30, "batch_size": 64},
    "report-2": {"optimizer": "adam", "lr": 1e-3, "batch_size": 64, "epochs": 60, "schedule": "plateau"},
    "report-3": {"optimizer": "adam", "lr": 1e-3, "batch_size": 64, "epochs": 45, "schedule": "plateau"},
    "report-5": {
        "optimizer": "adamw",
        "lr": 1e-4,
        "weight_decay": 1e-4,
        "schedule": "plateau",
        "plateau_factor": 0.1,
        "plateau_patience": 3,
        "epochs": 50,
        "batch_size": 64,
        "patience": 12,
    },
}
VARIED = {
    "report-1": {"rotate", "zoom", "shift", "flip", "brightness", "contrast"},
    "report-2": {"rotate", "flip", "brightness", "contrast"},
    "report-3": {"rotate", "shift", "flip"},
    "report-5": set(),
}


@pytest.mark.parametrize("name", STATED)
def test_a_reports_recipe_has_what_the_report_states(name: str) -> None:
    assert {key: RECIPES[name][key] for key in STATED[name]} == STATED[name]


@pytest.mark.parametrize("name", VARIED)
def test_images_are_varied_as_the_report_says_and_in_no_other_way(name: str) -> None:
    ways = {"rotate", "zoom", "shift", "flip", "brightness", "contrast", "erase", "mixup"}
    assert {way for way in ways if RECIPES[name][way]} == VARIED[name]


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "ours"])
def test_what_no_report_mentions_is_off(name: str) -> None:
    off = ("label_smoothing", "ema", "clip", "warmup", "drop_path_rate", "erase", "mixup")
    assert {key: RECIPES[name][key] for key in off} == dict.fromkeys(off, 0)
    assert RECIPES[name]["drop_rate"] is None


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_is_recognised_by_its_recipe(name: str) -> None:
    saved = to_json(RunConfig(out=Path("run"), **(RECIPES[name] | {"epochs": 3, "backbone": "resnet18"})))
    assert name in recipes_of(saved)
    assert ("ours" in recipes_of(saved)) == (name == "ours")
    assert recipes_of(saved | {"lr": 0.5}) == ()


def test_an_unknown_recipe_is_named_with_the_known() -> None:
    with pytest.raises(ValueError, match=r"Unknown recipe 'mine'\. Known: report .*, ours, report-1"):
        recipe("mine")
