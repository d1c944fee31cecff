"""The layers, with Keras' names, arguments and defaults; images are channels first, as in ONNX."""

from __future__ import annotations

from neuromatic.layers import (
    activation,
    activation_arguments,
    activation_functions,
    adaptive_pooling,
    attention,
    augmentation_color,
    augmentation_detail,
    augmentation_geometry,
    augmentation_mixing,
    augmentation_parts,
    augmentation_tone,
    augmentation_warping,
    categorical,
    cells,
    contrast,
    convolution,
    convolution_transpose,
    convolutional_recurrent,
    core,
    depthwise,
    einsum_dense,
    embedding,
    global_pooling,
    group_normalization,
    group_query_attention,
    image,
    lookup,
    masking,
    merging,
    multi_head_attention,
    normalization,
    numerical,
    operator,
    padding,
    pooling,
    positional,
    recurrent,
    regularization,
    reshaping,
    separable,
    spectral_normalization,
    spectrogram,
    upsampling,
    wrappers,
)
from neuromatic.layers.activation import *
from neuromatic.layers.activation_arguments import *
from neuromatic.layers.activation_functions import *
from neuromatic.layers.adaptive_pooling import *
from neuromatic.layers.attention import *
from neuromatic.layers.augmentation_color import *
from neuromatic.layers.augmentation_detail import *
from neuromatic.layers.augmentation_geometry import *
from neuromatic.layers.augmentation_mixing import *
from neuromatic.layers.augmentation_parts import *
from neuromatic.layers.augmentation_tone import *
from neuromatic.layers.augmentation_warping import *
from neuromatic.layers.base import Layer
from neuromatic.layers.categorical import *
from neuromatic.layers.cells import *
from neuromatic.layers.contrast import *
from neuromatic.layers.convolution import *
from neuromatic.layers.convolution_transpose import *
from neuromatic.layers.convolutional_recurrent import *
from neuromatic.layers.core import *
from neuromatic.layers.depthwise import *
from neuromatic.layers.einsum_dense import *
from neuromatic.layers.embedding import *
from neuromatic.layers.global_pooling import *
from neuromatic.layers.group_normalization import *
from neuromatic.layers.group_query_attention import *
from neuromatic.layers.image import *
from neuromatic.layers.lookup import *
from neuromatic.layers.masking import *
from neuromatic.layers.merging import *
from neuromatic.layers.multi_head_attention import *
from neuromatic.layers.normalization import *
from neuromatic.layers.numerical import *
from neuromatic.layers.operator import *
from neuromatic.layers.padding import *
from neuromatic.layers.pooling import *
from neuromatic.layers.positional import *
from neuromatic.layers.recurrent import *
from neuromatic.layers.regularization import *
from neuromatic.layers.reshaping import *
from neuromatic.layers.separable import *
from neuromatic.layers.spectral_normalization import *
from neuromatic.layers.spectrogram import *
from neuromatic.layers.upsampling import *
from neuromatic.layers.wrappers import *

__all__ = ["Layer"]
__all__ += activation.__all__
__all__ += activation_arguments.__all__
__all__ += activation_functions.__all__
__all__ += adaptive_pooling.__all__
__all__ += attention.__all__
__all__ += augmentation_color.__all__
__all__ += augmentation_detail.__all__
__all__ += augmentation_geometry.__all__
__all__ += augmentation_mixing.__all__
__all__ += augmentation_parts.__all__
__all__ += augmentation_tone.__all__
__all__ += augmentation_warping.__all__
__all__ += categorical.__all__
__all__ += cells.__all__
__all__ += contrast.__all__
__all__ += convolution.__all__
__all__ += convolution_transpose.__all__
__all__ += convolutional_recurrent.__all__
__all__ += core.__all__
__all__ += depthwise.__all__
__all__ += einsum_dense.__all__
__all__ += embedding.__all__
__all__ += global_pooling.__all__
__all__ += group_normalization.__all__
__all__ += group_query_attention.__all__
__all__ += image.__all__
__all__ += lookup.__all__
__all__ += masking.__all__
__all__ += merging.__all__
__all__ += multi_head_attention.__all__
__all__ += normalization.__all__
__all__ += numerical.__all__
__all__ += operator.__all__
__all__ += padding.__all__
__all__ += pooling.__all__
__all__ += positional.__all__
__all__ += recurrent.__all__
__all__ += regularization.__all__
__all__ += reshaping.__all__
__all__ += separable.__all__
__all__ += spectral_normalization.__all__
__all__ += spectrogram.__all__
__all__ += upsampling.__all__
__all__ += wrappers.__all__
