"""A 1-D convolutional net on raw audio, after M5 (Dai, Dai, Qu, Li & Das 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import neuromatic as nm


def build(
    samples: int = 8000, classes: int = 35, filters: Sequence[int] = (32, 32, 64, 64), first: int = 80
) -> nm.Model:
    """Waveforms (batch, 1, samples) to the probabilities of classes, with its recipe.

    Args:
        filters: of each convolution; a pooling by 4 follows each.
        first: length of the first kernel, which moves in steps of a twentieth of it.
    """
    net = nm.Sequential((1, samples), name="audio_cnn")
    for i, count in enumerate(filters):
        size, strides = (first, max(1, first // 20)) if i == 0 else (3, 1)
        net = net.conv1d(count, size, strides=strides, padding="same", use_bias=False)
        net = net.batch_normalization().relu().max_pooling1d(4, padding="same")
    return (
        net.global_average_pooling1d()
        .dense(classes, activation="softmax")
        .loss("sparse_categorical_crossentropy")
        .optimizer("adamw", learning_rate=1e-2, weight_decay=1e-4)
        .metrics("accuracy")
    )
