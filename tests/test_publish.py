"""publish: checks first, one commit, nothing twice, nobody else's files; to the real client on the test Hub."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_server import HubServer
from published import client, commits, complete_run, contents, local, measure, publish
from safetensors.torch import load_file, save_file

from fer_hub.hub import ZOO
from train import cards
from train.finished import model_folder
from train.publishing.checks import _lost
from train.publishing.errors import PublishError
from train.publishing.model import publish_model

ROOT = Path(__file__).parents[1]
SENT = re.compile(r"PUT /storage/|POST .*/(commit|create|tag)")


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def finished(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that can be published."""
    return complete_run(toy_run, tmp_path_factory.mktemp("runs") / "toy")


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return shutil.copytree(finished, tmp_path / "run")


def sent(hub: HubServer) -> list[str]:
    return [f"{r.method} {r.path}" for r in hub.requests if SENT.search(f"{r.method} {r.path}")]


def refusal(hub: HubServer, source: Path, **asked: object) -> str:
    """Why a source cannot be published; nothing was sent."""
    hub.clear_requests()
    with pytest.raises(PublishError) as error:
        publish(hub, source, **asked)
    assert not sent(hub)
    return str(error.value)


def test_what_is_published_is_the_folder_byte_for_byte_with_a_card_of_its_own(hub: HubServer, finished: Path) -> None:
    publish(hub, finished)
    there = contents(hub)
    card = there.pop("README.md").decode()
    assert there == local(finished / "model")
    assert card == cards.model_card(finished / "model", repo_id="me/toy")
    assert commits(hub) == 1
    assert sum("/commit/" in line for line in sent(hub)) == 1


def test_nothing_is_sent_again_when_nothing_has_changed(
    hub: HubServer, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = publish(hub, finished, tag="v1")
    hub.clear_requests()
    again = publish(hub, finished, tag="v1")
    assert not sent(hub)
    assert commits(hub) == 1
    assert again.commit.oid == first.commit.oid
    assert "nothing has changed" in capsys.readouterr().out


def test_only_the_file_that_changed_is_sent_and_one_that_is_gone_is_deleted(hub: HubServer, run: Path) -> None:
    publish(hub, run)
    hub.put("me/toy", {"notes.md": b"mine", "onnx/model_old.onnx": b"old", "figures/old.png": b"old"})
    (run / "model" / "figures" / "confusion.png").write_bytes(b"drawn anew")
    hub.clear_requests()
    changes = publish(hub, run).changes
    assert changes.add == ["figures/confusion.png"]
    assert sorted(changes.delete) == ["figures/old.png", "onnx/model_old.onnx"]
    there = contents(hub)
    assert there.pop("notes.md") == b"mine"
    assert {path: data for path, data in there.items() if path != "README.md"} == local(run / "model")
    assert sum(line.startswith("PUT /storage/") for line in sent(hub)) == 1


def test_a_dry_run_sends_nothing_and_lists_every_file_with_its_size(
    hub: HubServer, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(hub, finished, dry_run=True, tag="v1", collection="Faces") is None
    assert not sent(hub)
    assert not hub.repos and not hub.collections
    printed = capsys.readouterr().out
    for path, data in local(finished / "model").items():
        assert re.search(rf"send +{len(data):,}  {re.escape(path)}\n", printed)


# ── what is refused, all of it before anything is sent ───────────────────────────────────────────────────────────────


def weights_of_another(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    changed = {k: v + torch.ones_like(v) if k.endswith("fc.bias") else v for k, v in weights.items()}
    assert any((changed[k] != weights[k]).any() for k in weights)
    save_file(changed, model / "model.safetensors", metadata={"format": "pt"})
    measure(model)


def edit(file: str, change: Callable[[dict], object]) -> Callable[[Path], None]:  # type: ignore[type-arg]
    def spoil(model: Path) -> None:
        values = json.loads((model / file).read_text(encoding="utf-8"))
        change(values)
        (model / file).write_text(json.dumps(values))

    return spoil


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no measurements": (
        lambda m: (m / "onnx/variants.json").unlink(),
        "variants.json is missing. Type: python -m",
    ),
    "no picture": (lambda m: (m / "figures/confusion.png").unlink(), "figures/confusion.png is missing"),
    "a changed file": (
        lambda m: (m / "onnx/model.onnx").write_bytes((m / "onnx/model.onnx").read_bytes() + b"\0"),
        "onnx/model.onnx is not the file that was measured",
    ),
    "a changed config": (
        edit("config.json", lambda v: v["fer"].update(seed=77)),
        "config.json is not the file that was measured",
    ),
    "a file that failed": (
        lambda m: shutil.copy(m / "onnx/model.onnx", m / "onnx/model_quantized.onnx"),
        "onnx/model_quantized.onnx is there, but onnx/variants.json does not publish it",
    ),
    "other figures": (
        edit("metrics.json", lambda v: v["test"].update(accuracy=0.999)),
        "config.json and metrics.json state different accuracies on test",
    ),
    "a figure less": (edit("metrics.json", lambda v: v["test"].pop("ece")), "figure is missing"),
    "other weights": (weights_of_another, "onnx/model.onnx and model.safetensors differ by up to"),
    "broken JSON": (lambda m: (m / "metrics.json").write_text("{"), "metrics.json"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_folder_whose_files_do_not_belong_together_is_refused(hub: HubServer, run: Path, name: str) -> None:
    spoil, said = SPOILT[name]
    spoil(run / "model")
    assert said in refusal(hub, run)


def test_all_problems_are_named_at_once(hub: HubServer, run: Path) -> None:
    (run / "model" / "onnx" / "variants.json").unlink()
    (run / "model" / "figures" / "confusion.png").unlink()
    hub.read_tokens.add(hub.token)
    hub.put("me/toy", {"theirs.bin": b"1"})
    message = refusal(hub, run)
    for said in ("variants.json is missing", "confusion.png is missing", "may only read"):
        assert said in message
    hub.read_tokens.clear()
    assert "lacks the tag fer-hub" in refusal(hub, run)


@pytest.mark.parametrize(
    ("repo_id", "said"),
    [
        ("toy", "give owner/name"),
        ("a/b/c", "give owner/name"),
        ("me/a--b", "Cannot have -- or .."),
        ("me/" + "x" * 97, "maximum length is 96"),
        ("other/toy", "me cannot write to other. Give a name of me"),
    ],
)
def test_a_name_that_the_hub_would_not_take_is_refused(hub: HubServer, finished: Path, repo_id: str, said: str) -> None:
    with pytest.raises(PublishError, match=re.escape(said)):
        publish(hub, finished, repo_id)
    assert not sent(hub)


def test_a_foreign_repository_is_left_alone_without_force(hub: HubServer, finished: Path) -> None:
    hub.put("me/toy", {"README.md": b"---\ntags: [cats]\n---\n", "model.bin": b"theirs"})
    before = contents(hub)
    assert "--force" in refusal(hub, finished)
    assert contents(hub) == before
    publish(hub, finished, force=True)
    assert contents(hub)["model.bin"] == b"theirs"
    assert b"fer-hub" in contents(hub)["README.md"]


def test_a_pull_request_leaves_main_as_it_is_and_is_opened_once(hub: HubServer, finished: Path) -> None:
    hub.put("me/toy", {"model.bin": b"theirs"})
    before = contents(hub)
    for _ in range(2):
        assert publish(hub, finished, create_pr=True).commit.pr_url == f"{hub.url}/me/toy/discussions/1"
    assert contents(hub) == before
    assert len(hub.repos["model", "me/toy"].pulls) == 1
    assert local(finished / "model").items() <= contents(hub, revision="refs/pr/1").items()


def test_a_pull_request_needs_a_repository_and_takes_no_tag(hub: HubServer, finished: Path) -> None:
    message = refusal(hub, finished, create_pr=True, tag="v1")
    assert "does not exist" in message
    assert "Tag it when it is merged" in message


def test_a_tag_is_set_on_the_commit_and_never_moved(hub: HubServer, run: Path) -> None:
    done = publish(hub, run, tag="v1")
    repo = hub.repos["model", "me/toy"]
    assert repo.tags == {"v1": done.commit.oid}
    (run / "model" / "figures" / "confusion.png").write_bytes(b"drawn anew")
    assert "has a tag v1 on other files" in refusal(hub, run, tag="v1")
    assert publish(hub, run, tag="v2").commit.oid == repo.tags["v2"] != repo.tags["v1"]


def test_a_new_repository_is_private_if_asked_and_a_public_one_is_refused(hub: HubServer, finished: Path) -> None:
    publish(hub, finished, "me/quiet", private=True)
    assert hub.repos["model", "me/quiet"].private
    publish(hub, finished)
    assert not hub.repos["model", "me/toy"].private
    assert "exists and is public" in refusal(hub, finished, private=True)


def test_a_collection_is_made_once_holds_the_model_and_is_on_its_card(hub: HubServer, finished: Path) -> None:
    for name in ("me/one", "me/two", "me/one"):
        publish(hub, finished, name, collection="Faces")
    (slug, collection), *others = hub.collections.items()
    assert not others
    assert collection.item_ids == ["me/one", "me/two"]
    assert f"{hub.url}/collections/{slug}" in contents(hub, "me/two")["README.md"].decode()
    assert commits(hub, "me/one") == 1
    publish(hub, finished, "me/three", collection=slug)
    assert collection.item_ids[-1] == "me/three"


# ── who, where from, and how it is typed ─────────────────────────────────────────────────────────────────────────────


def test_a_wrong_token_is_said_and_not_shown(
    hub: HubServer, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = "hf_thisoneiswrongthisoneiswrong"
    with pytest.raises(PublishError, match=r"Not logged in.*401.*HF_TOKEN") as error:
        publish_model(finished, "me/toy", api=client(hub, token))
    assert token not in str(error.value) + "".join(capsys.readouterr())


def test_a_token_that_an_answer_repeats_is_not_shown(hub: HubServer, finished: Path) -> None:
    hub.namespace = hub.users[hub.token] = hub.token  # its whoami names the token as the user
    with pytest.raises(PublishError) as error:
        publish(hub, finished)
    assert hub.token not in str(error.value)


def test_without_a_hub_the_folder_is_checked_all_the_same(run: Path) -> None:
    with HubServer() as gone:
        api = client(gone)
    (run / "model" / "figures" / "confusion.png").unlink()
    with pytest.raises(PublishError, match=r"(?s)confusion.png is missing.*Not logged in to http") as error:
        publish_model(run, "me/toy", api=api)
    assert "refused" in str(error.value)


def test_a_source_is_a_run_a_model_folder_or_a_name_of_the_zoo(finished: Path, tmp_path: Path) -> None:
    assert model_folder(finished) == model_folder(finished / "model") == finished / "model"
    assert model_folder("fer-lite0") == ZOO / "fer-lite0"
    for wrong in ("no-such", str(tmp_path)):
        with pytest.raises(ValueError, match=r"There is no model in .*fer-lite0"):
            model_folder(wrong)


def test_a_run_that_is_not_finished_is_refused(run: Path) -> None:
    (run / "result.json").unlink()
    with pytest.raises(ValueError, match="not finished"):
        model_folder(run)


def test_labels_may_differ_in_near_ties_only() -> None:
    expected = np.log(np.array([[0.5, 0.49, 0.01], [0.9, 0.05, 0.05]], np.float32))
    near, wrong = expected[:, [1, 0, 2]] * [[1], [0]] + expected * [[0], [1]], expected[:, [1, 0, 2]]
    assert _lost(expected, expected) == 0
    assert _lost(near, expected) == pytest.approx(0.01, abs=1e-3)
    assert _lost(wrong, expected) == pytest.approx(0.85, abs=1e-3)
    assert _lost(expected * np.nan, expected) == np.inf


@pytest.mark.slow
@pytest.mark.parametrize("xet_mode", [False, True])
def test_the_command_publishes_in_one_commit_by_lfs_and_where_hf_xet_is_on_with_the_commit(
    finished: Path, tmp_path: Path, xet_mode: bool
) -> None:
    with HubServer(xet_mode=xet_mode) as hub:
        command = [sys.executable, "-m", "train", "publish", str(finished), "--repo-id", "me/toy", "--tag", "v1"]
        done = subprocess.run(command, env=hub.environment(tmp_path), cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert local(finished / "model").items() <= contents(hub).items()
        assert commits(hub) == 1
        assert "v1" in hub.repos["model", "me/toy"].tags
        assert any("lfs" in request.path for request in hub.requests) is not xet_mode
        wrong = hub.environment(tmp_path) | {"HF_TOKEN": "hf_wrongwrongwrongwrong"}
        failed = subprocess.run(command, env=wrong, cwd=ROOT, capture_output=True, text=True)
        assert failed.returncode == 2
        assert "Not logged in" in failed.stderr
        assert hub.token not in done.stdout + done.stderr
        assert "hf_wrong" not in failed.stdout + failed.stderr


@pytest.mark.slow
def test_a_run_as_it_was_left_is_exported_first(toy_run: Path, toy_csv: Path, tmp_path: Path, hub: HubServer) -> None:
    run = shutil.copytree(toy_run, tmp_path / "run")
    publish(hub, run, dry_run=True, data=toy_csv)
    assert ("model", "me/toy") not in hub.repos
    publish(hub, run, data=toy_csv)
    measured = json.loads(contents(hub)["onnx/variants.json"])["variants"]
    assert measured.keys() == {"fp32", "fp16", "int8"}
    published = {row["file"] for row in measured.values() if row["published"]}
    assert {path for path in contents(hub) if path.endswith(".onnx")} == published
    assert local(run / "model").items() <= contents(hub).items()


def test_a_run_whose_data_are_not_there_is_not_published(toy_run: Path, tmp_path: Path, hub: HubServer) -> None:
    run = shutil.copytree(toy_run, tmp_path / "run")
    with pytest.raises(ValueError, match="gone"):
        publish(hub, run, data=tmp_path / "gone")
    assert ("model", "me/toy") not in hub.repos
