from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_models as tiny
from PIL import Image as PILImage

from fer_hub.cli import main
from fer_hub.listing import describe

FIGURES = ("p50", "p95", "n", "ratio")


def bench(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What it prints, for very few calls."""
    assert main(["bench", "--frames", "2", *arguments]) == 0
    return capsys.readouterr().out


def test_every_model_and_variant_has_a_row_for_each_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = str(tiny.network(tmp_path / "small"))
    found = json.loads(bench(capsys, "--model", "fer-lite0", "--model", small, "--threads", "1", "--json"))
    assert list(found) == ["machine", "classifiers", "detector", "stream"]
    assert found["machine"]["threads"] == 1
    assert found["machine"]["cpu"]
    assert found["machine"]["onnxruntime"]
    models = [("fer-lite0", variant) for variant in describe("fer-lite0")["onnx_mb"]] + [(small, "fp32")]
    rows = found["classifiers"]
    assert [(row["model"], row["variant"], row["batch"]) for row in rows] == [
        (*model, batch) for batch in (1, 8) for model in models
    ]
    assert [row["what"] for row in found["detector"]] == ["detect", "refine"]
    assert [row["what"] for row in found["stream"]] == [
        f"{name}: {what}" for name in ("fer-lite0", small) for what in ("detect in every frame", "track")
    ]
    for row in [*rows, *found["detector"], *found["stream"]]:
        assert all(row[name] > 0 for name in FIGURES)
        assert row["n"] == 2
    for first in (rows[0], rows[len(models)], found["detector"][0], found["stream"][0]):
        assert first["ratio"] == 1
    for row in rows:
        assert row["faces_per_s"] == pytest.approx(row["batch"] * 1000 / row["p50"], rel=0.1)


def test_the_last_stage_alone_is_faster_than_the_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--frames", "10", "--json"]) == 0
    _, refine = json.loads(capsys.readouterr().out)["detector"]
    assert refine["ratio"] > 2


def test_tables_for_people_name_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    text = bench(capsys)
    assert "ONNX Runtime" in text.splitlines()[0]
    for title in ("Classifiers", "Detector, 640×480", "From frame to labels"):
        assert f"\n{title}" in text
    header, first, *_ = text.partition("Classifiers")[2].splitlines()[1:]
    assert header.split() == ["model", "variant", "batch", "p50", "p95", "n", "faces_per_s", "ratio"]
    assert first.split()[:3] == ["fer-lite0", "fp32", "1"]


def test_a_lone_file_is_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fer_hub.hub import VARIANTS, find_model

    file = str(find_model() / VARIANTS["int8"])
    rows = json.loads(bench(capsys, "--model", file, "--json"))["classifiers"]
    assert [(row["model"], row["variant"]) for row in rows] == [(file, "file")] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "0"], "--frames is 0"),
        (["--threads", "-1"], "--threads is -1"),
        (["--model", "gone"], "no model 'gone'"),
        (["--image", "gone.jpg"], "no such file"),
        (["--image", "{black}"], "No face was found"),
    ],
)
def test_wrong_options_are_one_sentence(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PILImage.new("RGB", (64, 64)).save(tmp_path / "black.png")
    assert main(["bench", *(word.format(black=tmp_path / "black.png") for word in arguments)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
