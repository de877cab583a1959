from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from hub_repos import blob_oid
from hub_server import HubServer
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

CARD = b"---\nlicense: mit\nlibrary_name: timm\ntags:\n- fer-hub\ndatasets:\n- fer2013\n---\n# A card\n"
FILES = {
    "README.md": CARD,
    "config.json": b"{}",
    "model.safetensors": b"s" * 300_000,
    "onnx/model.onnx": b"o" * 200_000,
}
MIB = 2**20
LARGE = {"model.safetensors", "onnx/model.onnx"}

UPLOAD = """
import json, sys
from pathlib import Path
from huggingface_hub import CommitOperationAdd, HfApi

api, folder = HfApi(), Path(sys.argv[1])

def push(message):
    files = [path for path in folder.rglob("*") if path.is_file()]
    operations = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in files]
    return api.create_commit("me/x", operations, commit_message=message).oid

api.create_repo("me/x", private=True)
first, mark = push("Add a model"), len(api.list_repo_commits("me/x"))
print(json.dumps([first, push("Add it again"), mark]))
"""


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A Hub whose clients, in this process, send every file with the commit."""
    with HubServer(xet_mode=True) as server:
        yield server


@pytest.fixture
def stored() -> Iterator[HubServer]:
    """A Hub that has the public me/x, its large files in the storage."""
    with HubServer() as server:
        server.put("me/x", FILES)
        yield server


def api_of(hub: HubServer, token: str | bool | None = None) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.token if token is None else token)


def additions(files: dict[str, bytes]) -> list[CommitOperationAdd]:
    return [CommitOperationAdd(path, data) for path, data in files.items()]


def fetch(hub: HubServer, cache: Path, file: str = "config.json", **options: Any) -> bytes:
    options = {"token": hub.token, "repo_id": "me/x", **options}
    return Path(hf_hub_download(filename=file, endpoint=hub.url, cache_dir=cache, **options)).read_bytes()


def paths(hub: HubServer, method: str) -> list[str]:
    return [request.path for request in hub.requests if request.method == method]


def upload(hub: HubServer, folder: Path) -> tuple[str, str, int]:
    """Push FILES twice from a process of its own, with the environment that the Hub gives."""
    for path, data in FILES.items():
        (folder / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "model" / path).write_bytes(data)
    command = [sys.executable, "-c", UPLOAD, str(folder / "model")]
    done = subprocess.run(command, env=hub.environment(folder / "cache"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout))


@pytest.mark.parametrize(("xet_mode", "large"), [(False, LARGE), (True, set())], ids=["lfs", "xet on"])
def test_a_push_is_one_commit_and_the_same_again_is_none(xet_mode: bool, large: set[str], tmp_path: Path) -> None:
    with HubServer(xet_mode=xet_mode) as hub:
        first, second, count = upload(hub, tmp_path)
        repo = hub.repos["model", "me/x"]
        assert repo.private
        assert first == second == repo.head.oid
        assert [commit.title for commit in repo.commits] == ["initial commit", "Add a model"]
        assert count == 2
        assert {path: data for path, data in repo.files().items() if path != ".gitattributes"} == FILES
        assert repo.head.lfs == large
        assert len(paths(hub, "PUT")) == len(large)
        assert len([path for path in paths(hub, "POST") if "/commit/" in path]) == 1


def test_an_upload_that_is_cut_is_sent_again_and_a_lost_answer_costs_no_second_effect(tmp_path: Path) -> None:
    with HubServer() as hub:
        hub.fail(matching="PUT /storage", status="cut")
        hub.fail(matching="POST .*/preupload/", status="lost")
        upload(hub, tmp_path)
        assert len(paths(hub, "PUT")) == 3
        assert [request.status for request in hub.faults_seen] == [0, 0]
        assert {path: hub.repos["model", "me/x"].files()[path] for path in FILES} == FILES


def test_a_commit_that_names_a_file_that_never_came_is_refused_whole(hub: HubServer) -> None:
    api = api_of(hub)
    api.create_repo("me/x")
    before = hub.repos["model", "me/x"].head
    lines: list[dict[str, Any]] = [
        {"key": "header", "value": {"summary": "Half"}},
        {"key": "file", "value": {"path": "a.txt", "content": "YQ==", "encoding": "base64"}},
        {"key": "lfsFile", "value": {"path": "b.onnx", "algo": "sha256", "oid": "0" * 64, "size": 1}},
    ]
    body = "\n".join(json.dumps(line) for line in lines).encode()
    request = Request(f"{hub.url}/api/models/me/x/commit/main", body, {"Authorization": f"Bearer {hub.token}"})
    with pytest.raises(URLError, match="400"):
        urlopen(request)
    assert hub.repos["model", "me/x"].head is before


def test_a_commit_on_an_old_parent_is_refused(hub: HubServer) -> None:
    api = api_of(hub)
    api.create_repo("me/x")
    parent = hub.repos["model", "me/x"].head.oid
    api.create_commit("me/x", additions({"a.txt": b"1"}), commit_message="First", parent_commit=parent)
    with pytest.raises(HfHubHTTPError, match="412"):
        api.create_commit("me/x", additions({"a.txt": b"2"}), commit_message="Second", parent_commit=parent)
    assert hub.repos["model", "me/x"].files()["a.txt"] == b"1"


def test_files_and_folders_are_deleted_in_one_commit_with_others(hub: HubServer) -> None:
    hub.put("me/x", FILES | {"figures/a.png": b"a", "figures/b.png": b"b"})
    operations = [
        CommitOperationDelete("figures/"),
        CommitOperationDelete("config.json"),
        *additions({"new.txt": b"n"}),
    ]
    api_of(hub).create_commit("me/x", operations, commit_message="Tidy")
    assert set(hub.repos["model", "me/x"].files()) == (FILES.keys() - {"config.json"}) | {".gitattributes", "new.txt"}


def test_a_pull_request_leaves_the_main_branch_alone(hub: HubServer) -> None:
    hub.put("me/x", FILES)
    hub.users["hf_other"] = "other"
    made = api_of(hub, "hf_other").create_commit(
        "me/x", additions({"a.txt": b"a"}), commit_message="Mine", create_pr=True
    )
    repo = hub.repos["model", "me/x"]
    assert (made.pr_num, made.pr_revision) == (1, "refs/pr/1")
    assert "a.txt" in repo.files("refs/pr/1")
    assert "a.txt" not in repo.files()
    assert [(pull.num, pull.title) for pull in repo.pulls] == [(1, "Mine")]
    for status, found in [("open", [(1, "Mine", "other")]), ("closed", [])]:
        pulls = api_of(hub).get_repo_discussions("me/x", discussion_type="pull_request", discussion_status=status)
        assert [(pull.num, pull.title, pull.author) for pull in pulls] == found
    with pytest.raises(HfHubHTTPError, match="401"):
        api_of(hub, False).create_commit("me/x", additions({"a.txt": b"a"}), commit_message="Mine", create_pr=True)


def test_a_repository_is_created_once_and_deleted_once(hub: HubServer) -> None:
    api = api_of(hub)
    assert api.create_repo("me/x").repo_id == api.create_repo("me/x", exist_ok=True).repo_id == "me/x"
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo("me/x")
    api.delete_repo("me/x")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("me/x")


def test_tags_and_branches_name_commits(stored: HubServer) -> None:
    api, repo = api_of(stored), stored.repos["model", "me/x"]
    first = repo.head.oid
    api.create_tag("me/x", tag="v1")
    stored.put("me/x", {"config.json": b"[]"})
    api.create_branch("me/x", branch="next")
    api.create_tag("me/x", tag="v1", exist_ok=True)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag("me/x", tag="v1")
    refs = api.list_repo_refs("me/x")
    assert {tag.name: tag.target_commit for tag in refs.tags} == {"v1": first} == repo.tags
    assert {branch.name for branch in refs.branches} == {"main", "next"} == set(repo.branches)
    api.delete_tag("me/x", tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag("me/x", tag="v1")


def test_a_download_is_of_the_branch_tag_or_commit_that_was_asked_for(stored: HubServer, tmp_path: Path) -> None:
    repo = stored.repos["model", "me/x"]
    old = repo.head.oid
    api_of(stored).create_tag("me/x", tag="v1")
    stored.put("me/x", {"config.json": b"new", "onnx/model.onnx": b"n"})
    for revision, small, large in [("main", b"new", b"n"), ("v1", b"{}", b"o" * 200_000), (old, b"{}", b"o" * 200_000)]:
        cache = tmp_path / revision
        assert fetch(stored, cache, revision=revision) == small
        assert fetch(stored, cache, "onnx/model.onnx", revision=revision) == large
    assert not any(request.authorised for request in stored.requests if request.path.startswith("/storage/"))


def test_what_the_api_says_of_files_is_what_git_and_lfs_say(stored: HubServer) -> None:
    api = api_of(stored)
    entries: dict[str, Any] = {entry.path: entry for entry in api.list_repo_tree("me/x", recursive=True)}
    assert set(entries) == FILES.keys() | {".gitattributes", "onnx"}
    assert entries["config.json"].blob_id == blob_oid(b"{}") == "9e26dfeeb6e641a33dae4961196235bdb965b21b"
    assert entries["onnx/model.onnx"].lfs.size == 200_000
    assert {entry.path for entry in api.list_repo_tree("me/x")} == {*FILES, ".gitattributes", "onnx"} - {
        "onnx/model.onnx"
    }
    assert [entry.path for entry in api.get_paths_info("me/x", ["onnx", "config.json", "none"])] == [
        "onnx",
        "config.json",
    ]
    info = api.model_info("me/x", files_metadata=True)
    assert info.sha == stored.repos["model", "me/x"].head.oid
    assert info.library_name == "timm"
    assert {"fer-hub", "timm", "onnx", "safetensors", "license:mit", "dataset:fer2013"} <= set(info.tags or ())
    large = {sibling.rfilename: sibling.lfs.sha256 for sibling in info.siblings or () if sibling.lfs}
    assert large == {path: entries[path].lfs.sha256 for path in LARGE}


def test_a_snapshot_has_all_files_though_the_list_comes_in_pages(tmp_path: Path) -> None:
    with HubServer(page_size=2) as hub:
        hub.put("me/x", FILES)
        folder = Path(snapshot_download("me/x", endpoint=hub.url, cache_dir=tmp_path, token=hub.token))
        assert {path: (folder / path).read_bytes() for path in FILES} == FILES


REFUSALS: list[tuple[str, dict[str, Any], type[Exception], int]] = [
    ("no such repository", {"repo_id": "me/none"}, RepositoryNotFoundError, 404),
    ("no such repository, not logged in", {"repo_id": "me/none", "token": False}, RepositoryNotFoundError, 401),
    ("private, not logged in", {"repo_id": "me/private", "token": False}, RepositoryNotFoundError, 401),
    ("private to another", {"repo_id": "me/private", "token": "hf_other"}, RepositoryNotFoundError, 404),
    ("wrong token", {"token": "hf_wrong"}, HfHubHTTPError, 401),
    ("gated", {"repo_id": "me/gated", "token": "hf_other"}, GatedRepoError, 403),
    ("no such revision", {"revision": "v9"}, RevisionNotFoundError, 404),
    ("no such file", {"filename": "none.json"}, RemoteEntryNotFoundError, 404),
]


@pytest.mark.parametrize(
    ("options", "error", "status"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_the_client_understands_every_refusal(
    stored: HubServer, tmp_path: Path, options: dict[str, Any], error: type[Exception], status: int
) -> None:
    stored.users["hf_other"] = "other"
    stored.put("me/private", FILES, private=True)
    stored.put("me/gated", FILES).gated = True
    options = {"repo_id": "me/x", "filename": "config.json", "token": stored.token} | options
    with pytest.raises(error) as caught:
        hf_hub_download(endpoint=stored.url, cache_dir=tmp_path, **options)
    assert caught.value.response.status_code == status
    assert stored.requests[-1].status == status


def test_only_those_who_belong_there_may_write(hub: HubServer) -> None:
    hub.users |= {"hf_other": "other", "hf_read": "me"}
    hub.read_tokens.add("hf_read")
    hub.orgs["lab"] = {"other"}
    for token, repo_id, allowed in [
        ("hf_other", "me/x", False),
        ("hf_read", "me/x", False),
        (hub.token, "lab/x", False),
        ("hf_other", "lab/x", True),
        (hub.token, "me/x", True),
    ]:
        try:
            api_of(hub, token).create_repo(repo_id)
        except HfHubHTTPError as error:
            assert error.response.status_code == 403
        assert (("model", repo_id) in hub.repos) is allowed
    assert [org["name"] for org in api_of(hub, "hf_other").whoami()["orgs"]] == ["lab"]
    assert api_of(hub, "hf_read").whoami()["auth"]["accessToken"]["role"] == "read"


def test_models_are_listed_by_author_and_tag_and_private_ones_only_to_their_owner(hub: HubServer) -> None:
    hub.page_size = 1
    for name in ("a", "b"):
        hub.put(f"me/{name}", FILES)
    hub.put("me/hidden", FILES, private=True)
    hub.put("me/foreign", {"README.md": b"---\ntags: [other]\n---\n"})
    hub.put("other/c", FILES)
    ask = {"author": "me", "filter": "fer-hub"}
    assert [model.id for model in api_of(hub).list_models(**ask)] == ["me/a", "me/b", "me/hidden"]
    assert [model.id for model in api_of(hub, False).list_models(**ask)] == ["me/a", "me/b"]


def test_a_collection_is_made_once_and_holds_each_model_once(hub: HubServer) -> None:
    api = api_of(hub)
    hub.put("me/a", FILES)
    hub.put("me/b", FILES)
    slug = api.create_collection("My models", namespace="me", description="Short").slug
    assert api.create_collection("My models", namespace="me", exists_ok=True).slug == slug
    for repo_id in ("me/a", "me/b", "me/a"):
        api.add_collection_item(slug, repo_id, "model", exists_ok=True, note=f"This is {repo_id}")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.add_collection_item(slug, "me/a", "model")
    assert [(item.item_id, item.note) for item in api.get_collection(slug).items] == [
        ("me/a", "This is me/a"),
        ("me/b", "This is me/b"),
    ]
    assert [found.slug for found in api.list_collections(owner="me")] == [slug]
    assert hub.collections[slug].item_ids == ["me/a", "me/b"]


def test_a_space_has_an_sdk_a_card_of_its_own_and_variables(hub: HubServer) -> None:
    api = api_of(hub)
    api.create_repo("me/demo", repo_type="space", space_sdk="gradio")
    api.add_space_variable("me/demo", "MODELS", "me/x")
    api.create_commit("me/demo", additions({"app.py": b"pass"}), repo_type="space", commit_message="Add an app")
    assert api.space_info("me/demo").sdk == "gradio"
    assert {key: variable.value for key, variable in api.get_space_variables("me/demo").items()} == {"MODELS": "me/x"}
    assert api.get_space_runtime("me/demo").stage == "RUNNING"
    assert set(hub.repos["space", "me/demo"].files()) == {".gitattributes", "README.md", "app.py"}


@pytest.mark.parametrize(
    ("kind", "card"),
    [
        ("model", b"---\ntags: [1, {a: b\n---\n"),
        ("model", b"---\nlicense: [mit]\n---\n"),
        ("model", b"---\ntags: [1]\n---\n"),
        ("space", b"---\nsdk: gradio\ncolorFrom: mauve\n---\n"),
        ("space", b"---\ncolorFrom: blue\n---\n"),
    ],
)
def test_a_card_that_the_hub_would_not_take_stops_the_commit(hub: HubServer, kind: str, card: bytes) -> None:
    api = api_of(hub)
    api.create_repo("me/x", repo_type=kind, space_sdk="gradio" if kind == "space" else None)
    with pytest.raises(ValueError, match=r"Invalid metadata in README\.md"):
        api.create_commit("me/x", additions({"README.md": card}), repo_type=kind, commit_message="Card")
    assert len(hub.repos[kind, "me/x"].commits) == 1


@pytest.mark.parametrize(
    ("size", "wanted"),
    [(200_000, ["", ""]), (24 * MIB, ["", f"bytes={10 * MIB}-"])],
    ids=["in the first block: again", "later: from the last whole block on"],
)
def test_a_download_that_is_cut_is_taken_up_again(hub: HubServer, tmp_path: Path, size: int, wanted: list[str]) -> None:
    data = bytes(range(250)) * (size // 250)
    hub.put("me/x", {"large.bin": data})
    hub.fail(matching="GET /", status="cut")
    assert fetch(hub, tmp_path, "large.bin") == data
    assert [request.range for request in hub.requests if request.method == "GET"] == wanted
    assert not list(tmp_path.rglob("*.incomplete"))


@pytest.mark.parametrize("status", [429, 500, "lost"])
def test_a_fault_strikes_as_often_as_was_said_and_the_client_tries_again(hub: HubServer, status: Any) -> None:
    hub.put("me/x", FILES)
    hub.fail(matching="GET /api/models", status=status)
    assert [model.id for model in api_of(hub).list_models(author="me")] == ["me/x"]
    assert [r.status for r in hub.requests] == [0 if status == "lost" else status, 200]


def test_the_nth_request_fails_and_its_repetitions_but_no_other(hub: HubServer) -> None:
    api = api_of(hub)
    hub.fail(nth=2, status=507, times=2)
    api.whoami()
    for _ in range(2):
        with pytest.raises(HfHubHTTPError, match="507"):
            api.create_repo("me/x")
        api.whoami()
    api.create_repo("me/x")
    assert [r.status for r in hub.requests] == [200, 507, 200, 507, 200, 200]
    hub.fail(nth=1, status=500)
    hub.clear_requests()
    api.whoami()
    assert not hub.faults_seen


def test_a_refused_request_has_no_effect_and_a_lost_answer_has(hub: HubServer) -> None:
    api = api_of(hub)
    for status, exists in [(500, False), ("cut", False), ("lost", True)]:
        hub.fail(matching="POST /api/repos/create", status=status)
        with pytest.raises(HTTPError):
            api.create_repo("me/x")
        assert (("model", "me/x") in hub.repos) is exists


def test_silence_and_slowness(stored: HubServer, tmp_path: Path) -> None:
    stored.fail(matching="GET /api/models", status="hang", seconds=20)
    with pytest.raises(HTTPError, match="timed out"):
        api_of(stored).model_info("me/x", timeout=0.2)
    stored.fail(matching="GET /storage", status="slow", seconds=0.5)
    start = time.perf_counter()
    assert fetch(stored, tmp_path, "onnx/model.onnx") == FILES["onnx/model.onnx"]
    assert time.perf_counter() - start > 0.4


def test_a_closed_hub_is_no_network(stored: HubServer, tmp_path: Path) -> None:
    fetch(stored, tmp_path)
    stored.close()
    assert fetch(stored, tmp_path) == FILES["config.json"]
    with pytest.raises(LocalEntryNotFoundError):
        fetch(stored, tmp_path, "onnx/model.onnx", local_files_only=True)


def test_an_address_that_is_not_there_is_no_success(hub: HubServer) -> None:
    with pytest.raises(URLError, match="404"):
        urlopen(f"{hub.url}/api/models/me/x/xet-write-token/main")
