"""train.cluster: runs as Ray tasks, each finished once whatever happens to its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ray = pytest.importorskip("ray", reason="the extra `cluster` is not installed: pip install 'fer_hub[cluster]'")

from test_sweep import events, tiny  # noqa: E402

from train import attempts, cluster  # noqa: E402
from train.presets import expand  # noqa: E402

ROOT = Path(__file__).parents[1]
PATIENCE = 240
ON_RAY = ("--executor", "ray", "--workers", "2", "--set", "checkpoint_every=1")


def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """A sweep as a process of its own, in a session whose stragglers can be found."""
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"OMP_NUM_THREADS": "1"}
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "train", *command], cwd=ROOT, stdout=file, stderr=file, env=environment
        )


def wait_for(found: object, process: subprocess.Popen[bytes], log: Path) -> list[Path]:
    """The paths that a function finds, as soon as there are some."""
    end = time.monotonic() + PATIENCE
    while not (paths := list(found())):  # type: ignore[operator]
        assert process.poll() is None, log.read_text()
        if time.monotonic() > end:
            process.send_signal(signal.SIGINT)
            process.wait(60)
            pytest.fail(f"no progress:\n{log.read_text()}")
        time.sleep(0.01)
    return paths


def gone(pid: int) -> bool:
    """Whether a process has ended, even if nobody has asked for its exit status yet."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (path / attempts.ATTEMPTS).read_text().splitlines()]


@pytest.mark.slow
def test_a_killed_workers_run_is_finished_by_another_and_every_run_once(tmp_path: Path, toy_csv: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "imbalance-grid"
    process = start(tiny(tmp_path, toy_csv, *ON_RAY, "--set", "epochs=4"), log)
    state = wait_for(lambda: folder.glob("*/state"), process, log)[0]  # its run is in the middle
    victim = state.parent
    pid = lines(victim)[-1]["pid"]
    assert isinstance(pid, int) and pid != process.pid
    os.kill(pid, signal.SIGKILL)
    assert process.wait(PATIENCE) == 0, log.read_text()
    said = log.read_text()
    assert said.count("accuracy") == 4
    assert "4 of 4 done" in said.splitlines()[-1]
    runs = sorted(path.parent for path in folder.glob("*/result.json"))
    assert len(runs) == 4
    assert events(victim) == ["started", "started", "finished"]
    assert len({line["pid"] for line in lines(victim)}) == 2
    for run in runs:
        assert events(run).count("finished") == 1
        epochs = [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert epochs == [1, 2, 3, 4]
    assert (folder / "leaderboard.md").read_text().count("timm:test_resnet") == 4


@pytest.mark.slow
def test_ctrl_c_saves_the_states_of_all_runs_and_leaves_no_process(tmp_path: Path, toy_csv: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "imbalance-grid"
    process = start(tiny(tmp_path, toy_csv, *ON_RAY, "--set", "epochs=1000"), log)
    wait_for(lambda: [1] if len(list(folder.glob("*/state"))) == 2 else [], process, log)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130, log.read_text()
    stopped = [path.parent for path in folder.glob(f"*/{attempts.ATTEMPTS}")]
    assert [events(run) for run in stopped] == [["started", "stopped"]] * 2
    workers = [int(str(lines(run)[0]["pid"])) for run in stopped]
    end = time.monotonic() + 60  # Ray's own processes end just after the command that began them
    while not all(map(gone, workers)):
        assert time.monotonic() < end, f"still there: {[pid for pid in workers if not gone(pid)]}"
        time.sleep(0.1)
    assert "Traceback" not in log.read_text()


def test_paths_mean_the_same_in_another_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fer2013.csv").touch()
    (tmp_path / "model").mkdir()
    changes = {"data": Path("fer2013.csv"), "external": Path("owner/name"), "teacher": (Path("model"), Path("zoos"))}
    run = expand("realtime-7", Path("runs"), changes=changes)[0]
    config = cluster.absolute(run.config)
    assert config.out == tmp_path / "runs" / "deep_cnn"
    assert config.data == tmp_path / "fer2013.csv"
    assert config.external == Path("owner/name")  # on the Hub
    assert config.teacher == (tmp_path / "model", Path("zoos"))  # a folder, and a name of the zoo


def test_the_tasks_find_this_code_and_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER2013_DIR", "somewhere")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    given = cluster.environment()
    assert given["PYTHONPATH"] == os.pathsep.join([str(ROOT), "elsewhere"])
    assert given["FER2013_DIR"] == "somewhere"


@pytest.mark.parametrize(
    ("room", "has", "lanes"),
    [
        (cluster.Room(), {"CPU": 4.0}, 4),
        (cluster.Room(workers=2), {"CPU": 4.0}, 2),
        (cluster.Room(workers=9), {"CPU": 4.0}, 4),
        (cluster.Room(cpus=2), {"CPU": 5.0}, 2),
        (cluster.Room(gpus=0.5), {"CPU": 16.0, "GPU": 2.0}, 4),
        (cluster.Room(cpus=0, gpus=1), {"CPU": 16.0, "GPU": 2.0}, 2),
    ],
)
def test_as_many_runs_at_a_time_as_fit(
    monkeypatch: pytest.MonkeyPatch, room: cluster.Room, has: dict[str, float], lanes: int
) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: has)
    assert cluster.lanes_of(room) == lanes


def test_a_run_for_which_there_is_no_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0})
    with pytest.raises(ValueError, match="asks for 1 CPUs and 1 GPUs, the cluster has 4 and 0"):
        cluster.lanes_of(cluster.Room(gpus=1))
