"""Loading from a Hub that answers as the real one does, and as it should not: the real client, nothing patched."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import HubServer

from fer_hub import ModelError
from fer_hub.classifier import load_classifier
from fer_hub.download import FileMissing, Place, fetch, list_models
from fer_hub.hub import DEFAULT_MODEL, ZOO, find_model

FILES = ("config.json", "onnx/model.onnx")
CARD = b"---\ntags:\n- fer-hub\n---\n"
REPO = {
    "README.md": CARD,
    "config.json": b'{"a": 1}',
    "onnx/model.onnx": b"o" * 100_000,
    "onnx/model_fp16.onnx": b"h" * 100,
    "model.safetensors": b"s" * 100,
    "pytorch_model.bin": b"never",
}
OTHER = "hf_theotherstokentheotherstoken"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A Hub with the public me/x, tagged v1, and a second user."""
    with HubServer() as server:
        repo = server.put("me/x", REPO)
        repo.refs["refs/tags/v1"] = repo.head.oid
        server.users[OTHER] = "other"
        yield server


def place(hub: HubServer, cache: Path, **options: Any) -> Place:
    return Place(**{"cache_dir": cache, "token": hub.token, "endpoint": hub.url, **options})


def load(hub: HubServer, cache: Path, **options: Any) -> dict[str, bytes]:
    """The needed files of me/x, as the loader finds them."""
    folder = fetch("me/x", FILES, place(hub, cache, **options))
    return {path: (folder / path).read_bytes() for path in FILES}


def needed(hub: HubServer, revision: str = "main") -> dict[str, bytes]:
    files = hub.repos["model", "me/x"].files(revision)
    return {path: files[path] for path in FILES}


def message(hub: HubServer, cache: Path, **options: Any) -> str:
    """What the loader says when it fails; checked for what every such sentence must and must not hold."""
    with pytest.raises(ModelError) as caught:
        load(hub, cache, **options)
    text = str(caught.value)
    assert "me/x" in text
    assert any(file in text for file in FILES)
    assert "signature" not in text
    for token in (hub.token, OTHER):
        assert token not in text
    return text


def assert_cache_is_sound(cache: Path) -> None:
    """What lies in the cache is whole, and nothing half-done is left."""
    assert not list(cache.rglob("*.incomplete"))
    for folder in cache.glob("models--*/snapshots/*"):
        for path in FILES:
            if (folder / path).exists():
                assert len((folder / path).read_bytes()) == len(REPO[path])


def test_only_the_needed_files_are_fetched_and_all_of_one_commit(hub: HubServer, tmp_path: Path) -> None:
    assert load(hub, tmp_path) == needed(hub)
    oid = hub.repos["model", "me/x"].head.oid
    heads = [request.path for request in hub.requests if request.method == "HEAD"]
    assert {path.split("/", 5)[-1] for path in heads} == set(FILES)
    assert f"/me/x/resolve/{oid}/onnx/model.onnx" in heads
    assert len([request for request in hub.requests if request.method == "GET"]) == 2


def test_a_model_in_the_cache_is_asked_for_but_not_fetched_again(hub: HubServer, tmp_path: Path) -> None:
    load(hub, tmp_path)
    hub.clear_requests()
    assert load(hub, tmp_path) == needed(hub)
    assert {request.method for request in hub.requests} == {"HEAD"}


@pytest.mark.parametrize("how", ["local files only", "commit"])
def test_a_model_in_the_cache_needs_no_hub(hub: HubServer, tmp_path: Path, how: str) -> None:
    load(hub, tmp_path)
    hub.clear_requests()
    oid = hub.repos["model", "me/x"].head.oid
    options: dict[str, Any] = {"local files only": {"local_files_only": True}, "commit": {"revision": oid}}.get(how, {})
    assert load(hub, tmp_path, **options) == needed(hub)
    assert hub.requests == []


def test_a_branch_a_tag_and_a_commit_each_give_their_own_files(hub: HubServer, tmp_path: Path) -> None:
    old = hub.repos["model", "me/x"].head.oid
    hub.put("me/x", {"config.json": b'{"a": 2}'})
    for revision, expected in [(None, "main"), ("main", "main"), ("v1", old), (old, old)]:
        assert load(hub, tmp_path, revision=revision) == needed(hub, expected)
    assert needed(hub, "main") != needed(hub, old)


def test_a_new_commit_is_fetched_when_the_hub_has_one(hub: HubServer, tmp_path: Path) -> None:
    load(hub, tmp_path)
    hub.put("me/x", {"onnx/model.onnx": b"n" * 100_000})
    assert load(hub, tmp_path) == needed(hub)


def test_a_private_model_needs_the_token_of_someone_who_may_see_it(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["model", "me/x"].private = True
    for token in (OTHER, False):
        text = message(hub, tmp_path, token=token)
        assert "private" in text
        assert "hf auth login" in text
    assert load(hub, tmp_path) == needed(hub)


def test_a_gated_model_says_that_access_must_be_granted(hub: HubServer, tmp_path: Path) -> None:
    hub.repos["model", "me/x"].gated = True
    assert "granted" in message(hub, tmp_path, token=OTHER)
    assert load(hub, tmp_path) == needed(hub)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"token": "hf_wrongtokenwrongtoken"}, "does not accept the token (401)"),
        ({"revision": "v9"}, "no revision 'v9'"),
        ({"revision": "0" * 40}, "no revision"),
        ({"local_files_only": True}, "not in the cache"),
    ],
    ids=["wrong token", "no such tag", "no such commit", "not cached"],
)
def test_what_was_asked_for_and_is_not_there_is_said(
    hub: HubServer, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    text = message(hub, tmp_path, **options)
    assert said in text
    assert "wrongtoken" not in text


def test_a_repository_that_is_not_there_is_named(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"me/nothing .*no such repository.*Check the name"):
        fetch("me/nothing", FILES, place(hub, tmp_path))


def test_a_file_that_is_not_there_is_named(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"me/x has no onnx/model_quantized\.onnx at revision 'v1'"):
        fetch("me/x", ("config.json", "onnx/model_quantized.onnx"), place(hub, tmp_path, revision="v1"))


FAULTS: list[tuple[str, int | str, str]] = [
    ("HEAD", 401, "401"),
    ("HEAD", 403, "403"),
    ("HEAD", 404, "404"),
    ("HEAD", 429, "slow down (429)"),
    ("HEAD", 500, "answers 500"),
    ("HEAD", 503, "answers 503"),
    ("HEAD", "cut", "cannot be reached"),
    ("GET /me", 500, "answers 500"),
    ("GET /storage", 403, "403"),
    ("GET /storage", 404, "404"),
    ("GET /storage", 500, "answers 500"),
]


@pytest.mark.parametrize(("where", "status", "said"), FAULTS, ids=[f"{where} {status}" for where, status, _ in FAULTS])
def test_every_failure_is_a_sentence_in_time_and_leaves_nothing_broken(
    hub: HubServer, tmp_path: Path, where: str, status: Any, said: str
) -> None:
    hub.fail(matching=where, status=status, times=99)
    start = time.perf_counter()
    assert said in message(hub, tmp_path)
    assert time.perf_counter() - start < 10
    assert_cache_is_sound(tmp_path)
    hub.clear_requests()
    assert load(hub, tmp_path) == needed(hub)


@pytest.mark.parametrize("where", ["GET /me", "GET /storage"])
def test_a_transfer_that_is_cut_is_taken_up_again(hub: HubServer, tmp_path: Path, where: str) -> None:
    hub.fail(matching=where, status="cut")
    assert load(hub, tmp_path) == needed(hub)
    assert_cache_is_sound(tmp_path)


@pytest.mark.parametrize("revision", [None, "v1"])
@pytest.mark.parametrize("status", [429, 500, "cut", "closed"])
def test_while_the_hub_is_in_trouble_the_cached_model_is_used(
    hub: HubServer, tmp_path: Path, status: Any, revision: str | None
) -> None:
    load(hub, tmp_path, revision=revision)
    if status == "closed":
        hub.close()
    else:
        hub.fail(matching="HEAD", status=status, times=99)
    with pytest.warns(UserWarning, match=r"me/x: the Hub .* Using commit [0-9a-f]{40} of the cache"):
        assert load(hub, tmp_path, revision=revision) == needed(hub)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_hub_that_refuses_is_not_passed_over_for_what_is_cached(hub: HubServer, tmp_path: Path, status: int) -> None:
    load(hub, tmp_path)
    hub.fail(matching="HEAD", status=status, times=99)
    assert str(status) in message(hub, tmp_path)


def test_offline_another_revision_is_used_with_a_warning_only(hub: HubServer, tmp_path: Path) -> None:
    hub.put("me/x", {"config.json": b'{"a": 2}'})
    load(hub, tmp_path, revision="v1")
    with pytest.warns(UserWarning, match="not all files of the main branch. Using commit"):
        assert load(hub, tmp_path, local_files_only=True) == needed(hub, "v1")
    assert "not in the cache" in message(hub, tmp_path, revision="v2", local_files_only=True)


@pytest.mark.parametrize("status", [500, "cut"])
def test_a_new_version_that_cannot_be_had_whole_leaves_the_old_one_in_use(
    hub: HubServer, tmp_path: Path, status: Any
) -> None:
    old = load(hub, tmp_path)
    hub.put("me/x", {path: data.replace(b"1", b"2").replace(b"o", b"n") for path, data in old.items()})
    hub.fail(matching=f"HEAD .*{FILES[1]}", status=status, times=99)
    with pytest.warns(UserWarning, match="me/x: the Hub .*Using commit") as caught:
        assert load(hub, tmp_path) == old
    assert "signature" not in str(caught[0].message)
    hub.clear_requests()
    assert load(hub, tmp_path) == needed(hub) != old


def test_a_new_version_whose_transfer_fails_does_not_show_the_signed_address(hub: HubServer, tmp_path: Path) -> None:
    old = load(hub, tmp_path)
    hub.put("me/x", {"onnx/model.onnx": b"n" * 100_000})
    hub.fail(matching="GET /storage", status=500, times=99)
    with pytest.warns(UserWarning, match="me/x") as caught:
        assert load(hub, tmp_path) == old
    assert "signature" not in str(caught[0].message)


@pytest.mark.parametrize("token", ["hf_pasted\n", "hf_pasted and more\r\n"])
def test_a_token_that_was_pasted_with_its_line_end_is_not_repeated(hub: HubServer, tmp_path: Path, token: str) -> None:
    with pytest.raises(ModelError, match="token") as caught:
        load(hub, tmp_path, token=token)
    assert "pasted" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_not_called_a_network_trouble(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert "network" not in message(hub, tmp_path / "cache")


def test_pickled_weights_are_neither_fetched_nor_opened(hub: HubServer, tmp_path: Path) -> None:
    hub.put("me/old", {"README.md": CARD, "config.json": REPO["config.json"], "pytorch_model.bin": b"\x80\x04."})
    for runtime in ("onnx", "torch"):
        with pytest.raises(ModelError, match=r"me/old .*pickled weights are never opened"):
            load_classifier("me/old", runtime=runtime, place=place(hub, tmp_path))
    find_model("me/x", place=place(hub, tmp_path))
    assert not [request.path for request in hub.requests if request.path.endswith(".bin")]
    assert not list(tmp_path.rglob("*.bin"))


def test_models_are_listed_by_tag(hub: HubServer) -> None:
    hub.put("me/hidden", REPO, private=True)
    hub.put("me/foreign", {"README.md": b"---\ntags: [other]\n---\n"})
    hub.put("other/x", REPO)
    assert list_models("me", token=hub.token, endpoint=hub.url) == ["me/hidden", "me/x"]
    assert list_models("me", token=OTHER, endpoint=hub.url) == ["me/x"]
    assert list_models("nobody", token=OTHER, endpoint=hub.url) == []


@pytest.mark.parametrize(("status", "said"), [(401, "401"), (403, "403"), (507, "507")])
def test_models_that_cannot_be_listed_are_a_sentence(hub: HubServer, status: int, said: str) -> None:
    hub.fail(matching="/api/models", status=status, times=99)
    with pytest.raises(ModelError, match=f"models of me cannot be listed.*{said}") as caught:
        list_models("me", token=hub.token, endpoint=hub.url)
    assert hub.token not in str(caught.value)


def zoo_files() -> dict[str, bytes]:
    folder = ZOO / DEFAULT_MODEL
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_model_of_the_hub_gives_the_logits_of_the_folder_it_came_from(hub: HubServer, tmp_path: Path) -> None:
    hub.put("me/real", zoo_files())
    there = load_classifier("me/real", threads=1, place=place(hub, tmp_path))
    here = load_classifier(DEFAULT_MODEL, threads=1)
    spec = here.info.input
    pixels = np.random.default_rng(0).standard_normal((2, spec.channels, *spec.size), dtype=np.float32)
    np.testing.assert_array_equal(there.forward(pixels), here.forward(pixels))
    assert there.info.name == "me/real"


RECOGNISE = """
import sys
import numpy as np
from fer_hub import Recognizer, list_models

print(list_models("me") if len(sys.argv) > 1 else "")
recognizer = Recognizer.from_pretrained("me/real")
print(recognizer.info.name, "torch" in sys.modules)
"""


def test_a_fresh_process_loads_from_the_hub_of_its_environment_and_then_without_any(
    hub: HubServer, tmp_path: Path
) -> None:
    hub.put("me/real", zoo_files(), private=True)
    environment = hub.environment(tmp_path)
    run: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120, "check": True}
    first = subprocess.run([sys.executable, "-c", RECOGNISE, "list"], env=environment, **run)
    assert first.stdout.splitlines() == ["['me/real', 'me/x']", "me/real False"]
    hub.clear_requests()
    second = subprocess.run([sys.executable, "-c", RECOGNISE], env=environment | {"HF_HUB_OFFLINE": "1"}, **run)
    assert second.stdout.splitlines()[-1] == "me/real False"
    assert hub.requests == []


HANGING = """
import json, sys, time
from fer_hub import ModelError
from fer_hub.download import Place, fetch, list_models

what, cache = sys.argv[1:]
start = time.perf_counter()
try:
    if what == "list":
        list_models("me")
    else:
        fetch("me/x", ("config.json", "onnx/model.onnx"), Place(cache_dir=cache))
    text = ""
except ModelError as error:
    text = str(error)
print(json.dumps([time.perf_counter() - start, text]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "where", "times"),
    [("fetch", "HEAD", 99), ("fetch", "GET /storage", 99), ("fetch", "GET /storage", 1), ("list", "/api/models", 1)],
)
def test_a_hub_that_is_silent_is_given_up(hub: HubServer, tmp_path: Path, what: str, where: str, times: int) -> None:
    hub.fail(matching=where, status="hang", times=times, seconds=100)
    command = [sys.executable, "-c", HANGING, what, str(tmp_path / "cache")]
    environment = hub.environment(tmp_path) | {"HF_HUB_ETAG_TIMEOUT": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=True)
    seconds, text = json.loads(done.stdout)
    assert seconds < 30
    assert bool(text) is (times > 1)  # once is no failure: the client asks again
    assert "network" in text or times == 1
    assert_cache_is_sound(tmp_path / "cache")
