"""Write the three MTCNN networks of facenet-pytorch as ONNX files: ``python -m train.convert_mtcnn``.

The cascade is that of Zhang et al. 2016 (arXiv:1604.02878), the weights are those which the
facenet-pytorch wheel ships (MIT). The graphs compute the same numbers, arranged for speed:

- the pixel normalisation (v - 127.5) / 128 is folded into the first convolution: input is 0 to 255;
- the softmax over (no face, face) becomes one logit, the difference of the two: its sigmoid is the score;
- all heads are one layer: output channels are (logit, 4 box offsets[, 5 x, 5 y]);
- PReLU becomes ``a·v + (1 - a)·relu(v)`` out of depthwise convolutions, and channels are padded to a
  multiple of 16: ONNX Runtime then stays in its blocked layout from end to end (P-Net: 2 times faster);
- P-Net pools before its first PReLU, on a quarter of the pixels (see ``pooled_prelu``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .run_folder import write_bytes

Weights = NDArray[np.float64]

BLOCK = 16
"""Channels are padded to a multiple of this: the widest block of ONNX Runtime's NCHWc kernels."""

TOLERANCE = 1e-5

LICENSE = """MIT License

The three networks in this folder are converted from facenet-pytorch
(https://github.com/timesler/facenet-pytorch), which is:

Copyright (c) 2019 Timothy Esler

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def padded(weights: Weights, count: int, axis: int = 0) -> Weights:
    """``weights`` with zeros appended along ``axis`` until it is ``count`` long."""
    widths = [(0, 0)] * weights.ndim
    widths[axis] = (0, count - weights.shape[axis])
    return np.pad(weights, widths)


class Graph:
    """An ONNX graph in the making, and the torch weights that it is made of."""

    def __init__(self, network: torch.nn.Module) -> None:
        """Start empty."""
        self.weights = {k: v.double().numpy() for k, v in network.state_dict().items()}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str | Weights, name: str = "", **attributes: object) -> str:
        """Append a node; arrays become float32 constants. Returns the name of its output."""
        name = name or f"{kind.lower()}_{len(self.nodes)}"
        names = [i if isinstance(i, str) else self.constant(i, f"{name}.{k}") for k, i in enumerate(inputs)]
        self.nodes.append(helper.make_node(kind, names, [name], **attributes))
        return name

    def constant(self, values: Weights, name: str) -> str:
        """Store ``values`` in the file as float32."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def pool(self, x: str, size: int) -> str:
        """Max-pooling with stride 2, as all three networks have it."""
        return self.add("MaxPool", x, kernel_shape=[size, size], strides=[2, 2], ceil_mode=1)

    def convolution(self, layer: int) -> tuple[Weights, Weights]:
        """Kernel and bias of ``conv<layer>``; the first takes pixel values of 0 to 255."""
        kernel, bias = self.weights[f"conv{layer}.weight"], self.weights[f"conv{layer}.bias"]
        if layer > 1:
            return kernel, bias
        return kernel / 128, bias - kernel.sum((1, 2, 3)) * 127.5 / 128

    def block(self, x: str, layer: int, channels: int) -> tuple[str, int]:
        """``prelu<layer>(conv<layer>(x))`` in padded channels. Returns it and their number."""
        kernel, bias = self.convolution(layer)
        count = -(-len(bias) // BLOCK) * BLOCK
        kernel = padded(padded(kernel, count), channels, axis=1)
        x = self.add("Conv", x, kernel, padded(bias, count))
        slope = padded(self.weights[f"prelu{layer}.weight"], count).reshape(-1, 1, 1, 1)
        bent = self.add("Conv", self.add("Relu", x), 1 - slope, group=count)
        return self.add("Add", bent, self.add("Conv", x, slope, group=count)), count

    def heads(self, kind: str, layer: int, count: int) -> tuple[Weights, Weights]:
        """``<kind><layer>_1 .. _count`` as one layer; the first as the logit of "face"."""
        names = [f"{kind}{layer}_{i}" for i in range(1, count + 1)]
        kernels = [self.weights[f"{n}.weight"] for n in names]
        biases = [self.weights[f"{n}.bias"] for n in names]
        kernels[0], biases[0] = kernels[0][1:] - kernels[0][:1], biases[0][1:] - biases[0][:1]
        return np.concatenate(kernels), np.concatenate(biases)

    def classify(self, x: str, layer: int, side: int, channels: int, heads: int) -> None:
        """The dense layer and the heads of R-Net and O-Net, on a square map of padded channels."""
        dense, slope = self.weights[f"dense{layer}.weight"], self.weights[f"prelu{layer}.weight"]
        units = len(dense)  # torch flattens (column, row, channel), ONNX (channel, row, column)
        dense = dense.reshape(units, side, side, -1).transpose(0, 3, 2, 1)
        dense = padded(dense, channels, axis=1).reshape(units, -1)
        x = self.add("Gemm", self.add("Flatten", x), dense.T, self.weights[f"dense{layer}.bias"])
        kernel, bias = self.heads("dense", layer + 1, heads)
        self.add("Gemm", self.add("PRelu", x, slope), kernel.T, bias, name="output")

    def model(self, name: str, inputs: Sequence[object], outputs: Sequence[object]) -> bytes:
        """The checked file: ``pixels`` (0 to 255, RGB, NCHW float32) → ``output``."""
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, inputs)],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, outputs)],
            self.constants,
            doc_string="MTCNN, Zhang et al. 2016 (arXiv:1604.02878); weights of facenet-pytorch (MIT).",
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        model.producer_name = "fer_hub train.convert_mtcnn"
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()


def pooled_prelu(slope: Weights) -> tuple[Weights, Weights, Weights]:
    """Three channel mixings (out, in) that turn pooled values into the pooled PReLU.

    A rising PReLU (slope a ≥ 0) may be taken after max-pooling. A falling one (a < 0) is
    max(v, a·v), whose maximum over a window is max(p, r) = r + relu(p - r), with p the pooled v and
    r the pooled a·v, for which the convolution gets an additional channel. So in both cases
    ``straight·u + bent·relu(inner·u)``, u being the pooled channels and the additional ones.
    """
    falling = np.flatnonzero(slope < 0)
    count = -(-(len(slope) + len(falling)) // BLOCK) * BLOCK
    inner, bent, straight = np.zeros((3, count, count))
    every = np.arange(len(slope))
    inner[every, every] = 1
    bent[every, every] = np.where(slope < 0, 1, 1 - slope)
    straight[every, every] = np.maximum(slope, 0)
    added = len(slope) + np.arange(len(falling))
    inner[falling, added], straight[falling, added] = -1, 1
    return inner[:, :, None, None], bent[:, :, None, None], straight[:, :, None, None]


def pnet() -> bytes:
    """P-Net: (n, 3, h, w) → (n, 5, rows, columns), a 12x12 window every 2 pixels."""
    graph = Graph(PNet())
    kernel, bias = graph.convolution(1)
    slope = graph.weights["prelu1.weight"]
    inner, bent, straight = pooled_prelu(slope)
    falling, count = slope < 0, len(inner)
    kernel = np.concatenate([kernel, slope[falling, None, None, None] * kernel[falling]])
    bias = np.concatenate([bias, slope[falling] * bias[falling]])
    x = graph.pool(graph.add("Conv", "pixels", padded(kernel, count), padded(bias, count)), 2)
    folded = graph.add("Relu", graph.add("Conv", x, inner))
    x = graph.add("Add", graph.add("Conv", folded, bent), graph.add("Conv", x, straight))
    for layer in (2, 3):
        x, count = graph.block(x, layer, count)
    kernel, bias = graph.heads("conv", 4, 2)
    graph.add("Conv", x, padded(kernel, count, axis=1), bias, name="output")
    return graph.model("pnet", ["n", 3, "h", "w"], ["n", 5, "rows", "columns"])


def rnet() -> bytes:
    """R-Net: (n, 3, 24, 24) → (n, 5)."""
    graph = Graph(RNet())
    x, count = graph.block("pixels", 1, 3)
    x, count = graph.block(graph.pool(x, 3), 2, count)
    x, count = graph.block(graph.pool(x, 3), 3, count)
    graph.classify(x, layer=4, side=3, channels=count, heads=2)
    return graph.model("rnet", ["n", 3, 24, 24], ["n", 5])


def onet() -> bytes:
    """O-Net: (n, 3, 48, 48) → (n, 15)."""
    graph = Graph(ONet())
    x, count = graph.block("pixels", 1, 3)
    for layer, size in ((2, 3), (3, 3), (4, 2)):
        x, count = graph.block(graph.pool(x, size), layer, count)
    graph.classify(x, layer=5, side=3, channels=count, heads=3)
    return graph.model("onet", ["n", 3, 48, 48], ["n", 15])


def difference(blob: bytes, network: torch.nn.Module, shape: tuple[int, ...]) -> float:
    """Greatest difference between ONNX and torch, over scores and regressions of random pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    session = ort.InferenceSession(blob, providers=["CPUExecutionProvider"])
    ours = np.asarray(session.run(None, {"pixels": pixels})[0])
    with torch.no_grad():
        *regressions, scores = network((torch.from_numpy(pixels) - 127.5) * 0.0078125)
    theirs = torch.cat([scores[:, 1:], *regressions], dim=1).numpy()
    ours[:, 0] = 0.5 + 0.5 * np.tanh(0.5 * ours[:, 0])
    return float(np.abs(ours - theirs).max())


NETWORKS: dict[str, tuple[Callable[[], bytes], type[torch.nn.Module], tuple[int, ...]]] = {
    "pnet": (pnet, PNet, (2, 3, 97, 64)),
    "rnet": (rnet, RNet, (64, 3, 24, 24)),
    "onet": (onet, ONet, (64, 3, 48, 48)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write ``pnet.onnx``, ``rnet.onnx``, ``onet.onnx`` and ``LICENSE``; stop if they differ from torch."""
    parser = argparse.ArgumentParser(prog="python -m train.convert_mtcnn", description=main.__doc__)
    parser.add_argument("--out", type=Path, default=Path("fer_hub/assets/mtcnn"), help="folder to write")
    out: Path = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    for name, (build, network, shape) in NETWORKS.items():
        blob = build()
        worst = difference(blob, network(), shape)
        print(f"{name}: {len(blob):,} bytes, max |onnx - torch| = {worst:.1e}")
        if worst > TOLERANCE:
            raise SystemExit(f"{name} differs from torch by {worst:.1e}, above {TOLERANCE:.0e}: not written.")
        write_bytes(out / f"{name}.onnx", blob)
    write_bytes(out / "LICENSE", LICENSE.encode())


if __name__ == "__main__":
    main()
