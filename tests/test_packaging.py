"""The built wheel in a fresh environment: the core alone, without torch or gradio."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from fer_hub.hub import zoo_models

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--sdist", "-o", out, ROOT], check=True, timeout=300)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def fresh_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", wheel], check=True, timeout=300)
    return python


@pytest.mark.slow
def test_the_wheel_ships_fer_hub_with_its_assets_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"fer_hub"}
    for wanted in (
        "fer_hub/py.typed",
        "fer_hub/assets/mtcnn/onet.onnx",
        "fer_hub/assets/mtcnn/LICENSE",
        *(f"fer_hub/zoo/{name}/{file}" for name in zoo_models() for file in ("config.json", "onnx/model.onnx")),
    ):
        assert wanted in names
    with tarfile.open(next(wheel.parent.glob("*.tar.gz"))) as source:
        assert not any("/train/" in name or name.endswith(".parquet") for name in source.getnames())


@pytest.mark.slow
def test_the_core_works_without_torch_gradio_or_datasets(fresh_python: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, fer_hub\n"
        "print([n for n in ('torch', 'gradio', 'datasets', 'timm', 'sklearn', 'matplotlib') if u.find_spec(n)])\n"
        "try:\n    fer_hub.load_model\nexcept ImportError as error:\n    print(error)\n"
        "try:\n    fer_hub.Recognizer.from_pretrained(runtime='torch')\nexcept fer_hub.ModelError as error:\n"
        "    print(error)\n"
    )
    lines = subprocess.run(
        [fresh_python, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path
    ).stdout.splitlines()
    assert lines[0] == "[]"
    assert all('pip install "fer_hub[torch]"' in line for line in lines[1:])
    assert len(lines) == 3


@pytest.mark.slow
def test_the_installed_command_finds_the_happy_astronaut(fresh_python: Path, tmp_path: Path) -> None:
    photo = ROOT / "fer_hub" / "assets" / "examples" / "astronaut.jpg"
    command = [fresh_python.with_name("fer-hub"), "predict", photo, "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    (face,) = json.loads(done.stdout)["faces"]
    assert face["label"] == "happy"


@pytest.mark.slow
def test_the_core_explains_by_occlusion_and_names_what_other_methods_need(fresh_python: Path, tmp_path: Path) -> None:
    command = [fresh_python.with_name("fer-hub"), "explain", ROOT / "fer_hub" / "assets" / "examples" / "astronaut.jpg"]
    done = {
        method: subprocess.run(
            [*command, "--method", method], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        for method in ("occlusion", "grad-cam", "lime")
    }
    assert {method: each.returncode for method, each in done.items()} == {"occlusion": 0, "grad-cam": 2, "lime": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["astronaut-occlusion.png"]
    for method in ("grad-cam", "lime"):
        assert "pip install 'fer_hub[explain]'" in done[method].stderr
        assert "Traceback" not in done[method].stderr
