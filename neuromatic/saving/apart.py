"""Shape inference in a process of its own, for a model of which one cannot tell how much it would take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
from onnx import ModelProto

from neuromatic.errors import InvalidModelError
from neuromatic.ir.bounds import Inference
from neuromatic.ir.onnx_errors import ONNX_ERRORS
from neuromatic.ir.shape_inference import hide_lengths

MOST_MEMORY = 512 << 20
MOST_SECONDS = 20
PROGRAM = """
import sys
sys.path.append(sys.argv[1])
import onnx.shape_inference
try:
    import resource
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    most = used + int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, OSError, ValueError):
    pass  # a system that does not limit processes
try:
    onnx.shape_inference.infer_shapes(sys.stdin.buffer.read(), data_prop=True)
except MemoryError:
    sys.exit(9)
except Exception:
    pass  # what does not fit is said elsewhere
"""


def is_harmless(model: ModelProto) -> bool:
    """Whether it is certain that inferring a model's types takes little memory."""
    first = Inference(model.graph)
    if first.harmless or not first.few_entries:
        return first.harmless
    try:  # without data propagation, which alone writes down vectors
        inferred = onnx.shape_inference.infer_shapes(model).graph
    except ONNX_ERRORS:
        return False
    return Inference(model.graph, {v.name: v.type for v in inferred.value_info}).harmless


def check_inference(model: ModelProto) -> None:
    """Infer a model's types where that can do no harm, unless it is certain that it does none.

    Raises:
        InvalidModelError: it takes more memory or time than the types of any model.
    """
    hide_lengths(model)
    if is_harmless(model):
        return
    place = str(Path(onnx.__file__).parent.parent)
    command = [sys.executable, "-I", "-c", PROGRAM, place, str(MOST_MEMORY)]
    try:
        done = subprocess.run(
            command,
            input=model.SerializeToString(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidModelError(f"inferring its types takes more than {MOST_SECONDS} seconds") from error
    if done.returncode:
        raise InvalidModelError(f"inferring its types takes more than {MOST_MEMORY >> 20} MiB")
