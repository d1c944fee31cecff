"""Messages between Neuromatic and its worker: a JSON header, then arrays as raw bytes.

This file runs in both processes, so it keeps to Python 3.6 and numpy. A message is::

    magic (4 bytes) | length of the header (4 bytes, big endian) | header (JSON) | array | array | ...

The header's ``"arrays"`` gives dtype and shape of each array that follows.
"""

import json
import struct
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

VERSION = 1
MAGIC = b"NMW1"
PREFIX = struct.Struct(">4sI")
LONGEST_HEADER = 1 << 28
DTYPES = frozenset(["float32", "float64", "int64", "int32", "uint8", "bool"])


class ProtocolError(Exception):
    """What arrived is not a message."""


def encode(header: Dict[str, Any], arrays: Sequence[Any] = ()) -> List[Any]:
    """The pieces of a message, to be written one after the other."""
    arrays = [np.ascontiguousarray(array).reshape(np.shape(array)) for array in arrays]
    described = [{"dtype": array.dtype.name, "shape": list(array.shape)} for array in arrays]
    text = json.dumps(dict(header, arrays=described)).encode()
    pieces = [PREFIX.pack(MAGIC, len(text)) + text]
    pieces.extend(array.data.cast("B") for array in arrays if array.size)
    return pieces


def decode(read: Any) -> Optional[Tuple[Dict[str, Any], List[Any]]]:
    """The header and the arrays of the next message; None at the end of the stream.

    Args:
        read: takes a number of bytes to read and gives fewer only at the end.

    Raises:
        ProtocolError: this is not a message, or it is cut off.
    """
    start = read(PREFIX.size)
    if not start:
        return None
    if len(start) < PREFIX.size or start[:4] != MAGIC:
        raise ProtocolError("%r is not the beginning of a message" % bytes(start))
    length = PREFIX.unpack(start)[1]
    if length > LONGEST_HEADER:
        raise ProtocolError("a header of %d bytes" % length)
    try:
        header = json.loads(_exactly(read, length).decode())
        arrays = [_array(read, entry) for entry in header.pop("arrays")]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError("damaged header: %s" % error)  # noqa: B904  # the other end's fault alone
    return header, arrays


def _array(read: Any, entry: Any) -> Any:
    if entry["dtype"] not in DTYPES:
        raise ProtocolError("an array of %r" % entry["dtype"])
    dtype, shape = np.dtype(entry["dtype"]), tuple(int(size) for size in entry["shape"])
    count = 1
    for size in shape:
        count *= size
    if count < 0:
        raise ProtocolError("an array of shape %r" % (shape,))
    return np.frombuffer(bytearray(_exactly(read, count * dtype.itemsize)), dtype).reshape(shape)


def _exactly(read: Any, count: Any) -> Any:
    data = read(count)
    if len(data) < count:
        raise ProtocolError("a message of which %d bytes are missing" % (count - len(data)))
    return data
