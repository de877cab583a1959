"""What a run is: one frozen dataclass, its fields the command line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from fer_hub.hub import ZOO, zoo_models

PLACES = ("out", "checkpoint_every", "log_with")
"""Fields that say where and how a run is kept, not what it computes: they may differ when it resumes."""

REGISTRIES = {
    "protocol": "train.data:PROTOCOLS",
    "backbone": "fer_hub.backbones:BACKBONES",
    "sampling": "train.sampling:SAMPLERS",
    "loss": "train.losses:LOSSES",
    "optimizer": "train.optim:OPTIMIZERS",
    "schedule": "train.optim:SCHEDULES",
}
"""Where the names are that a field can take."""


def choices(field: str) -> tuple[str, ...]:
    """The names that a field of RunConfig can take, as its registry has them now."""
    module, registry = REGISTRIES[field].split(":")
    return tuple(getattr(import_module(module), registry))


def _named(field: str) -> Any:
    """A field whose help lists the names of its registry; looked up when the help is shown."""

    def hint(default: str) -> str:
        return f"(default: {default.removeprefix('default: ').strip('()')}; known: {', '.join(choices(field))})"

    say: Callable[[str], str] = hint
    return Annotated[str, tyro.conf.arg(help_behavior_hint=say)]


@dataclass(frozen=True)
class RunConfig:
    """One training run."""

    out: Path
    """Folder of the run; an unfinished run in it is resumed, a finished one is left alone."""

    data: Path | None = None
    """fer2013.csv, a folder of parquet files or of images by class, or a Hub data-set id (owner/name);
    default: the environment variable FER2013_DIR."""
    protocol: _named("protocol") = "official"
    """Split and label set: a name of train.data.PROTOCOLS."""
    targets: Literal["labels", "votes", "both"] = "labels"
    """What is learnt: the label, FERPlus' distribution of votes, or the mean of the two."""
    align: Literal["none", "box", "eyes"] = "none"
    """Crop each image to its detected face; eyes: and turn it until the eyes are level."""
    on_missing: Literal["keep", "drop"] = "keep"
    """Images in which no face is found: kept whole, or left out (of the test set, too)."""
    external: Path | None = None
    """One more set, scored at the end."""

    backbone: _named("backbone") = "tf_efficientnet_lite0"
    """A name of fer_hub.backbones.BACKBONES, or timm:<name>."""
    init: Path | None = None
    """Initial weights: a .safetensors file, a run, a model folder, or a name of the zoo; none: random."""
    pretrained: bool = False
    """Fetch timm's own pretrained weights from the Hub."""
    init_share: float = 0.0
    """Share of the initial weights in those that are kept at the end, the rest being the best epoch's
    (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903); needs --init from a run with the same labels."""
    image_size: int = 96
    """Height and width of the network's input, pixels."""
    first_size: int = 0
    """Height and width in the first epoch, from which they grow to image_size over two thirds of the epochs
    (progressive learning, Tan and Le 2021, arXiv:2104.00298): from half the size 0.7 of the pixels; 0: all alike.
    Validation is at image_size from the beginning: its first figures are low."""

    sampling: _named("sampling") = "none"
    """How the training rows are drawn: a name of train.sampling.SAMPLERS, e.g. hybrid:8989."""
    loss: _named("loss") = "cross-entropy"
    """What is minimised: a name of train.losses.LOSSES, e.g. focal:2."""
    label_smoothing: float = 0.1
    """Share of each target spread over all labels, 0 to below 1."""

    teacher: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """A model to learn from, beside the targets: a run's folder, a model folder or a name of the zoo, with the same
    labels. It sees the same augmented pictures (Beyer et al. 2022, arXiv:2106.05237). May be given more than once:
    the models' probabilities are averaged."""
    teacher_share: float = 0.5
    """Share of the teacher's part in the loss (Hinton et al. 2015, arXiv:1503.02531); 1: nothing but the teacher."""
    teacher_temperature: float = 2.0
    """Teacher's and learner's logits are divided by it before they are compared; above 1 softens."""
    teacher_precision: Literal["no", "bf16", "fp16"] | None = None
    """Mixed precision of the teachers; None: the run's own. A large one may gain by bf16 where its learner does not."""

    epochs: int = 10
    """Passes over the sampled training rows, at most."""
    batch_size: int = 64
    """Images a step, over all processes together."""
    optimizer: _named("optimizer") = "adamw"
    """A name of train.optim.OPTIMIZERS."""
    lr: float = 5e-4
    """Peak learning rate."""
    weight_decay: float = 0.02
    """Weight decay, decoupled with adamw; not on biases and norms."""
    schedule: _named("schedule") = "cosine"
    """How the learning rate falls: a name of train.optim.SCHEDULES."""
    warmup: float = 0.05
    """Share of all steps in which the learning rate rises from 0."""
    plateau_factor: float = 0.1
    """Schedule plateau: the learning rate is multiplied by this ..."""
    plateau_patience: int = 3
    """... after more than so many epochs without a better validation loss."""
    patience: int = 0
    """Stop after so many epochs in a row without a better epoch; 0: run all of them."""
    choose_by: Literal["accuracy", "macro_f1", "nll"] = "accuracy"
    """The figure of the validation split by which an epoch is better."""
    balance: float = 0.0
    """Share of the validation accuracy that may be given up for the recall of rare labels, e.g. 0.01: at the end the
    head's offsets fall by as large a part of each label's log frequency as costs no more (logit adjustment after
    training, Menon et al. 2021, arXiv:2007.07314); 0: off."""
    clip: float = 1.0
    """Largest gradient norm; 0: off."""
    sam: float = 0.0
    """Sharpness-aware minimisation (Foret et al. 2021, arXiv:2010.01412): how far the weights climb before the
    gradient is taken, e.g. 0.05; twice the time; 0: off."""
    ema: float = 0.998
    """Decay of the averaged weights, which are the ones that are scored and kept; 0: off."""
    drop_rate: float | None = 0.2
    """Dropout before the head; None: the network's own."""
    drop_path_rate: float = 0.1
    """Stochastic depth, where the network has it."""

    augment: float = 1.0
    """Strength: multiplies the ranges below; 0: no augmentation but mixup."""
    rotate: float = 12.0
    """Rotation by up to so many degrees."""
    zoom: float = 0.12
    """Scaling up or down by up to this share."""
    shift: float = 0.08
    """Shift by up to this share of the side, both ways."""
    flip: float = 0.5
    """Chance of mirroring."""
    brightness: float = 0.2
    """Lighter or darker by up to this share of the range."""
    contrast: float = 0.25
    """More or less contrast by up to this share."""
    erase: float = 0.25
    """Chance of a grey square over 4 to 16 % of the image."""
    camera: float = 0.0
    """Chance of a bad camera: blur, noise, or both."""
    mixup: float = 0.0
    """Alpha of mixup's Beta distribution; 0: off."""

    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision."""
    compile: bool = False
    """Compile the network with torch.compile."""
    seed: int = 0
    """Seeds weights, order, augmentation and dropout; not the protocols' splits, which are fixed."""
    limit: int | None = None
    """Use only so many rows of each split, drawn evenly (for trials; the result says so)."""
    trial: bool = False
    """Decide on the validation split: the test split is not scored, no model folder is made."""
    checkpoint_every: int = 100
    """Steps between checkpoints inside an epoch; one is written after every epoch, too."""
    log_with: Literal["none", "tensorboard", "trackio"] = "none"
    """Also log every epoch there, through accelerate."""
    emissions: str | None = None
    """Measure CO₂ with codecarbon: the country whose electricity is used, three letters (TUR, DEU …)."""

    def __post_init__(self) -> None:
        """Refuse values that no run can have, before anything is read or written."""
        wrong = [f"--{name.replace('_', '-')} {getattr(self, name)}" for name in out_of_range(self)]
        if wrong:
            raise ValueError(f"Out of range: {', '.join(wrong)}. See python -m train run --help.")
        if self.init_share and not self.init:
            raise ValueError(f"--init-share {self.init_share} of no weights. Give --init FILE.safetensors, too.")
        if self.init and self.pretrained:
            raise ValueError("--init and --pretrained both name initial weights. Give one of them.")
        if self.sam and self.precision == "fp16":
            raise ValueError(f"--sam {self.sam} cannot take the scaled gradients of --precision fp16. Give bf16 or no.")
        if self.trial and self.external:
            raise ValueError("--trial scores the validation split alone. Leave out --external, or --trial.")


def out_of_range(config: RunConfig) -> list[str]:
    """Names of the fields whose value no run can have."""
    at_least = {
        **dict.fromkeys(("epochs", "checkpoint_every"), 1),
        **dict.fromkeys(("weight_decay", "clip", "augment", "mixup", "plateau_patience", "patience", "sam"), 0),
        **dict.fromkeys(("rotate", "brightness", "contrast"), 0),
        "batch_size": 2,
        "image_size": 16,
        "limit": 1,
    }
    share = (
        *("label_smoothing", "ema", "warmup", "drop_rate", "drop_path_rate"),
        *("zoom", "shift", "init_share", "balance"),
    )
    wrong = [name for name, least in at_least.items() if not _fits(config, name, least, math.inf)]
    wrong += [name for name in share if not _fits(config, name, 0, 1)]
    wrong += [name for name in ("flip", "erase", "camera", "teacher_share") if not 0 <= getattr(config, name) <= 1]
    wrong += ["first_size"] if config.first_size and not 16 <= config.first_size <= config.image_size else []
    above = ("lr", "plateau_factor", "teacher_temperature")
    wrong += [name for name in above if not 0 < getattr(config, name) < math.inf]
    return wrong


def _fits(config: RunConfig, name: str, least: float, below: float) -> bool:
    value = getattr(config, name)
    return value is None or least <= value < below


def to_json(config: RunConfig) -> dict[str, Any]:
    """The fields that define the run, as JSON values; files by name, so that no machine's path is kept."""
    values = {k: v for k, v in asdict(config).items() if k not in (*PLACES, "data")}
    external = config.external.name if config.external else None
    teachers = [model_name(path) for path in config.teacher]
    return values | {"init": weights_name(config.init), "external": external, "teacher": teachers}


def model_name(path: Path) -> str:
    """How a model is named in records: its folder, or the run's whose `model` it is."""
    whole = path.absolute()
    return whole.parent.name if whole.name == "model" else whole.name


def weights_name(path: Path | None) -> str | None:
    """How initial weights are named in records: a model of the zoo, run/model of a run, or the file."""
    if path is None:
        return None
    if path.suffix != ".safetensors":  # a folder, or a name
        return model_name(path) if _of_zoo(path) else f"{model_name(path)}/model"
    if path.name != "model.safetensors" or len(path.parts) < 3:
        return path.name
    return path.parent.name if _of_zoo(path.parent) else "/".join(path.parts[-3:-1])


def _of_zoo(folder: Path) -> bool:
    """Whether a path is a name or a folder of the zoo."""
    return str(folder) in zoo_models() or folder.resolve().parent == ZOO.resolve()


def completed(saved: Mapping[str, Any]) -> dict[str, Any]:
    """A saved config with every field: one of later days had its default then."""
    return _defaults() | dict(saved)


@cache
def _defaults() -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(to_json(RunConfig(Path()))))
    return values


def different(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of the fields in which two saved configs differ."""
    full = [completed(values) for values in (one, other)]
    return [name for name in dict.fromkeys([*full[0], *full[1]]) if full[0].get(name) != full[1].get(name)]


def differing(config: RunConfig, saved: Mapping[str, Any]) -> list[str]:
    """Names of the fields in which a config differs from a saved one."""
    now = json.loads(json.dumps(to_json(config)))
    return [name for name in different(now, saved) if name in now]
