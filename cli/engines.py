"""``neuromatic engines``: what trains and runs models here, and how to install what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from neuromatic import inference
from neuromatic._quiet import quiet
from neuromatic.cli._errors import INTERRUPTED, USAGE, Failure, one_line
from neuromatic.cli._shared import echo, json_option, print_json, verbose_option
from neuromatic.converters.cntk import environment as cntk
from neuromatic.converters.tensorflow import engine as tensorflow
from neuromatic.errors import EngineNotAvailableError, UnknownNameError


@dataclass(frozen=True)
class Installed:
    """What is known of an engine that can be used.

    Attributes:
        version: of the engine.
        devices: what it can compute on.
        location: the folder of its own environment, if it has one.
    """

    version: str
    devices: Sequence[str]
    location: str | None = None


@dataclass(frozen=True)
class Listed:
    """An engine as it is listed, installed or not.

    Attributes:
        serves: the commands it does the work of.
        install: the command that installs it.
        look: finds it; raises EngineNotAvailableError where it cannot be used.
    """

    serves: str
    install: str
    look: Callable[[], Installed]


@click.group(invoke_without_command=True)
@json_option("One JSON object on standard output.")
@verbose_option
@click.pass_context
def engines(ctx: click.Context, as_json: bool) -> None:
    """List the engines with versions and devices, or install one."""
    if ctx.invoked_subcommand is not None:
        return
    found = [describe(name) for name in ENGINES]
    if as_json:
        print_json({"engines": found})
        return
    for line in lines(found):
        echo(line)


@engines.command()
@click.argument("name", metavar="ENGINE")
@click.option(
    "--python", metavar="PATH", help="The Python 3.6 to use; otherwise PATH, pyenv and conda are searched."
)
@click.option(
    "--location",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to install; later commands find it there, unless NEUROMATIC_CNTK names another place.",
)
@click.option(
    "--mpi",
    type=click.Choice(["auto", "system", "wheel"]),
    default="auto",
    show_default=True,
    help="Where CNTK's MPI libraries come from: the system's Open MPI 4, or a wheel and a C compiler.",
)
@verbose_option
def install(name: str, python: str | None, location: Path | None, mpi: Any) -> None:
    """Install ENGINE; cntk gets an environment of its own, with Python 3.6."""
    if name not in ENGINES:
        raise UnknownNameError("engine", name, ENGINES)
    if name != "cntk":
        raise Failure(f"{name} is installed beside Neuromatic, by: {ENGINES[name].install}", USAGE)
    try:
        made = cntk.install(python, location, lambda line: echo(line, err=True), mpi=mpi)
    except KeyboardInterrupt:
        raise Failure("interrupted; the same command goes on from here", INTERRUPTED) from None
    echo(
        f"cntk {made.versions['cntk']} is in {made.location}; a small network trained on "
        f"{', '.join(made.devices)} as numpy computes it"
    )


def describe(name: str) -> dict[str, Any]:
    """What is known of an engine, as data; ``problem`` says why it cannot be used, and what installs it."""
    listed = ENGINES[name]
    facts: dict[str, Any] = {"name": name, "serves": listed.serves, "install": listed.install}
    try:
        return facts | asdict(listed.look()) | {"problem": None}
    except EngineNotAvailableError as error:
        return facts | {"version": None, "devices": [], "location": None, "problem": one_line(error)}


def lines(found: list[dict[str, Any]]) -> list[str]:
    """The engines as a table, then where they are, then what is missing and the command that installs it."""
    rows = [("engine", "version", "serves", "devices")]
    rows += [(f["name"], f["version"] or "-", f["serves"], ", ".join(f["devices"]) or "-") for f in found]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    shown = []
    for *cells, devices in rows:
        shown.append("  ".join([*map(str.ljust, cells, widths), devices]))
    shown += [f"{f['name']} is in {f['location']}" for f in found if f["location"]]
    return shown + [f["problem"] for f in found if f["problem"]]


def _tensorflow() -> Installed:
    version = _version("tensorflow", "tensorflow", "tensorflow-cpu")
    tensorflow.load()
    import tensorflow as tf

    with quiet(2):  # where it says which kinds of GPU it has looked for
        devices = tf.config.list_physical_devices()
    return Installed(version, [device.name.removeprefix("/physical_device:") for device in devices])


def _cntk() -> Installed:
    there = cntk.require()
    return Installed(there.versions["cntk"], there.devices, str(there.location))


def _onnxruntime() -> Installed:
    version = _version("onnxruntime", "onnxruntime", "onnxruntime-gpu")
    try:
        import onnxruntime

        return Installed(version, onnxruntime.get_available_providers())
    except (ImportError, OSError, AttributeError) as error:  # AttributeError: half of it has been removed
        raise EngineNotAvailableError("onnxruntime", str(error), ENGINES["onnxruntime"].install) from error


ENGINES = {
    "tensorflow": Listed("train, convert", tensorflow.INSTALL, _tensorflow),
    "cntk": Listed("train", cntk.INSTALL, _cntk),
    "onnxruntime": Listed("predict, evaluate", inference.INSTALL, _onnxruntime),
}
"""What is listed, in this order: the engines that ``--engine`` chooses from, and what runs models."""


def _version(name: str, *distributions: str) -> str:
    """The version of the first of these distributions that is installed.

    Raises:
        EngineNotAvailableError: none is.
    """
    for distribution in distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    raise EngineNotAvailableError(name, "it is not installed", ENGINES[name].install)
