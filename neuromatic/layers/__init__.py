"""The layers, with Keras' names, arguments and defaults; images are channels first, as in ONNX."""

from __future__ import annotations

from neuromatic.layers import (
    activation,
    convolution,
    core,
    merging,
    normalization,
    pooling,
    regularization,
    reshaping,
)
from neuromatic.layers.activation import *
from neuromatic.layers.base import Layer
from neuromatic.layers.convolution import *
from neuromatic.layers.core import *
from neuromatic.layers.merging import *
from neuromatic.layers.normalization import *
from neuromatic.layers.pooling import *
from neuromatic.layers.regularization import *
from neuromatic.layers.reshaping import *

__all__ = ["Layer"]
__all__ += activation.__all__
__all__ += convolution.__all__
__all__ += core.__all__
__all__ += merging.__all__
__all__ += normalization.__all__
__all__ += pooling.__all__
__all__ += regularization.__all__
__all__ += reshaping.__all__
