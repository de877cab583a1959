"""publish space: the app as a Space, assembled, uploaded, and run as it is in an environment of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio
import pytest
from gradio_client import Client, handle_file
from hub_server import HubServer
from huggingface_hub import RepoCard
from published import client

from fer_hub.explain import EXPLAINERS
from fer_hub.hub import ZOO
from train.publishing import space
from train.publishing.errors import PublishError
from train.publishing.space import PublishSpaceConfig, assemble, publish_space, upload_space, write

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "fer_hub" / "assets" / "examples" / "astronaut.jpg"
MODEL = {name: (ZOO / "fer-lite0" / name).read_bytes() for name in ("config.json", "onnx/model.onnx")}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.put("me/x", MODEL)
        yield server


def upload(hub: HubServer, *models: str, **options: Any) -> Any:
    return upload_space(PublishSpaceConfig("me/demo", models, **options), client(hub))


def test_a_space_holds_the_app_the_library_with_its_models_and_nothing_else() -> None:
    files = assemble("Faces")
    assert {path.split("/")[0] for path in files} == {
        "app.py",
        "fer_hub",
        "LICENSE",
        "README.md",
        "requirements.txt",
        "models.txt",
    }
    assert {"fer_hub/faces.py", "fer_hub/zoo/fer-lite0/onnx/model.onnx", "fer_hub/assets/mtcnn/onet.onnx"} <= set(files)
    assert not [path for path in files if "__pycache__" in path or path.endswith(".pyc")]
    assert files["models.txt"] == b""


def test_where_the_checkout_lies_leaves_nothing_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(assemble("Faces"))
    (tmp_path / "fer_hub.old").symlink_to(ROOT)
    monkeypatch.setattr(space, "ROOT", tmp_path / "fer_hub.old")
    assert set(assemble("Faces")) == before


def test_its_requirements_are_those_of_the_core_and_the_app() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = bytes(assemble("Faces")["requirements.txt"]).decode().splitlines()  # type: ignore[arg-type]
    extras = project["optional-dependencies"]
    assert extras["app"][0] == "fer_hub[explain,video]"  # what its tabs need: no torch
    assert lines == project["dependencies"] + extras["explain"] + extras["video"] + extras["app"][1:]


def test_its_readme_tells_the_hub_what_to_run_and_to_preload() -> None:
    text = bytes(assemble("Faces", ("me/x", "fer-lite0"))["README.md"]).decode()  # type: ignore[arg-type]
    card = RepoCard(text)
    said = card.data.to_dict()
    expected = {
        "title": "Faces",
        "sdk": "gradio",
        "sdk_version": gradio.__version__,
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "app_file": "app.py",
        "license": "apache-2.0",
        "models": ["me/x"],
        "preload_from_hub": ["me/x config.json,onnx/model.onnx"],
    }
    assert expected.items() <= said.items()
    assert "fer-hub" in said["tags"]
    assert len(said["short_description"]) <= 60
    for line in ("[me/x](", "`fer-lite0`: comes with the app"):
        assert line in card.content


@pytest.mark.parametrize("model", ["no-such", "a/b/c", "./folder"])
def test_a_space_offers_models_of_the_hub_only(model: str) -> None:
    with pytest.raises(ValueError, match=f"--models {re.escape(model)}: a Space offers models of the Hub"):
        assemble("Faces", (model,))


def test_a_space_is_uploaded_in_one_commit_and_only_what_changed_is_sent_again(hub: HubServer) -> None:
    upload(hub, private=True)
    repo = hub.repos["space", "me/demo"]
    files = repo.files()
    wanted = assemble("fer_hub: facial expressions")
    assert {path: data if isinstance(data, bytes) else data.read_bytes() for path, data in wanted.items()} == {
        path: data for path, data in files.items() if path != ".gitattributes"
    }
    assert repo.private
    assert repo.sdk == "gradio"
    assert len(repo.commits) == 2
    hub.put("me/demo", {"fer_hub/old.py": b""}, repo_type="space")
    assert sorted(upload(hub, "me/x").changes) == [["README.md", "models.txt"], ["fer_hub/old.py"]]
    assert repo.files()["models.txt"] == b"me/x\n"
    assert not any(upload(hub, "me/x").changes)


def test_a_foreign_space_and_a_model_without_onnx_are_refused(hub: HubServer) -> None:
    hub.put("me/bare", {"config.json": b"{}"})
    hub.put("me/demo", {"main.py": b"theirs"}, repo_type="space")
    with pytest.raises(PublishError) as error:
        upload(hub, "me/bare", "me/gone")
    for said in ("--force", "me/bare has no onnx/model.onnx on the Hub", "me/gone has no config.json, onnx/model.onnx"):
        assert said in str(error.value)
    assert set(hub.repos["space", "me/demo"].files()) == {".gitattributes", "README.md", "main.py"}


def test_a_dry_run_of_a_space_sends_nothing(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert upload(hub, "me/x", dry_run=True) is None
    assert ("space", "me/demo") not in hub.repos
    assert "fer_hub/zoo/fer-lite0/onnx/model.onnx" in capsys.readouterr().out


def test_out_writes_the_folder_only_where_nothing_is(tmp_path: Path) -> None:
    config = PublishSpaceConfig("me/demo", out=tmp_path / "space")
    publish_space(config)
    assert (tmp_path / "space" / "fer_hub" / "py.typed").is_file()
    with pytest.raises(ValueError, match="is not empty"):
        publish_space(config)


@pytest.fixture(scope="module")
def fresh_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds what a Space's requirements.txt names, and no more."""
    folder = tmp_path_factory.mktemp("fresh")
    write({"requirements.txt": assemble("Faces")["requirements.txt"]}, folder / "space")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "-r", folder / "space" / "requirements.txt"]
    subprocess.run(install, check=True, timeout=300)
    return python


def answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Whether the app answers within a minute."""
    for _ in range(120):
        if process.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(url, timeout=5) as page:
                return bool(page.status == 200)
        except OSError:
            time.sleep(0.5)
    return False


@pytest.mark.slow
def test_the_assembled_folder_runs_as_it_is_with_a_model_of_the_hub(
    hub: HubServer, fresh_python: Path, tmp_path: Path
) -> None:
    upload(hub, "me/x")
    files = hub.repos["space", "me/demo"].files()
    write({path: data for path, data in files.items() if path != ".gitattributes"}, tmp_path / "space")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = hub.environment(tmp_path / "cache") | {"GRADIO_SERVER_PORT": str(port)}
    environment = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [fresh_python, "app.py"], cwd=tmp_path / "space", env=environment, stdout=log, stderr=log
        )
    try:
        assert answers(f"http://127.0.0.1:{port}/", process), (tmp_path / "log").read_text(encoding="utf-8")
        app = Client(f"http://127.0.0.1:{port}/", verbose=False)
        for model in ("fer-lite0", "me/x"):
            (face,) = app.predict(handle_file(PHOTO), model, api_name="/predict")
            assert face["label"] == "happy"
        for method in EXPLAINERS:
            told = app.predict(handle_file(PHOTO), method, api_name="/explanation")
            assert (told["method"], told["label"]) == (method, "happy")
    finally:
        process.terminate()
        process.wait(20)
    assert any(request.path.startswith("/me/x/resolve/") for request in hub.requests)
    assert "torch" not in os.listdir(next((fresh_python.parents[1] / "lib").glob("python*/site-packages")))
