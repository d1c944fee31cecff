"""Passes over convolutions and pools: explicit padding, biases."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from onnx import ModelProto

from neuromatic.converters.normalize.graph import Node, Results, Rewriter, rewrite, static

Pads = list[tuple[int, int]]


def explicit_pads(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Write the padding of Conv, ConvTranspose, MaxPool, AveragePool and LpPool as ``pads``.

    ``auto_pad``, ``output_shape`` and ``ceil_mode`` are gone where the sizes of the input are known, and
    kernel, strides and dilations are written out. What ``ceil_mode`` adds is padding at the end; it
    stays for averages that would count this padding.
    """
    rules = dict.fromkeys(("Conv", "MaxPool", "AveragePool", "LpPool"), _padded)
    return rewrite(model, {**rules, "ConvTranspose": _transposed}, keep)


def separate_biases(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """Add the bias of one- and three-dimensional Conv and ConvTranspose by an ``Add`` of ``[C, 1 ...]``."""
    return rewrite(model, dict.fromkeys(("Conv", "ConvTranspose"), _bias_apart), keep)


def _kernel(node: Node) -> list[int] | None:
    """The sizes of the kernel, from the attribute or else from the weights."""
    given = node.attributes.get("kernel_shape")
    if given:
        return list(given)
    weights = node.input(1)
    sizes = static(weights.shape[2:]) if weights is not None and weights.shape else None
    return None if sizes is None else list(sizes)


def _window(node: Node, kernel: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations and the extent of the kernel with its gaps."""
    strides = list(node.attributes.get("strides") or [1] * len(kernel))
    gaps = list(node.attributes.get("dilations") or [1] * len(kernel))
    return strides, gaps, [(k - 1) * d + 1 for k, d in zip(kernel, gaps, strict=True)]


def _given_pads(node: Node, rank: int) -> Pads:
    pads = list(node.attributes.get("pads") or [0] * (2 * rank))
    return list(zip(pads[:rank], pads[rank:], strict=True))


def _split(total: int, upper: bool) -> tuple[int, int]:
    return (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)


def _padded(g: Rewriter, node: Node) -> Results:
    kernel = _kernel(node)
    if kernel is None or node.x.shape is None:
        return None
    strides, gaps, extent = _window(node, kernel)
    sizes = static(node.x.shape[2:])
    mode, ceil = node.attributes["auto_pad"], node.attributes.get("ceil_mode", 0)
    pads = _given_pads(node, len(kernel)) if mode == "NOTSET" else [(0, 0)] * len(kernel)
    if mode.startswith("SAME"):
        if sizes is None:
            return None
        totals = [
            max((math.ceil(n / s) - 1) * s + e - n, 0) for n, s, e in zip(sizes, strides, extent, strict=True)
        ]
        pads = [_split(total, mode == "SAME_UPPER") for total in totals]
    elif ceil:
        if sizes is None:
            return None
        extra = [_ceil_pad(*axis) for axis in zip(sizes, pads, extent, strides, strict=True)]
        if any(extra) and node.op != "MaxPool" and node.attributes.get("count_include_pad", 1):
            return None
        pads = [(before, after + more) for (before, after), more in zip(pads, extra, strict=True)]
    return _with_window(g, node, kernel, strides, gaps, pads)


def _ceil_pad(size: int, pads: tuple[int, int], extent: int, stride: int) -> int:
    """What makes room for a last, incomplete window, unless it starts in the padding."""
    padded = size + sum(pads)
    windows = math.ceil((padded - extent) / stride) + 1
    if (windows - 1) * stride >= size + pads[0]:
        windows -= 1
    return max((windows - 1) * stride + extent - padded, 0)


def _with_window(
    g: Rewriter, node: Node, kernel: Sequence[int], strides: Sequence[int], gaps: Sequence[int], pads: Pads
) -> Results:
    window: dict[str, Any] = {"kernel_shape": kernel, "strides": strides}
    if "dilations" in node.attributes:
        window["dilations"] = gaps
    window["pads"] = [before for before, _ in pads] + [after for _, after in pads]
    return _again(g, node, window)


def _again(g: Rewriter, node: Node, changed: Mapping[str, Any]) -> Results:
    """The node with other attributes, and without those that say the padding in another way."""
    dropped = ("auto_pad", "ceil_mode", "output_shape")
    given = {name: value for name, value in node.given().items() if name not in dropped}
    return g.add_many(node.op, *node.inputs, outputs=len(node.proto.output), **{**given, **changed})


def _transposed(g: Rewriter, node: Node) -> Results:
    kernel = _kernel(node)
    if kernel is None or node.x.shape is None:
        return None
    strides, gaps, extent = _window(node, kernel)
    mode, wanted = node.attributes["auto_pad"], node.attributes.get("output_shape")
    pads = _given_pads(node, len(kernel)) if mode == "NOTSET" else [(0, 0)] * len(kernel)
    if mode.startswith("SAME") or wanted:
        sizes = static(node.x.shape[2:])
        if sizes is None:
            return None
        more = list(node.attributes.get("output_padding") or [0] * len(kernel))
        goal = list(wanted or [n * s for n, s in zip(sizes, strides, strict=True)])[-len(kernel) :]
        axes = zip(sizes, strides, more, extent, goal, strict=True)
        totals = [s * (n - 1) + m + e - out for n, s, m, e, out in axes]
        if min(totals) < 0:
            return None
        pads = [_split(total, mode == "SAME_UPPER") for total in totals]
    return _with_window(g, node, kernel, strides, gaps, pads)


def _bias_apart(g: Rewriter, node: Node) -> Results:
    bias = node.input(2)
    if bias is None or node.x.shape is None or node.x.rank == 4 or bias.shape is None:
        return None
    y = g.add(node.op, node.x, node.required(1), **node.given())
    column = g.add("Reshape", bias, g.ints(0, *[1] * (node.x.rank - 2)))
    return g.add("Add", y, column)
