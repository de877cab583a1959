"""The source reports' systems as lists of runs: each under its own protocol, input size, optimiser and epochs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .config import RunConfig
from .recipes import recipe
from .run_folder import RESULT
from .sampling import evens


@dataclass(frozen=True)
class Preset:
    """A list of runs: the product of some axes, the first of which varies slowest."""

    about: str
    recipe: str
    """The report's own, a name of RECIPES."""
    fields: Mapping[str, Any]
    """What belongs to the report's system under every recipe: protocol, input size, and the axes' other fields."""
    axes: Mapping[str, tuple[Any, ...]]
    per_backbone: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the report's recipe does differently for one backbone."""
    from_imagenet: bool = False
    """The report's networks start from ImageNet weights."""


IMBALANCE_BACKBONES = ("legacy_xception", "mobilenetv3_large_100", "efficientnet_b0", "resnet18")

PRESETS: dict[str, Preset] = {
    "imbalance-grid": Preset(
        "four backbones, five samplings, three losses: Tables II to VI of the first report",
        recipe="report-1",
        fields={"protocol": "folders", "image_size": 96},
        axes={
            "backbone": IMBALANCE_BACKBONES,
            "sampling": ("none", "undersample", "oversample:disgust", "hybrid:3000", "hybrid:8989"),
            "loss": ("cross-entropy", "weighted", "focal"),
        },
        from_imagenet=True,
    ),
    "imbalance-grid-aligned": Preset(
        "the same backbones on faces cut out by a detector: Table VII of the first report",
        recipe="report-1",
        fields={
            "protocol": "folders",
            "image_size": 96,
            "align": "box",
            "on_missing": "drop",
            "sampling": "hybrid:8989",
        },
        axes={"backbone": IMBALANCE_BACKBONES},
        from_imagenet=True,
    ),
    "raw-pixel-8": Preset(
        "a small CNN on FERPlus' eight classes, three lengths: the second report",
        recipe="report-2",
        fields={"protocol": "ferplus-raw", "backbone": "raw_pixel_cnn", "image_size": 48},
        axes={"epochs": (60, 15, 360)},
    ),
    "cnn-architectures": Preset(
        "four architectures: the third report",
        recipe="report-3",
        fields={"protocol": "random-80-20", "image_size": 48},  # the report names no other size than the images' own
        axes={"backbone": ("traditional_cnn", "resnet50", "vgg16_grey", "mobilenetv3_small_100")},
    ),
    "realtime-7": Preset(
        "the deeper CNN behind a live camera: the fourth report",
        recipe="report-4",
        fields={"protocol": "kaggle-28821", "image_size": 48},
        axes={"backbone": ("deep_cnn",)},
    ),
    "five-class": Preset(
        "ResNet-18 on one grey channel and a CNN from scratch, five classes: the fifth report",
        recipe="report-5",
        fields={"protocol": "five-class", "image_size": 224},
        axes={"backbone": ("resnet18_grey", "six_conv_cnn")},
        per_backbone={"six_conv_cnn": {"patience": 10}},
    ),
}

FROM_SCRATCH = ("raw_pixel_cnn", "traditional_cnn", "vgg16_grey", "deep_cnn", "six_conv_cnn")
"""Networks of our own, for which nobody has pretrained weights."""


@dataclass(frozen=True)
class Run:
    """One run of a sweep."""

    number: int
    """Its place in the whole list, from 1; filters and shards do not change it."""
    axes: Mapping[str, Any]
    config: RunConfig
    same_as: str | None = None
    """Name of the run of the whole list that this one would repeat; see `twin`."""

    @property
    def slug(self) -> str:
        """Its name, which is its folder's."""
        return self.config.out.name


def preset(name: str) -> Preset:
    """A preset by name.

    Raises:
        ValueError: There is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(f"Unknown preset {name!r}. Known: {', '.join(PRESETS)}.")
    return PRESETS[name]


def expand(name: str, out: Path, recipe_name: str = "report", changes: Mapping[str, Any] | None = None) -> list[Run]:
    """All runs of a preset.

    Args:
        name: A name of PRESETS.
        out: The sweep's folder; each run gets a folder in it.
        recipe_name: "report" for the preset's own, or a name of RECIPES; the epochs stay the report's.
        changes: Fields of RunConfig to set in every run; a field that is an axis has only this value then.

    Raises:
        ValueError: An unknown name, or a value that no run can have.
    """
    given, changes = preset(name), dict(changes or {})
    own = recipe_name in ("report", given.recipe)
    base = recipe(given.recipe if own else recipe_name)
    length = {"epochs": recipe(given.recipe)["epochs"]}
    axes = {axis: (changes[axis],) if axis in changes else values for axis, values in given.axes.items()}
    runs = []
    for number, values in enumerate(itertools.product(*axes.values()), 1):
        cell = dict(zip(axes, values, strict=True))
        special = given.per_backbone.get(cell.get("backbone", ""), {}) if own else {}
        settings = {**base, **length, **given.fields, **special, **cell, **changes}
        runs.append(Run(number, cell, RunConfig(out=out / slug(cell), **settings), _repeated(cell, axes)))
    return runs


def twin(axes: Mapping[str, Any]) -> dict[str, Any] | None:
    """The axes of the run that one is the same as, to the last digit; None: there is no such run.

    Where as many rows of every class are drawn, all class weights are 1, and the weighted loss is cross-entropy.
    """
    if axes.get("loss") == "weighted" and evens(axes.get("sampling", "none")):
        return {**axes, "loss": "cross-entropy"}
    return None


def _repeated(cell: Mapping[str, Any], axes: Mapping[str, Sequence[Any]]) -> str | None:
    other = twin(cell)
    return slug(other) if other and all(other[axis] in values for axis, values in axes.items()) else None


def slug(cell: Mapping[str, Any]) -> str:
    """A folder's name for the values of the axes: words as they are, numbers after their field's name."""
    words = [str(v) if isinstance(v, str) else f"{k}-{v}" for k, v in cell.items()]
    return "--".join(re.sub(r"[^A-Za-z0-9._]+", "-", word) for word in words)


def only(runs: Sequence[Run], filters: Sequence[str]) -> list[Run]:
    """The runs that fit: `field=value` (one of those given for a field, and every field), or a part of the name.

    Raises:
        ValueError: A field that RunConfig does not have, or nothing fits.
    """
    wanted: dict[str, set[str]] = {}
    for text in filters:
        name, equals, value = text.partition("=")
        wanted.setdefault(_known(name) if equals else "", set()).add(value if equals else text)
    kept = [run for run in runs if all(_fits(run, name, values) for name, values in wanted.items())]
    if runs and not kept:
        axes = "; ".join(f"{k} {', '.join(dict.fromkeys(str(r.axes[k]) for r in runs))}" for k in runs[0].axes)
        raise ValueError(f"--only {' '.join(filters)} fits none of {len(runs)} runs. Axes: {axes}.")
    return kept


def _fits(run: Run, name: str, values: set[str]) -> bool:
    if name:
        return str(getattr(run.config, name)) in values
    return any(part in run.slug for part in values)


def share(runs: Sequence[Run], shard: str) -> list[Run]:
    """Part i of n: every n-th run of the whole list, whatever else is filtered.

    Raises:
        ValueError: Not of the form i/n with 1 ≤ i ≤ n.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    part, parts = map(int, match.groups()) if match else (0, 0)
    if not 1 <= part <= parts:
        raise ValueError(f"--shard {shard!r} is not of the form i/n with i from 1 to n, e.g. 2/3.")
    return [run for run in runs if (run.number - 1) % parts == part - 1]


def with_weights(runs: Sequence[Run], folder: Path | None, pretrained: bool) -> list[Run]:
    """The runs with initial weights: a file of the folder by the backbone's name, else timm's own where asked for.

    Raises:
        ValueError: The folder does not exist, or two files fit a backbone.
    """
    if folder is not None and not folder.is_dir():
        raise ValueError(f"--init-dir {folder} is no folder. Give one that holds <backbone>.safetensors files.")
    starts: dict[str, Path | None] = {}
    started = []
    for run in runs:
        name = run.config.backbone
        if folder is not None and name not in starts:
            starts[name] = _weights_in(folder, name)
        fetch = pretrained and not starts.get(name) and name not in FROM_SCRATCH
        changes = {"init": starts.get(name) or run.config.init, "pretrained": fetch or run.config.pretrained}
        started.append(replace(run, config=replace(run.config, **changes)))
    return started


def _weights_in(folder: Path, backbone: str) -> Path | None:
    name = re.escape(backbone.removeprefix("timm:"))
    found = sorted(p for p in folder.glob("*.safetensors") if re.fullmatch(rf"{name}([.-].*)?\.safetensors", p.name))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{folder} holds {len(found)} files for {backbone}: {names}. Keep one.")
    return found[0] if found else None


def after(runs: Sequence[Run], first: Mapping[str, Any]) -> list[Run]:
    """The runs, each begun with the model that another run of the sweep left; those others are no longer in the list.

    Args:
        runs: Of one preset.
        first: Axes in which that other run differs, and its values, e.g. of sampling and loss.

    Raises:
        ValueError: Not an axis, nothing is left, or such a run is not finished.
    """
    later = [run for run in runs if not first.items() <= run.axes.items()]
    for axis in first:
        if runs and axis not in runs[0].axes:
            raise ValueError(f"--init-run {axis}={first[axis]}: {axis} is no axis. Axes: {', '.join(runs[0].axes)}.")
    if runs and not later:
        raise ValueError("--init-run leaves no run: those that are begun with are not trained again. Widen --only.")
    return [replace(run, config=replace(run.config, init=_finished(run, first))) for run in later]


def _finished(run: Run, first: Mapping[str, Any]) -> Path:
    """The folder of the run of the same sweep with these values of the axes."""
    wanted = {**run.axes, **first}
    folders = [run.config.out.parent / slug(axes) for axes in (wanted, twin(wanted)) if axes]
    for folder in folders:
        if (folder / RESULT).is_file():
            return folder
    raise ValueError(f"--init-run: {folders[-1]} is no finished run. Train it first, without --init-run.")


HINTS = get_type_hints(RunConfig)


def _known(name: str) -> str:
    if name not in HINTS or name == "out":
        known = ", ".join(f.name for f in fields(RunConfig) if f.name != "out")
        raise ValueError(f"A run has no field {name!r}. Known: {known}.")
    return name


def assignments(texts: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """`field=value` texts as values of RunConfig's fields, each of its field's type; `option` is named in errors.

    Raises:
        ValueError: Not of that form, an unknown field, or a value of another type.
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"{option} {text!r} is not of the form field=value, e.g. --set lr=3e-4.")
        values[name] = _typed(_known(name), value, option)
    return values


TRUTH = {"true": True, "false": False}
READERS: dict[Any, tuple[str, Callable[[str], Any]]] = {
    bool: ("true or false", lambda text: TRUTH[text.lower()]),
    int: ("a whole number", int),
    float: ("a number", float),
    Path: ("a path", Path),
    str: ("text", str),
    tuple[Path, ...]: ("paths with commas between", lambda text: tuple(map(Path, text.split(",")))),
}


def _typed(name: str, text: str, option: str) -> Any:
    options = get_args(HINTS[name]) if NoneType in get_args(HINTS[name]) else (HINTS[name],)
    if NoneType in options and text.lower() == "none":
        return None
    kind = options[0]
    if get_origin(kind) is Literal:
        what, read = f"one of {', '.join(get_args(kind))}", {word: word for word in get_args(kind)}.__getitem__
    else:
        what, read = READERS[kind]
    try:
        return read(text)
    except (ValueError, KeyError) as error:
        none = " or none" if NoneType in options else ""
        raise ValueError(f"{option} {name}={text}: {name} is {what}{none}.") from error
