"""train.emissions: grams of CO₂ where a country is named, on the result and on the card; nothing otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import toy_config
from huggingface_hub import ModelCard

from train import loop
from train.emissions import Meter


def test_without_a_country_nothing_is_counted(toy_run: Path) -> None:
    with Meter(None) as meter:
        assert meter.take() == 0
    assert json.loads((toy_run / "result.json").read_text(encoding="utf-8"))["emissions"] is None
    assert ModelCard.load(toy_run / "model" / "README.md").data.to_dict().get("co2_eq_emissions") is None


@pytest.mark.parametrize("country", ["TR", "XXX", "Turkey"])
def test_a_country_that_is_none_is_refused(country: str) -> None:
    with pytest.raises(ValueError, match=f"--emissions {country}: no such country. Give three letters"):
        Meter(country)


@pytest.mark.slow
def test_the_grams_of_a_run_stand_in_its_result_and_on_its_card(toy_csv: Path, tmp_path: Path) -> None:
    config = toy_config(tmp_path / "run", toy_csv, emissions="TUR")
    emissions = loop.train(config)["emissions"]
    assert emissions["source"] == "codecarbon"
    assert emissions["country"] == "TUR"
    assert 0 < emissions["grams"] < 10  # seconds of a CPU: milligrams
    card = ModelCard.load(config.out / "model" / "README.md")
    assert card.data.to_dict()["co2_eq_emissions"]["emissions"] == pytest.approx(emissions["grams"], rel=0.01)
