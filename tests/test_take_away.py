"""A published model gives the same probabilities everywhere: our library, timm, transformers, bare ONNX Runtime."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import browser as web
import numpy as np
import pytest
import snippets
from hub_server import HubServer
from PIL import Image as PILImage

from fer_hub.classifier import OnnxClassifier, classify
from fer_hub.hub import ZOO, read_info
from fer_hub.image import crop, read
from fer_hub.types import Prediction
from train import data

pytestmark = pytest.mark.slow

REPO = "me/x"
MODEL = ZOO / "fer-lite0"
PHOTO = snippets.ROOT / "fer_hub" / "assets" / "examples" / "astronaut.jpg"

FER_HUB = """
from fer_hub import Recognizer

recognizer = Recognizer.from_pretrained("me/x")
found = recognizer([np.stack([face] * 3, axis=-1) for face in faces], whole_image=True)
labels, scores = recognizer.labels, [list(predictions[0].scores.values()) for predictions in found]
"""
TIMM = """
import timm
import torch
from PIL import Image

torch.set_num_threads(1)
model = timm.create_model("hf-hub:me/x", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
with torch.inference_mode():
    batch = torch.stack([transform(Image.fromarray(face).convert("RGB")) for face in faces])
    scores = model(batch).softmax(-1).numpy()
labels = model.pretrained_cfg["label_names"]
"""
TRANSFORMERS = """
import torch
from PIL import Image
from transformers import pipeline

torch.set_num_threads(1)
classify = pipeline("image-classification", model="me/x", top_k=7, device="cpu")
rows = [{r["label"]: r["score"] for r in classify(Image.fromarray(face).convert("RGB"))} for face in faces]
labels = [classify.model.config.id2label[i] for i in range(7)]
scores = [[row[label] for label in labels] for row in rows]
"""
ONNX = """
import json
from huggingface_hub import hf_hub_download
from onnxruntime import InferenceSession
from PIL import Image

config = json.load(open(hf_hub_download("me/x", "config.json")))
session = InferenceSession(hf_hub_download("me/x", "onnx/model.onnx"))
small = [Image.fromarray(face).resize((96, 96), Image.Resampling.BICUBIC) for face in faces]
pixels = np.stack([np.stack([image] * 3) for image in small]).astype(np.float32) / 255
powers = np.exp(session.run(None, {"pixel_values": (pixels - np.float32(0.5)) / np.float32(0.5)})[0])
labels, scores = config["label_names"], powers / powers.sum(axis=1, keepdims=True)
"""
TOOLS = {
    "fer_hub": (FER_HUB, {"config.json", "onnx/model.onnx"}),
    "timm": (TIMM, {"config.json", "model.safetensors"}),
    "transformers": (TRANSFORMERS, {"config.json", "model.safetensors"}),
    "onnxruntime": (ONNX, {"config.json", "onnx/model.onnx"}),
}
"""Each tool: what one types to get `labels` and `scores` (N×7) of `faces` (N×48×48 uint8); what it has to fetch."""
BEFORE = "import numpy as np\nfaces = np.load('faces.npy')\n"
AFTER = "np.savez('found.npz', labels=labels, scores=scores)\nprint({})\n"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A Hub to which the embedded model was published, by the command."""
    with HubServer() as server:
        command = [sys.executable, "-m", "train", "publish", MODEL.name, "--repo-id", REPO]
        environment = server.environment(tmp_path_factory.mktemp("publisher"))
        done = subprocess.run(command, cwd=snippets.ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        yield server


@pytest.fixture(scope="module")
def faces(fer2013_dir: Path) -> np.ndarray:
    """200 faces of PublicTest."""
    return data.read_split(fer2013_dir, "validation").images[:200]


@pytest.fixture(scope="module")
def wanted(faces: np.ndarray) -> np.ndarray:
    """What the embedded model says of them."""
    return classify(OnnxClassifier(MODEL, threads=1), list(faces))


@pytest.mark.parametrize("tool", TOOLS)
def test_a_fresh_process_with_an_empty_cache_gives_the_same_probabilities(
    hub: HubServer, tmp_path: Path, faces: np.ndarray, wanted: np.ndarray, tool: str
) -> None:
    code, files = TOOLS[tool]
    np.save(tmp_path / "faces.npy", faces)
    snippets.run(BEFORE + code + AFTER, tmp_path, hub.environment(tmp_path / "cache"))
    found = np.load(tmp_path / "found.npz")
    assert tuple(found["labels"]) == read_info(MODEL).labels
    np.testing.assert_allclose(found["scores"], wanted, rtol=0, atol=1e-4)
    assert fetched(tmp_path / "cache") == files


def fetched(cache: Path) -> set[str]:
    """The files of the repository that a cache holds."""
    (commit,) = (cache / "hub" / f"models--{REPO.replace('/', '--')}" / "snapshots").iterdir()
    return {file.relative_to(commit).as_posix() for file in commit.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def card(hub: HubServer) -> dict[str, str]:
    """The snippets on the card of the repository."""
    return snippets.printed(hub.repos["model", REPO].files()["README.md"].decode())


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    """What the library says of the photo's face."""
    from fer_hub import Recognizer

    return Recognizer.from_pretrained(MODEL)(PHOTO)[0]


@pytest.fixture
def folder(tmp_path: Path, prediction: Prediction) -> Path:
    """Of a user: photo.jpg and face.png."""
    assert prediction.face is not None
    (tmp_path / "photo.jpg").write_bytes(PHOTO.read_bytes())
    PILImage.fromarray(crop(read(PHOTO), prediction.face, read_info(MODEL).margin)).save(tmp_path / "face.png")
    return tmp_path


@pytest.mark.parametrize("name", ["fer_hub", "timm", "onnxruntime"])
def test_the_card_of_the_repository_runs_as_it_is_printed(
    hub: HubServer, card: dict[str, str], folder: Path, prediction: Prediction, name: str
) -> None:
    scores = snippets.run(card[name], folder, hub.environment(folder / "cache"))
    assert scores == pytest.approx(dict(prediction.scores), abs=1e-4)


def test_the_page_on_the_card_of_the_repository_runs_as_it_is_printed(
    hub: HubServer, card: dict[str, str], folder: Path, prediction: Prediction
) -> None:
    url = f"{hub.url}/{REPO}/resolve/main/onnx/model.onnx"
    files = web.runtime(card["browser"], folder) | {url: hub.repos["model", REPO].files()["onnx/model.onnx"]}
    with web.launched() as chromium, web.opened(chromium, card["browser"], files) as page:
        assert web.choose(page, folder / "face.png") == pytest.approx(dict(prediction.scores), abs=1e-3)
