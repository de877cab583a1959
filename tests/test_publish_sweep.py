"""publish sweep: a repository for each run, one collection, cards that link to each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer
from huggingface_hub.utils import validate_repo_id
from published import client, commits, complete_run, contents, local

from train.publishing.errors import PublishError
from train.publishing.sweep import PublishSweepConfig, publish_all, repo_name

RUNS: dict[str, dict[str, Any]] = {
    "one_none_focal-2": {"seed": 0, "accuracy": 0.50, "backbone": "timm:test_resnet"},
    "one_hybrid_focal-2": {"seed": 1, "accuracy": 0.52, "backbone": "timm:test_resnet"},
    "two_none_focal-2": {"seed": 2, "accuracy": 0.40, "backbone": "timm:test_vit"},
}
NAMES = [f"me/small-grid-{slug}" for slug in sorted(RUNS)]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def folder(toy_run: Path, tmp_path: Path) -> Path:
    """A sweep of three finished runs, and one that is not."""
    folder = tmp_path / "small-grid"
    for slug, figures in RUNS.items():
        complete_run(toy_run, folder / slug, **figures)
    (complete_run(toy_run, folder / "three") / "result.json").unlink()
    return folder


def sweep(hub: HubServer, folder: Path, **options: Any) -> int:
    return publish_all(PublishSweepConfig(folder, "me", **options), client(hub))


def links(hub: HubServer, repo_id: str) -> set[str]:
    """Repositories of this Hub that a card links to."""
    card = contents(hub, repo_id)["README.md"].decode()
    return set(re.findall(rf"\]\({hub.url}/(me/[\w.-]+)\)", card))


def test_every_finished_run_gets_a_repository_and_all_are_in_one_collection(hub: HubServer, folder: Path) -> None:
    assert sweep(hub, folder) == 0
    assert sorted(repo_id for _, repo_id in hub.repos) == NAMES
    for slug, repo_id in zip(sorted(RUNS), NAMES, strict=True):
        assert local(folder / slug / "model").items() <= contents(hub, repo_id).items()
        assert commits(hub, repo_id) == 1
    (collection,) = hub.collections.values()
    assert sorted(collection.item_ids) == NAMES
    assert collection.title == "Facial expressions: small-grid"


def test_the_cards_link_to_each_other_and_to_the_collection(hub: HubServer, folder: Path) -> None:
    sweep(hub, folder, collection="Grid")
    (slug,) = hub.collections
    for repo_id in NAMES:
        assert links(hub, repo_id) == {*NAMES} - {repo_id}
        assert f"{hub.url}/collections/{slug}" in contents(hub, repo_id)["README.md"].decode()


def test_the_same_command_again_sends_nothing(hub: HubServer, folder: Path) -> None:
    sweep(hub, folder)
    hub.clear_requests()
    assert sweep(hub, folder) == 0
    assert [commits(hub, repo_id) for repo_id in NAMES] == [1, 1, 1]
    assert not [r for r in hub.requests if re.search(r"/commit/|/storage/|preupload", r.path)]


def test_the_best_of_each_network_is_chosen_on_validation(hub: HubServer, folder: Path) -> None:
    assert sweep(hub, folder, best=True) == 0
    better, other = "me/small-grid-one_hybrid_focal-2", "me/small-grid-two_none_focal-2"
    assert {repo_id for _, repo_id in hub.repos} == {better, other}
    assert links(hub, other) == {better}
    assert "small-grid-one_none_focal-2" in contents(hub, other)["README.md"].decode()  # compared with, without a link


def test_a_run_that_fails_does_not_stop_the_others(
    hub: HubServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "one_none_focal-2" / "model" / "onnx" / "variants.json").unlink()
    hub.put(NAMES[2], {"theirs.bin": b"1"})
    assert sweep(hub, folder) == 1
    printed = capsys.readouterr().out
    assert "variants.json is missing" in printed
    assert "--force" in printed
    assert "1 of 3 published, 2 failed" in printed
    assert commits(hub, NAMES[0]) == 1


def test_a_dry_run_of_a_sweep_sends_nothing(hub: HubServer, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(hub, folder, dry_run=True) == 0
    assert not hub.repos and not hub.collections
    printed = capsys.readouterr().out
    assert all(f"{hub.url}/{repo_id} (new)" in printed for repo_id in NAMES)
    assert {request.method for request in hub.requests} == {"GET"}


def test_a_wrong_token_is_one_sentence_not_one_for_each_run(hub: HubServer, folder: Path) -> None:
    with pytest.raises(PublishError, match="Not logged in") as error:
        publish_all(PublishSweepConfig(folder, "me"), client(hub, "hf_wrongwrongwrong"))
    assert str(error.value).count("Not logged in") == 1


def test_a_folder_without_finished_runs_is_named(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no finished run"):
        sweep(hub, tmp_path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("imbalance-grid-vgg16_none_focal-2", "imbalance-grid-vgg16_none_focal-2"),
        ("grid-hybrid:3000 focal:2", "grid-hybrid-3000-focal-2"),
        ("a--b..c.-d", "a-b.c-d"),
        ("-timm:test_vit-.", "timm-test_vit"),
        ("name.git", "name"),
    ],
)
def test_names_become_what_the_hub_allows(text: str, name: str) -> None:
    assert repo_name(text) == name
    validate_repo_id(f"me/{name}")


def test_long_names_are_cut_and_stay_apart() -> None:
    names = {repo_name("x" * 120 + end) for end in ("a", "b")}
    assert len(names) == 2
    for name in names:
        assert len(name) <= 96
        validate_repo_id(f"me/{name}")


def test_two_runs_of_one_name_are_refused(hub: HubServer, toy_run: Path, tmp_path: Path) -> None:
    for slug in ("a:b", "a-b"):
        complete_run(toy_run, tmp_path / "grid" / slug)
    with pytest.raises(ValueError, match="would both be me/grid-a-b"):
        sweep(hub, tmp_path / "grid")
