"""publish for ensembles: all members with it, in one commit or not at all, and loaded by one id the same answers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ensembles import pair, read, together
from hub_server import HubServer
from huggingface_hub import ModelCard, RepoCard
from published import client, commits, contents, publish

from fer_hub.classifier import classify, load_classifier
from fer_hub.download import Place
from fer_hub.types import ModelError
from train import data
from train.publishing.errors import PublishError
from train.publishing.space import PublishSpaceConfig, upload_space
from train.publishing.sweep import PublishSweepConfig, publish_all
from train.run_folder import RESULT

ID = "me/both"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def made(toy_model: Path, toy_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models, and an ensemble of them that can be published."""
    folder = tmp_path_factory.mktemp("made")
    together(pair(toy_model, folder), folder / "both", toy_csv)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(made, tmp_path / "made"))


def place(hub: HubServer, cache: Path) -> Place:
    return Place(endpoint=hub.url, token=hub.token, cache_dir=cache)


def members(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read(folder / "config.json")["fer"]["members"]
    return rows


def refusal(hub: HubServer, folder: Path) -> str:
    """Why it cannot be published; nothing is there."""
    with pytest.raises(PublishError) as error:
        publish(hub, folder, ID)
    assert not contents(hub, ID)
    return str(error.value)


def test_loaded_by_one_id_it_answers_as_it_does_locally(
    hub: HubServer, made: Path, toy_csv: Path, tmp_path: Path
) -> None:
    publish(hub, made / "both", ID)
    faces = list(data.load("as-given", toy_csv).test.images[:12])
    there = load_classifier(ID, place=place(hub, tmp_path))
    np.testing.assert_array_equal(classify(there, faces), classify(load_classifier(made / "both"), faces))
    assert there.info.name == ID
    assert there.info.temperature == read(made / "both/metrics.json")["temperature"]


def test_its_repository_holds_each_member_whole_in_one_commit(hub: HubServer, made: Path) -> None:
    publish(hub, made / "both", ID)
    there = contents(hub, ID)
    assert commits(hub, ID) == 1
    for name in ("one", "two"):
        own = {p.relative_to(made / name).as_posix(): p.read_bytes() for p in (made / name).rglob("*") if p.is_file()}
        assert {f"members/{name}/{path}": content for path, content in own.items()}.items() <= there.items()
    config = json.loads(there["config.json"])
    assert [row["model"] for row in config["fer"]["members"]] == ["./members/one", "./members/two"]
    assert [row["sha256"] for row in config["fer"]["members"]] == [row["sha256"] for row in members(made / "both")]
    assert there["metrics.json"] == (made / "both/metrics.json").read_bytes()
    assert not [path for path in there if path.startswith("onnx/") or path == "model.safetensors"]


def test_its_card_is_valid_and_its_links_lead_somewhere(hub: HubServer, made: Path) -> None:
    publish(hub, made / "both", ID)
    there = contents(hub, ID)
    card = ModelCard(there["README.md"].decode())
    assert {"fer-hub", "ensemble"} <= set(card.data.tags)
    assert card.data.model_name == "both"
    assert f'from_pretrained("{ID}")' in card.text
    links = re.findall(r"\]\((?!http|#)([^)]+)\)", card.text)
    assert "members/one/README.md" in links
    assert set(links) <= set(there)


def test_nothing_is_sent_again_and_only_what_changed(hub: HubServer, folder: Path) -> None:
    publish(hub, folder / "both", ID)
    assert not any(publish(hub, folder / "both", ID).changes)
    hub.put(ID, {"members/old/config.json": b"{}", "model.safetensors": b"of a single model", "notes.md": b"mine"})
    (folder / "one/figures/recall.png").write_bytes(b"drawn anew")
    changes = publish(hub, folder / "both", ID).changes
    assert changes.add == ["members/one/figures/recall.png"]
    assert sorted(changes.delete) == ["members/old/config.json", "model.safetensors"]
    assert contents(hub, ID)["notes.md"] == b"mine"


def test_a_dry_run_lists_the_members_and_sends_nothing(
    hub: HubServer, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(hub, made / "both", ID, dry_run=True)
    assert "members/two/onnx/model.onnx" in capsys.readouterr().out
    assert not hub.repos


@pytest.mark.parametrize("fault", [r"PUT /storage/", r"POST .*/commit/", r"POST .*/preupload"])
def test_a_fault_on_the_way_leaves_nothing_and_the_same_command_goes_on(hub: HubServer, made: Path, fault: str) -> None:
    method, pattern = fault.split(" ")
    hub.fail(matching=pattern, status=403, times=1)
    with pytest.raises(PublishError, match=r"The repository still is as it was .* The same command goes on"):
        publish(hub, made / "both", ID)
    assert hub.faults_seen[0].method == method
    assert not [path for path in contents(hub, ID) if path != "README.md"]
    publish(hub, made / "both", ID)
    assert commits(hub, ID) == 1
    assert "members/two/model.safetensors" in contents(hub, ID)


# ── members of the Hub ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_member_of_the_hub_stays_there_pinned_to_its_commit(
    hub: HubServer, folder: Path, toy_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    oid = publish(hub, folder / "one", "me/one").commit.oid
    config, path = read(folder / "both/config.json"), folder / "both/config.json"
    row = config["fer"]["members"][0]
    row["model"] = "me/one"
    path.write_text(json.dumps(config))
    assert "is named without its commit" in refusal(hub, folder / "both")
    row["revision"] = oid
    path.write_text(json.dumps(config))
    publish(hub, folder / "both", ID)
    hub.put("me/one", {"onnx/model.onnx": b"another"})
    there = contents(hub, ID)
    assert json.loads(there["config.json"])["fer"]["members"][0] == row
    assert not [path for path in there if path.startswith("members/one")]
    card = ModelCard(there["README.md"].decode())
    assert card.data.base_model == ["me/one"]
    assert f"/me/one/tree/{oid}" in card.text
    faces = list(data.load("as-given", toy_csv).test.images[:5])
    found = classify(load_classifier(ID, place=place(hub, tmp_path / "fresh")), faces)
    np.testing.assert_array_equal(found, classify(load_classifier(made_again(folder)), faces))


def made_again(folder: Path) -> Path:
    """The ensemble's folder with its first member by path."""
    config = read(folder / "both/config.json")
    config["fer"]["members"][0] |= {"model": "../one", "revision": None}
    (folder / "both/config.json").write_text(json.dumps(config))
    return folder / "both"


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


def edit(change: Callable[[dict[str, Any]], object], file: str = "both/config.json") -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        values = read(folder / file)
        change(values)
        (folder / file).write_text(json.dumps(values))

    return spoil


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "a member that is gone": (lambda f: shutil.rmtree(f / "two"), "The member ../two is not in"),
    "a member that lacks a file": (lambda f: (f / "two/model.safetensors").unlink(), "two: model.safetensors is miss"),
    "a member without a card": (lambda f: (f / "one/README.md").unlink(), "one: README.md is missing"),
    "another member": (
        lambda f: shutil.copytree(f / "one", f / "two", dirs_exist_ok=True),
        "The member ../two is not the one with which the ensemble was measured",
    ),
    "torch and ONNX that differ": (
        lambda f: shutil.copy(f / "one/model.safetensors", f / "two/model.safetensors"),
        "differ by up to",
    ),
    "a temperature that is none": (edit(lambda v: v["fer"].update(temperature=float("inf"))), "temperature is inf"),
    "another temperature": (edit(lambda v: v["fer"].update(temperature=2.5)), "state different temperatures"),
    "other weights": (edit(lambda v: v["fer"]["members"][0].update(weight=3.0)), "different members, weights or views"),
    "other views": (edit(lambda v: v["fer"].update(views="none")), "different members, weights or views"),
    "other figures": (
        edit(lambda v: v["fer"]["metrics"]["test"].update(accuracy=0.99)),
        "state different accuracies on test. Remove ",
    ),
    "no picture": (lambda f: (f / "both/figures/confusion.png").unlink(), "figures/confusion.png is missing. Remove "),
    "no metrics": (lambda f: (f / "both/metrics.json").unlink(), "metrics.json is missing. Remove "),
    "no member": (edit(lambda v: v["fer"].update(members=[])), "members is broken (it is empty)"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_an_ensemble_whose_files_do_not_belong_together_is_refused(hub: HubServer, folder: Path, name: str) -> None:
    spoil, said = SPOILT[name]
    spoil(folder)
    assert said in refusal(hub, folder / "both")


# ── a sweep, a Space ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_ensemble_in_a_sweeps_folder_is_published_with_its_runs(
    hub: HubServer, made: Path, toy_csv: Path, tmp_path: Path
) -> None:
    sweep = tmp_path / "grid"
    for name in ("one", "two"):
        shutil.copytree(made / name, sweep / name / "model")
        shutil.copy(made / name / "metrics.json", sweep / name / RESULT)
    together((sweep / "one", sweep / "two"), sweep / "both", toy_csv)
    shutil.copytree(sweep / "both", sweep / "both.tmp")  # left by an interruption
    (sweep / "half").mkdir()
    shutil.copy(sweep / "both" / "config.json", sweep / "half")
    assert publish_all(PublishSweepConfig(sweep, "me"), client(hub)) == 0
    assert sorted(repo_id for _, repo_id in hub.repos) == ["me/grid-both", "me/grid-one", "me/grid-two"]
    (collection,) = hub.collections.values()
    assert sorted(collection.item_ids) == ["me/grid-both", "me/grid-one", "me/grid-two"]
    assert "members/two/onnx/model.onnx" in contents(hub, "me/grid-both")
    assert publish_all(PublishSweepConfig(sweep, "me", best=True, dry_run=True), client(hub)) == 0


def test_a_space_offers_an_ensemble_and_preloads_its_members(hub: HubServer, made: Path) -> None:
    publish(hub, made / "both", ID)
    upload_space(PublishSpaceConfig("me/demo", (ID,)), client(hub))
    files = hub.repos["space", "me/demo"].files()
    assert files["models.txt"] == f"{ID}\n".encode()
    (line,) = RepoCard(files["README.md"].decode()).data.to_dict()["preload_from_hub"]
    repo_id, wanted = line.split(" ")
    assert repo_id == ID
    assert set(wanted.split(",")) == {
        "config.json",
        *(f"members/{name}/{file}" for name in ("one", "two") for file in ("config.json", "onnx/model.onnx")),
    }


def test_a_space_refuses_an_ensemble_that_lacks_a_member(hub: HubServer, made: Path) -> None:
    publish(hub, made / "both", ID)
    there = {path: content for path, content in contents(hub, ID).items() if not path.startswith("members/two/onnx")}
    hub.put("me/half", there)
    with pytest.raises(PublishError, match=r"me/half has no members/two/onnx/model.onnx on the Hub"):
        upload_space(PublishSpaceConfig("me/demo", ("me/half",)), client(hub))
    with pytest.raises(ModelError, match="members/two"):
        load_classifier("me/half", place=place(hub, made / "cache"))
