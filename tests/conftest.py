"""What several test files share: the real data, a toy data set, a finished toy run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from train.config import RunConfig

CACHE = tempfile.TemporaryDirectory(prefix="fer-hub-tests-")
os.environ["HF_DATASETS_CACHE"] = CACHE.name  # read when `datasets` is imported, later: each session decodes anew
os.environ["HF_HUB_DISABLE_XET"] = os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # read when it is imported, too
os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported: small networks gain nothing from more

Row = tuple[int, str, NDArray[np.uint8]]
"""Label, usage, 48×48 pixels."""

ROWS = {"Training": 200, "PublicTest": 60, "PrivateTest": 60}


def toy_picture(label: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A bright band at the height that belongs to the label, on noise."""
    picture = rng.integers(0, 120, (48, 48))
    top = 3 + 6 * label + int(rng.integers(-1, 2))
    picture[top : top + 6] += 110
    return picture.astype(np.uint8)


def toy_rows(seed: int = 0) -> list[Row]:
    """Rows of all three usages, every label in each."""
    rng = np.random.default_rng(seed)
    return [(i % 7, usage, toy_picture(i % 7, rng)) for usage, count in ROWS.items() for i in range(count)]


def write_csv(path: Path, rows: Iterable[Row], header: str = "emotion,pixels,Usage") -> Path:
    """A file in the form of fer2013.csv."""
    lines = [f"{label},{' '.join(map(str, pixels.reshape(-1)))},{usage}" for label, usage, pixels in rows]
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def toy_config(out: Path, data: Path, **changes: object) -> RunConfig:
    """A run of seconds."""
    values: dict[str, object] = {
        "protocol": "as-given",
        "backbone": "timm:test_resnet",
        "image_size": 48,
        "epochs": 2,
        "batch_size": 32,
        "lr": 1e-2,
        "augment": 0.5,
        "ema": 0.5,
        "drop_path_rate": 0.0,
    }
    return RunConfig(out=out, data=data, **(values | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def fer2013_dir() -> Path:
    """The folder of the real FER2013; without one the test is skipped, in CI it fails."""
    if not os.environ.get("FER2013_DIR"):
        reason = "FER2013_DIR is not set: this test reads the real FER2013 (three parquet files)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return Path(os.environ["FER2013_DIR"])


@pytest.fixture(scope="session")
def toy_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fer2013.csv of 320 synthetic pictures that can be learnt."""
    return write_csv(tmp_path_factory.mktemp("data") / "fer2013.csv", toy_rows())


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory, toy_csv: Path) -> Path:
    """The folder of a finished run on it."""
    from train import loop  # imports torch: only for those who ask

    out = tmp_path_factory.mktemp("runs") / "toy"
    loop.train(toy_config(out, toy_csv))
    return out


@pytest.fixture(scope="session")
def toy_model(toy_run: Path) -> Path:
    """Its model folder."""
    return toy_run / "model"
