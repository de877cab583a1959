"""The app from programs: gradio_client, plain HTTP, MCP; and what it keeps to itself."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from app_server import ROOT, App, running
from films import even_times, mp4, pictures, visitor
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image as PILImage

from fer_hub import Recognizer
from fer_hub.hub import DEFAULT_MODEL

PHOTO = ROOT / "fer_hub" / "assets" / "examples" / "astronaut.jpg"
ENDPOINTS = {"/predict", "/annotated", "/compare", "/explanation", "/timeline", "/models"}

REFUSALS = ("Give an uploaded file", "cannot be fetched", "was not uploaded by a user", "failed validation")
"""The app's own words, or gradio's."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def client(app: App) -> Client:
    return Client(app.url, verbose=False)


def test_the_api_holds_the_public_endpoints_and_no_event_of_the_page(client: Client) -> None:
    described: dict[str, Any] = client.view_api(return_format="dict", print_info=False)  # type: ignore[assignment]
    assert set(described["named_endpoints"]) == ENDPOINTS
    assert not described["unnamed_endpoints"]


def test_predict_gives_what_the_library_gives(client: Client) -> None:
    (face,) = client.predict(handle_file(str(PHOTO)), api_name="/predict")
    (expected,) = Recognizer.from_pretrained()(PHOTO)
    assert face == expected.to_dict()
    (whole,) = client.predict(handle_file(str(PHOTO)), DEFAULT_MODEL, True, api_name="/predict")
    assert whole["box"] is None


def test_annotated_is_a_jpeg_of_the_photo_with_its_boxes(client: Client) -> None:
    head, _, body = client.predict(handle_file(str(PHOTO)), api_name="/annotated").partition(",")
    assert head == "data:image/jpeg;base64"
    assert PILImage.open(io.BytesIO(base64.b64decode(body))).size == PILImage.open(PHOTO).size


def test_compare_asks_each_model_for_the_same_faces(client: Client) -> None:
    told = client.predict(handle_file(str(PHOTO)), [DEFAULT_MODEL], api_name="/compare")
    assert [model["name"] for model in told["models"]] == [DEFAULT_MODEL]
    assert told["faces"][0]["majority"] == "happy"


def test_an_explanation_names_its_label_and_comes_with_a_picture(client: Client) -> None:
    told = client.predict(handle_file(str(PHOTO)), "occlusion", "sad", api_name="/explanation")
    assert told["label"] == "sad"
    picture = base64.b64decode(told["picture"].partition(",")[2])
    assert PILImage.open(io.BytesIO(picture)).size == (240, 240)


def test_a_timeline_follows_the_person_in_a_video(client: Client, tmp_path: Path) -> None:
    times = even_times(2, 10)
    clip = mp4(tmp_path / "clip.mp4", pictures(visitor(0), times), times)
    told = client.predict(handle_file(str(clip)), api_name="/timeline")
    assert len(told["people"]) == 1
    assert told["seconds"] == pytest.approx(2, abs=0.3)


def test_models_are_listed_with_their_measured_accuracy(client: Client) -> None:
    (first, *_) = client.predict(api_name="/models")
    assert first["name"] == DEFAULT_MODEL
    assert 0.69 < first["accuracy"] < 1


@pytest.mark.parametrize(
    ("endpoint", "given", "said"),
    [
        ("/predict", ["{notes}"], "notes.jpg is not an image that can be read"),
        ("/predict", ["{photo}", "/etc/passwd"], "is neither offered here"),
        ("/predict", ["{photo}", "nobody/nothing"], "is not in the cache"),
        ("/compare", ["{photo}", []], "0 models were chosen; choose 1 to 4"),
        ("/compare", ["{photo}", list("abcde")], "5 models were chosen; choose 1 to 4"),
        ("/explanation", ["{photo}", "magic"], "Unknown method 'magic'. Known: "),
        ("/explanation", ["{photo}", "occlusion", "bored"], "Unknown label 'bored'"),
        ("/explanation", ["{photo}", "occlusion", "", 9], "face is 9, but 1 were found"),
        ("/timeline", ["{notes}"], "notes.jpg"),
    ],
)
def test_a_wrong_request_is_answered_with_a_sentence(
    client: Client, tmp_path: Path, endpoint: str, given: list[Any], said: str
) -> None:
    notes = tmp_path / "notes.jpg"
    notes.write_text("not a picture")
    files = {"{photo}": handle_file(str(PHOTO)), "{notes}": handle_file(str(notes))}
    with pytest.raises(AppError) as error:
        client.predict(*[files.get(each, each) if isinstance(each, str) else each for each in given], api_name=endpoint)
    assert said in str(error.value).replace("&#x27;", "'")
    assert "Traceback" not in str(error.value)
    assert str(tmp_path.anchor) + "tmp" not in str(error.value)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/proc/self/environ", str(PHOTO), str(ROOT / "README.md"), "http://127.0.0.1/x"]
)
def test_a_file_of_the_server_cannot_be_named_as_an_upload(app: App, path: str) -> None:
    meta = {"meta": {"_type": "gradio.FileData"}}
    for endpoint, more in (("predict", [DEFAULT_MODEL, False]), ("timeline", [DEFAULT_MODEL])):
        for file in (path, {"path": path}, {"path": path, **meta}):
            told = call(app, endpoint, [file, *more])
            assert "event: error" in told
            assert any(said in told for said in REFUSALS), told


def test_plain_http_gives_what_the_client_gives(app: App, client: Client) -> None:
    with PHOTO.open("rb") as file:
        (path,) = httpx.post(f"{app.url}/gradio_api/upload", files={"files": file}).json()
    told = call(app, "predict", [{"path": path, "meta": {"_type": "gradio.FileData"}}, DEFAULT_MODEL, False])
    assert "event: complete" in told
    assert json.loads(told.rpartition("data: ")[2]) == [client.predict(handle_file(str(PHOTO)), api_name="/predict")]


def call(app: App, endpoint: str, data: list[Any]) -> str:
    """An endpoint by plain HTTP: the call, then its events."""
    address, body = f"{app.url}/gradio_api/call/{endpoint}", json.dumps({"data": data}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{address}/{event}", timeout=60) as events:
        return str(events.read().decode())


@pytest.mark.parametrize("path", ["/etc/passwd", "app.py", str(ROOT / "app.py"), str(ROOT / "pyproject.toml"), "../x"])
def test_no_file_outside_the_allowed_folders_is_served(app: App, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{app.url}/gradio_api/file={path}", timeout=30)
    assert error.value.code in (403, 404)


def test_the_tools_of_mcp_are_the_endpoints_and_answer(app: App) -> None:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    photo = f"data:image/jpeg;base64,{base64.b64encode(PHOTO.read_bytes()).decode()}"

    async def talk() -> tuple[set[str], list[str]]:
        async with (
            streamablehttp_client(f"{app.url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            assert all(tool.description for tool in tools)
            calls = (("models", {}), ("predict", {"photo": photo}), ("predict", {"photo": f"{app.url}/config"}))
            answers = [await session.call_tool(name, given) for name, given in calls]
            return {tool.name for tool in tools}, [str(answer.content) for answer in answers]

    names, (listed, named, refused) = asyncio.run(talk())
    assert {f"/{name}" for name in names} == ENDPOINTS
    assert DEFAULT_MODEL in listed
    assert "'label': 'happy'" in named
    assert "127.0.0.1 failed validation" in refused  # an address of the server's own network


def test_there_are_no_analytics_and_no_share(app: App) -> None:
    with urllib.request.urlopen(f"{app.url}/config", timeout=30) as answer:
        config = json.load(answer)
    assert config["analytics_enabled"] is False
    assert "gradio.live" not in app.log()
