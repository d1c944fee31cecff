"""The command ``neuromatic``."""

from __future__ import annotations

import click

import neuromatic
from neuromatic.cli._errors import Commands
from neuromatic.cli._shared import verbose_option
from neuromatic.cli.compare import compare
from neuromatic.cli.convert import convert
from neuromatic.cli.diff import diff
from neuromatic.cli.doctor import doctor
from neuromatic.cli.engines import engines
from neuromatic.cli.evaluate import evaluate
from neuromatic.cli.info import info
from neuromatic.cli.plot import plot
from neuromatic.cli.predict import predict
from neuromatic.cli.train import train


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(neuromatic.__version__, prog_name="neuromatic")
@verbose_option
def main() -> None:
    """Train, run, inspect and convert ONNX models.

    Exit codes: 0 done, 1 failed, 2 wrong arguments or an unknown name, 3 an operator is not supported or
    an engine is not installed, 130 interrupted.
    """


for _command in (train, evaluate, predict, compare, info, doctor, diff, plot, convert, engines):
    main.add_command(_command)

if __name__ == "__main__":
    main()
