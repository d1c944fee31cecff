"""Arrays for a model's inputs and targets: what is taken, what is cast, and every refusal by its text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import neuromatic as nm
from neuromatic.data import Field, fit_to_fields, input_fields, target_fields
from neuromatic.errors import DataError
from neuromatic.ir.values import Shape


def field(dtype: str = "float32", shape: Shape | None = ("batch", 3), classes: int | None = None) -> Field:
    return Field("input", np.dtype(dtype), shape, classes)


def fit(data: Any, one: Field | None = None, what: str = "x") -> Any:
    return fit_to_fields(data, [one or field()], what)["input"]


# -- what is taken -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "bool"])
def test_numbers_become_the_fields_type(dtype: str) -> None:
    array = np.array([[0, 1, 0], [1, 1, 1]], dtype)
    found = fit(array)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, array)


def test_lists_and_strided_arrays() -> None:
    np.testing.assert_array_equal(fit([[1, 2, 3], [4, 5, 6]]), [[1, 2, 3], [4, 5, 6]])
    strided = np.arange(12.0).reshape(3, 4).T[1:, ::2][:, [0, 1, 0]]
    found = fit(strided)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, strided)


def test_an_array_that_fits_is_not_copied() -> None:
    array = np.ones((2, 3), np.float32)
    assert np.shares_memory(fit(array), array)


def test_a_last_axis_of_one_comes_and_goes() -> None:
    assert fit(np.ones(4), field(shape=("batch", 1))).shape == (4, 1)
    assert fit(np.ones((4, 3, 1))).shape == (4, 3)
    assert fit(np.ones((4, 1), np.int64), field("int64", ("batch",), 3)).shape == (4,)
    assert fit(np.ones(()) * [1, 2], field(shape=("batch",))).shape == (2,)


def test_free_dimensions_take_any_size() -> None:
    assert fit(np.ones((4, 7)), field(shape=("batch", "n"))).shape == (4, 7)
    assert fit(np.ones((4, 7)), field(shape=("batch", None))).shape == (4, 7)
    assert fit(np.ones((4, 7, 2)), field(shape=None)).shape == (4, 7, 2)


def test_several_fields_by_name_or_in_order() -> None:
    fields = [Field("a", np.dtype("float32"), ("batch", 1)), Field("b", np.dtype("int64"), ("batch",))]
    for data in ({"b": [1, 2], "a": [3, 4], "c": "ignored"}, [[3, 4], [1, 2]], ([3, 4], [1, 2])):
        found = fit_to_fields(data, fields, "x")
        assert found["a"].tolist() == [[3.0], [4.0]]
        assert found["b"].tolist() == [1, 2]


def test_whole_numbers_may_come_as_floats() -> None:
    assert fit([0.0, 2.0], field("int64", ("batch",), 3)).dtype == np.int64
    assert fit([[255.0]], field("uint8", ("batch", 1))).tolist() == [[255]]


def test_fields_of_a_model() -> None:
    model = nm.Sequential((1, 4, 4)).flatten().dense(3, "softmax")
    model = model.loss("sparse_categorical_crossentropy").optimizer("sgd")
    assert model.recipe is not None
    assert input_fields(model.proto) == (Field("input", np.dtype("float32"), ("batch", 1, 4, 4)),)
    assert target_fields(model.proto, model.recipe) == (Field("target", np.dtype("int64"), ("batch",), 3),)


def test_an_input_that_is_no_tensor() -> None:
    model = nm.Sequential((3,)).dense(1).onnx()
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    model.graph.input.append(sequence)
    with pytest.raises(DataError, match="input 's' of the model is not a tensor; only tensors can be fed"):
        input_fields(model)


# -- what is refused -----------------------------------------------------------------------------------

INTEGERS = field("int64", ("batch",), 3)
IMAGES = field(shape=("batch", 3, 8, 8))
GREY = field(shape=("batch", 1, 8, 8))

REFUSED: dict[str, tuple[Any, Field, str]] = {
    "ragged": ([[1, 2, 3], [1]], field(), "x (for 'input') is not a rectangular array: "),
    "text": (
        [["a", "b", "c"]],
        field(),
        "x (for 'input') has type <U1, expected numbers that fit float32",
    ),
    "objects": (
        [[None, 1, 2]],
        field(),
        "x (for 'input') has type object, expected numbers that fit float32",
    ),
    "None": (None, field(), "x (for 'input') has type object, expected numbers that fit float32"),
    "a generator": (
        (i for i in range(3)),
        field(),
        "x (for 'input') has type object, expected numbers that fit float32",
    ),
    "huge integers": (
        [[10**30, 1, 2]],
        field(),
        "x (for 'input') has type object, expected numbers that fit float32",
    ),
    "complex numbers": (np.ones((2, 3), complex), field(), "x (for 'input') has type complex128, expected"),
    "dates": (np.zeros((2, 3), "M8[s]"), field(), "x (for 'input') has type datetime64[s], expected numbers"),
    "too few dimensions": (
        np.ones(3),
        field(),
        "x (for 'input') has shape (3,), expected (batch, 3)",
    ),
    "another size": (np.ones((2, 4)), field(), "x (for 'input') has shape (2, 4), expected (batch, 3)"),
    "an input without rows": (
        np.ones((2, 3)),
        replace(field(shape=(1, 3)), batched=False),
        "x (for 'input') has shape (2, 3), expected (1, 3)",
    ),
    "channels last": (
        np.ones((2, 8, 8, 3)),
        IMAGES,
        "x (for 'input') has shape (2, 8, 8, 3), expected (batch, 3, 8, 8); images are channels first: use "
        "x.transpose(0, 3, 1, 2)",
    ),
    "no channels": (
        np.ones((2, 8, 8)),
        GREY,
        "x (for 'input') has shape (2, 8, 8), expected (batch, 1, 8, 8); add the channel axis: x[:, None]",
    ),
    "one-hot labels": (
        np.eye(3),
        INTEGERS,
        "x (for 'input') has shape (3, 3), expected (batch,); targets are class indices, not one-hot: use "
        "y.argmax(-1)",
    ),
    "a single number": (5.0, field(), "x (for 'input') has shape (), expected (batch, 3)"),
    "a single number of any rank": (
        5.0,
        field(shape=None),
        "x (for 'input') is a single number, expected one row for each sample",
    ),
    "no rows": (np.ones((0, 3)), field(), "x (for 'input') is empty; expected at least one row"),
    "not a number": (
        [[1, 2, 3], [4, float("nan"), 6]],
        field(),
        "x (for 'input') has nan in row 1 (index (1, 1)), expected finite numbers",
    ),
    "infinite": (
        [[1, float("-inf"), 3]],
        field(),
        "x (for 'input') has -inf in row 0 (index (0, 1)), expected finite numbers",
    ),
    "too large for float32": (
        [[1, 2, 1e300]],
        field(),
        "x (for 'input') as float32 has inf in row 0 (index (0, 2)), expected finite numbers",
    ),
    "an integer too large for float16": (
        [[1, 2, 70000]],
        field("float16"),
        "x (for 'input') as float16 has inf in row 0 (index (0, 2)), expected finite numbers",
    ),
    "a label that is no number": (
        [0.0, float("nan")],
        INTEGERS,
        "x (for 'input') has nan in row 1 (index (1,)), expected finite numbers",
    ),
    "a label between two": (
        [0, 1.5],
        INTEGERS,
        "x (for 'input') row 1 is 1.5, expected whole numbers (int64)",
    ),
    "a label too high": (
        [0, 1, 3],
        INTEGERS,
        "x (for 'input') has label 3 in row 2, expected 0 to 2 for 3 classes",
    ),
    "a label too low": ([0, -1], INTEGERS, "x (for 'input') has label -1 in row 1, expected 0 to 2 for 3"),
    "beyond uint8": (
        [[1], [300]],
        field("uint8", ("batch", 1)),
        "x (for 'input') has 300 in row 1, which uint8 cannot hold",
    ),
    "below uint8": (
        [[1], [-1]],
        field("uint8", ("batch", 1)),
        "x (for 'input') has -1 in row 1, which uint8 cannot hold",
    ),
    "a float beyond int32": (
        [[3e9]],
        field("int32", ("batch", 1)),
        "x (for 'input') has 3000000000.0 in row 0, which int32 cannot hold",
    ),
    "unsigned beyond int64": (
        np.array([[2**63]], np.uint64),
        field("int64", ("batch", 1)),
        "x (for 'input') has 9223372036854775808 in row 0, which int64 cannot hold",
    ),
    "below uint64": (
        np.array([[-1]]),
        field("uint64", ("batch", 1)),
        "x (for 'input') has -1 in row 0, which uint64 cannot hold",
    ),
    "neither true nor false": (
        [[0.5]],
        field("bool", ("batch", 1)),
        "x (for 'input') has 0.5 in row 0, which bool cannot hold",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refusals_say_what_is_wrong(kind: str) -> None:
    data, one, message = REFUSED[kind]
    with pytest.raises(DataError, match="^" + re.escape(message)):
        fit(data, one)


def test_a_field_of_the_same_name_is_named_once() -> None:
    with pytest.raises(DataError, match=r"^input is empty"):
        fit(np.ones((0, 3)), what="input")


def test_mappings_and_lists_that_do_not_fit() -> None:
    fields = [Field(name, np.dtype("float32"), ("batch",)) for name in ("a", "b")]
    with pytest.raises(DataError, match=r"^x lacks \['b'\]; it has \['a', 'c'\]$"):
        fit_to_fields({"a": [1], "c": [2]}, fields, "x")
    for data in ([[1]], np.ones((2, 3)), 5):
        with pytest.raises(DataError, match=r"^x must be a mapping or a list of 2 arrays, for \['a', 'b'\]$"):
            fit_to_fields(data, fields, "x")
    with pytest.raises(DataError, match=r"^x: the arrays have different lengths: {'a': 1, 'b': 2}$"):
        fit_to_fields([[1], [1, 2]], fields, "x")
