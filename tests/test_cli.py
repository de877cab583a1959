from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_models as tiny

from fer_hub import Recognizer, hub
from fer_hub.cli import main
from fer_hub.hub import find_model, read_info, zoo_models

PHOTO = Path(__file__).parents[1] / "fer_hub" / "assets" / "examples" / "astronaut.jpg"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a photo, one with a space in its name, one in a subfolder, a text file, a broken photo."""
    (tmp_path / "more").mkdir()
    for name in ("a.jpg", "b c.JPG", "more/d.jpg"):
        shutil.copy(PHOTO, tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "empty").mkdir()
    return tmp_path


def rows(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_has_every_promised_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(PHOTO), "--json"]) == 0
    (row,) = rows(capsys.readouterr().out)
    assert list(row) == ["path", "width", "height", "ms", "faces"]
    assert (row["width"], row["height"]) == (512, 512)
    (face,) = row["faces"]
    assert list(face) == ["box", "score", "points", "label", "confidence", "scores"]
    assert len(face["box"]) == 4
    assert [len(point) for point in face["points"]] == [2] * 5
    assert face["label"] == "happy"
    assert sum(face["scores"].values()) == pytest.approx(1, abs=1e-4)


def test_text_for_people_names_the_label(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(PHOTO)]) == 0
    out = capsys.readouterr().out
    assert "1 face (" in out
    assert "happy" in out


def test_a_folder_is_searched_and_a_broken_file_does_not_stop_the_rest(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(photos / "empty"), str(photos), "--json"]) == 1
    captured = capsys.readouterr()
    assert [Path(str(row["path"])).name for row in rows(captured.out)] == ["a.jpg", "b c.JPG", "d.jpg"]
    assert captured.err.startswith("error: ")
    assert "broken.png" in captured.err
    assert captured.err.count("\n") == 2


def test_globs_are_expanded(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(photos / "**" / "*.jpg"), "--json"]) == 0
    assert len(rows(capsys.readouterr().out)) == 2


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["predict", "gone.jpg"], 1, "no such file"),
        (["predict", "*.gone"], 1, "matches no file"),
        (["predict", "{empty}"], 1, "holds no image"),
        (["predict", str(PHOTO), "--model", "no-such"], 2, "There is no model 'no-such'"),
        (["predict", str(PHOTO), "--model", "a/b", "--offline"], 2, "is not in the cache"),
        (["predict", str(PHOTO), "--min-face-size", "0"], 2, "min_face_size is 0"),
        (["predict", str(PHOTO), "--labels", "basic-6"], 2, "Unknown label 'basic-6'"),
        (["predict", str(PHOTO), "--labels", "contempt"], 2, "None of the labels contempt"),
        (["explain", str(PHOTO), "--labels", "basic-5", "--target", "neutral"], 2, "does not know 'neutral'"),
        (["predict", str(PHOTO), "--model", "fer-lite0", "--model", "no-such"], 2, "There is no model 'no-such'"),
    ],
)
def test_wrong_input_is_one_sentence_and_a_status(
    arguments: list[str], status: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([a.format(empty=tmp_path) for a in arguments]) == status
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_no_face_is_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image as PILImage

    PILImage.new("RGB", (64, 64)).save(tmp_path / "black.png")
    assert main(["predict", str(tmp_path / "black.png"), "--json"]) == 0
    assert rows(capsys.readouterr().out)[0]["faces"] == []


def test_the_whole_image_can_be_the_face(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(PHOTO), "--whole-image", "--json"]) == 0
    (face,) = rows(capsys.readouterr().out)[0]["faces"]
    assert face["box"] is None


def test_models_lists_the_zoo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    listed = rows(capsys.readouterr().out)
    assert [row["name"] for row in listed] == zoo_models()
    assert all(0 < row["accuracy"] < 1 for row in listed)
    assert all(row["onnx_mb"]["fp32"] < 10 for row in listed if not row["members"])
    assert main(["models"]) == 0
    assert "test accuracy" in capsys.readouterr().out


def scores(captured: str) -> dict[str, float]:
    (row,) = rows(captured)
    return row["faces"][0]["scores"]


def test_labels_are_asked_for_and_what_is_lost_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    main(["predict", str(PHOTO), "--json"])
    own = scores(capsys.readouterr().out)
    assert main(["predict", str(PHOTO), "--json", "--labels", "basic-5"]) == 0
    captured = capsys.readouterr()
    kept = {label: own[label] for label in ("angry", "fear", "happy", "sad", "surprise")}
    assert scores(captured.out) == pytest.approx({k: v / sum(kept.values()) for k, v in kept.items()}, abs=1e-5)
    assert captured.err.startswith("note: fer-lite0: 'disgust' and 'neutral' are lost: ")
    assert captured.err.count("\n") == 1


def test_a_label_that_the_model_does_not_know_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(PHOTO), "--json", "--labels", "Joy,contempt"]) == 0
    captured = capsys.readouterr()
    assert scores(captured.out) == {"happy": 1, "contempt": 0}
    assert captured.err.startswith("warning: fer-lite0 as happy, contempt: 'angry', ")
    assert captured.err.endswith("'contempt' is never predicted: the model does not know it.\n")
    assert captured.err.count("\n") == 1


def test_several_models_are_averaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info = read_info(find_model())
    frame = {"scale": info.margin.scale, "shift_x": info.margin.shift_x, "shift_y": info.margin.shift_y}
    model = str(tiny.network(tmp_path / "tiny", face_margin=frame))
    found = []
    for models in (["fer-lite0"], [model], ["fer-lite0", model]):
        assert main(["predict", str(PHOTO), "--json", *(word for name in models for word in ("--model", name))]) == 0
        found.append(scores(capsys.readouterr().out))
    one, two, both = found
    assert both == pytest.approx({label: (one[label] + two[label]) / 2 for label in one}, abs=1e-5)
    assert abs(one["happy"] - two["happy"]) > 0.01


@pytest.mark.parametrize("views", ["flip", "tencrop"])
def test_views_change_the_probabilities(views: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["predict", str(PHOTO), "--json"])
    main(["predict", str(PHOTO), "--json", "--views", views])
    own, asked = (row["faces"][0] for row in rows(capsys.readouterr().out))
    assert own["box"] == asked["box"]
    assert own["scores"] != asked["scores"]


def test_a_picture_explains_a_model_with_views_and_other_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "why.png"
    arguments = ["--labels", "basic-5", "--views", "flip", "--target", "joy", "--out", str(out)]
    assert main(["explain", str(PHOTO), *arguments]) == 0
    captured = capsys.readouterr()
    assert "face 1: happy" in captured.out
    assert "are lost" in captured.err
    assert out.stat().st_size > 1000


def test_models_lists_an_ensemble_with_its_members_and_their_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"fp32": 1_000_000, "int8": 250_000}
    for name in ("one", "two"):
        folder = tiny.network(tmp_path / "zoo" / name)
        measured = {"variants": {kind: {"published": True, "bytes": size} for kind, size in sizes.items()}}
        (folder / "onnx" / "variants.json").write_text(json.dumps(measured))
    test = {"test": {"accuracy": 0.5, "n": 10}}
    tiny.ensemble(tmp_path / "zoo" / "whole", ["one", "../two"], views="flip", metrics=test)
    tiny.ensemble(tmp_path / "zoo" / "x-broken", ["../gone"])
    monkeypatch.setattr(hub, "ZOO", tmp_path / "zoo")
    assert main(["models", "--json"]) == 1
    captured = capsys.readouterr()
    *_, whole = rows(captured.out)
    assert (whole["name"], whole["members"], whole["views"]) == ("whole", ["one", "../two"], "flip")
    assert whole["onnx_mb"] == {"fp32": 2, "int8": 0.5}
    assert "gone" in captured.err
    main(["models"])
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "one: tiny, 1×8×8, fp32 1.0 MB, int8 0.25 MB, test accuracy not measured",
        "two: tiny, 1×8×8, fp32 1.0 MB, int8 0.25 MB, test accuracy not measured",
        "whole: ensemble of one, ../two, views flip, 1×8×8, fp32 2.0 MB, int8 0.5 MB, test accuracy 50.00% of 10",
    ]


@pytest.mark.parametrize("command", [["predict"], ["explain"], ["explain", "--method", "lime"]])
def test_control_c_is_no_traceback(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Recognizer, "faces", stopped)
    assert main([*command, str(PHOTO)]) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_a_reader_that_goes_away_ends_the_command_as_a_closed_pipe_ends_others_and_nothing_is_said(
    photos: Path,
) -> None:
    predict = f'"{sys.executable}" -m fer_hub.cli predict "{photos}" "{photos}" --json'
    script = f'{predict} | head -n 1; echo "${{PIPESTATUS[0]}}"'
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    line, status = result.stdout.splitlines()
    assert len(rows(line)) == 1
    assert status == "141"
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr
