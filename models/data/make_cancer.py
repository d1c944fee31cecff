"""Write cancer-train.npz and cancer-test.npz, the table that the wide & deep example trains on.

Source: *Breast Cancer Wisconsin (Diagnostic)* by W. Wolberg, O. Mangasarian, N. Street and W. Street, UCI
Machine Learning Repository (doi:10.24432/C5DW2B), licence CC BY 4.0, as bundled with scikit-learn.
Each file holds ``numbers`` (N, 30) float32, the columns standardized by the training rows; ``categories``
(N, 3) int64 from 0 to 7, the eighth of the training rows that mean radius, mean texture and mean smoothness
fall into; and ``y`` (N, 1) float32, 1 for a benign tumour. 114 of 569 rows are the test set. To write the
files anew::

    pip install -e '.[digits]'
    python models/data/make_cancer.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

TEST_ROWS = 114
SEED = 0
BINNED = (0, 1, 4)
"""Mean radius, mean texture, mean smoothness."""


def cancer() -> dict[str, dict[str, np.ndarray]]:
    """Return ``{"train": {"numbers": ..., "categories": ..., "y": ...}, "test": {...}}``."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(x))
    test, train = order[:TEST_ROWS], order[TEST_ROWS:]
    mean, deviation = x[train].mean(axis=0), x[train].std(axis=0)
    edges = np.quantile(x[train][:, BINNED], np.arange(1, 8) / 8, axis=0)
    bins = [np.searchsorted(edges[:, i], x[:, column]) for i, column in enumerate(BINNED)]
    arrays = {
        "numbers": ((x - mean) / deviation).astype(np.float32),
        "categories": np.stack(bins, axis=1).astype(np.int64),
        "y": y.astype(np.float32)[:, None],
    }
    parts = {"train": train, "test": test}
    return {part: {name: array[rows] for name, array in arrays.items()} for part, rows in parts.items()}


def main() -> None:
    """Write both files beside this one."""
    for part, arrays in cancer().items():
        path = Path(__file__).with_name(f"cancer-{part}.npz")
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
