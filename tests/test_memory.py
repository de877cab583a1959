"""train.memory: freed memory stays with the process, on Linux."""

from __future__ import annotations

import subprocess
import sys

import pytest

from train import memory

COUNT = """
import resource, sys, torch
from train import memory
if sys.argv[1] == "kept":
    assert memory.keep()
torch.set_num_threads(1)
def block():
    torch.ones(64 << 20, dtype=torch.uint8)
for _ in range(20):  # it takes some until they lie at the same place
    block()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    block()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Pages that five large tensors, one after the other, had to ask for."""
    done = subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is Linux'")
def test_pages_are_asked_for_once() -> None:
    assert faults("kept") < 500
    assert faults("usual") > 5 * 64  # even with pages of 2 MB each block of 64 MB is asked for anew


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not memory.keep()
