"""The rooms and their doors: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEVER_IN_FER_HUB = {"gradio", "datasets", "accelerate", "sklearn", "matplotlib", "train", "app", "scipy", "tyro"}
TORCH = {"torch", "torchvision", "timm", "safetensors", "facenet_pytorch"}
TORCH_SIDE = {"backbones.py", "cnns.py", "classifier.py", "cam.py"}
CHAIN = ["types", "labels", "image", "faces"]
TRAIN_ORDER = ["config", "data", "loop", "__main__"]


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Full names of the modules that a file imports; relative ones as "fer_hub.x" or "train.x"."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.parent.relative_to(ROOT).parts
            base = "".join(f"{part}." for part in package[: len(package) - node.level + 1]) if node.level else ""
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {f"{base}{name}" for name in names}
    return found


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


FER_HUB = sorted((ROOT / "fer_hub").rglob("*.py"))
TRAIN = sorted((ROOT / "train").rglob("*.py"))


@pytest.mark.parametrize("path", FER_HUB, ids=lambda path: path.name)
def test_fer_hub_imports_neither_the_app_nor_the_training(path: Path) -> None:
    assert not roots(path) & NEVER_IN_FER_HUB


@pytest.mark.parametrize("path", FER_HUB, ids=lambda path: path.name)
def test_torch_is_imported_only_on_the_torch_side(path: Path) -> None:
    if path.name not in TORCH_SIDE:
        assert not roots(path) & TORCH


def test_the_classifier_imports_torch_only_when_it_is_asked_to() -> None:
    top = {name.split(".")[0] for name in imports(ROOT / "fer_hub" / "classifier.py", top_level_only=True)}
    assert not top & TORCH


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: path.name)
def test_train_does_not_import_the_app(path: Path) -> None:
    assert not roots(path) & {"app", "gradio"}


@pytest.mark.parametrize(("folder", "chain"), [("fer_hub", CHAIN), ("train", TRAIN_ORDER)])
def test_imports_go_one_way(folder: str, chain: list[str]) -> None:
    for position, name in enumerate(chain):
        later = {f"{folder}.{other}" for other in chain[position + 1 :]}
        assert not imports(ROOT / folder / f"{name}.py") & later


def test_no_module_imports_itself_in_a_circle() -> None:
    for folder in ("fer_hub", "train"):
        graph = {
            module(path): {n for n in imports(path, top_level_only=True) if n.startswith(f"{folder}.")}
            for path in (ROOT / folder).rglob("*.py")
        }
        done: set[str] = set()
        while ready := [name for name in graph if name not in done and graph[name] & graph.keys() <= done]:
            done.update(ready)
        assert done == graph.keys()


def test_the_public_names_are_at_most_ten_and_exist() -> None:
    import fer_hub

    assert len(fer_hub.__all__) <= 10
    assert all(getattr(fer_hub, name) for name in fer_hub.__all__)


def test_importing_fer_hub_loads_no_heavy_package() -> None:
    heavy = sorted(TORCH | NEVER_IN_FER_HUB | {"onnxruntime", "huggingface_hub"})
    code = f"import sys, fer_hub; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"


def test_the_app_is_built_without_torch_and_without_the_hub() -> None:
    code = "import sys, app; app.build_demo(); print([n for n in ('torch', 'datasets', 'train') if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_app_names_a_model_that_it_cannot_load() -> None:
    result = subprocess.run(
        [sys.executable, "app.py", "no-such"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: There is no model 'no-such'")
