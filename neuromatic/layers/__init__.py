"""The layers, with Keras' names, arguments and defaults; images are channels first, as in ONNX.

A layer's module is imported when the layer is first asked for. Written by ``python -m neuromatic.generate``
from the ``__all__`` of the modules here; do not edit.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from neuromatic.layers.base import Layer

if TYPE_CHECKING:
    from neuromatic.layers.activation import Activation
    from neuromatic.layers.activation import ELU
    from neuromatic.layers.activation import LeakyReLU
    from neuromatic.layers.activation import PReLU
    from neuromatic.layers.activation import ReLU
    from neuromatic.layers.activation import Softmax
    from neuromatic.layers.activation_arguments import CELU
    from neuromatic.layers.activation_arguments import GELU
    from neuromatic.layers.activation_arguments import GLU
    from neuromatic.layers.activation_arguments import HardShrink
    from neuromatic.layers.activation_arguments import LogSoftmax
    from neuromatic.layers.activation_arguments import SoftShrink
    from neuromatic.layers.activation_arguments import Sparsemax
    from neuromatic.layers.activation_arguments import Squareplus
    from neuromatic.layers.activation_arguments import Threshold
    from neuromatic.layers.activation_functions import Exponential
    from neuromatic.layers.activation_functions import HardSigmoid
    from neuromatic.layers.activation_functions import HardSwish
    from neuromatic.layers.activation_functions import HardTanh
    from neuromatic.layers.activation_functions import LogSigmoid
    from neuromatic.layers.activation_functions import Mish
    from neuromatic.layers.activation_functions import ReLU6
    from neuromatic.layers.activation_functions import SELU
    from neuromatic.layers.activation_functions import SiLU
    from neuromatic.layers.activation_functions import Sigmoid
    from neuromatic.layers.activation_functions import Softplus
    from neuromatic.layers.activation_functions import Softsign
    from neuromatic.layers.activation_functions import Tanh
    from neuromatic.layers.activation_functions import TanhShrink
    from neuromatic.layers.adaptive_pooling import AdaptiveAveragePooling1D
    from neuromatic.layers.adaptive_pooling import AdaptiveAveragePooling2D
    from neuromatic.layers.adaptive_pooling import AdaptiveAveragePooling3D
    from neuromatic.layers.adaptive_pooling import AdaptiveMaxPooling1D
    from neuromatic.layers.adaptive_pooling import AdaptiveMaxPooling2D
    from neuromatic.layers.adaptive_pooling import AdaptiveMaxPooling3D
    from neuromatic.layers.attention import AdditiveAttention
    from neuromatic.layers.attention import Attention
    from neuromatic.layers.augmentation_color import RandomBrightness
    from neuromatic.layers.augmentation_color import RandomColorJitter
    from neuromatic.layers.augmentation_color import RandomContrast
    from neuromatic.layers.augmentation_color import RandomHue
    from neuromatic.layers.augmentation_color import RandomSaturation
    from neuromatic.layers.augmentation_detail import RandomErasing
    from neuromatic.layers.augmentation_detail import RandomGaussianBlur
    from neuromatic.layers.augmentation_detail import RandomSharpness
    from neuromatic.layers.augmentation_geometry import RandomRotation
    from neuromatic.layers.augmentation_geometry import RandomShear
    from neuromatic.layers.augmentation_geometry import RandomTranslation
    from neuromatic.layers.augmentation_geometry import RandomZoom
    from neuromatic.layers.augmentation_mixing import RandAugment
    from neuromatic.layers.augmentation_parts import RandomCrop
    from neuromatic.layers.augmentation_parts import RandomFlip
    from neuromatic.layers.augmentation_tone import RandomColorDegeneration
    from neuromatic.layers.augmentation_tone import RandomGrayscale
    from neuromatic.layers.augmentation_tone import RandomInvert
    from neuromatic.layers.augmentation_tone import RandomPosterization
    from neuromatic.layers.augmentation_warping import RandomElasticTransform
    from neuromatic.layers.augmentation_warping import RandomPerspective
    from neuromatic.layers.categorical import CategoryEncoding
    from neuromatic.layers.cells import GRUCell
    from neuromatic.layers.cells import LSTMCell
    from neuromatic.layers.cells import SimpleRNNCell
    from neuromatic.layers.cells import StackedRNNCells
    from neuromatic.layers.contrast import AutoContrast
    from neuromatic.layers.contrast import ContrastLimitedAdaptiveHistogramEqualization
    from neuromatic.layers.contrast import Equalization
    from neuromatic.layers.contrast import Solarization
    from neuromatic.layers.convolution import Conv1D
    from neuromatic.layers.convolution import Conv2D
    from neuromatic.layers.convolution import Conv3D
    from neuromatic.layers.convolution import Convolution1D
    from neuromatic.layers.convolution import Convolution2D
    from neuromatic.layers.convolution import Convolution3D
    from neuromatic.layers.convolution_transpose import Conv1DTranspose
    from neuromatic.layers.convolution_transpose import Conv2DTranspose
    from neuromatic.layers.convolution_transpose import Conv3DTranspose
    from neuromatic.layers.convolution_transpose import Convolution1DTranspose
    from neuromatic.layers.convolution_transpose import Convolution2DTranspose
    from neuromatic.layers.convolution_transpose import Convolution3DTranspose
    from neuromatic.layers.convolutional_recurrent import ConvLSTM1D
    from neuromatic.layers.convolutional_recurrent import ConvLSTM2D
    from neuromatic.layers.convolutional_recurrent import ConvLSTM3D
    from neuromatic.layers.core import Dense
    from neuromatic.layers.depthwise import DepthwiseConv1D
    from neuromatic.layers.depthwise import DepthwiseConv2D
    from neuromatic.layers.einsum_dense import EinsumDense
    from neuromatic.layers.embedding import Embedding
    from neuromatic.layers.embedding import ReversibleEmbedding
    from neuromatic.layers.global_pooling import GlobalAveragePooling1D
    from neuromatic.layers.global_pooling import GlobalAveragePooling2D
    from neuromatic.layers.global_pooling import GlobalAveragePooling3D
    from neuromatic.layers.global_pooling import GlobalAvgPool1D
    from neuromatic.layers.global_pooling import GlobalAvgPool2D
    from neuromatic.layers.global_pooling import GlobalAvgPool3D
    from neuromatic.layers.global_pooling import GlobalMaxPool1D
    from neuromatic.layers.global_pooling import GlobalMaxPool2D
    from neuromatic.layers.global_pooling import GlobalMaxPool3D
    from neuromatic.layers.global_pooling import GlobalMaxPooling1D
    from neuromatic.layers.global_pooling import GlobalMaxPooling2D
    from neuromatic.layers.global_pooling import GlobalMaxPooling3D
    from neuromatic.layers.group_normalization import GroupNormalization
    from neuromatic.layers.group_normalization import InstanceNormalization
    from neuromatic.layers.group_query_attention import GroupQueryAttention
    from neuromatic.layers.image import CenterCrop
    from neuromatic.layers.image import Resizing
    from neuromatic.layers.lookup import IntegerLookup
    from neuromatic.layers.lookup import StringLookup
    from neuromatic.layers.masking import Masking
    from neuromatic.layers.merging import Add
    from neuromatic.layers.merging import Average
    from neuromatic.layers.merging import Concatenate
    from neuromatic.layers.merging import Dot
    from neuromatic.layers.merging import Maximum
    from neuromatic.layers.merging import Minimum
    from neuromatic.layers.merging import Multiply
    from neuromatic.layers.merging import Subtract
    from neuromatic.layers.multi_head_attention import MultiHeadAttention
    from neuromatic.layers.normalization import BatchNormalization
    from neuromatic.layers.normalization import LayerNormalization
    from neuromatic.layers.normalization import RMSNormalization
    from neuromatic.layers.normalization import UnitNormalization
    from neuromatic.layers.numerical import Discretization
    from neuromatic.layers.numerical import Normalization
    from neuromatic.layers.numerical import Rescaling
    from neuromatic.layers.operator import Lambda
    from neuromatic.layers.operator import Op
    from neuromatic.layers.padding import Cropping1D
    from neuromatic.layers.padding import Cropping2D
    from neuromatic.layers.padding import Cropping3D
    from neuromatic.layers.padding import ZeroPadding1D
    from neuromatic.layers.padding import ZeroPadding2D
    from neuromatic.layers.padding import ZeroPadding3D
    from neuromatic.layers.pooling import AveragePooling1D
    from neuromatic.layers.pooling import AveragePooling2D
    from neuromatic.layers.pooling import AveragePooling3D
    from neuromatic.layers.pooling import AvgPool1D
    from neuromatic.layers.pooling import AvgPool2D
    from neuromatic.layers.pooling import AvgPool3D
    from neuromatic.layers.pooling import MaxPool1D
    from neuromatic.layers.pooling import MaxPool2D
    from neuromatic.layers.pooling import MaxPool3D
    from neuromatic.layers.pooling import MaxPooling1D
    from neuromatic.layers.pooling import MaxPooling2D
    from neuromatic.layers.pooling import MaxPooling3D
    from neuromatic.layers.positional import PositionEmbedding
    from neuromatic.layers.positional import RotaryEmbedding
    from neuromatic.layers.positional import SinePositionEncoding
    from neuromatic.layers.recurrent import GRU
    from neuromatic.layers.recurrent import LSTM
    from neuromatic.layers.recurrent import RNN
    from neuromatic.layers.recurrent import SimpleRNN
    from neuromatic.layers.regularization import ActivityRegularization
    from neuromatic.layers.regularization import AlphaDropout
    from neuromatic.layers.regularization import Dropout
    from neuromatic.layers.regularization import GaussianDropout
    from neuromatic.layers.regularization import GaussianNoise
    from neuromatic.layers.regularization import SpatialDropout1D
    from neuromatic.layers.regularization import SpatialDropout2D
    from neuromatic.layers.regularization import SpatialDropout3D
    from neuromatic.layers.reshaping import Flatten
    from neuromatic.layers.reshaping import Identity
    from neuromatic.layers.reshaping import Permute
    from neuromatic.layers.reshaping import RepeatVector
    from neuromatic.layers.reshaping import Reshape
    from neuromatic.layers.separable import SeparableConv1D
    from neuromatic.layers.separable import SeparableConv2D
    from neuromatic.layers.separable import SeparableConvolution1D
    from neuromatic.layers.separable import SeparableConvolution2D
    from neuromatic.layers.spectral_normalization import SpectralNormalization
    from neuromatic.layers.spectrogram import MelSpectrogram
    from neuromatic.layers.spectrogram import STFTSpectrogram
    from neuromatic.layers.upsampling import PixelShuffle
    from neuromatic.layers.upsampling import UpSampling1D
    from neuromatic.layers.upsampling import UpSampling2D
    from neuromatic.layers.upsampling import UpSampling3D
    from neuromatic.layers.wrappers import Bidirectional
    from neuromatic.layers.wrappers import TimeDistributed

FAMILIES = {
    "Activation": "activation",
    "ActivityRegularization": "regularization",
    "AdaptiveAveragePooling1D": "adaptive_pooling",
    "AdaptiveAveragePooling2D": "adaptive_pooling",
    "AdaptiveAveragePooling3D": "adaptive_pooling",
    "AdaptiveMaxPooling1D": "adaptive_pooling",
    "AdaptiveMaxPooling2D": "adaptive_pooling",
    "AdaptiveMaxPooling3D": "adaptive_pooling",
    "Add": "merging",
    "AdditiveAttention": "attention",
    "AlphaDropout": "regularization",
    "Attention": "attention",
    "AutoContrast": "contrast",
    "Average": "merging",
    "AveragePooling1D": "pooling",
    "AveragePooling2D": "pooling",
    "AveragePooling3D": "pooling",
    "AvgPool1D": "pooling",
    "AvgPool2D": "pooling",
    "AvgPool3D": "pooling",
    "BatchNormalization": "normalization",
    "Bidirectional": "wrappers",
    "CELU": "activation_arguments",
    "CategoryEncoding": "categorical",
    "CenterCrop": "image",
    "Concatenate": "merging",
    "ContrastLimitedAdaptiveHistogramEqualization": "contrast",
    "Conv1D": "convolution",
    "Conv1DTranspose": "convolution_transpose",
    "Conv2D": "convolution",
    "Conv2DTranspose": "convolution_transpose",
    "Conv3D": "convolution",
    "Conv3DTranspose": "convolution_transpose",
    "ConvLSTM1D": "convolutional_recurrent",
    "ConvLSTM2D": "convolutional_recurrent",
    "ConvLSTM3D": "convolutional_recurrent",
    "Convolution1D": "convolution",
    "Convolution1DTranspose": "convolution_transpose",
    "Convolution2D": "convolution",
    "Convolution2DTranspose": "convolution_transpose",
    "Convolution3D": "convolution",
    "Convolution3DTranspose": "convolution_transpose",
    "Cropping1D": "padding",
    "Cropping2D": "padding",
    "Cropping3D": "padding",
    "Dense": "core",
    "DepthwiseConv1D": "depthwise",
    "DepthwiseConv2D": "depthwise",
    "Discretization": "numerical",
    "Dot": "merging",
    "Dropout": "regularization",
    "ELU": "activation",
    "EinsumDense": "einsum_dense",
    "Embedding": "embedding",
    "Equalization": "contrast",
    "Exponential": "activation_functions",
    "Flatten": "reshaping",
    "GELU": "activation_arguments",
    "GLU": "activation_arguments",
    "GRU": "recurrent",
    "GRUCell": "cells",
    "GaussianDropout": "regularization",
    "GaussianNoise": "regularization",
    "GlobalAveragePooling1D": "global_pooling",
    "GlobalAveragePooling2D": "global_pooling",
    "GlobalAveragePooling3D": "global_pooling",
    "GlobalAvgPool1D": "global_pooling",
    "GlobalAvgPool2D": "global_pooling",
    "GlobalAvgPool3D": "global_pooling",
    "GlobalMaxPool1D": "global_pooling",
    "GlobalMaxPool2D": "global_pooling",
    "GlobalMaxPool3D": "global_pooling",
    "GlobalMaxPooling1D": "global_pooling",
    "GlobalMaxPooling2D": "global_pooling",
    "GlobalMaxPooling3D": "global_pooling",
    "GroupNormalization": "group_normalization",
    "GroupQueryAttention": "group_query_attention",
    "HardShrink": "activation_arguments",
    "HardSigmoid": "activation_functions",
    "HardSwish": "activation_functions",
    "HardTanh": "activation_functions",
    "Identity": "reshaping",
    "InstanceNormalization": "group_normalization",
    "IntegerLookup": "lookup",
    "LSTM": "recurrent",
    "LSTMCell": "cells",
    "Lambda": "operator",
    "LayerNormalization": "normalization",
    "LeakyReLU": "activation",
    "LogSigmoid": "activation_functions",
    "LogSoftmax": "activation_arguments",
    "Masking": "masking",
    "MaxPool1D": "pooling",
    "MaxPool2D": "pooling",
    "MaxPool3D": "pooling",
    "MaxPooling1D": "pooling",
    "MaxPooling2D": "pooling",
    "MaxPooling3D": "pooling",
    "Maximum": "merging",
    "MelSpectrogram": "spectrogram",
    "Minimum": "merging",
    "Mish": "activation_functions",
    "MultiHeadAttention": "multi_head_attention",
    "Multiply": "merging",
    "Normalization": "numerical",
    "Op": "operator",
    "PReLU": "activation",
    "Permute": "reshaping",
    "PixelShuffle": "upsampling",
    "PositionEmbedding": "positional",
    "RMSNormalization": "normalization",
    "RNN": "recurrent",
    "RandAugment": "augmentation_mixing",
    "RandomBrightness": "augmentation_color",
    "RandomColorDegeneration": "augmentation_tone",
    "RandomColorJitter": "augmentation_color",
    "RandomContrast": "augmentation_color",
    "RandomCrop": "augmentation_parts",
    "RandomElasticTransform": "augmentation_warping",
    "RandomErasing": "augmentation_detail",
    "RandomFlip": "augmentation_parts",
    "RandomGaussianBlur": "augmentation_detail",
    "RandomGrayscale": "augmentation_tone",
    "RandomHue": "augmentation_color",
    "RandomInvert": "augmentation_tone",
    "RandomPerspective": "augmentation_warping",
    "RandomPosterization": "augmentation_tone",
    "RandomRotation": "augmentation_geometry",
    "RandomSaturation": "augmentation_color",
    "RandomSharpness": "augmentation_detail",
    "RandomShear": "augmentation_geometry",
    "RandomTranslation": "augmentation_geometry",
    "RandomZoom": "augmentation_geometry",
    "ReLU": "activation",
    "ReLU6": "activation_functions",
    "RepeatVector": "reshaping",
    "Rescaling": "numerical",
    "Reshape": "reshaping",
    "Resizing": "image",
    "ReversibleEmbedding": "embedding",
    "RotaryEmbedding": "positional",
    "SELU": "activation_functions",
    "STFTSpectrogram": "spectrogram",
    "SeparableConv1D": "separable",
    "SeparableConv2D": "separable",
    "SeparableConvolution1D": "separable",
    "SeparableConvolution2D": "separable",
    "SiLU": "activation_functions",
    "Sigmoid": "activation_functions",
    "SimpleRNN": "recurrent",
    "SimpleRNNCell": "cells",
    "SinePositionEncoding": "positional",
    "SoftShrink": "activation_arguments",
    "Softmax": "activation",
    "Softplus": "activation_functions",
    "Softsign": "activation_functions",
    "Solarization": "contrast",
    "Sparsemax": "activation_arguments",
    "SpatialDropout1D": "regularization",
    "SpatialDropout2D": "regularization",
    "SpatialDropout3D": "regularization",
    "SpectralNormalization": "spectral_normalization",
    "Squareplus": "activation_arguments",
    "StackedRNNCells": "cells",
    "StringLookup": "lookup",
    "Subtract": "merging",
    "Tanh": "activation_functions",
    "TanhShrink": "activation_functions",
    "Threshold": "activation_arguments",
    "TimeDistributed": "wrappers",
    "UnitNormalization": "normalization",
    "UpSampling1D": "upsampling",
    "UpSampling2D": "upsampling",
    "UpSampling3D": "upsampling",
    "ZeroPadding1D": "padding",
    "ZeroPadding2D": "padding",
    "ZeroPadding3D": "padding",
}
"""The module of each layer."""

__all__ = [
    "Activation",
    "ActivityRegularization",
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "Add",
    "AdditiveAttention",
    "AlphaDropout",
    "Attention",
    "AutoContrast",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BatchNormalization",
    "Bidirectional",
    "CELU",
    "CategoryEncoding",
    "CenterCrop",
    "Concatenate",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "Convolution1D",
    "Convolution1DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Convolution3D",
    "Convolution3DTranspose",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Discretization",
    "Dot",
    "Dropout",
    "ELU",
    "EinsumDense",
    "Embedding",
    "Equalization",
    "Exponential",
    "Flatten",
    "GELU",
    "GLU",
    "GRU",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GroupNormalization",
    "GroupQueryAttention",
    "HardShrink",
    "HardSigmoid",
    "HardSwish",
    "HardTanh",
    "Identity",
    "InstanceNormalization",
    "IntegerLookup",
    "LSTM",
    "LSTMCell",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Masking",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "MelSpectrogram",
    "Minimum",
    "Mish",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "Op",
    "PReLU",
    "Permute",
    "PixelShuffle",
    "PositionEmbedding",
    "RMSNormalization",
    "RNN",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "ReLU",
    "ReLU6",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "ReversibleEmbedding",
    "RotaryEmbedding",
    "SELU",
    "STFTSpectrogram",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "SiLU",
    "Sigmoid",
    "SimpleRNN",
    "SimpleRNNCell",
    "SinePositionEncoding",
    "SoftShrink",
    "Softmax",
    "Softplus",
    "Softsign",
    "Solarization",
    "Sparsemax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "SpectralNormalization",
    "Squareplus",
    "StackedRNNCells",
    "StringLookup",
    "Subtract",
    "Tanh",
    "TanhShrink",
    "Threshold",
    "TimeDistributed",
    "UnitNormalization",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in FAMILIES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = getattr(importlib.import_module(f"{__name__}.{FAMILIES[name]}"), name)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *FAMILIES})
