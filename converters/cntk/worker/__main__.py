"""The worker: reads messages, answers each, and ends with its parent. Runs under Python 3.6 with CNTK."""

import os
import signal
import sys
import threading
import time
from typing import Any

from .protocol import decode, encode


def end_with_parent(parent: Any) -> None:
    """Leave when the parent is gone, also in the middle of a computation."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def reason(error: Any) -> str:
    """The first line that says something, without C++ call stacks."""
    error = getattr(error, "cause", error)
    lines = [line.strip() for line in str(error).split("[CALL STACK]")[0].splitlines()]
    text = next((line for line in lines if line), "no reason given")
    return "%s: %s" % (type(error).__name__, text)


def main() -> None:
    end_with_parent(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    # What CNTK prints must not come between messages.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    questions = os.fdopen(os.dup(0), "rb")
    from .session import Session

    session = Session()
    while True:
        message = decode(questions.read)
        if message is None or message[0]["do"] == "close":
            break
        header, arrays = message
        try:
            answer, found = getattr(session, header["do"])(header, arrays)
        except Exception as error:
            answer, found = {"error": reason(error), "node": getattr(error, "node", "")}, []
        for piece in encode(answer, found):
            answers.write(piece)
        answers.flush()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # CNTK's own threads may still run
