"""The code that a model card prints, taken out of it and run."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMES = ("fer_hub", "timm", "onnxruntime", "browser")
"""The snippets, in the order of the card."""
FENCE = re.compile(r"^```(?:python|html)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def printed(card: str) -> dict[str, str]:
    """The snippets of a card, by name."""
    return dict(zip(NAMES, FENCE.findall(card), strict=True))


def run(code: str, folder: Path, environment: Mapping[str, str] | None = None) -> dict[str, float]:
    """Run a Python snippet as a file of this folder; the scores that it prints last, by label."""
    (folder / "snippet.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "snippet.py"],
        cwd=folder,
        env={**(environment or os.environ | {"HF_HUB_OFFLINE": "1"}), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    scores: dict[str, float] = ast.literal_eval(done.stdout.splitlines()[-1])
    return scores
