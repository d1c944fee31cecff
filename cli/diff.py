"""``neuromatic diff``: what two .onnx files differ in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict

import click

from neuromatic.cli._errors import FAILED
from neuromatic.cli._models import look_at
from neuromatic.cli._shared import echo, json_option, print_json, verbose_option
from neuromatic.reports import diff as diffs
from neuromatic.reports.diff import Difference, Weight

SHOWN = 20
"""How many lines of a section are shown where not all are asked for."""
SECTIONS = ("versions", "values", "nodes", "functions", "metadata", "recipe")


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--weights", is_flag=True, help="List each initializer with its largest difference.")
@click.option("--atol", type=click.FloatRange(0), default=0.0, show_default=True)
@click.option(
    "--rtol",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="How far values of initializers may be apart, absolutely and relative to A, to count as equal.",
)
@json_option("One JSON object on standard output, with each initializer.")
@verbose_option
def diff(first: str, second: str, weights: bool, atol: float, rtol: float, as_json: bool) -> None:
    """Compare the models A and B: graph, initializers, metadata, versions and recipe.

    Exit codes: 0 equal, 1 different.
    """
    found = diffs.compare(look_at(first).proto, look_at(second).proto, atol=atol, rtol=rtol)
    if as_json:
        print_json({"first": first, "second": second, "equal": found.equal, **asdict(found)})
    else:
        for line in lines(found, all_weights=weights):
            echo(line)
    sys.exit(0 if found.equal else FAILED)


def lines(found: Difference, *, all_weights: bool) -> Iterator[str]:
    """A difference as text."""
    for section in SECTIONS:
        items = getattr(found, section)
        if items:
            yield f"{section}:"
            yield from (f"  {item}" for item in items[:SHOWN])
            if len(items) > SHOWN:
                yield f"  and {len(items) - SHOWN} more"
    shown = [w for w in found.weights if all_weights or not w.equal]
    if shown:
        yield "initializers:"
        yield from (f"  {weight_line(w)}" for w in (shown if all_weights else shown[:SHOWN]))
        if len(shown) > SHOWN and not all_weights:
            yield f"  and {len(shown) - SHOWN} more; --weights lists all"
    different = sum(not w.equal for w in found.weights)
    largest = max((w.difference for w in found.weights if w.difference is not None), default=0.0)
    yield f"{different} of {len(found.weights)} initializers differ; the largest difference is {largest:.3g}"
    yield "equal" if found.equal else "different"


def weight_line(weight: Weight) -> str:
    """An initializer as a line: ``~ name float32(2,) differs by 0.5``."""
    if weight.first is None or weight.second is None:
        sign = "+" if weight.first is None else "-"
        return f"{sign} {weight.name} {weight.first or weight.second}"
    if weight.first != weight.second:
        return f"~ {weight.name} {weight.first} became {weight.second}"
    sign = "=" if weight.equal else "~"
    apart = "" if weight.difference is None else f" differs by {weight.difference:.3g}"
    return f"{sign} {weight.name} {weight.first}{apart}"
