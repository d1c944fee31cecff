"""Einstein sums on CNTK."""

from __future__ import annotations

import pytest

from neuromatic.converters.cntk.client import Worker
from neuromatic.errors import UnsupportedFeatureError
from tests.converters.cntk.single import check, normal


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("abc,cd->abd", ((2, 3, 4), (4, 5))),
        ("abc,cde->abde", ((2, 3, 4), (4, 5, 2))),
        ("abcd,cde->abe", ((2, 3, 4, 5), (4, 5, 2))),
        ("...x,xy->...y", ((2, 3, 2, 4), (4, 5))),
        ("ab...,bc->ac...", ((2, 3, 4, 2), (3, 5))),
        ("bthd,hde->bthe", ((2, 3, 4, 5), (4, 5, 2))),  # a kernel for each head
        ("abc,cd->dba", ((2, 3, 4), (4, 5))),
        ("bij->bji", ((2, 3, 4),)),
        ("b i j -> b", ((2, 3, 4),)),
        ("bii->bi", ((2, 3, 3),)),
        ("Ab,bC->AC", ((2, 3), (3, 4))),
        ("ai,ij", ((2, 3), (3, 4))),
        ("bi,ij,jk->bk", ((2, 3), (3, 4), (4, 5))),
    ],
)
def test_the_first_operand_has_the_batch(
    worker: Worker, equation: str, shapes: tuple[tuple[int, ...], ...]
) -> None:
    check(worker, "Einsum", {f"x{i}": normal(*s, seed=i) for i, s in enumerate(shapes)}, equation=equation)


@pytest.mark.parametrize(
    ("equation", "first", "second"),
    [
        ("btnh,bsnh->bnts", (2, 3, 4, 5), (2, 6, 4, 5)),
        ("bnts,bsnh->btnh", (2, 4, 3, 6), (2, 6, 4, 5)),
        ("bi,bj->bij", (2, 3), (2, 4)),
        ("bi,bi->b", (2, 3), (2, 3)),
        ("...i,...i->...i", (2, 1, 3), (2, 4, 3)),
    ],
)
def test_both_have_the_batch(
    worker: Worker, equation: str, first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    inputs = {"x": normal(*first), "y": normal(*second, seed=1)}
    check(worker, "Einsum", inputs, batched=("x", "y"), equation=equation)


def test_the_second_operand_has_the_batch(worker: Worker) -> None:
    inputs = {"x": normal(4, 5), "y": normal(2, 3, 4, seed=1)}
    check(worker, "Einsum", inputs, batched=("y",), equation="cd,abc->abd")


@pytest.mark.parametrize(
    ("equation", "shapes", "reason"),
    [
        ("ab->b", ((2, 3),), "a sum over the batch"),
        ("ab,ac->bc", ((2, 3), (2, 4)), "sum over axes of unequal sizes"),
        ("aa->a", ((3, 3),), "merges the batch"),
        ("baa->a", ((2, 3, 3),), "a sum over the batch"),
    ],
)
def test_the_batch_stays_whole(
    worker: Worker, equation: str, shapes: tuple[tuple[int, ...], ...], reason: str
) -> None:
    inputs = {f"x{i}": normal(*s, seed=i) for i, s in enumerate(shapes)}
    with pytest.raises(UnsupportedFeatureError, match=reason):
        check(worker, "Einsum", inputs, equation=equation)
