"""A trained network into a model folder: safetensors, config in timm's schema, ONNX, metrics, figures."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxscript import optimizer
from safetensors.torch import save_file
from torch import Tensor, nn

from fer_hub import __version__
from fer_hub.classifier import OnnxClassifier
from fer_hub.image import to_array
from fer_hub.types import Array, InputSpec

from . import cards, figures, run_folder
from .data import Data
from .margin import fitted_margin, margins

PARITY = 1e-4
PARITY_ROWS = 256


class ParityError(run_folder.RunError):
    """An exported file does not compute what the trained network computes."""


def rounded(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and filters as half precision holds them, vectors as they are: what the files will store."""
    return {k: v.half().float() if v.is_floating_point() and v.ndim > 1 else v for k, v in weights.items()}


def write_model_folder(
    folder: Path, model: nn.Module, spec: InputSpec, splits: Data, result: dict[str, Any], logits: Array
) -> None:
    """Write a complete model folder, under another name first.

    Args:
        folder: Where to.
        model: fp32 on the CPU, its weights already `rounded`.
        spec: Its input contract.
        splits: The data that it was trained on; validation serves for the parity check.
        result: The run's result.
        logits: N×labels of the test split, for its curves.

    Raises:
        ParityError: ONNX and torch disagree by more than 1e-4 on 256 validation faces.
    """
    model.eval()
    new = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(new, ignore_errors=True)
    (new / "onnx").mkdir(parents=True)
    config = model_config(model, spec, splits, result)
    run_folder.write_json(new / "config.json", config)
    stored = {k: v.half() if v.is_floating_point() and v.ndim > 1 else v for k, v in model.state_dict().items()}
    save_file({k: v.contiguous() for k, v in stored.items()}, new / "model.safetensors", metadata={"format": "pt"})
    write_onnx(model, spec, config, new / "onnx" / "model.onnx")
    check_parity(model, spec, new, splits.validation.images[:PARITY_ROWS])
    run_folder.write_json(new / "metrics.json", result)
    card = cards.model_card(folder.parent.name, config, result, (new / "onnx" / "model.onnx").stat().st_size)
    run_folder.write_bytes(new / "README.md", card.encode())
    figures.draw_model(new / "figures", result, splits.labels, logits, splits.test.labels)
    run_folder.replace_folder(new, folder)


def model_config(model: nn.Module, spec: InputSpec, splits: Data, result: dict[str, Any]) -> dict[str, Any]:
    """``config.json``: timm's own schema and our "fer" block."""
    run = result["config"]
    cfg: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    return {
        "architecture": cfg["architecture"],
        "num_classes": len(splits.labels),
        "num_features": model.num_features,
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
            "temperature": result["temperature"],
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


def write_onnx(model: nn.Module, spec: InputSpec, config: dict[str, Any], path: Path) -> None:
    """Export to ONNX: only N is dynamic, filters stored in half precision, the config inside the file."""
    example = torch.zeros(2, spec.channels, *spec.size)
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's notes on its own internals
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            input_names=["pixel_values"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            external_data=False,
            optimize=False,  # its full optimiser folds batch norms into filters, which half precision no longer holds
            verbose=False,
        )
    assert program is not None  # a path would have made it None
    optimizer.fold_constants(program.model)
    optimizer.remove_unused_nodes(program.model)
    proto = halved(program.model_proto)
    helper.set_model_props(proto, {"config": json.dumps(config, ensure_ascii=False)})
    onnx.checker.check_model(proto)
    run_folder.write_bytes(path, proto.SerializeToString())


def halved(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Store fp32 matrices as fp16 with a cast each, which ONNX Runtime folds away when it loads the file."""
    graph, casts = proto.graph, []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name = tensor.name
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}.fp16")
        graph.initializer.remove(tensor)
        graph.initializer.append(half)
        casts.append(helper.make_node("Cast", [half.name], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(casts + nodes)
    return proto


def check_parity(model: nn.Module, spec: InputSpec, folder: Path, images: np.ndarray) -> float:
    """Largest difference between the logits of torch and of the ONNX file.

    Raises:
        ParityError: It is above 1e-4.
    """
    pixels = to_array(list(images), spec)
    with torch.inference_mode():
        ours = model(torch.from_numpy(pixels)).numpy()
    worst = float(np.abs(ours - OnnxClassifier(folder).logits(pixels)).max())
    if worst > PARITY:
        raise ParityError(f"{folder}: torch and ONNX logits differ by up to {worst:.2e}; at most {PARITY} is allowed.")
    return worst
