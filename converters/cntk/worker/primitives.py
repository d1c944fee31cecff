"""What an instruction of a recorded graph means in CNTK; one function for each.

Shapes and axes are those of CNTK's Python interface: the batch axis is not counted. Every value is float32;
truth is 1 and falsehood 0.
"""

import importlib
import tempfile
from typing import Any, Dict

import numpy as np

# By name, for type checkers take ``import cntk`` for the folder that this one is in.
C: Any = importlib.import_module("cntk")


class NodeError(Exception):
    """CNTK refuses what a node of ONNX was recorded as.

    Args:
        node: the node, as it is to be named.
        cause: what CNTK raised.
    """

    def __init__(self, node: Any, cause: Any) -> None:
        super().__init__(str(cause))
        self.node, self.cause = node, cause


def _named(names: str) -> Dict[str, Any]:
    return {name: getattr(C, name) for name in names.split()}


UNARY = _named(
    "abs acos asin asinh atan atanh ceil cos cosh exp floor log negate reciprocal relu sigmoid sin sinh "
    "softsign sqrt stop_gradient tanh"
)
BINARY = _named(
    "plus minus element_times element_divide element_max element_min less less_equal greater greater_equal "
    "equal not_equal pow log_add_exp"
)
REDUCTIONS = _named(
    "reduce_sum reduce_mean reduce_max reduce_min reduce_prod reduce_log_sum_exp argmax argmin"
)


def leaky_relu(x: Any, alpha: Any) -> Any:
    return C.leaky_relu(x, alpha)


def element_select(condition: Any, x: Any, y: Any) -> Any:
    return C.element_select(condition, x, y)


def times(a: Any, b: Any) -> Any:
    """The last axis of ``a`` with the first of ``b``."""
    return C.times(a, b)


def reshape(x: Any, to: Any) -> Any:
    return C.reshape(x, tuple(to))


def transpose(x: Any, perm: Any) -> Any:
    return C.transpose(x, perm)


def slice(x: Any, axis: Any, begin: Any, end: Any, stride: Any) -> Any:  # CNTK's name
    # CNTK takes 0 for the end of the axis.
    return C.slice(x, axis, begin, end, stride)


def splice(*xs: Any, axis: Any) -> Any:
    return C.splice(*xs, axis=axis)


def pad(x: Any, pattern: Any, mode: Any, value: Any) -> Any:
    return C.pad(x, [tuple(pair) for pair in pattern], mode=mode, constant_value=value)


def reduce(x: Any, name: Any, axes: Any) -> Any:
    return REDUCTIONS[name](x, axis=axes[0] if len(axes) == 1 else tuple(axes))


def reduce_batch(x: Any, name: Any) -> Any:
    return REDUCTIONS[name](x, axis=C.Axis.default_batch_axis())


def convolution(w: Any, x: Any, strides: Any, same: Any, groups: Any) -> Any:
    return C.convolution(
        w, x, strides=tuple(strides), auto_padding=[False] + [bool(s) for s in same], groups=groups
    )


def convolution_transpose(w: Any, x: Any, strides: Any, output_shape: Any) -> Any:
    return C.convolution_transpose(
        w,
        x,
        strides=tuple(strides),
        auto_padding=[False] * (len(strides) + 1),
        output_shape=tuple(output_shape),
    )


def pooling(x: Any, kind: Any, window: Any, strides: Any) -> Any:
    return C.pooling(x, {"max": C.MAX_POOLING, "average": C.AVG_POOLING}[kind], tuple(window), tuple(strides))


def batch_normalization(
    x: Any, scale: Any, bias: Any, mean: Any, variance: Any, epsilon: Any, spatial: Any
) -> Any:
    """Normalises by the batch and leaves its mean and unbiased variance in ``mean`` and ``variance``."""
    return C.batch_normalization(
        x,
        scale,
        bias,
        mean,
        variance,
        spatial=spatial,
        normalization_time_constant=0,
        blend_time_constant=0,
        epsilon=epsilon,
        use_cudnn_engine=False,
        disable_regularization=True,
        running_count=C.constant(1.0, shape=()),
    )


def gather(table: Any, indices: Any, axis: Any) -> Any:
    return C.gather(table, indices, axis)


def to_batch(x: Any) -> Any:
    return C.to_batch(x)


def unpack_batch(x: Any) -> Any:
    return C.unpack_batch(x)


def scan(
    x: Any, *values: Any, element: Any, states: Any, uses: Any, body: Any, next: Any, reverse: Any
) -> Any:
    """A recurrence over the first axis of ``x``.

    Args:
        x: time first.
        values: the initial states, then what the body uses as it is at each step.
        element, states, uses: registers of the body: for what ``x`` has at a step, for the states before it,
            and for the rest.
        body: instructions of one step.
        next: registers of the new states.
        reverse: whether time runs backwards.

    Returns:
        the first state after each step, time first, and then all states after the last one.
    """
    initial = values[: len(states)]
    known = dict(zip(uses, values[len(states) :]))
    known[element] = C.to_sequence(x)
    before = [C.placeholder(shape=value.shape) for value in initial]
    known.update(zip(states, before))
    run(body, known, ())
    delayed = C.sequence.future_value if reverse else C.sequence.past_value
    after = [known[register] for register in next]
    cycle = {p: delayed(v, initial_state=i).output for p, v, i in zip(before, after, initial)}
    new = C.combine(after).replace_placeholders(cycle).outputs
    # CNTK does not know how many steps there are, so that what comes next could not be checked, or sliced.
    collected = C.reshape(C.sequence.unpack(new[0], 0, no_mask_output=True), x.shape[:1] + new[0].shape)
    last = C.sequence.first if reverse else C.sequence.last
    return [collected] + [last(value) for value in new]


def native(*values: Any, file: Any, data: Any, cells: Any, wanted: Any) -> Any:
    """An ONNX file by CNTK's own import, with its inputs and initializers replaced by values.

    Args:
        values: first the inputs, then the initializers.
        file: the bytes of the file.
        data, cells: their names.
        wanted: names of the outputs.
    """
    with tempfile.TemporaryFile() as unnamed:
        unnamed.write(file.tobytes())
        unnamed.flush()
        model = C.Function.load("/proc/self/fd/%d" % unnamed.fileno(), format=C.ModelFormat.ONNX)
    given = dict(zip(list(data) + list(cells), values))
    replaced = {a: C.unpack_batch(given[a.name]) for a in model.arguments}
    replaced.update((c, given[c.name]) for c in model.constants if c.name in given)
    clone = model.clone(C.CloneMethod.share, replaced)
    found = {output.name: output for output in clone.outputs}
    return [C.reconcile_dynamic_axes(C.to_batch(found[name]), values[0]) for name in wanted]


COMPOSED = {
    function.__name__: function
    for function in (
        leaky_relu, element_select, times, reshape, transpose, slice, splice, pad, reduce, reduce_batch,
        convolution, convolution_transpose, pooling, batch_normalization, gather, native, to_batch,
        unpack_batch, scan,
    )
}  # fmt: skip


def run(instructions: Any, values: Any, arrays: Any) -> None:
    """Run instructions in order; each reads registers and writes one, or several if it gives a list."""
    for instruction in instructions:
        arguments = dict(instruction)
        name, inputs, out = arguments.pop("op"), arguments.pop("in"), arguments.pop("out")
        if name == "constant":
            values[out] = C.constant(np.asarray(arrays[arguments["array"]], np.float32))
            continue
        if "file" in arguments:
            arguments["file"] = arrays[arguments["file"]]
        node = arguments.pop("node", "")
        function = UNARY.get(name) or BINARY.get(name) or COMPOSED[name]
        try:
            result = function(*[values[i] for i in inputs], **arguments)
        except NodeError:  # of a graph inside the node
            raise
        except Exception as error:
            raise NodeError(node, error)  # noqa: B904  # it is its cause
        if isinstance(out, list):
            values.update(zip(out, result))
        else:
            values[out] = result
