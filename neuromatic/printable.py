"""Text that may come from a file, as a terminal, a log or a table may show it."""

from __future__ import annotations

import re

CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What is not to be seen and changes what is: control characters (escape sequences of terminals begin with
one), line and paragraph separators, changes of direction, invisible marks, and halves of UTF-16 pairs, which
cannot be written."""


def printable(text: str, keep: str = "\n\t") -> str:
    r"""A text with :data:`CONTROL` characters, those in ``keep`` aside, as Python would write them in quotes.

    >>> printable("\x1b[31mred")
    '\\x1b[31mred'
    """
    return CONTROL.sub(lambda found: _escaped(found[0]) if found[0] not in keep else found[0], text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
