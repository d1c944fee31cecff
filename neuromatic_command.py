"""The command ``neuromatic`` until it is imported: Ctrl-C ends it at once, without a traceback.

A module of its own, for whatever is in the package ``neuromatic`` imports that, and numpy and onnx with it.
"""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> None:
    """Import the command and run it."""
    before = signal.getsignal(signal.SIGINT)
    usual = before is signal.default_int_handler  # a shell has it ignored for what runs in the background
    if usual:
        signal.signal(signal.SIGINT, _leave)
    from neuromatic.cli.main import main as command

    if usual:
        signal.signal(signal.SIGINT, before)
    command()


def _leave(number: int, frame: FrameType | None) -> None:
    """End the process: an exception would be lost in whichever module is just being imported."""
    os.write(2, b"Error: interrupted\n")
    os._exit(130)
