"""train.config refuses what no run can have, and records what defines one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from fer_hub.hub import ZOO
from train.config import PLACES, RunConfig, differing, to_json, weights_name

OUT = Path("/secret/home/runs/a")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("image_size", 15),
        ("first_size", 15),
        ("first_size", 97),
        ("lr", 0.0),
        ("lr", -1e-3),
        ("lr", float("nan")),
        ("label_smoothing", 1.0),
        ("label_smoothing", -0.1),
        ("ema", 1.0),
        ("ema", -0.5),
        ("warmup", 1.0),
        ("augment", -1.0),
        ("mixup", -0.1),
        ("checkpoint_every", 0),
    ],
)
def test_a_value_out_of_range_is_refused_by_the_name_of_its_flag(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"Out of range: --{field.replace('_', '-')} {value}"):
        RunConfig(out=OUT, **{field: value})  # type: ignore[arg-type]


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"--epochs 0, --lr -1"):
        RunConfig(out=OUT, epochs=0, lr=-1)


@pytest.mark.parametrize(
    "values", [{"epochs": 1, "batch_size": 2}, {"label_smoothing": 0.0, "ema": 0.0, "warmup": 0.0, "augment": 0.0}]
)
def test_values_at_the_edge_are_allowed(values: dict[str, float]) -> None:
    config = RunConfig(out=OUT, **values)  # type: ignore[arg-type]
    assert dataclasses.asdict(config).items() >= values.items()


def test_two_sources_of_initial_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="--init and --pretrained"):
        RunConfig(out=OUT, init=Path("a.safetensors"), pretrained=True)


def test_the_record_holds_no_path_of_the_machine() -> None:
    config = RunConfig(out=OUT, data=Path("/secret/data"), init=Path("/secret/weights/lite0.safetensors"))
    assert "secret" not in json.dumps(to_json(config))
    assert to_json(config)["init"] == "lite0.safetensors"


def test_the_record_holds_every_field_that_defines_the_run() -> None:
    fields = {field.name for field in dataclasses.fields(RunConfig)}
    assert to_json(RunConfig(out=OUT)).keys() == fields - {*PLACES, "data"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (None, None),
        (Path("/w/imagenet.safetensors"), "imagenet.safetensors"),
        (Path("/w/runs/first/model/model.safetensors"), "first/model"),
        (Path("model.safetensors"), "model.safetensors"),
        (Path("/w/runs/first"), "first/model"),
        (Path("/w/runs/first-0.5/model"), "first-0.5/model"),
        (Path("fer-lite0"), "fer-lite0"),
        (ZOO / "fer-lite0", "fer-lite0"),
        (ZOO / "fer-lite0" / "model.safetensors", "fer-lite0"),
    ],
)
def test_initial_weights_are_named_without_their_place(path: Path | None, name: str | None) -> None:
    assert weights_name(path) == name


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, []),
        ({"out": Path("/elsewhere"), "data": Path("/other"), "checkpoint_every": 7}, []),
        ({"lr": 1e-3}, ["lr"]),
        ({"epochs": 11, "seed": 1, "backbone": "resnet18"}, ["backbone", "epochs", "seed"]),
        ({"init": Path("/x/other.safetensors")}, ["init"]),
        ({"limit": 10}, ["limit"]),
    ],
)
def test_differing_names_the_fields_that_define_another_run(changes: dict[str, object], names: list[str]) -> None:
    config = RunConfig(out=OUT)
    saved = json.loads(json.dumps(to_json(config)))
    assert differing(dataclasses.replace(config, **changes), saved) == names  # type: ignore[arg-type]


def test_a_field_that_the_saved_config_lacks_had_its_default() -> None:
    saved = to_json(RunConfig(out=OUT))
    del saved["mixup"]
    assert differing(RunConfig(out=OUT), saved) == []
    assert differing(RunConfig(out=OUT, mixup=0.2), saved) == ["mixup"]
