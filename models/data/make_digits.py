"""Write digits-train.npz and digits-test.npz, the handwritten digits the examples train on.

Source: *Optical Recognition of Handwritten Digits* by E. Alpaydin and C. Kaynak, UCI Machine Learning
Repository (doi:10.24432/C50P49), licence CC BY 4.0; its 1,797 test images, as bundled with scikit-learn.
Each file holds ``x`` (N, 1, 8, 8) float32 in [0, 1] and ``y`` (N,) int64, the digit shown.
360 images, the same share of each digit, are the test set. To write the files anew::

    pip install -e '.[digits]'
    python models/data/make_digits.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

TEST_IMAGES = 360
SEED = 0

Split = dict[str, dict[str, np.ndarray]]


def digits() -> Split:
    """Return ``{"train": {"x": ..., "y": ...}, "test": {"x": ..., "y": ...}}``."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = np.asarray(images / 16, dtype=np.float32).reshape(-1, 1, 8, 8)
    y = np.asarray(labels, dtype=np.int64)
    test = _stratified(y, TEST_IMAGES, np.random.default_rng(SEED))
    return {"train": {"x": x[~test], "y": y[~test]}, "test": {"x": x[test], "y": y[test]}}


def _stratified(y: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a mask of `size` samples with each class by its share (largest remainders round up)."""
    classes, counts = np.unique(y, return_counts=True)
    shares = counts * size / len(y)
    take = np.floor(shares).astype(int)
    take[np.argsort(take - shares, kind="stable")[: size - take.sum()]] += 1
    mask = np.zeros(len(y), dtype=bool)
    for label, n in zip(classes, take, strict=True):
        mask[rng.permutation(np.flatnonzero(y == label))[:n]] = True
    return mask


def main() -> None:
    """Write both files beside this one."""
    for part, arrays in digits().items():
        np.savez_compressed(Path(__file__).with_name(f"digits-{part}.npz"), x=arrays["x"], y=arrays["y"])


if __name__ == "__main__":
    main()
