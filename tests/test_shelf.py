"""Models that visitors name: loaded once, few at a time, never from a path of the server."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event, Lock

import pytest
from hub_server import HubServer
from huggingface_hub import constants

from fer_hub import Recognizer, shelf
from fer_hub.download import DEFAULT_PLACE, Place, fetch
from fer_hub.hub import DEFAULT_MODEL, ZOO, zoo_models
from fer_hub.shelf import Loaded, Shelf
from fer_hub.types import ChoiceError, ModelError

FILES = {name: (ZOO / DEFAULT_MODEL / name).read_bytes() for name in ("config.json", "onnx/model.onnx")}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with HubServer() as server:
        server.put("me/x", FILES)
        monkeypatch.setattr(shelf, "Place", partial(Place, endpoint=server.url))
        yield server


def test_a_model_is_loaded_once_and_all_share_a_detector() -> None:
    models = Shelf()
    assert models.get(DEFAULT_MODEL) is models.get(f" {DEFAULT_MODEL} ")
    assert models.get(DEFAULT_MODEL).detector is models.detector


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "./x/y", "", "a/b/c", "~/x", "x.onnx"])
def test_a_visitor_cannot_name_a_path_of_the_server(name: str) -> None:
    with pytest.raises(ModelError, match="is neither offered here"):
        Shelf().get(name)


def test_a_folder_that_looks_like_a_hub_id_is_loaded_only_where_it_is_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ZOO / DEFAULT_MODEL, tmp_path / "me" / "mine")
    monkeypatch.chdir(tmp_path)
    models = Shelf()
    with pytest.raises(ModelError, match="is neither offered here"):
        models.get("me/mine")
    models.offer(["me/mine"])
    assert models.offered == [*zoo_models(), "mine"]
    assert models.get("mine").info.path.resolve() == tmp_path / "me" / "mine"


def test_visitors_see_the_names_of_folders_not_their_places(tmp_path: Path) -> None:
    folders = [tmp_path / "a" / "run-1" / "model", tmp_path / "b" / "run-1" / "model", tmp_path / "mine"]
    for folder in folders:
        shutil.copytree(ZOO / DEFAULT_MODEL, folder)
    models = Shelf()
    models.offer([*map(str, folders), str(folders[0]), DEFAULT_MODEL])
    assert models.offered == [*zoo_models(), "run-1", "run-1 (2)", "mine"]
    assert [models.source(name) for name in models.offered[len(zoo_models()) :]] == [str(folder) for folder in folders]
    assert models.get("run-1 (2)").info.path == folders[1]


def test_what_cannot_be_loaded_is_not_offered() -> None:
    models = Shelf()
    with pytest.raises(ModelError):
        models.offer(["no-such"])
    assert "no-such" not in models.offered


def test_any_model_of_the_hub_can_be_named_if_it_is_small_enough(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "MAX_MEGABYTES", 1.0)
    with pytest.raises(ModelError, match=r"me/x: onnx/model.onnx has \d+ MB; at most 1 MB are fetched here"):
        Shelf().get("me/x")
    monkeypatch.setattr(shelf, "MAX_MEGABYTES", 200.0)
    assert Shelf().get("me/x").info.name == "me/x"


def test_a_visitor_does_not_get_private_models_of_whoever_runs_the_app(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.put("me/secret", FILES, private=True)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    fetch("me/secret", tuple(FILES), Place(endpoint=hub.url))  # the token opens it; now it lies in the cache, too
    with pytest.raises(ModelError, match=r"private one start the app with it: python app\.py me/secret"):
        Shelf().get("me/secret")


def test_a_wrong_id_is_asked_for_once_and_tried_again_later(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    models, asked = Shelf(), []
    for _ in range(3):
        with pytest.raises(ModelError, match="the Hub has no such repository"):
            models.get("me/gone")
        asked.append(len(hub.requests))
    assert asked[0] == asked[2] > 0
    monkeypatch.setattr(shelf, "monotonic", lambda: 1e12)
    hub.put("me/gone", FILES)
    assert models.get("me/gone").info.name == "me/gone"


def test_files_of_a_visitors_model_go_when_it_is_put_away(hub: HubServer) -> None:
    models = Shelf(most=1)
    folder = models.get("me/x").info.path
    assert (folder / "config.json").is_file()
    models.get(DEFAULT_MODEL)
    assert not folder.exists()


def test_visitors_who_ask_for_a_model_at_once_wait_for_one_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    models, loads = Shelf(), []

    def slowly(name: str, place: Place = DEFAULT_PLACE) -> Recognizer:
        loads.append(name)
        time.sleep(0.3)
        return Shelf._load(models, name, place)

    monkeypatch.setattr(models, "_load", slowly)
    with ThreadPoolExecutor(4) as visitors:
        found = list(visitors.map(models.get, [DEFAULT_MODEL] * 4))
    assert loads == [DEFAULT_MODEL]
    assert len(set(map(id, found))) == 1


def test_who_waits_for_a_slow_download_does_not_keep_others_from_what_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models, begun, go_on = Shelf(), Event(), Event()
    monkeypatch.setattr(models, "_gates", [Lock()])  # one for all: as if both names fell to the same
    loaded = models.get(DEFAULT_MODEL)

    def slowly(name: str) -> Loaded:
        begun.set()
        assert go_on.wait(30)
        return Loaded(loaded)

    monkeypatch.setattr(models, "_borrow", slowly)
    with ThreadPoolExecutor(2) as visitors:
        slow = visitors.submit(models.get, "me/slow")
        assert begun.wait(30)
        try:
            assert visitors.submit(models.get, DEFAULT_MODEL).result(timeout=10) is loaded
        finally:
            go_on.set()
        assert slow.result() is loaded


def test_only_so_many_models_stay_in_memory(tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    models = Shelf(most=2)
    models.offer([str(shutil.copytree(ZOO / DEFAULT_MODEL, tmp_path / name)) for name in names])
    first = models.get(names[1])
    models.get(names[0])  # was put away, is loaded again; now names[2] is the one that was not asked for the longest
    assert models.get(names[1]) is first
    assert len(models._loaded) == 2


def test_of_several_models_those_that_can_be_loaded_are_and_the_others_are_told() -> None:
    told: list[ModelError] = []
    loaded = Shelf().several([DEFAULT_MODEL, "a/b/c", DEFAULT_MODEL, " "], 4, told.append)
    assert list(loaded) == [DEFAULT_MODEL]
    assert ["'a/b/c' is neither" in str(error) for error in told] == [True]


@pytest.mark.parametrize("names", [[], [" "], ["a", "b", "c"]])
def test_the_number_of_models_is_checked(names: list[str]) -> None:
    with pytest.raises(ChoiceError, match=r"models were chosen; choose 1 to 2"):
        Shelf().several(names, 2)


def test_where_none_can_be_loaded_the_first_error_is_raised() -> None:
    with pytest.raises(ModelError, match="'x' is neither"):
        Shelf().several(["x", "y"], 2, lambda error: None)
