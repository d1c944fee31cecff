"""Where the CNTK environment is: the rule by which it is found again, and the folder that is ours.

In this order: the folder that the variable ``NEUROMATIC_CNTK`` names; the folder that was last given to
``engines install cntk --location``, for as long as it exists; ``cntk`` in Neuromatic's folder, which is
``NEUROMATIC_HOME`` or else ``neuromatic`` in ``XDG_DATA_HOME`` (``~/.local/share``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from neuromatic.converters.cntk._process import InstallationError, Runner
from neuromatic.saving import atomic as files

VARIABLE = "NEUROMATIC_CNTK"
MARKER = ".neuromatic-cntk"
"""The file that says that a folder is ours to fill and to clear; installations lock it."""


def home() -> Path:
    """Neuromatic's folder of this user."""
    if given := os.environ.get("NEUROMATIC_HOME"):
        return _absolute(given)
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if os.path.isabs(data) else _absolute("~/.local/share")) / "neuromatic"


def current() -> Path:
    """Where the environment is, or would be made if no other place is given."""
    if named := os.environ.get(VARIABLE):
        return _absolute(named)
    with suppress(OSError, UnicodeDecodeError):
        remembered = _memory().read_text(encoding="utf-8").strip()
        if os.path.isabs(remembered) and os.path.isdir(remembered):
            return Path(remembered)
    return home() / "cntk"


def remember(location: Path, report: Callable[[str], None]) -> None:
    """Let later commands find an environment at a place that was given.

    Where that cannot be, because the user's folder is read-only, or a variable goes first, it is reported.
    """
    if os.environ.get(VARIABLE):
        if current() != location:
            report(f"{VARIABLE} names {current()} and goes first: set it to {location}, or unset it")
        return
    try:
        home().mkdir(parents=True, exist_ok=True)
        files.write(_memory(), f"{location}\n".encode())
    except OSError as error:
        report(f"cannot remember this place ({error.strerror}: {home()}): set {VARIABLE}={location}")


def for_installation(given: Path | None) -> Path:
    """The folder to install into, checked to be ours, empty or not there yet.

    Raises:
        InstallationError: it is something else, which installing must not touch.
    """
    location = current() if given is None else _absolute(given)
    if os.pathsep in str(location):
        raise InstallationError(
            f"{location} cannot hold the environment: search paths are cut at {os.pathsep!r}"
        )
    if not os.path.lexists(location):
        return location
    if not location.is_dir():
        raise InstallationError(f"{location} is not a folder")
    if not (location / MARKER).is_file() and any(location.iterdir()):
        raise InstallationError(
            f"{location} holds other files, and the environment wants a folder of its own; "
            "name one that is empty or does not exist: --location FOLDER"
        )
    return location


@contextmanager
def locked(location: Path, report: Callable[[str], None]) -> Iterator[Runner]:
    """Make the folder ours, and be the only installation in it until the block ends.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    import fcntl  # Windows has none; it does not come this far

    location.mkdir(parents=True, exist_ok=True)
    with (location / MARKER).open("a") as marker:
        if marker.tell() == 0:
            marker.write(
                "A CNTK environment made by `neuromatic engines install cntk`; delete it as a whole.\n"
            )
            marker.flush()
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"another installation is at work in {location}; waiting for it")
            fcntl.flock(marker, fcntl.LOCK_EX)
        yield Runner(location / "install.log", marker.fileno())


def _memory() -> Path:
    return home() / "cntk-location"


def _absolute(path: str | Path) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))
