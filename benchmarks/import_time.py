"""Processor time of ``import neuromatic`` against ``import onnx``, in turns, each in a process of its own.

    python benchmarks/import_time.py [--rounds N]

What is reported is the ratio of a round (median, and the range), since machines are noisy, and the fastest
times.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

import click

from neuromatic.cli._shared import echo


def seconds(module: str) -> float:
    """The processor time of importing a module in a new process."""
    code = f"import time; start = time.process_time(); import {module}; print(time.process_time() - start)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


@click.command()
@click.option("--rounds", default=9, show_default=True, help="How often each is imported.")
def main(rounds: int) -> None:
    """Import both in turns and print their ratio."""
    pairs = [(seconds("neuromatic"), seconds("onnx")) for _ in range(rounds)]
    ratios = [ours / theirs for ours, theirs in pairs]
    ours, theirs = (min(times) for times in zip(*pairs, strict=True))
    echo(f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}) of import onnx")
    echo(f"fastest: {ours:.2f} s, import onnx {theirs:.2f} s")


if __name__ == "__main__":
    main()
