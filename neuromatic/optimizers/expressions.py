"""Regular expressions for names: those of a caller, and those that a file brings.

Python's own engine tries one way after the other, which takes years for an expression such as ``^(a+)+$``.
Callers may give what they like; what comes with a file is matched by RE2, in time proportional to the name:
the engine behind ONNX' operator RegexFullMatch, so that onnxruntime has it. An expression without repetition,
group or class is no danger to any engine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from onnx import ModelProto, TensorProto, helper

from neuromatic._quiet import quiet
from neuromatic.errors import InvalidModelError, RecipeError
from neuromatic.inference import Session

MOST_EXPRESSIONS = 1000
MOST_CHARACTERS = 2000
"""So long may those of a file be that are not plain, together; and any that is."""
PLAIN = re.compile(r"\^?(?:[\w/.:, -]|\\[^\w\s])*\$?")
"""What has neither repetitions nor groups nor classes."""
OPSET, IR_VERSION = 20, 9


class FileExpression(str):
    """A regular expression that a file brings."""

    __slots__ = ()


def of_file(given: object) -> tuple[FileExpression, ...]:
    """The expressions that a file gives for an argument.

    Raises:
        ValueError: they are no list of texts, or too many or too long ones.
    """
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise ValueError(f"expected a list of regular expressions, got {str(given)[:60]!r}")
    check_texts(given)
    return tuple(map(FileExpression, dict.fromkeys(given)))


def check_texts(texts: Sequence[str]) -> None:
    """Refuse more, or longer, expressions or patterns of a file than anyone writes.

    Raises:
        ValueError: says which limit is exceeded.
    """
    if len(texts) > MOST_EXPRESSIONS:
        raise ValueError(f"{len(texts):,} patterns for names are more than {MOST_EXPRESSIONS:,}")
    longest = max(map(len, texts), default=0)
    if longest > MOST_CHARACTERS:
        raise ValueError(f"a pattern for names has {longest:,} characters, more than {MOST_CHARACTERS:,}")


def any_found(expressions: Sequence[str], name: str) -> bool:
    """Whether a name contains what one of some expressions matches, as ``re.search`` means it.

    Raises:
        RecipeError: RE2 does not know an expression of a file.
        EngineNotAvailableError: onnxruntime is needed for it and not installed.
    """
    risky = tuple(filter(_is_risky, expressions))
    if any(re.search(e, name) for e in expressions if not _is_risky(e)):
        return True
    return bool(risky) and _found_in_linear_time(risky, name)


def _is_risky(expression: str) -> bool:
    return isinstance(expression, FileExpression) and not PLAIN.fullmatch(expression)


def _found_in_linear_time(expressions: tuple[str, ...], name: str) -> bool:
    if not name.isascii() and any("\\" in e for e in expressions):
        raise RecipeError(
            f"the expressions {list(expressions)} of the file cannot be matched with {name!r}: classes such "
            f"as \\w have only ASCII letters there; choose the optimizer anew"
        )
    found = _matcher(expressions).run({"name": np.array([name], object)})["found"]
    return bool(found[0])


@lru_cache(maxsize=16)
def _matcher(expressions: tuple[str, ...]) -> Session:
    """A session that tells whether a name contains a match of one of some expressions."""
    if sum(map(len, expressions)) > MOST_CHARACTERS:
        raise RecipeError(f"the file's regular expressions have more than {MOST_CHARACTERS:,} characters")
    choice = "|".join(f"(?:{e})" for e in expressions)
    node = helper.make_node("RegexFullMatch", ["name"], ["found"], pattern=f"(?s:.*)(?:{choice})(?s:.*)")
    graph = helper.make_graph(
        [node],
        "expressions",
        [helper.make_tensor_value_info("name", TensorProto.STRING, [1])],
        [helper.make_tensor_value_info("found", TensorProto.BOOL, [1])],
    )
    imports = [helper.make_opsetid("", OPSET)]
    model: ModelProto = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
    try:
        with quiet(2):  # RE2 writes there what it does not know
            return Session(model)
    except InvalidModelError as error:
        raise RecipeError(
            f"of the file's regular expressions {list(expressions)} one is wrong, or has what takes no "
            f"linear time (what lies ahead or was matched before); choose the optimizer anew"
        ) from error
