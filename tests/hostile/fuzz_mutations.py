"""Damage to a model or a data file, by a seed: the fields of its messages, its recipe's notes, its bytes."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import ModelProto

Field = FieldDescriptor
INTEGERS = (0, 1, -1, 2, 3, 7, 16, 17, 255, 999, 2**31 - 1, -(2**31), 2**31, 2**40, 2**63 - 1, -(2**63))
FLOATS = (0.0, -1.0, 1e-45, 1e38, -1e38, float("nan"), float("inf"), float("-inf"))
TEXTS = (
    "",
    "x",
    "y",
    "w",
    "é",
    "a b",
    "0",
    "-1",
    "../x",
    "ai.onnx",
    "ai.onnx.ml",
    "neuromatic",
    "SIDEWAYS",
    "a" * 3000,
)
OPERATORS = (
    *(
        "Add",
        "Gemm",
        "Conv",
        "Relu",
        "Reshape",
        "Loop",
        "If",
        "Scan",
        "LSTM",
        "Gather",
        "Softmax",
        "Gradient",
    ),
    *("Dropout", "BatchNormalization", "Cast", "Concat", "Split", "Constant", "Identity", "Resize", "Nope"),
    *(
        "SequenceConstruct",
        "Optional",
        "Momentum",
        "Adam",
        "MatMul",
        "TopK",
        "Einsum",
        "NonZero",
        "RandomNormal",
    ),
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    1e400,
    10**30,
    "",
    "x",
    [],
    [1],
    ["x"],
    {},
    {"name": "x"},
    [[]],
    "\ud800",
)


def mutated(data: bytes, random: Random) -> bytes:
    """A model's bytes with one thing changed."""
    kind = random.random()
    if kind < 0.08:
        return in_bytes(data, random)
    model = ModelProto.FromString(data) if _parses(data) else None
    if model is None:
        return in_bytes(data, random)
    try:
        if kind < 0.22 and model.metadata_props:
            in_notes(model, random)
        else:
            in_messages(model, random)
        return model.SerializeToString()
    except ValueError:  # text that is none, from an earlier change
        return in_bytes(data, random)


def _parses(data: bytes) -> bool:
    try:
        ModelProto.FromString(data)
    except Exception:
        return False
    return True


# -- bytes ---------------------------------------------------------------------------------------------


def in_bytes(data: bytes, random: Random) -> bytes:
    """Cut off, with some bytes changed, with a piece doubled, or with text that is no UTF-8."""
    if not data:
        return bytes(random.randrange(256) for _ in range(8))
    result = bytearray(data)
    match random.randrange(4):
        case 0:
            return bytes(result[: random.randrange(len(result))])
        case 1:
            for _ in range(random.randint(1, 4)):
                result[random.randrange(len(result))] = random.randrange(256)
        case 2:
            start = random.randrange(len(result))
            piece = result[start : start + random.randint(1, 40)]
            result[start:start] = piece
        case _:
            letters = [i for i, byte in enumerate(result) if 97 <= byte <= 122]
            if letters:
                result[random.choice(letters)] = random.choice((0xFF, 0xC0, 0x00, 0x1B))
    return bytes(result)


# -- messages ------------------------------------------------------------------------------------------


def messages(root: Message) -> Iterator[Message]:
    """A message and all in it."""
    pending = [root]
    while pending:
        message = pending.pop()
        yield message
        for field, value in message.ListFields():
            if field.type == Field.TYPE_MESSAGE:
                pending += list(value) if field.is_repeated else [value]


def in_messages(model: ModelProto, random: Random) -> None:
    """Change one field of one message; each type of message gets as much."""
    by_type: dict[str, list[Message]] = {}
    for message in messages(model):
        by_type.setdefault(message.DESCRIPTOR.name, []).append(message)
    kind = random.choice(sorted(by_type))
    message = random.choice(by_type[kind])
    fields = [field for field, _ in message.ListFields()]
    if not fields or random.random() < 0.25:
        fields = list(message.DESCRIPTOR.fields)
    field = random.choice(fields)
    if field.is_repeated:
        _change_list(message, field, by_type, random)
    elif field.type == Field.TYPE_MESSAGE:
        _change_message(message, field, by_type, random)
    elif random.random() < 0.15:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _scalar(field, getattr(message, field.name), by_type, random))


def _change_message(message: Message, field: Any, by_type: dict[str, list[Message]], random: Random) -> None:
    others = by_type.get(field.message_type.name, [])
    if message.HasField(field.name) and random.random() < 0.5:
        message.ClearField(field.name)
    elif others and random.random() < 0.9:
        getattr(message, field.name).CopyFrom(_copy(random.choice(others)))
    else:
        getattr(message, field.name).SetInParent()


def _copy(message: Message) -> Message:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


def _change_list(message: Message, field: Any, by_type: dict[str, list[Message]], random: Random) -> None:
    items = getattr(message, field.name)
    action = random.choice(("drop", "double", "swap", "add", "change", "clear"))
    place = random.randrange(len(items)) if len(items) else None
    if action == "clear":
        message.ClearField(field.name)
    elif action == "drop" and place is not None:
        del items[place]
    elif field.type == Field.TYPE_MESSAGE:
        others = by_type.get(field.message_type.name, [])
        chosen = items[place] if action == "double" and place is not None else None
        if chosen is None and others:
            chosen = random.choice(others)
        if action == "swap" and place is not None:
            items.append(_copy(items[place]))
            del items[place]
        elif chosen is not None:
            items.append(_copy(chosen))
        else:
            items.add()
    elif place is None or action == "add":
        items.append(_scalar(field, field.default_value or _zero(field), by_type, random))
    elif action == "double":
        items.append(items[place])
    elif action == "swap":
        other = random.randrange(len(items))
        items[place], items[other] = items[other], items[place]
    else:
        items[place] = _scalar(field, items[place], by_type, random)


def _zero(field: Any) -> Any:
    return {Field.CPPTYPE_STRING: b"" if field.type == Field.TYPE_BYTES else ""}.get(field.cpp_type, 0)


def _scalar(field: Any, old: Any, by_type: dict[str, list[Message]], random: Random) -> Any:
    """Another value for a field."""
    if field.type == Field.TYPE_STRING:
        return _text(field, old, by_type, random)
    if field.type == Field.TYPE_BYTES:
        return _bytes(old, random)
    if field.cpp_type in (Field.CPPTYPE_FLOAT, Field.CPPTYPE_DOUBLE):
        return random.choice(FLOATS)
    if field.type == Field.TYPE_ENUM:
        return random.choice(list(field.enum_type.values_by_number))
    value = random.choice((random.choice(INTEGERS), old + 1, old - 1, old * 2, random.randrange(24)))
    bits = 32 if field.cpp_type in (Field.CPPTYPE_INT32, Field.CPPTYPE_UINT32) else 64
    if field.cpp_type in (Field.CPPTYPE_UINT32, Field.CPPTYPE_UINT64):
        return value % 2**bits
    return max(-(2 ** (bits - 1)), min(value, 2 ** (bits - 1) - 1))


def _text(field: Any, old: str, by_type: dict[str, list[Message]], random: Random) -> str:
    if field.name == "op_type":
        return random.choice(OPERATORS)
    names = [
        text
        for message in random.sample(_all(by_type), min(30, len(_all(by_type))))
        for text in _texts(message)
    ]
    return random.choice((random.choice(TEXTS), old + "x", old[:-1], random.choice(names or [""])))


def _all(by_type: dict[str, list[Message]]) -> list[Message]:
    return [message for kind in sorted(by_type) for message in by_type[kind]]


def _texts(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.type == Field.TYPE_STRING:
            yield from list(value) if field.is_repeated else [value]


def _bytes(old: bytes, random: Random) -> bytes:
    match random.randrange(5):
        case 0:
            return b""
        case 1:
            return random.choice((b"\xff\xfe", b"x", b"SAME_UPPER", b"linear", b"\x00", "é".encode()))
        case 2:
            return old + old
        case 3:
            return old[: random.randrange(len(old) + 1)]
    return bytes(byte ^ (random.randrange(256) if random.random() < 0.1 else 0) for byte in old)


# -- notes ---------------------------------------------------------------------------------------------


def in_notes(model: ModelProto, random: Random) -> None:
    """Change something in a text of the metadata: as text, or as JSON a value, a key or an entry."""
    entry = random.choice(list(model.metadata_props))
    try:
        notes = json.loads(entry.value)
    except ValueError:
        notes = None
    if not isinstance(notes, (dict, list)) or random.random() < 0.1:
        entry.value = random.choice(
            ("", "null", "[]", "{}", "[" * 5000, '{"version": 1}', entry.value[:-1], "1e999")
        )
        return
    places = list(_places(notes))
    container, key = random.choice(places)
    match random.randrange(4):
        case 0:
            del container[key]
        case 1 if isinstance(container, dict):
            container[random.choice(("x", "", "name", "arguments", "version"))] = random.choice(VALUES)
        case 2:
            other, place = random.choice(places)
            container[key] = json.loads(json.dumps(other[place]))
        case _:
            container[key] = random.choice(VALUES)
    entry.value = json.dumps(notes)


def _places(notes: Any) -> Iterator[tuple[Any, Any]]:
    pending = [notes]
    while pending:
        item = pending.pop()
        for key in list(item) if isinstance(item, dict) else range(len(item)):
            yield item, key
            if isinstance(item[key], (dict, list)):
                pending.append(item[key])


# -- data ----------------------------------------------------------------------------------------------

TYPES = (
    *("float16", "float32", "float64", ">f4", "int8", "int32", ">i8", "uint64", "bool", "complex64"),
    *("U3", "S3", "M8[s]", "m8[ns]", "V4", "i4,f8"),
)


def npz(arrays: dict[str, Any], random: Random) -> bytes:
    """A data file with something wrong in it."""
    given = dict(arrays)
    for _ in range(random.randint(0, 2)):
        _change_arrays(given, random)
    members = [(f"{name}.npy", _npy(array, random)) for name, array in given.items()]
    if random.random() < 0.1 and members:
        members.append(random.choice([*members, ("notes.txt", b"hello"), (".npy", b""), ("x/../y.npy", b"")]))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", random.choice((0, 8))) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in members:
            archive.writestr(name, content)
    data = stream.getvalue()
    return in_bytes(data, random) if random.random() < 0.4 else data


def _change_arrays(given: dict[str, Any], random: Random) -> None:
    if not given:
        return
    name = random.choice(sorted(given))
    array = given[name]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        changes: tuple[Callable[[], Any], ...] = (
            lambda: array.astype(random.choice(TYPES)),
            lambda: array[:0],
            lambda: array[..., None],
            lambda: array[0],
            lambda: array[:-1],
            lambda: np.full_like(array, random.choice((0, 1, 100))),
            lambda: array * random.choice((np.nan, np.inf, 1e300, -1)),
            lambda: np.array(random.choice((0, 1.5, True, "text"))),
            lambda: np.array([["a", "b"]]),
            lambda: np.broadcast_to(array, (2, *array.shape)),
            lambda: array.ravel(),
        )
        try:
            given[name] = random.choice(changes)()
        except (ValueError, TypeError, IndexError):
            del given[name]
    if random.random() < 0.2:
        given[random.choice(("x", "y", "other", "é", "a\x1bb"))] = given.pop(name, array)


def _npy(array: Any, random: Random) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)
    data = stream.getvalue()
    if random.random() < 0.8:
        return data
    if random.random() < 0.5:
        return in_bytes(data, random)
    shapes = ("(-1,)", "(2**70,)", "(1e3,)", "()", "('a',)", "(99999999999,)", "None", "(1,)*99", "(True,)")
    kinds = ("'|O'", "'<f9'", "'zz'", "[('a', '<f4')]", "None", "'<U99999999'", "1", "'|V0'", "'>f4'", "''")
    text = f"{{'descr': {random.choice(kinds)}, 'fortran_order': {random.choice(('True', '0', 'None'))}, "
    text += f"'shape': {random.choice(shapes)}, }}\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data[-16:]
