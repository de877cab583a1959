"""A trained network into a model folder: safetensors, config in timm's schema, ONNX, metrics, figures."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from fer_hub import __version__
from fer_hub.hub import MEASURED, VARIANTS
from fer_hub.types import Array, InputSpec

from . import cards, figures, run_folder
from .calibrate import Calibration, of_result
from .data import Data
from .graphs import write_onnx
from .margin import fitted_margin, margins
from .measure import measure

DTYPE = "float32"
"""What transformers computes in; without it, it takes the type of whichever weight the file has first."""


def write_model_folder(
    folder: Path, model: nn.Module, spec: InputSpec, splits: Data, result: dict[str, Any], logits: Array
) -> None:
    """Write a complete model folder with the default ONNX file, under another name first.

    Args:
        folder: Where to.
        model: fp32 on the CPU, its weights already `rounded`, its calibration folded into the head if that is so.
        spec: Its input contract.
        splits: The data that it was trained on; the ONNX file is compared with torch on all of validation.
        result: The run's result; its `calibration` says whether it was folded (default: no).
        logits: N×labels of the test split, for its curves.

    Raises:
        ParityError: ONNX and torch disagree.
    """
    model.eval()
    new = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(new, ignore_errors=True)
    config = model_config(model, spec, splits, result)
    run_folder.write_json(new / "config.json", config)
    write_weights(model, new / "model.safetensors")
    write_onnx(model, spec, config, new / VARIANTS["fp32"])
    run_folder.write_json(new / MEASURED, measure(new, model, spec, splits.validation))
    run_folder.write_json(new / "metrics.json", result)
    figures.draw_model(new / "figures", result, splits.labels, logits, splits.test.labels)
    run_folder.write_bytes(new / "README.md", cards.model_card(new).encode())
    run_folder.replace_folder(new, folder)


# ── weights ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def rounded(weights: dict[str, Tensor], head: Collection[str] = ()) -> dict[str, Tensor]:
    """Matrices and filters as half precision holds them, vectors and the head as they are: what files will store.

    Args:
        weights: A state dict.
        head: Names of the last layer's weights (`head_weights`), into which the calibration is folded.
    """
    return {k: v.half().float() if _is_matrix(v) and k not in head else v for k, v in weights.items()}


def write_weights(model: nn.Module, path: Path) -> None:
    """Write the state dict as safetensors, matrices that half precision holds exactly in it: nothing is rounded."""
    stored = {k: _stored(v).contiguous() for k, v in model.state_dict().items()}
    run_folder.write_bytes(path, save(stored, metadata={"format": "pt"}))


def _is_matrix(weight: Tensor) -> bool:
    return weight.is_floating_point() and weight.ndim > 1


def _stored(weight: Tensor) -> Tensor:
    return weight.half() if _is_matrix(weight) and torch.equal(weight.half().float(), weight) else weight


def foldable(model: nn.Module) -> tuple[str, ...]:
    """Names of the methods of calibration that the last layer can take up; a temperature can also be kept beside it."""
    return ("temperature", "vector scaling") if takes_offsets(model) else ("temperature",)


def takes_offsets(model: nn.Module) -> bool:
    """Whether the last layer is one linear layer with an offset for each label."""
    head = model.get_classifier()  # type: ignore[operator]
    return isinstance(head, nn.Linear) and head.bias is not None


def fold(model: nn.Module, found: Calibration) -> bool:
    """Put a calibration into the last layer, in place, so that a plain softmax of the logits is calibrated.

    Returns:
        False, and nothing is changed, where the last layer is not one linear layer.
    """
    head = model.get_classifier()  # type: ignore[operator]
    if not isinstance(head, nn.Linear):
        return False
    with torch.no_grad():
        for weight in head.parameters():
            weight /= found.temperature
            if found.scale:
                weight *= torch.tensor(found.scale).reshape(-1, *[1] * (weight.ndim - 1))
        if found.bias:
            head.bias += torch.tensor(found.bias)
    return True


# ── config ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def calibration(found: Calibration, folded: bool) -> dict[str, Any]:
    """The part of the "fer" block that says what the logits still have to be divided by, and what was fitted."""
    fitted = found.to_json() | {"folded": folded, "fitted_on": "validation"}
    return {"temperature": 1.0 if folded else found.temperature, "calibration": fitted}


def model_config(model: nn.Module, spec: InputSpec, splits: Data, result: dict[str, Any]) -> dict[str, Any]:
    """``config.json``: timm's own schema and our "fer" block."""
    run = result["config"]
    cfg: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    return {
        "architecture": cfg["architecture"],
        "num_classes": len(splits.labels),
        "num_features": model.num_features,
        "dtype": DTYPE,
        "label_names": list(splits.labels),
        "model_args": {"in_chans": spec.channels} if spec.channels != 3 else {},
        "pretrained_cfg": {
            "input_size": [spec.channels, *spec.size],
            "fixed_input_size": False,
            "interpolation": spec.interpolation,
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": list(spec.mean),
            "std": list(spec.std),
            "num_classes": len(splits.labels),
            "pool_size": None,
            "first_conv": cfg.get("first_conv"),
            "classifier": cfg.get("classifier"),
        },
        "fer": {
            "label_space": splits.label_space,
            "grey": spec.grey,
            "face_margin": face_margin(splits),
            "alignment": "eyes" if splits.alignment == "eyes" else "none",
            **calibration(of_result(result), (result.get("calibration") or {}).get("folded", False)),
            "dataset": splits.dataset,
            "protocol": run["protocol"],
            "sampling": run["sampling"],
            "loss": run["loss"],
            "seed": run["seed"],
            "metrics": {
                split: {k: result[split][k] for k in ("n", "accuracy", "accuracy_95", "macro_f1", "ece")}
                for split in ("validation", "test")
            },
            "fer_hub_version": __version__,
        },
    }


def face_margin(splits: Data) -> dict[str, float]:
    """How a face must be cropped for a model of these data.

    Aligned data are framed by the detected box itself; of others the frame was fitted, and where it was not,
    it is taken to be FER2013's.
    """
    if splits.alignment != "none":
        return {"scale": 1.0, "shift_x": 0.0, "shift_y": 0.0}
    return fitted_margin(splits.dataset if splits.dataset in margins() else "fer2013")
