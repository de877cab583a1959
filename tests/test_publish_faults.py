"""publish with a fault at each of its requests in turn: all of our files or none, a clear message, a retry."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from hub_faults import Kind
from hub_server import HubServer
from published import commits, complete_run, contents, local, publish

from train.publishing.errors import PublishError

WISH = {"tag": "v1", "collection": "Faces", "private": True}
WORKERS = 6
"""At a time: the client's waits overlap."""
PATIENT = r"preupload|objects/batch|PUT /storage/|objects/verify|/tree/"
"""Requests that the client repeats by itself."""


class Ending(NamedTuple):
    """How a publish with a fault ended."""

    fault: str
    message: str
    commits: int
    tags: list[str]
    whole: bool
    nothing: bool


@pytest.fixture(scope="module")
def small(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that can be published in few requests: with one figure."""
    run = complete_run(toy_run, tmp_path_factory.mktemp("runs") / "toy")
    for path in (run / "model" / "figures").glob("*.png"):
        if path.name != "confusion.png":
            path.unlink()
    return run


@pytest.fixture(scope="module")
def requests_of_a_publish(small: Path) -> list[str]:
    with HubServer() as hub:
        publish(hub, small, **WISH)
        return [f"{request.method} {request.path}" for request in hub.requests]


def with_fault(run: Path, nth: int, kind: Kind, times: int = 1, before: Path | None = None) -> Ending:
    """Publish with a fault, then (the fault being over) give the same command again; what the first one left."""
    with HubServer() as hub:
        if before:
            publish(hub, before, private=True)
        hub.clear_requests()
        old = contents(hub)
        hub.fail(nth=nth, status=kind, times=times)
        message = attempt(hub, run)
        assert hub.faults_seen, f"request {nth} was never made"
        fault = f"{kind} at {hub.faults_seen[0].method} {hub.faults_seen[0].path}"
        there = contents(hub)
        repo = hub.repos.get(("model", "me/toy"))
        ending = Ending(
            fault,
            message,
            commits(hub) if repo else 0,
            list(repo.tags) if repo else [],
            local(run / "model").items() <= there.items() and b"collections/" in there.get("README.md", b""),
            there == old,
        )
        hub.clear_requests()
        assert attempt(hub, run) == "", fault
        assert_finished(hub, run, fault, 2 if before else 1)
        return ending


def attempt(hub: HubServer, run: Path) -> str:
    """Publish; the message of a failure."""
    try:
        publish(hub, run, **WISH)
    except PublishError as error:
        assert hub.token not in str(error)
        return str(error)
    return ""


def assert_finished(hub: HubServer, run: Path, fault: str, expected: int) -> None:
    repo = hub.repos["model", "me/toy"]
    (collection,) = hub.collections.values()
    assert local(run / "model").items() <= contents(hub).items(), fault
    assert commits(hub) == expected, fault
    assert repo.tags == {"v1": repo.commits[-1].oid}, fault
    assert collection.item_ids == ["me/toy"], fault
    assert repo.private, fault


def endings(run: Path, cases: Iterable[tuple[int, Kind, int]], before: Path | None = None) -> list[Ending]:
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(lambda case: with_fault(run, *case, before=before), cases))


def check(ending: Ending) -> None:
    """All or nothing, and a message that says which and what to do."""
    assert ending.whole or ending.nothing, ending
    if not ending.message:
        assert ending.whole, ending
    elif "cannot be published" not in ending.message:  # a check failed: nothing was touched
        assert "same command" in ending.message, ending
        said = ("The files are on the Hub", "all of the files are there or none")
        assert any(text in ending.message for text in said) is ending.whole, ending
    assert len(ending.message) < 700, ending
    assert "Traceback" not in ending.message


@pytest.mark.slow
@pytest.mark.parametrize("kind", [500, "cut", "lost"])
def test_a_fault_at_any_request_leaves_all_files_or_none_and_the_retry_succeeds(
    small: Path, requests_of_a_publish: list[str], kind: Kind
) -> None:
    cases = [(n, kind, 1) for n in range(1, len(requests_of_a_publish) + 1)]
    found = endings(small, cases)
    assert len(found) > 20
    for ending in found:
        check(ending)
    assert any(ending.message for ending in found)
    assert any(not ending.message for ending in found)


@pytest.mark.slow
def test_a_request_that_keeps_failing_ends_in_a_message_that_names_the_answer(
    small: Path, requests_of_a_publish: list[str]
) -> None:
    firsts = {}
    for number, line in enumerate(requests_of_a_publish, 1):
        if found := re.search(PATIENT, line):
            firsts.setdefault(found[0], number)
    assert len(firsts) >= 4
    for ending in endings(small, [(n, 503, 60) for n in firsts.values()]):
        check(ending)
        assert ending.nothing, ending
        assert "503" in ending.message, ending


@pytest.mark.slow
def test_a_fault_while_a_version_is_replaced_leaves_the_old_one_or_the_new_one(
    small: Path, tmp_path: Path, requests_of_a_publish: list[str]
) -> None:
    old = shutil.copytree(small, tmp_path / "old")
    (old / "model" / "figures" / "confusion.png").write_bytes(b"an older picture")
    with HubServer() as hub:
        publish(hub, old, private=True)
        hub.clear_requests()
        publish(hub, small, **WISH)
        numbers = [n for n, request in enumerate(hub.requests, 1) if request.method in ("POST", "PUT")]
    for ending in endings(small, [(n, "lost", 1) for n in numbers], before=old):
        check(ending)


def test_a_commit_whose_answer_is_lost_is_found_and_not_made_twice(small: Path) -> None:
    with HubServer() as hub:
        hub.fail(matching=r"POST .*/commit/", status="lost")
        publish(hub, small)
        assert commits(hub) == 1
        assert sum("/commit/" in request.path for request in hub.requests) == 1


def test_a_commit_that_the_hub_could_not_take_is_sent_again(small: Path) -> None:
    with HubServer() as hub:
        hub.fail(matching=r"POST .*/commit/", status=500)
        publish(hub, small)
        assert commits(hub) == 1
        assert sum("/commit/" in request.path for request in hub.requests) == 2


def test_somebody_elses_change_meanwhile_is_not_overwritten(small: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(small, tmp_path / "run")
    (changed / "model" / "figures" / "recall.png").write_bytes(b"a new picture")
    with HubServer() as hub:
        publish(hub, small)
        hub.fail(matching=r"POST .*/preupload/", status="slow", seconds=1)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(publish, hub, changed)
            while not hub.faults_seen and not running.done():
                time.sleep(0.01)
            hub.put("me/toy", {"notes.md": b"theirs"})
            with pytest.raises(PublishError, match=r"somebody else changed.*same command again"):
                running.result()
        assert contents(hub)["notes.md"] == b"theirs"
        assert "figures/recall.png" not in contents(hub)
        publish(hub, changed)
        assert {"notes.md", "figures/recall.png"} <= contents(hub).keys()
