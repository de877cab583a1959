"""`python -m train inherit`: initial weights for a backbone that has none, out of another one's.

Weight selection, the uniform kind (Xu et al. 2024, "Initializing Models with Larger Ones", arXiv:2311.18823): where
the donor has a layer of the same name and kind, and at least as wide, the heir's takes evenly spaced channels of it.
Equal sizes are thinned to equal channels everywhere, so that what one layer hands on is what the next one expects.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from safetensors.torch import save
from torch import Tensor, nn

from fer_hub import backbones

from .ancestry import weights_file
from .finished import result_of
from .run_folder import write_bytes

CLASSES = 1000
"""Of the two networks while they are compared, ImageNet's: their heads are left out."""


@dataclass(frozen=True)
class InheritConfig:
    """Write initial weights for a backbone, selected from those of another one."""

    source: Annotated[Path, tyro.conf.Positional]
    """The other backbone's weights, a .safetensors file that no run left."""
    source_backbone: str
    """Whose weights they are: a name of fer_hub.backbones.BACKBONES, or timm:<name>."""
    backbone: str
    """The one to write weights for."""
    out: Path
    """The file to write; for --init-dir it is named after the backbone."""


def inherit(config: InheritConfig) -> None:
    """Write initial weights for a backbone that has none, selected from those of another one.

    Raises:
        ValueError: An unknown backbone, the weights of a run, or nothing that both networks have.
        ModelError: The file does not fit its backbone.
    """
    source = weights_file(config.source)
    if "config" in result_of(source.parent):
        raise ValueError(
            f"{config.source} was left by a run: weights out of it would no longer say what they have learnt from. "
            "Give weights that have seen none of the data, such as ImageNet's."
        )
    donor, heir = (backbones.build(name, CLASSES) for name in (config.source_backbone, config.backbone))
    lacking = backbones.load_initial(donor, source)["missing"]
    chosen = {name: weight for name, weight in selected(donor, heir).items() if name not in lacking}
    if not chosen:
        raise ValueError(
            f"{config.source_backbone} has no layer that {config.backbone} could take weights from. "
            "Give another --source-backbone, of the same family."
        )
    write_bytes(config.out, save(chosen, {"source": source.name, "method": "weight selection"}))
    print(f"{config.out}: {summary(chosen, heir)}")


def selected(donor: nn.Module, heir: nn.Module) -> dict[str, Tensor]:
    """The weights that the heir takes from the donor, by name; none for the head.

    A layer is left out where the two networks' modules on the way to it are of other classes (the same name means
    another thing there), or where the donor's is the smaller one in some dimension.
    """
    head = backbones.head_weights(heir) | backbones.head_weights(donor)
    own, theirs = heir.state_dict(), donor.state_dict()
    return {
        name: thinned(theirs[name], weight.shape)
        for name, weight in own.items()
        if name in theirs and name not in head and _same_kind(name, donor, heir) and _fits(theirs[name], weight)
    }


def summary(chosen: Mapping[str, Tensor], heir: nn.Module) -> str:
    """How much of a network but its head is chosen, and which of its modules are left as they begin."""
    head = backbones.head_weights(heir)
    sizes = {name: weight.numel() for name, weight in heir.state_dict().items() if name not in head}
    share = sum(sizes[name] for name in chosen) / sum(sizes.values())
    left = ", ".join(untouched(sizes, chosen)) or "none"
    return f"{len(chosen)} of {len(sizes)} tensors, {share:.0%} of the weights\nleft as they begin: {left}"


def thinned(weight: Tensor, shape: torch.Size) -> Tensor:
    """Evenly spaced output and input channels, and the middle of each filter.

    Args:
        weight: Of any number of dimensions, each at least as long as wanted.
        shape: Wanted; the same number of dimensions.
    """
    for axis, wanted in enumerate(shape):
        length = weight.shape[axis]
        kept = torch.arange(wanted)
        kept = kept * length // wanted if axis < 2 else kept + (length - wanted) // 2
        weight = weight.index_select(axis, kept)
    return weight


def untouched(names: Collection[str], chosen: Collection[str]) -> list[str]:
    """The outermost modules none of whose weights are among the chosen ones (or weights, where others there are)."""
    touched = {path for name in chosen for path in _parents(name)}
    return sorted({next(path for path in _parents(name) if path not in touched) for name in set(names) - set(chosen)})


def _parents(name: str) -> list[str]:
    """The modules that a weight lies in, from the outermost, and the weight itself: a, a.b, a.b.weight."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _same_kind(name: str, donor: nn.Module, heir: nn.Module) -> bool:
    """Whether all modules around a weight, but the whole networks, are of one class in both, or one of its own kind.

    (timm's Conv2dSame is a Conv2d that pads otherwise.)
    """
    pairs = [(donor.get_submodule(path), heir.get_submodule(path)) for path in _parents(name)[:-1]]
    return all(isinstance(a, type(b)) or isinstance(b, type(a)) for a, b in pairs)


def _fits(theirs: Tensor, own: Tensor) -> bool:
    return theirs.ndim == own.ndim and all(a >= b for a, b in zip(theirs.shape, own.shape, strict=True))
