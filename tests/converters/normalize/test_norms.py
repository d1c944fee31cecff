"""Normalisations as means, products and roots."""

from __future__ import annotations

import pytest

from neuromatic.converters.normalize.norms import decompose_norms
from tests.converters.normalize.models import model, normalized, numbers, ops

PLAIN = {"Add", "Constant", "Div", "Mul", "ReduceMean", "Reshape", "Sqrt", "Sub"}


@pytest.mark.parametrize("axis", [-1, 2, 1, -2])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_normalization(axis: int, bias: bool) -> None:
    shape = (3, 4)[axis % 3 - 1 :]
    given = {"s": numbers(*shape)} | ({"b": numbers(*shape, seed=1)} if bias else {})
    proto = model(
        f"y = LayerNormalization<axis = {axis}, epsilon = 0.01>(x, {', '.join(given)})",
        "float[N, 3, 4] x", "float[N, 3, 4] y", opset=17, **given,
    )  # fmt: skip
    assert set(ops(normalized(decompose_norms, proto, list(given), rtol=1e-5))) <= PLAIN


def test_a_deviation_that_is_used_stays() -> None:
    body = "y, m = LayerNormalization(x, s)"
    proto = model(body, "float[N, 4] x", "float[N, 4] y, float[N, 1] m", s=numbers(4))
    assert ops(normalized(decompose_norms, proto, ["s"])) == ["LayerNormalization"]


@pytest.mark.parametrize("spatial", [1, 2])
@pytest.mark.parametrize("opset", [7, 17])
def test_instance_normalization(spatial: int, opset: int) -> None:
    dims = ", ".join(["N", "3"] + ["4"] * spatial)
    proto = model(
        "y = InstanceNormalization(x, s, b)", f"float[{dims}] x", f"float[{dims}] y", opset=opset,
        s=numbers(3), b=numbers(3, seed=1),
    )  # fmt: skip
    assert set(ops(normalized(decompose_norms, proto, ["s", "b"], rtol=1e-5))) <= PLAIN


@pytest.mark.parametrize(("opset", "groups", "size"), [(21, 2, 4), (21, 4, 4), (21, 1, 4)])
def test_group_normalization(opset: int, groups: int, size: int) -> None:
    proto = model(
        f"y = GroupNormalization<num_groups = {groups}>(x, s, b)",
        "float[N, 4, 3, 2] x", "float[N, 4, 3, 2] y", opset=opset, s=numbers(size), b=numbers(size, seed=1),
    )  # fmt: skip
    assert set(ops(normalized(decompose_norms, proto, ["s", "b"], rtol=1e-5))) <= PLAIN


@pytest.mark.parametrize("axis", [-1, 1])
def test_rms_normalization(axis: int) -> None:
    scale = numbers(*(3, 4)[axis % 3 - 1 :])
    proto = model(
        f"y = RMSNormalization<axis = {axis}>(x, s)",
        "float[N, 3, 4] x",
        "float[N, 3, 4] y",
        opset=23,
        s=scale,
    )
    assert set(ops(normalized(decompose_norms, proto, ["s"], rtol=1e-5))) <= PLAIN
