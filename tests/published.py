"""What the tests of publishing share: complete runs, made from the toy run, and publishing them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from hub_server import HubServer
from huggingface_hub import HfApi

from fer_hub.hub import VARIANTS
from train.publishing.model import Asked, publish_model


def complete_run(toy_run: Path, out: Path, seed: int = 0, **figures: Any) -> Path:
    """A finished run as `export` leaves it: the toy run with another seed, fp16 published, int8 refused.

    Args:
        toy_run: What to copy.
        out: Where to.
        seed: Of the run's config.
        figures: Changes of the result, such as backbone="…" or accuracy=0.5 (on validation).
    """
    model = out / "model"
    shutil.copytree(toy_run / "model", model)
    result, config = read(model / "metrics.json"), read(model / "config.json")
    result["config"] |= {"seed": seed} | {k: v for k, v in figures.items() if k == "backbone"}
    accuracy = figures.get("accuracy", result["validation"]["accuracy"])
    result["validation"]["accuracy"] = config["fer"]["metrics"]["validation"]["accuracy"] = accuracy
    for path, values in ((out / "result.json", result), (model / "metrics.json", result), (out / "config.json", {})):
        path.write_text(json.dumps(values))
    (model / "config.json").write_text(json.dumps(config))
    measure(model)
    return out


def measure(model: Path) -> None:
    """Write onnx/variants.json anew for the files that are there, with the figures of fp32."""
    if not (model / VARIANTS["fp16"]).exists():
        shutil.copy(model / VARIANTS["fp32"], model / VARIANTS["fp16"])
    path = model / "onnx" / "variants.json"
    values = read(path)
    row = values["variants"]["fp32"]
    refused = row | {"file": VARIANTS["int8"], "published": False, "why": "It is slower than fp32."}
    values["files"] = {name: digest(model / name) for name in ("model.safetensors", "config.json")}
    published = {name: row | {"file": VARIANTS[name]} | digest(model / VARIANTS[name]) for name in ("fp32", "fp16")}
    graph = {"nodes": 9, "bytes": 9, "latency_ms": row["latency_ms"]["1"]}
    values["simplification"] = dict.fromkeys(("raw", "plain", "simplified"), graph)
    path.write_text(json.dumps(values | {"variants": published | {"int8": refused}}))


def read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def digest(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def client(hub: HubServer, token: str | None = None) -> HfApi:
    return HfApi(endpoint=hub.url, token=token or hub.token)


def publish(hub: HubServer, source: Path, repo_id: str = "me/toy", **asked: Any) -> Any:
    return publish_model(source, repo_id, Asked(**asked), api=client(hub))


def contents(hub: HubServer, repo_id: str = "me/toy", revision: str = "main") -> dict[str, bytes]:
    """What a repository holds beside what the Hub puts there; nothing for one that does not exist."""
    repo = hub.repos.get(("model", repo_id))
    files = repo.files(revision) if repo else {}
    return {path: data for path, data in files.items() if path != ".gitattributes"}


def local(model: Path) -> dict[str, bytes]:
    """A model folder but its card, which is written anew for each repository."""
    paths = [path for path in model.rglob("*") if path.is_file() and path.name != "README.md"]
    return {path.relative_to(model).as_posix(): path.read_bytes() for path in paths}


def commits(hub: HubServer, repo_id: str = "me/toy") -> int:
    """How many were made since the Hub made the repository."""
    return len(hub.repos["model", repo_id].commits) - 1
