"""The networks, torch side: the registry and `load_model`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import nn

from . import cnns as cnns  # registers the custom networks with timm
from .download import Place
from .ensemble import members_of
from .hub import find_model, read_config, read_info
from .types import ModelError

IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF: dict[str, Any] = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
GREY: dict[str, Any] = {"mean": (0.5,), "std": (0.5,)}

BACKBONES: dict[str, dict[str, Any]] = {
    "tf_efficientnet_lite0": HALF,
    "efficientnet_b0": IMAGENET,
    "mobilenetv2_100": IMAGENET,
    "mobilenetv3_small_100": IMAGENET,
    "mobilenetv3_large_100": IMAGENET,
    "resnet18": IMAGENET,
    "resnet50": IMAGENET,
    "vgg16": IMAGENET,
    "legacy_xception": HALF,
    "raw_pixel_cnn": GREY,
    "traditional_cnn": GREY,
    "vgg16_grey": GREY,
    "deep_cnn": GREY,
    "six_conv_cnn": GREY,
    "resnet18_grey": GREY,
}
"""Networks by name, with the normalisation that their initial weights expect. `timm:<name>` is any other."""

ELSEWHERE = ("pretrained", "checkpoint", "cache")
"""How the names of those arguments of timm begin by which it takes weights from another file or address."""


def build(backbone: str, num_classes: int, model_args: Mapping[str, Any] | None = None) -> nn.Module:
    """A network with a small new head, weights not loaded.

    Raises:
        ValueError: The backbone is unknown.
    """
    model: nn.Module = timm.create_model(timm_name(backbone), num_classes=num_classes, **(model_args or {}))
    _shrink_head(model)
    return model


def timm_name(backbone: str) -> str:
    """The timm name behind a backbone's name.

    Raises:
        ValueError: Neither in the registry nor `timm:<a name that timm knows>`.
    """
    if backbone in BACKBONES:
        return backbone
    name = backbone.removeprefix("timm:")
    if name != backbone and timm.is_model(name):
        return name
    raise ValueError(f"Unknown backbone {backbone!r}. Known: {', '.join(BACKBONES)}, and timm:<any name of timm>.")


def normalisation(backbone: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation (0 to 1 scale) that a backbone's initial weights expect."""
    if backbone in BACKBONES:
        return BACKBONES[backbone]["mean"], BACKBONES[backbone]["std"]
    cfg = timm.get_pretrained_cfg(timm_name(backbone))
    return (tuple(cfg.mean), tuple(cfg.std)) if cfg else ((0.5,) * 3, (0.5,) * 3)


def _shrink_head(model: nn.Module) -> None:
    """Normal(0, 0.01) for the head: timm's EfficientNets start it so wide that the first loss is about 6."""
    head = _head(model)
    if isinstance(head, nn.Linear):
        nn.init.normal_(head.weight, std=0.01)
        nn.init.zeros_(head.bias)


def load_initial(model: nn.Module, path: Path) -> dict[str, list[str]]:
    """Load initial weights by name.

    A head of another number of classes is left as it is. A first convolution for three channels is summed to one,
    one for one channel is shared out to three, so that a grey image gives the same feature map either way.

    Returns:
        ``{"missing": [...], "unexpected": [...]}``, sorted names.

    Raises:
        ModelError: No file, not safetensors, a wrong shape, or no name in common.
    """
    weights = _read_weights(path)
    own = model.state_dict()
    head = head_weights(model)
    weights = {k: v for k, v in weights.items() if not (k in head and own[k].shape != v.shape)}
    if not weights.keys() & own.keys():
        example = f" (e.g. {min(weights)} against {min(own)})" if weights else ""
        raise ModelError(f"{path}: no name fits the model{example}. Check --init.")
    first = _first_convolution(model)
    if first in weights:
        weights[first] = _adapt(weights[first], own[first].shape)
    for name in weights.keys() & own.keys():
        if own[name].shape != weights[name].shape:
            raise ModelError(
                f"{path}: {name} has shape {tuple(weights[name].shape)}, the model wants {tuple(own[name].shape)}. "
                "Give weights of the same backbone."
            )
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()}, strict=False)
    return {"missing": sorted(own.keys() - weights.keys()), "unexpected": sorted(weights.keys() - own.keys())}


def _first_convolution(model: nn.Module) -> str | None:
    """Name of the filters that see the image."""
    return next((f"{path}.weight" for path, module in model.named_modules() if isinstance(module, nn.Conv2d)), None)


def _adapt(filters: torch.Tensor, wanted: torch.Size) -> torch.Tensor:
    """Filters O×I×h×w between one input channel and three; any others as they are."""
    if filters.ndim != len(wanted):
        return filters
    if (filters.shape[1], wanted[1]) == (3, 1):
        return filters.float().sum(1, keepdim=True)
    if (filters.shape[1], wanted[1]) == (1, 3):
        return filters.float().repeat(1, 3, 1, 1) / 3
    return filters


def _head(model: nn.Module) -> nn.Module:
    head: nn.Module = model.get_classifier()  # type: ignore[operator]  # every network of timm has it
    return head


def head_weights(model: nn.Module) -> set[str]:
    """Names, in the state dict, of the weights of the last layer."""
    head = _head(model)
    layers = [path for path, module in model.named_modules() if path and module is head]
    return {name for name in model.state_dict() if any(name.startswith(f"{path}.") for path in layers)}


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise ModelError(f"{path}: there is no such weights file. Give the path of a .safetensors file.")
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own type for every kind of damage
        raise ModelError(f"{path} is not a readable safetensors file ({error}). Fetch it again.") from error


def _described(architecture: str, num_classes: int, model_args: Any, folder: Path) -> nn.Module:
    """The network that a folder's config describes: one of timm's names, and arguments that reach for no other file.

    Raises:
        ModelError: It describes none, or names weights from elsewhere (a pickle, at timm).
    """
    config = folder / "config.json"
    if not (isinstance(architecture, str) and timm.is_model(architecture)):
        raise ModelError(f"{config}: timm {timm.__version__} knows no {architecture!r}. Try pip install -U timm")
    if not isinstance(model_args, dict) or any(name.startswith(ELSEWHERE) for name in model_args):
        raise ModelError(f"{config}: model_args is {model_args!r}; allowed are arguments that only shape the network.")
    try:
        model: nn.Module = timm.create_model(architecture, num_classes=num_classes, **model_args)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise ModelError(f"{config} describes no {architecture} ({error}). Export the model again.") from error
    return model


def load_model(
    source: str | Path | None = None,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | None = None,
    local_files_only: bool = False,
    subfolder: str = "",
) -> nn.Module:
    """Load a model folder (or Hub repository) as a torch module.

    Args:
        source: A folder, a name of the zoo, a Hub id ``owner/name``; None for the default model.
        revision: Branch, tag or commit on the Hub.
        cache_dir: Where files of the Hub are kept; None: huggingface_hub's own place.
        token: Hub token for private repositories.
        local_files_only: Never ask the network.
        subfolder: Of the folder or repository, where the model is not at its root (a member of an ensemble).

    Returns:
        The module in eval mode, fp32; input N×C×H×W as `to_array` makes it, output N×labels logits.

    Raises:
        ModelError: Nothing there, an ensemble, or the weights do not fit the config exactly.
    """
    place = Place(revision, cache_dir, token, local_files_only, subfolder=subfolder)
    try:
        folder = find_model(source, files=("config.json", "model.safetensors"), place=place)
    except ModelError as error:
        if members := members_of(source, place):
            names = ", ".join(member.model for member in members)
            raise ModelError(
                f"{source} is an ensemble: several networks, not one module. Load one of its members ({names}; "
                "one that begins with ./ by subfolder=…), or the whole with Recognizer.from_pretrained."
            ) from error
        raise
    info, config = read_info(folder), read_config(folder)
    model = _described(info.architecture, len(info.labels), config.get("model_args", {}), folder)
    weights = _read_weights(folder / "model.safetensors")
    try:
        model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    except RuntimeError as error:
        raise ModelError(f"{folder}: model.safetensors does not fit {info.architecture} ({error}).") from error
    return model.eval()
