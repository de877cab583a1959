"""Networks as ONNX graphs: translated by torch, simplified, stored in little room, described by themselves."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxslim
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxscript import optimizer
from torch import nn

from fer_hub.types import InputSpec

from .run_folder import write_bytes

INTO_FILTERS = ("FusionConvBN", "FusionConvTransposeBN", "FusionConvMul", "FusionConvTransposeMul", "FusionGemmMul")
"""onnxslim's fusions that multiply filters by something, after which half precision no longer holds them."""


def write_onnx(model: nn.Module, spec: InputSpec, config: dict[str, Any], path: Path) -> None:
    """Write the default file of a model: simplified, filters stored in half precision where that holds them.

    Args:
        model: fp32 on the CPU, in eval mode.
        spec: Its input contract.
        config: ``config.json``, which goes into the file.
        path: Where to.
    """
    write(halved(simplified(translated(model, spec))), config, path)


def write(proto: onnx.ModelProto, config: dict[str, Any], path: Path) -> None:
    """Check a graph and write it, the config among its metadata."""
    helper.set_model_props(proto, {"config": json.dumps(config, ensure_ascii=False)})
    onnx.checker.check_model(proto)
    write_bytes(path, proto.SerializeToString())


@contextmanager
def quiet() -> Iterator[None]:
    """Without the notes of exporters and converters on their own internals."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def translated(model: nn.Module, spec: InputSpec) -> onnx.ModelProto:
    """The network as torch's exporter puts it down, nothing optimised: pixel_values → logits, only N is dynamic."""
    example = torch.zeros(2, spec.channels, *spec.size)
    with quiet():
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            input_names=["pixel_values"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            external_data=False,
            optimize=False,  # its optimiser would fold batch norms into the filters
            verbose=False,
        )
    assert program is not None  # a path would have made it None
    return program.model_proto


def simplified(proto: onnx.ModelProto, fold_norms: bool = False) -> onnx.ModelProto:
    """The same function with fewer nodes.

    The exporter's own constant folding comes first, for it knows operators that onnxslim leaves alone (CastLike,
    Expand); onnxslim then takes out what computes shapes, and padding.

    Args:
        proto: A graph; left as it is.
        fold_norms: Fold batch norms into the filters before them, too: for graphs that are converted further.
    """
    folded = onnx.ModelProto()
    folded.CopyFrom(proto)
    with quiet():
        optimizer.fold_constants(folded)
        optimizer.remove_unused_nodes(folded)
        try:
            return onnxslim.slim(folded, skip_fusion_patterns=() if fold_norms else INTO_FILTERS)
        except Exception as error:  # of whatever kind: the graph is right without it, only larger
            reason = f"{type(error).__name__}: {error}"
    warnings.warn(f"onnxslim cannot simplify this network ({reason}); its graph stays as exported.", stacklevel=2)
    return folded


def by_default(proto: onnx.ModelProto) -> onnx.ModelProto:
    """What torch.onnx.export would have written by default: the graph through onnxscript's optimiser.

    Args:
        proto: A graph; left as it is.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    with quiet():
        optimised: onnx.ModelProto = optimizer.optimize(copy)
    return optimised


def halved(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Store matrices that half precision holds exactly as fp16 with a cast each, in place.

    ONNX Runtime folds the casts away when it loads the file. Nothing is rounded here: a head that a temperature
    divided, or filters that something was folded into, stay as they are.
    """
    graph, casts = proto.graph, []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is kept
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        stored = numpy_helper.from_array(half, f"{name}.fp16")
        graph.initializer.remove(tensor)
        graph.initializer.append(stored)
        casts.append(helper.make_node("Cast", [stored.name], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(casts + nodes)
    return proto


def rounding_everywhere(half: onnx.ModelProto) -> onnx.ModelProto:
    """A half-precision graph in single precision, every result rounded to half: what a GPU computes of it.

    ONNX Runtime's CPU provider computes such a graph in single precision and leaves out the rounding between nodes:
    scored there as it is, a network whose activations overflow half precision would seem to be fine.

    Args:
        half: Left as it is.
    """
    proto = onnx.shape_inference.infer_shapes(half)
    graph, nodes = proto.graph, []
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for node in graph.node:
        nodes.append(node)
        for place, name in enumerate(node.output):
            if kinds.get(name) == TensorProto.FLOAT16:
                node.output[place] = f"{name}.exact"
                nodes.append(helper.make_node("Cast", [f"{name}.exact"], [f"{name}.half"], to=TensorProto.FLOAT16))
                nodes.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return proto
