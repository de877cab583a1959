from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fer_hub.cli import main
from fer_hub.hub import zoo_models

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
    assert all(0 < row["accuracy"] < 1 and row["onnx_mb"]["fp32"] < 10 for row in listed)
    assert main(["models"]) == 0
    assert "test accuracy" in capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_error(photos: Path) -> None:
    command = f'"{sys.executable}" -m fer_hub.cli predict "{photos}" "{photos}" --json | head -n 1'
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert len(rows(result.stdout)) == 1
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr
