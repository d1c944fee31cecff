"""The layer methods of Sequential.

Written by ``python -m neuromatic.builder.generate``; do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuromatic import layers
from neuromatic.builder.fluent import fluent, methods

if TYPE_CHECKING:

    class FluentLayers:
        """A method for each layer that takes one input, named after it."""

        activation = fluent(layers.Activation)
        activity_regularization = fluent(layers.ActivityRegularization)
        adaptive_average_pooling1d = fluent(layers.AdaptiveAveragePooling1D)
        adaptive_average_pooling2d = fluent(layers.AdaptiveAveragePooling2D)
        adaptive_average_pooling3d = fluent(layers.AdaptiveAveragePooling3D)
        adaptive_max_pooling1d = fluent(layers.AdaptiveMaxPooling1D)
        adaptive_max_pooling2d = fluent(layers.AdaptiveMaxPooling2D)
        adaptive_max_pooling3d = fluent(layers.AdaptiveMaxPooling3D)
        additive_attention = fluent(layers.AdditiveAttention)
        alpha_dropout = fluent(layers.AlphaDropout)
        attention = fluent(layers.Attention)
        auto_contrast = fluent(layers.AutoContrast)
        average_pooling1d = fluent(layers.AveragePooling1D)
        average_pooling2d = fluent(layers.AveragePooling2D)
        average_pooling3d = fluent(layers.AveragePooling3D)
        batch_normalization = fluent(layers.BatchNormalization)
        bidirectional = fluent(layers.Bidirectional)
        celu = fluent(layers.CELU)
        category_encoding = fluent(layers.CategoryEncoding)
        center_crop = fluent(layers.CenterCrop)
        contrast_limited_adaptive_histogram_equalization = fluent(layers.ContrastLimitedAdaptiveHistogramEqualization)
        conv1d = fluent(layers.Conv1D)
        conv1d_transpose = fluent(layers.Conv1DTranspose)
        conv2d = fluent(layers.Conv2D)
        conv2d_transpose = fluent(layers.Conv2DTranspose)
        conv3d = fluent(layers.Conv3D)
        conv3d_transpose = fluent(layers.Conv3DTranspose)
        conv_lstm1d = fluent(layers.ConvLSTM1D)
        conv_lstm2d = fluent(layers.ConvLSTM2D)
        conv_lstm3d = fluent(layers.ConvLSTM3D)
        cropping1d = fluent(layers.Cropping1D)
        cropping2d = fluent(layers.Cropping2D)
        cropping3d = fluent(layers.Cropping3D)
        dense = fluent(layers.Dense)
        depthwise_conv1d = fluent(layers.DepthwiseConv1D)
        depthwise_conv2d = fluent(layers.DepthwiseConv2D)
        discretization = fluent(layers.Discretization)
        dropout = fluent(layers.Dropout)
        elu = fluent(layers.ELU)
        einsum_dense = fluent(layers.EinsumDense)
        embedding = fluent(layers.Embedding)
        equalization = fluent(layers.Equalization)
        exponential = fluent(layers.Exponential)
        flatten = fluent(layers.Flatten)
        gelu = fluent(layers.GELU)
        glu = fluent(layers.GLU)
        gru = fluent(layers.GRU)
        gaussian_dropout = fluent(layers.GaussianDropout)
        gaussian_noise = fluent(layers.GaussianNoise)
        global_average_pooling1d = fluent(layers.GlobalAveragePooling1D)
        global_average_pooling2d = fluent(layers.GlobalAveragePooling2D)
        global_average_pooling3d = fluent(layers.GlobalAveragePooling3D)
        global_max_pooling1d = fluent(layers.GlobalMaxPooling1D)
        global_max_pooling2d = fluent(layers.GlobalMaxPooling2D)
        global_max_pooling3d = fluent(layers.GlobalMaxPooling3D)
        group_normalization = fluent(layers.GroupNormalization)
        group_query_attention = fluent(layers.GroupQueryAttention)
        hard_shrink = fluent(layers.HardShrink)
        hard_sigmoid = fluent(layers.HardSigmoid)
        hard_swish = fluent(layers.HardSwish)
        hard_tanh = fluent(layers.HardTanh)
        identity = fluent(layers.Identity)
        instance_normalization = fluent(layers.InstanceNormalization)
        integer_lookup = fluent(layers.IntegerLookup)
        lstm = fluent(layers.LSTM)
        layer_normalization = fluent(layers.LayerNormalization)
        leaky_relu = fluent(layers.LeakyReLU)
        log_sigmoid = fluent(layers.LogSigmoid)
        log_softmax = fluent(layers.LogSoftmax)
        masking = fluent(layers.Masking)
        max_pooling1d = fluent(layers.MaxPooling1D)
        max_pooling2d = fluent(layers.MaxPooling2D)
        max_pooling3d = fluent(layers.MaxPooling3D)
        mel_spectrogram = fluent(layers.MelSpectrogram)
        mish = fluent(layers.Mish)
        multi_head_attention = fluent(layers.MultiHeadAttention)
        normalization = fluent(layers.Normalization)
        op = fluent(layers.Op)
        prelu = fluent(layers.PReLU)
        permute = fluent(layers.Permute)
        pixel_shuffle = fluent(layers.PixelShuffle)
        position_embedding = fluent(layers.PositionEmbedding)
        rms_normalization = fluent(layers.RMSNormalization)
        rnn = fluent(layers.RNN)
        rand_augment = fluent(layers.RandAugment)
        random_brightness = fluent(layers.RandomBrightness)
        random_color_degeneration = fluent(layers.RandomColorDegeneration)
        random_color_jitter = fluent(layers.RandomColorJitter)
        random_contrast = fluent(layers.RandomContrast)
        random_crop = fluent(layers.RandomCrop)
        random_elastic_transform = fluent(layers.RandomElasticTransform)
        random_erasing = fluent(layers.RandomErasing)
        random_flip = fluent(layers.RandomFlip)
        random_gaussian_blur = fluent(layers.RandomGaussianBlur)
        random_grayscale = fluent(layers.RandomGrayscale)
        random_hue = fluent(layers.RandomHue)
        random_invert = fluent(layers.RandomInvert)
        random_perspective = fluent(layers.RandomPerspective)
        random_posterization = fluent(layers.RandomPosterization)
        random_rotation = fluent(layers.RandomRotation)
        random_saturation = fluent(layers.RandomSaturation)
        random_sharpness = fluent(layers.RandomSharpness)
        random_shear = fluent(layers.RandomShear)
        random_translation = fluent(layers.RandomTranslation)
        random_zoom = fluent(layers.RandomZoom)
        relu = fluent(layers.ReLU)
        relu6 = fluent(layers.ReLU6)
        repeat_vector = fluent(layers.RepeatVector)
        rescaling = fluent(layers.Rescaling)
        reshape = fluent(layers.Reshape)
        resizing = fluent(layers.Resizing)
        reversible_embedding = fluent(layers.ReversibleEmbedding)
        rotary_embedding = fluent(layers.RotaryEmbedding)
        selu = fluent(layers.SELU)
        stft_spectrogram = fluent(layers.STFTSpectrogram)
        separable_conv1d = fluent(layers.SeparableConv1D)
        separable_conv2d = fluent(layers.SeparableConv2D)
        silu = fluent(layers.SiLU)
        sigmoid = fluent(layers.Sigmoid)
        simple_rnn = fluent(layers.SimpleRNN)
        sine_position_encoding = fluent(layers.SinePositionEncoding)
        soft_shrink = fluent(layers.SoftShrink)
        softmax = fluent(layers.Softmax)
        softplus = fluent(layers.Softplus)
        softsign = fluent(layers.Softsign)
        solarization = fluent(layers.Solarization)
        sparsemax = fluent(layers.Sparsemax)
        spatial_dropout1d = fluent(layers.SpatialDropout1D)
        spatial_dropout2d = fluent(layers.SpatialDropout2D)
        spatial_dropout3d = fluent(layers.SpatialDropout3D)
        spectral_normalization = fluent(layers.SpectralNormalization)
        squareplus = fluent(layers.Squareplus)
        string_lookup = fluent(layers.StringLookup)
        tanh = fluent(layers.Tanh)
        tanh_shrink = fluent(layers.TanhShrink)
        threshold = fluent(layers.Threshold)
        time_distributed = fluent(layers.TimeDistributed)
        unit_normalization = fluent(layers.UnitNormalization)
        up_sampling1d = fluent(layers.UpSampling1D)
        up_sampling2d = fluent(layers.UpSampling2D)
        up_sampling3d = fluent(layers.UpSampling3D)
        zero_padding1d = fluent(layers.ZeroPadding1D)
        zero_padding2d = fluent(layers.ZeroPadding2D)
        zero_padding3d = fluent(layers.ZeroPadding3D)

else:

    @methods(
        "Activation",
        "ActivityRegularization",
        "AdaptiveAveragePooling1D",
        "AdaptiveAveragePooling2D",
        "AdaptiveAveragePooling3D",
        "AdaptiveMaxPooling1D",
        "AdaptiveMaxPooling2D",
        "AdaptiveMaxPooling3D",
        "AdditiveAttention",
        "AlphaDropout",
        "Attention",
        "AutoContrast",
        "AveragePooling1D",
        "AveragePooling2D",
        "AveragePooling3D",
        "BatchNormalization",
        "Bidirectional",
        "CELU",
        "CategoryEncoding",
        "CenterCrop",
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
        "Cropping1D",
        "Cropping2D",
        "Cropping3D",
        "Dense",
        "DepthwiseConv1D",
        "DepthwiseConv2D",
        "Discretization",
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
        "GaussianDropout",
        "GaussianNoise",
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "GlobalAveragePooling3D",
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
        "LayerNormalization",
        "LeakyReLU",
        "LogSigmoid",
        "LogSoftmax",
        "Masking",
        "MaxPooling1D",
        "MaxPooling2D",
        "MaxPooling3D",
        "MelSpectrogram",
        "Mish",
        "MultiHeadAttention",
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
        "SiLU",
        "Sigmoid",
        "SimpleRNN",
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
        "StringLookup",
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
    )
    class FluentLayers:
        """A method for each layer that takes one input, named after it."""
