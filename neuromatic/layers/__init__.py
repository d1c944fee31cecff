"""The layers, with Keras' names, arguments and defaults; images are channels first, as in ONNX.

A layer's module is imported when the layer is first asked for. Written by
``python -m neuromatic.builder.generate`` from the ``__all__`` of the modules here; do not edit.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from neuromatic.layers.base import Layer

if TYPE_CHECKING:
    from neuromatic.layers.activations.activation import Activation
    from neuromatic.layers.activations.activation import ELU
    from neuromatic.layers.activations.activation import LeakyReLU
    from neuromatic.layers.activations.activation import PReLU
    from neuromatic.layers.activations.activation import ReLU
    from neuromatic.layers.activations.activation import Softmax
    from neuromatic.layers.activations.parametrized import CELU
    from neuromatic.layers.activations.parametrized import GELU
    from neuromatic.layers.activations.parametrized import GLU
    from neuromatic.layers.activations.parametrized import HardShrink
    from neuromatic.layers.activations.parametrized import LogSoftmax
    from neuromatic.layers.activations.parametrized import SoftShrink
    from neuromatic.layers.activations.parametrized import Sparsemax
    from neuromatic.layers.activations.parametrized import Squareplus
    from neuromatic.layers.activations.parametrized import Threshold
    from neuromatic.layers.activations.plain import Exponential
    from neuromatic.layers.activations.plain import HardSigmoid
    from neuromatic.layers.activations.plain import HardSwish
    from neuromatic.layers.activations.plain import HardTanh
    from neuromatic.layers.activations.plain import LogSigmoid
    from neuromatic.layers.activations.plain import Mish
    from neuromatic.layers.activations.plain import ReLU6
    from neuromatic.layers.activations.plain import SELU
    from neuromatic.layers.activations.plain import SiLU
    from neuromatic.layers.activations.plain import Sigmoid
    from neuromatic.layers.activations.plain import Softplus
    from neuromatic.layers.activations.plain import Softsign
    from neuromatic.layers.activations.plain import Tanh
    from neuromatic.layers.activations.plain import TanhShrink
    from neuromatic.layers.attention.attention import AdditiveAttention
    from neuromatic.layers.attention.attention import Attention
    from neuromatic.layers.attention.grouped_query_attention import GroupQueryAttention
    from neuromatic.layers.attention.multi_head_attention import MultiHeadAttention
    from neuromatic.layers.attention.positional import PositionEmbedding
    from neuromatic.layers.attention.positional import RotaryEmbedding
    from neuromatic.layers.attention.positional import SinePositionEncoding
    from neuromatic.layers.augmentation.color import RandomBrightness
    from neuromatic.layers.augmentation.color import RandomColorJitter
    from neuromatic.layers.augmentation.color import RandomContrast
    from neuromatic.layers.augmentation.color import RandomHue
    from neuromatic.layers.augmentation.color import RandomSaturation
    from neuromatic.layers.augmentation.crop_and_flip import RandomCrop
    from neuromatic.layers.augmentation.crop_and_flip import RandomFlip
    from neuromatic.layers.augmentation.detail import RandomErasing
    from neuromatic.layers.augmentation.detail import RandomGaussianBlur
    from neuromatic.layers.augmentation.detail import RandomSharpness
    from neuromatic.layers.augmentation.geometry import RandomRotation
    from neuromatic.layers.augmentation.geometry import RandomShear
    from neuromatic.layers.augmentation.geometry import RandomTranslation
    from neuromatic.layers.augmentation.geometry import RandomZoom
    from neuromatic.layers.augmentation.rand_augment import RandAugment
    from neuromatic.layers.augmentation.tone import RandomColorDegeneration
    from neuromatic.layers.augmentation.tone import RandomGrayscale
    from neuromatic.layers.augmentation.tone import RandomInvert
    from neuromatic.layers.augmentation.tone import RandomPosterization
    from neuromatic.layers.augmentation.warping import RandomElasticTransform
    from neuromatic.layers.augmentation.warping import RandomPerspective
    from neuromatic.layers.convolutional.conv import Conv1D
    from neuromatic.layers.convolutional.conv import Conv2D
    from neuromatic.layers.convolutional.conv import Conv3D
    from neuromatic.layers.convolutional.conv import Convolution1D
    from neuromatic.layers.convolutional.conv import Convolution2D
    from neuromatic.layers.convolutional.conv import Convolution3D
    from neuromatic.layers.convolutional.conv_transpose import Conv1DTranspose
    from neuromatic.layers.convolutional.conv_transpose import Conv2DTranspose
    from neuromatic.layers.convolutional.conv_transpose import Conv3DTranspose
    from neuromatic.layers.convolutional.conv_transpose import Convolution1DTranspose
    from neuromatic.layers.convolutional.conv_transpose import Convolution2DTranspose
    from neuromatic.layers.convolutional.conv_transpose import Convolution3DTranspose
    from neuromatic.layers.convolutional.depthwise_conv import DepthwiseConv1D
    from neuromatic.layers.convolutional.depthwise_conv import DepthwiseConv2D
    from neuromatic.layers.convolutional.separable_conv import SeparableConv1D
    from neuromatic.layers.convolutional.separable_conv import SeparableConv2D
    from neuromatic.layers.convolutional.separable_conv import SeparableConvolution1D
    from neuromatic.layers.convolutional.separable_conv import SeparableConvolution2D
    from neuromatic.layers.core.dense import Dense
    from neuromatic.layers.core.einsum_dense import EinsumDense
    from neuromatic.layers.core.embedding import Embedding
    from neuromatic.layers.core.embedding import ReversibleEmbedding
    from neuromatic.layers.core.masking import Masking
    from neuromatic.layers.core.operator import Lambda
    from neuromatic.layers.core.operator import Op
    from neuromatic.layers.merging import Add
    from neuromatic.layers.merging import Average
    from neuromatic.layers.merging import Concatenate
    from neuromatic.layers.merging import Dot
    from neuromatic.layers.merging import Maximum
    from neuromatic.layers.merging import Minimum
    from neuromatic.layers.merging import Multiply
    from neuromatic.layers.merging import Subtract
    from neuromatic.layers.normalization.batch_and_layer import BatchNormalization
    from neuromatic.layers.normalization.batch_and_layer import LayerNormalization
    from neuromatic.layers.normalization.batch_and_layer import RMSNormalization
    from neuromatic.layers.normalization.batch_and_layer import UnitNormalization
    from neuromatic.layers.normalization.group import GroupNormalization
    from neuromatic.layers.normalization.group import InstanceNormalization
    from neuromatic.layers.normalization.spectral import SpectralNormalization
    from neuromatic.layers.pooling.adaptive_pooling import AdaptiveAveragePooling1D
    from neuromatic.layers.pooling.adaptive_pooling import AdaptiveAveragePooling2D
    from neuromatic.layers.pooling.adaptive_pooling import AdaptiveAveragePooling3D
    from neuromatic.layers.pooling.adaptive_pooling import AdaptiveMaxPooling1D
    from neuromatic.layers.pooling.adaptive_pooling import AdaptiveMaxPooling2D
    from neuromatic.layers.pooling.adaptive_pooling import AdaptiveMaxPooling3D
    from neuromatic.layers.pooling.global_pooling import GlobalAveragePooling1D
    from neuromatic.layers.pooling.global_pooling import GlobalAveragePooling2D
    from neuromatic.layers.pooling.global_pooling import GlobalAveragePooling3D
    from neuromatic.layers.pooling.global_pooling import GlobalAvgPool1D
    from neuromatic.layers.pooling.global_pooling import GlobalAvgPool2D
    from neuromatic.layers.pooling.global_pooling import GlobalAvgPool3D
    from neuromatic.layers.pooling.global_pooling import GlobalMaxPool1D
    from neuromatic.layers.pooling.global_pooling import GlobalMaxPool2D
    from neuromatic.layers.pooling.global_pooling import GlobalMaxPool3D
    from neuromatic.layers.pooling.global_pooling import GlobalMaxPooling1D
    from neuromatic.layers.pooling.global_pooling import GlobalMaxPooling2D
    from neuromatic.layers.pooling.global_pooling import GlobalMaxPooling3D
    from neuromatic.layers.pooling.pooling import AveragePooling1D
    from neuromatic.layers.pooling.pooling import AveragePooling2D
    from neuromatic.layers.pooling.pooling import AveragePooling3D
    from neuromatic.layers.pooling.pooling import AvgPool1D
    from neuromatic.layers.pooling.pooling import AvgPool2D
    from neuromatic.layers.pooling.pooling import AvgPool3D
    from neuromatic.layers.pooling.pooling import MaxPool1D
    from neuromatic.layers.pooling.pooling import MaxPool2D
    from neuromatic.layers.pooling.pooling import MaxPool3D
    from neuromatic.layers.pooling.pooling import MaxPooling1D
    from neuromatic.layers.pooling.pooling import MaxPooling2D
    from neuromatic.layers.pooling.pooling import MaxPooling3D
    from neuromatic.layers.preprocessing.category_encoding import CategoryEncoding
    from neuromatic.layers.preprocessing.contrast import AutoContrast
    from neuromatic.layers.preprocessing.contrast import ContrastLimitedAdaptiveHistogramEqualization
    from neuromatic.layers.preprocessing.contrast import Equalization
    from neuromatic.layers.preprocessing.contrast import Solarization
    from neuromatic.layers.preprocessing.lookup import IntegerLookup
    from neuromatic.layers.preprocessing.lookup import StringLookup
    from neuromatic.layers.preprocessing.numerical import Discretization
    from neuromatic.layers.preprocessing.numerical import Normalization
    from neuromatic.layers.preprocessing.numerical import Rescaling
    from neuromatic.layers.preprocessing.resizing import CenterCrop
    from neuromatic.layers.preprocessing.resizing import Resizing
    from neuromatic.layers.preprocessing.spectrogram import MelSpectrogram
    from neuromatic.layers.preprocessing.spectrogram import STFTSpectrogram
    from neuromatic.layers.regularization import ActivityRegularization
    from neuromatic.layers.regularization import AlphaDropout
    from neuromatic.layers.regularization import Dropout
    from neuromatic.layers.regularization import GaussianDropout
    from neuromatic.layers.regularization import GaussianNoise
    from neuromatic.layers.regularization import SpatialDropout1D
    from neuromatic.layers.regularization import SpatialDropout2D
    from neuromatic.layers.regularization import SpatialDropout3D
    from neuromatic.layers.reshaping.padding import Cropping1D
    from neuromatic.layers.reshaping.padding import Cropping2D
    from neuromatic.layers.reshaping.padding import Cropping3D
    from neuromatic.layers.reshaping.padding import ZeroPadding1D
    from neuromatic.layers.reshaping.padding import ZeroPadding2D
    from neuromatic.layers.reshaping.padding import ZeroPadding3D
    from neuromatic.layers.reshaping.reshaping import Flatten
    from neuromatic.layers.reshaping.reshaping import Identity
    from neuromatic.layers.reshaping.reshaping import Permute
    from neuromatic.layers.reshaping.reshaping import RepeatVector
    from neuromatic.layers.reshaping.reshaping import Reshape
    from neuromatic.layers.reshaping.upsampling import PixelShuffle
    from neuromatic.layers.reshaping.upsampling import UpSampling1D
    from neuromatic.layers.reshaping.upsampling import UpSampling2D
    from neuromatic.layers.reshaping.upsampling import UpSampling3D
    from neuromatic.layers.rnn.cells import GRUCell
    from neuromatic.layers.rnn.cells import LSTMCell
    from neuromatic.layers.rnn.cells import SimpleRNNCell
    from neuromatic.layers.rnn.cells import StackedRNNCells
    from neuromatic.layers.rnn.conv_lstm import ConvLSTM1D
    from neuromatic.layers.rnn.conv_lstm import ConvLSTM2D
    from neuromatic.layers.rnn.conv_lstm import ConvLSTM3D
    from neuromatic.layers.rnn.rnn import GRU
    from neuromatic.layers.rnn.rnn import LSTM
    from neuromatic.layers.rnn.rnn import RNN
    from neuromatic.layers.rnn.rnn import SimpleRNN
    from neuromatic.layers.rnn.wrappers import Bidirectional
    from neuromatic.layers.rnn.wrappers import TimeDistributed

FAMILIES = {
    "Activation": "activations.activation",
    "ActivityRegularization": "regularization",
    "AdaptiveAveragePooling1D": "pooling.adaptive_pooling",
    "AdaptiveAveragePooling2D": "pooling.adaptive_pooling",
    "AdaptiveAveragePooling3D": "pooling.adaptive_pooling",
    "AdaptiveMaxPooling1D": "pooling.adaptive_pooling",
    "AdaptiveMaxPooling2D": "pooling.adaptive_pooling",
    "AdaptiveMaxPooling3D": "pooling.adaptive_pooling",
    "Add": "merging",
    "AdditiveAttention": "attention.attention",
    "AlphaDropout": "regularization",
    "Attention": "attention.attention",
    "AutoContrast": "preprocessing.contrast",
    "Average": "merging",
    "AveragePooling1D": "pooling.pooling",
    "AveragePooling2D": "pooling.pooling",
    "AveragePooling3D": "pooling.pooling",
    "AvgPool1D": "pooling.pooling",
    "AvgPool2D": "pooling.pooling",
    "AvgPool3D": "pooling.pooling",
    "BatchNormalization": "normalization.batch_and_layer",
    "Bidirectional": "rnn.wrappers",
    "CELU": "activations.parametrized",
    "CategoryEncoding": "preprocessing.category_encoding",
    "CenterCrop": "preprocessing.resizing",
    "Concatenate": "merging",
    "ContrastLimitedAdaptiveHistogramEqualization": "preprocessing.contrast",
    "Conv1D": "convolutional.conv",
    "Conv1DTranspose": "convolutional.conv_transpose",
    "Conv2D": "convolutional.conv",
    "Conv2DTranspose": "convolutional.conv_transpose",
    "Conv3D": "convolutional.conv",
    "Conv3DTranspose": "convolutional.conv_transpose",
    "ConvLSTM1D": "rnn.conv_lstm",
    "ConvLSTM2D": "rnn.conv_lstm",
    "ConvLSTM3D": "rnn.conv_lstm",
    "Convolution1D": "convolutional.conv",
    "Convolution1DTranspose": "convolutional.conv_transpose",
    "Convolution2D": "convolutional.conv",
    "Convolution2DTranspose": "convolutional.conv_transpose",
    "Convolution3D": "convolutional.conv",
    "Convolution3DTranspose": "convolutional.conv_transpose",
    "Cropping1D": "reshaping.padding",
    "Cropping2D": "reshaping.padding",
    "Cropping3D": "reshaping.padding",
    "Dense": "core.dense",
    "DepthwiseConv1D": "convolutional.depthwise_conv",
    "DepthwiseConv2D": "convolutional.depthwise_conv",
    "Discretization": "preprocessing.numerical",
    "Dot": "merging",
    "Dropout": "regularization",
    "ELU": "activations.activation",
    "EinsumDense": "core.einsum_dense",
    "Embedding": "core.embedding",
    "Equalization": "preprocessing.contrast",
    "Exponential": "activations.plain",
    "Flatten": "reshaping.reshaping",
    "GELU": "activations.parametrized",
    "GLU": "activations.parametrized",
    "GRU": "rnn.rnn",
    "GRUCell": "rnn.cells",
    "GaussianDropout": "regularization",
    "GaussianNoise": "regularization",
    "GlobalAveragePooling1D": "pooling.global_pooling",
    "GlobalAveragePooling2D": "pooling.global_pooling",
    "GlobalAveragePooling3D": "pooling.global_pooling",
    "GlobalAvgPool1D": "pooling.global_pooling",
    "GlobalAvgPool2D": "pooling.global_pooling",
    "GlobalAvgPool3D": "pooling.global_pooling",
    "GlobalMaxPool1D": "pooling.global_pooling",
    "GlobalMaxPool2D": "pooling.global_pooling",
    "GlobalMaxPool3D": "pooling.global_pooling",
    "GlobalMaxPooling1D": "pooling.global_pooling",
    "GlobalMaxPooling2D": "pooling.global_pooling",
    "GlobalMaxPooling3D": "pooling.global_pooling",
    "GroupNormalization": "normalization.group",
    "GroupQueryAttention": "attention.grouped_query_attention",
    "HardShrink": "activations.parametrized",
    "HardSigmoid": "activations.plain",
    "HardSwish": "activations.plain",
    "HardTanh": "activations.plain",
    "Identity": "reshaping.reshaping",
    "InstanceNormalization": "normalization.group",
    "IntegerLookup": "preprocessing.lookup",
    "LSTM": "rnn.rnn",
    "LSTMCell": "rnn.cells",
    "Lambda": "core.operator",
    "LayerNormalization": "normalization.batch_and_layer",
    "LeakyReLU": "activations.activation",
    "LogSigmoid": "activations.plain",
    "LogSoftmax": "activations.parametrized",
    "Masking": "core.masking",
    "MaxPool1D": "pooling.pooling",
    "MaxPool2D": "pooling.pooling",
    "MaxPool3D": "pooling.pooling",
    "MaxPooling1D": "pooling.pooling",
    "MaxPooling2D": "pooling.pooling",
    "MaxPooling3D": "pooling.pooling",
    "Maximum": "merging",
    "MelSpectrogram": "preprocessing.spectrogram",
    "Minimum": "merging",
    "Mish": "activations.plain",
    "MultiHeadAttention": "attention.multi_head_attention",
    "Multiply": "merging",
    "Normalization": "preprocessing.numerical",
    "Op": "core.operator",
    "PReLU": "activations.activation",
    "Permute": "reshaping.reshaping",
    "PixelShuffle": "reshaping.upsampling",
    "PositionEmbedding": "attention.positional",
    "RMSNormalization": "normalization.batch_and_layer",
    "RNN": "rnn.rnn",
    "RandAugment": "augmentation.rand_augment",
    "RandomBrightness": "augmentation.color",
    "RandomColorDegeneration": "augmentation.tone",
    "RandomColorJitter": "augmentation.color",
    "RandomContrast": "augmentation.color",
    "RandomCrop": "augmentation.crop_and_flip",
    "RandomElasticTransform": "augmentation.warping",
    "RandomErasing": "augmentation.detail",
    "RandomFlip": "augmentation.crop_and_flip",
    "RandomGaussianBlur": "augmentation.detail",
    "RandomGrayscale": "augmentation.tone",
    "RandomHue": "augmentation.color",
    "RandomInvert": "augmentation.tone",
    "RandomPerspective": "augmentation.warping",
    "RandomPosterization": "augmentation.tone",
    "RandomRotation": "augmentation.geometry",
    "RandomSaturation": "augmentation.color",
    "RandomSharpness": "augmentation.detail",
    "RandomShear": "augmentation.geometry",
    "RandomTranslation": "augmentation.geometry",
    "RandomZoom": "augmentation.geometry",
    "ReLU": "activations.activation",
    "ReLU6": "activations.plain",
    "RepeatVector": "reshaping.reshaping",
    "Rescaling": "preprocessing.numerical",
    "Reshape": "reshaping.reshaping",
    "Resizing": "preprocessing.resizing",
    "ReversibleEmbedding": "core.embedding",
    "RotaryEmbedding": "attention.positional",
    "SELU": "activations.plain",
    "STFTSpectrogram": "preprocessing.spectrogram",
    "SeparableConv1D": "convolutional.separable_conv",
    "SeparableConv2D": "convolutional.separable_conv",
    "SeparableConvolution1D": "convolutional.separable_conv",
    "SeparableConvolution2D": "convolutional.separable_conv",
    "SiLU": "activations.plain",
    "Sigmoid": "activations.plain",
    "SimpleRNN": "rnn.rnn",
    "SimpleRNNCell": "rnn.cells",
    "SinePositionEncoding": "attention.positional",
    "SoftShrink": "activations.parametrized",
    "Softmax": "activations.activation",
    "Softplus": "activations.plain",
    "Softsign": "activations.plain",
    "Solarization": "preprocessing.contrast",
    "Sparsemax": "activations.parametrized",
    "SpatialDropout1D": "regularization",
    "SpatialDropout2D": "regularization",
    "SpatialDropout3D": "regularization",
    "SpectralNormalization": "normalization.spectral",
    "Squareplus": "activations.parametrized",
    "StackedRNNCells": "rnn.cells",
    "StringLookup": "preprocessing.lookup",
    "Subtract": "merging",
    "Tanh": "activations.plain",
    "TanhShrink": "activations.plain",
    "Threshold": "activations.parametrized",
    "TimeDistributed": "rnn.wrappers",
    "UnitNormalization": "normalization.batch_and_layer",
    "UpSampling1D": "reshaping.upsampling",
    "UpSampling2D": "reshaping.upsampling",
    "UpSampling3D": "reshaping.upsampling",
    "ZeroPadding1D": "reshaping.padding",
    "ZeroPadding2D": "reshaping.padding",
    "ZeroPadding3D": "reshaping.padding",
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
