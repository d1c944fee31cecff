"""The worker's state and what it does when it is asked: one method for each message."""

import contextlib
import importlib
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np

from . import learners, primitives
from .protocol import VERSION

# By name, for type checkers take ``import cntk`` for the folder that this one is in.
C: Any = importlib.import_module("cntk")


class Program:
    """A recorded graph, built: what goes in, what comes out."""

    def __init__(self, header: Any, arrays: Any, cells: Any) -> None:
        self.values = {entry["register"]: cells[entry["name"]] for entry in header["cells"]}
        self.inputs = {}
        for entry in header["inputs"]:
            axes = [C.Axis.default_batch_axis()] if entry["batch"] else []
            variable = C.input_variable(tuple(entry["shape"]), dynamic_axes=axes)
            self.inputs[entry["name"]] = self.values[entry["register"]] = variable
        self.feeds = []
        for entry in header["feeds"]:
            cell = C.constant(0.0, shape=tuple(entry["shape"]))
            self.values[entry["register"]] = cell
            self.feeds.append((cell, tuple(entry["shape"])))
        self.noise = []
        for entry in header["noise"]:
            variable = C.input_variable(tuple(entry["shape"]))
            self.values[entry["register"]] = variable
            self.noise.append((variable, entry))
        for entry in header["keeps"]:
            self.values[entry["cell"]] = C.constant(0.0, shape=tuple(entry["shape"]))
        self.instructions = header["forward"]
        primitives.run(self.instructions, self.values, arrays)
        kept = [
            C.assign(self.values[e["cell"]], self.values[e["value"]])
            for e in header["keeps"]
            if e["value"] is not None
        ]
        self.outputs = [C.alias(self.values[register]) for register in header["outputs"]]
        self.function = C.combine(self.outputs + kept)
        self.wanted = [output.output for output in self.outputs + kept]
        self.shown = len(self.outputs)
        self.training = header.get("training", False)

    def arguments(
        self, dataset: Any, rows: Any, feeds: Any, seed: Any, step: Any, count: Any = None
    ) -> Dict[Any, Any]:
        """What one batch feeds, some rows of a dataset, or without rows all ``count`` of them.

        Sets the numbers that change from step to step.
        """
        at = 0
        for cell, shape in self.feeds:
            size = int(np.prod(shape, dtype=int))
            cell.value = feeds[at : at + size].reshape(shape)
            at += size
        whole = rows is None
        found = {
            variable: dataset[name] if whole else dataset[name][rows]
            for name, variable in self.inputs.items()
        }
        for variable, entry in self.noise:
            found[variable] = _noise(entry, count if whole else len(rows), seed, step)
        return found

    @contextlib.contextmanager
    def named(self, arguments: Any, gradient: bool = False) -> Iterator[None]:
        """Says in which node of ONNX it is that CNTK raises something while it computes."""
        try:
            yield
        except Exception as error:
            raise primitives.NodeError(self.failing(arguments, gradient), error)  # noqa: B904

    def failing(self, arguments: Any, gradient: bool) -> Any:
        """The first node that fails if no more is computed than what it needs; "" if none does."""
        for entry in self.instructions:
            for register in entry["out"] if isinstance(entry["out"], list) else [entry["out"]]:
                try:
                    _attempt(self.values[register], arguments, gradient)
                except Exception:
                    return entry.get("node", "")
        return ""

    def run(self, arguments: Any) -> Any:
        with self.named(arguments):
            # CNTK takes a batch's statistics only where it has to keep something for a gradient.
            kept = set(self.wanted[: self.shown]) if self.training else None
            _, values = self.function.forward(arguments, self.wanted, kept)
        return [_array(values[output], output) for output in self.wanted[: self.shown]]


class Training(Program):
    """A program with a loss (its first output), gradients and updates."""

    def __init__(self, header: Any, arrays: Any, cells: Any) -> None:
        super().__init__(header, arrays, cells)
        self.loss = self.wanted[0]
        self.one = {self.loss: np.array(1, np.float32)}
        gradients = header["gradients"]
        self.parameters = [cells[entry["name"]] for entry in gradients]
        self.assigned = [(cells[entry["name"]], entry["register"]) for entry in header["assign"]]
        self.updates, self.update_arrays, self.extra = header["update"], arrays, None
        if header["learner"]:
            self.learner: Any = learners.BuiltIn(
                header["learner"]["kind"],
                self.parameters,
                header["learner"]["states"],
                header["learner"],
                cells,
            )
            if self.assigned:
                self.extra = self._assign()
        else:

            def build(parameters: Any, received: Any) -> Any:
                self.values.update((e["register"], g) for e, g in zip(gradients, received))
                return self._assign()

            self.learner = learners.Recorded(self.parameters, build)

    def _assign(self) -> Any:
        primitives.run(self.updates, self.values, self.update_arrays)
        return C.combine([C.assign(cell, self.values[register]) for cell, register in self.assigned])

    def step(self, arguments: Any, rate: Any) -> List[Any]:
        with self.named(arguments):
            state, values = self.function.forward(arguments, self.wanted, {self.loss}, as_numpy=False)
        with self.named(arguments, gradient=True):
            gradients = self.function.backward(state, self.one, set(self.parameters), as_numpy=False)
        self.learner.update({p: value.data for p, value in gradients.items()}, rate)
        if self.extra is not None:
            self.extra.forward({}, self.extra.outputs)
        return [values[output].data.asarray() for output in self.wanted[: self.shown]]


class Session:
    """Everything that a worker holds."""

    def __init__(self) -> None:
        self.cells: Dict[str, Any] = {}
        self.programs: Dict[str, Program] = {}
        self.datasets: Dict[Any, Dict[str, Any]] = {}
        self.training: Optional[Training] = None
        self.seed = 0

    def hello(self, header: Any, arrays: Any) -> Tuple[Dict[str, Any], List[Any]]:
        """Settings; answers what this worker is."""
        self.seed = header["seed"]
        C.cntk_py.disable_forward_values_sharing()
        C.cntk_py.set_max_num_cputhreads(header["threads"])
        C.cntk_py.set_fixed_random_seed(header["seed"] % (1 << 31))
        return {"protocol": VERSION, "cntk": C.__version__, "numpy": np.__version__}, []

    def define(self, header: Any, arrays: Any) -> Tuple[Dict[str, Any], List[Any]]:
        """Parameters and states, by name."""
        for entry, array in zip(header["cells"], arrays):
            make = C.parameter if entry["trainable"] else C.constant
            self.cells[entry["name"]] = (
                make(init=array, name=entry["name"]) if entry["trainable"] else make(array)
            )
        return {}, []

    def build(self, header: Any, arrays: Any) -> Tuple[Dict[str, Any], List[Any]]:
        """A program from recorded instructions."""
        if header["loss"]:
            self.training = Training(header, arrays, self.cells)
            self.programs[header["program"]] = self.training
        else:
            self.programs[header["program"]] = Program(header, arrays, self.cells)
        return {}, []

    def load(self, header: Any, arrays: Any) -> Tuple[Dict[str, Any], List[Any]]:
        """Map the files of a dataset."""
        self.datasets[header["dataset"]] = {
            entry["name"]: np.load(entry["path"], mmap_mode="r") for entry in header["files"]
        }
        return {}, []

    def train(self, header: Any, arrays: Any) -> Tuple[Dict[str, Any], List[Any]]:
        """A step for each line of rows."""
        program: Any = self.programs[header["program"]]
        dataset = self.datasets[header["dataset"]]
        rows, rates, feeds = arrays
        results = []
        for i in range(len(rows)):
            arguments = program.arguments(dataset, rows[i], feeds[i], self.seed, header["step"] + i)
            results.append(program.step(arguments, float(rates[i])))
        return {}, [np.stack(values) for values in zip(*results)]

    def run(self, header: Any, arrays: Any) -> Any:
        """The outputs of a program for each line of rows, or for arrays that come with the message."""
        program = self.programs[header["program"]]
        if header["dataset"] is None:
            data = dict(zip(header["names"], arrays[1:]))
            given = (data, None, arrays[0], self.seed, header["step"], header["rows"])
            return {}, program.run(program.arguments(*given))
        dataset = self.datasets[header["dataset"]]
        rows, feeds = arrays
        results = [
            program.run(program.arguments(dataset, line, feeds[i], self.seed, header["step"]))
            for i, line in enumerate(rows)
        ]
        return {}, [np.stack(values) for values in zip(*results)]

    def read(self, header: Any, arrays: Any) -> Tuple[Dict[str, Any], List[Any]]:
        """Values by name."""
        learned: Dict[str, Any] = self.training.learner.read() if self.training else {}
        return {}, [learned[n] if n in learned else self.cells[n].value for n in header["names"]]

    def assign(self, header: Any, arrays: Any) -> Tuple[Dict[str, Any], List[Any]]:
        """Replace values by name; those of a learner that are not named stay."""
        if self.training:
            for name, value in self.training.learner.read().items():
                self.cells[name].value = value
        for name, array in zip(header["names"], arrays):
            self.cells[name].value = array
        if self.training:
            self.training.learner.restore()
        return {}, []

    def forget(self, header: Any, arrays: Any) -> Tuple[Dict[str, Any], List[Any]]:
        """Drop datasets and programs."""
        for name in header.get("datasets", ()):
            self.datasets.pop(name, None)
        for name in header.get("programs", ()):
            self.programs.pop(name, None)
        return {}, []


def _attempt(value: Any, arguments: Any, gradient: Any) -> None:
    """Compute a value alone, and the gradient of the sum of its elements."""
    function = C.reduce_sum(value) if gradient else C.alias(value)
    given = {variable: arguments[variable] for variable in function.arguments}
    output = function.output
    if not gradient:
        function.forward(given, [output])
    elif function.parameters:
        state, values = function.forward(given, [output], {output})
        ones = np.ones_like(np.asarray(values[output]))
        function.backward(state, {output: ones}, set(function.parameters))


def _array(value: Any, output: Any) -> Any:
    """A value as CNTK returns it, as one array."""
    return np.asarray(value, np.float32).reshape((-1,) * bool(output.dynamic_axes) + output.shape)


def _noise(entry: Any, count: Any, seed: Any, step: Any) -> Any:
    """Random numbers, which depend on seed, node and step alone."""
    generator = np.random.Generator(np.random.Philox(key=[seed, entry["key"]], counter=[0, 0, 0, step]))
    shape = (count, *entry["shape"])
    if entry["kind"] == "normal":
        drawn = generator.standard_normal(shape, np.float32)
        return drawn * np.float32(entry["scale"]) + np.float32(entry["mean"])
    drawn = generator.random(shape, np.float32)
    if entry["kind"] == "uniform":
        return drawn * np.float32(entry["high"] - entry["low"]) + np.float32(entry["low"])
    return (drawn >= entry["rate"]) * np.float32(1 / (1 - entry["rate"]))
