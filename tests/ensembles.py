"""What the tests of ensembles share: members made of the toy model, each wrong in places of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from published import measure

from fer_hub.backbones import load_model
from fer_hub.hub import VARIANTS, read_config, read_info
from train import graphs
from train.ensemble import EnsembleConfig, make
from train.export import write_weights
from train.finished import WEIGHTS


def noisy(toy_model: Path, out: Path, seed: int) -> Path:
    """A complete model folder: the toy model with noise on its weights, in torch and ONNX alike, as `export` has it."""
    model = Path(shutil.copytree(toy_model, out))
    module, info = load_model(model), read_info(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim > 1:
                weight += 0.5 * weight.std() * torch.randn(weight.shape, generator=generator)
                weight.copy_(weight.half().float())
        for weight in module.get_classifier().parameters():  # type: ignore[operator]
            weight /= 10  # the toy model's own are sharpened until they are never in doubt
    write_weights(module, model / WEIGHTS)
    graphs.write_onnx(module, info.input, read_config(model), model / VARIANTS["fp32"])
    (model / VARIANTS["fp16"]).unlink(missing_ok=True)
    measure(model)
    return model


def pair(toy_model: Path, parent: Path) -> tuple[Path, Path]:
    """Two of them, ``one`` and ``two``."""
    return noisy(toy_model, parent / "one", 1), noisy(toy_model, parent / "two", 2)


def together(members: tuple[Path, ...], out: Path, data: Path, **options: Any) -> Path:
    """An ensemble of them, each shown two views."""
    values: dict[str, Any] = {"views": "flip", "weights": (1.0, 2.0), "data": data} | options
    make(EnsembleConfig(tuple(map(str, members)), out, **values))
    return out


def read(path: Path) -> dict[str, Any]:
    """A JSON file."""
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values
