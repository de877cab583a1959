"""The code on a model card does what the library does, run as it is printed."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import browser as web
import numpy as np
import pytest
import snippets
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage
from playwright.sync_api import Browser, Page
from safetensors.torch import save_file

from fer_hub import Recognizer, backbones, cnns
from fer_hub.classifier import OnnxClassifier, classify
from fer_hub.hub import VARIANTS, ZOO, read_info
from fer_hub.image import crop, read, to_array
from fer_hub.types import INTERPOLATIONS, Face, Prediction
from train import cards, data, export

PHOTO = snippets.ROOT / "fer_hub" / "assets" / "examples" / "astronaut.jpg"
DEFAULT = ZOO / "fer-lite0"
SIZES = ((1, 1), (48, 48), (61, 97), (80, 96), (310, 203))
ON_EACH = """async urls => {
    const found = [];
    for (const url of urls) {
        const image = await createImageBitmap(await (await fetch(url)).blob());
        found.push(await (async () => { BODY })());
    }
    return found;
}"""


class Place(NamedTuple):
    """A model as its user has it: the code of its card, and a folder to run that in."""

    model: Path
    code: dict[str, str]
    folder: Path
    prediction: Prediction
    """What the library says of the photo's face."""


@pytest.fixture(scope="module")
def grey_model(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    """The toy model's folder around a network of our own that takes one channel, untrained."""
    folder = tmp_path_factory.mktemp("grey") / "grey"
    shutil.copytree(toy_model, folder)
    config = config_of(toy_model) | {"architecture": "raw_pixel_cnn", "num_features": 256}
    config["model_args"] = {"in_chans": 1}
    config["pretrained_cfg"] |= {"input_size": [1, 48, 48], "mean": [0.5], "std": [0.5]}
    config["pretrained_cfg"] |= {"first_conv": "blocks.0.0", "classifier": "fc"}
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    network = backbones.build("raw_pixel_cnn", config["num_classes"]).eval()
    network.load_state_dict(export.rounded(network.state_dict()))
    save_file(network.state_dict(), folder / "model.safetensors")
    export.write_onnx(network, read_info(folder).input, config, folder / "onnx" / "model.onnx")
    (folder / "README.md").write_text(cards.model_card(folder), encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=["fer-lite0", "toy_model", "grey_model"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Each model beside photo.jpg and face.png, at the path that its card gives."""
    zoo = ZOO / request.param
    model = zoo if zoo.is_dir() else request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp("place")
    link = folder / (f"fer_hub/zoo/{model.name}" if zoo.is_dir() else model.name)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(model)
    prediction = Recognizer.from_pretrained(model)(PHOTO)[0]
    (folder / "photo.jpg").write_bytes(PHOTO.read_bytes())
    (folder / "face.png").write_bytes(png(face_of(model, prediction.face)))
    return Place(model, snippets.printed((model / "README.md").read_text(encoding="utf-8")), folder, prediction)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with web.launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return web.runtime(page_of(config_of(DEFAULT)), tmp_path_factory.mktemp("npm"))


def face_of(model: Path, face: Face | None) -> NDArray[np.uint8]:
    assert face is not None
    info = read_info(model)
    return crop(read(PHOTO), face, info.margin, info.alignment)


@contextmanager
def open_page(browser: Browser, html: str, runtime: dict[str, bytes], model: Path) -> Iterator[Page]:
    with web.opened(browser, html, runtime | {"model.onnx": model.read_bytes()}) as page:
        yield page


@pytest.fixture(scope="module")
def toy_page(chromium: Browser, runtime: dict[str, bytes], toy_model: Path) -> Iterator[Page]:
    """The page of a model that loads in no time."""
    with open_page(chromium, page_of(config_of(toy_model)), runtime, toy_model / VARIANTS["fp32"]) as page:
        yield page


def ask(page: Page, pictures: list[NDArray[np.uint8]], body: str) -> list[list[float]]:
    """What the body of a function of the page, given each picture as `image`, returns."""
    urls = [f"data:image/png;base64,{base64.b64encode(png(picture)).decode()}" for picture in pictures]
    found: list[list[float]] = page.evaluate(ON_EACH.replace("BODY", body), urls)
    return found


def script_of(html: str) -> str:
    """A page's own code."""
    return html[html.rindex("<script>") + len("<script>") : html.rindex("</script>")]


def png(picture: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    PILImage.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def config_of(model: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((model / "config.json").read_text(encoding="utf-8"))
    return config


def page_of(config: dict[str, Any]) -> str:
    return cards.render("snippets/browser.html.j2", config=config, fer=config["fer"], repo_id=None)


def imports(code: str) -> str:
    return "\n".join(line for line in code.splitlines() if line.startswith(("import ", "from ")))


def assert_same(scores: dict[str, float], wanted: Prediction, tolerance: float) -> None:
    assert list(scores) == list(wanted.scores)
    assert list(scores.values()) == pytest.approx(list(wanted.scores.values()), abs=tolerance)
    assert max(scores, key=scores.__getitem__) == wanted.label


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fer_hub", "timm", "onnxruntime"])
def test_a_python_snippet_gives_the_scores_of_the_library(place: Place, name: str) -> None:
    assert_same(snippets.run(place.code[name], place.folder), place.prediction, 1e-4)


def test_only_a_network_of_ours_needs_our_library_in_timm(place: Place) -> None:
    ours = read_info(place.model).architecture in cnns.default_cfgs
    assert ("import fer_hub.cnns" in place.code["timm"], "fer_hub" in imports(place.code["onnxruntime"])) == (
        ours,
        False,
    )


def test_the_snippet_for_onnx_runtime_prepares_pixels_as_the_library_does(place: Place) -> None:
    code = place.code["onnxruntime"] + "np.save('pixels.npy', pixel_values)\nprint({})\n"
    snippets.run(code, place.folder)
    picture = np.asarray(PILImage.open(place.folder / "face.png"))
    wanted = to_array([picture], read_info(place.model).input)
    np.testing.assert_allclose(np.load(place.folder / "pixels.npy"), wanted, rtol=0, atol=1e-6)


def test_the_crop_that_its_comment_describes_is_the_crop_of_the_library(place: Place) -> None:
    face = place.prediction.face
    assert face is not None
    steps = [line.removeprefix("#   ") for line in place.code["onnxruntime"].splitlines() if line.startswith("#   ")]
    names: dict[str, Any] = dict(zip(("x0", "y0", "x1", "y1"), face.box, strict=True))
    names["photo"] = PILImage.open(PHOTO).convert("RGB")
    exec("\n".join(steps), names)
    np.testing.assert_array_equal(np.asarray(names["face"]), face_of(place.model, face))


@pytest.mark.slow
def test_the_page_shows_the_scores_of_the_library_for_a_chosen_file(
    place: Place, chromium: Browser, runtime: dict[str, bytes]
) -> None:
    with open_page(chromium, place.code["browser"], runtime, place.model / VARIANTS["fp32"]) as page:
        assert_same(web.choose(page, place.folder / "face.png"), place.prediction, 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("channels", "grey"), [(3, True), (3, False), (1, True)])
def test_the_page_prepares_pixels_as_pillow_does(
    toy_page: Page, tmp_path: Path, interpolation: str, channels: int, grey: bool
) -> None:
    """Larger, smaller, at the same size and for a single pixel; one page runs the scripts of all."""
    config = config_of(DEFAULT)
    config["pretrained_cfg"] |= {"input_size": [channels, 80, 96], "interpolation": interpolation}
    config["pretrained_cfg"] |= {"mean": [0.485, 0.456, 0.406][:channels], "std": [0.229, 0.224, 0.225][:channels]}
    config["fer"]["grey"] = grey
    (tmp_path / "config.json").write_text(json.dumps(config))
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    wanted = to_array(pictures, read_info(tmp_path).input)
    seen = ask(toy_page, pictures, script_of(page_of(config)) + "return Array.from(preprocess(image).data);")
    np.testing.assert_allclose(np.array(seen).reshape(wanted.shape), wanted, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def faces(fer2013_dir: Path) -> list[NDArray[np.uint8]]:
    """50 faces of PublicTest; they reach the page from memory."""
    return list(data.read_split(fer2013_dir, "validation").images[:50])


def both_scores(
    variant: str, faces: list[NDArray[np.uint8]], chromium: Browser, runtime: dict[str, bytes]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of the default model, N×labels: by the page, and by ONNX Runtime."""
    with open_page(chromium, page_of(config_of(DEFAULT)), runtime, DEFAULT / VARIANTS[variant]) as page:
        seen = np.array(ask(page, faces, "return Object.values(await classify(image));"))
    return seen, classify(OnnxClassifier(DEFAULT, threads=1, variant=variant), faces)


@pytest.mark.slow
@pytest.mark.parametrize("variant", [name for name in ("fp32", "fp16") if (DEFAULT / VARIANTS[name]).is_file()])
def test_the_page_agrees_with_onnx_runtime_on_real_faces(
    chromium: Browser, runtime: dict[str, bytes], faces: list[NDArray[np.uint8]], variant: str
) -> None:
    seen, wanted = both_scores(variant, faces, chromium, runtime)
    np.testing.assert_allclose(seen, wanted, rtol=0, atol=1e-3)
    np.testing.assert_array_equal(seen.argmax(axis=1), wanted.argmax(axis=1))


@pytest.mark.slow
def test_the_int8_file_is_close_in_the_page(
    chromium: Browser, runtime: dict[str, bytes], faces: list[NDArray[np.uint8]]
) -> None:
    """Not equal: a value that is rounded the other way to 8 bits, as machines differ, is carried through all layers."""
    seen, wanted = both_scores("int8", faces, chromium, runtime)
    assert np.median(np.abs(seen - wanted).max(axis=1)) < 0.03
    assert np.mean(seen.argmax(axis=1) == wanted.argmax(axis=1)) >= 0.9
