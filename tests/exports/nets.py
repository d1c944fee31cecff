"""Small PyTorch nets, one for each family of architectures, with random parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8), nn.ELU(), nn.Linear(8, 8), nn.LeakyReLU(0.1), nn.Linear(8, 3), nn.PReLU()
    )


def vgg() -> nn.Module:
    """Convolution, normalization behind the activation (which no exporter folds away), pooling, dropout."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(4),
        nn.MaxPool2d(2),
        nn.Dropout(0.0),
        nn.Conv2d(4, 6, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.BatchNorm2d(6),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 8),
        nn.ReLU(),
        nn.Dropout(0.0),
        nn.Linear(8, 4),
    )


class Residual(nn.Module):
    """A block of ResNet with the activation first, so that its normalizations stay in the file."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm(x))
        return self.shortcut(x) + self.conv2(torch.relu(self.conv1(y)))


def resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        Residual(4, 4, 1),
        Residual(4, 6, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(1),
        nn.Linear(6, 4),
    )


class Inverted(nn.Module):
    """A block of MobileNetV3: expansion, depthwise convolution, squeeze and excitation, projection."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.Hardswish(), nn.BatchNorm2d(inner))
        self.depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.squeeze = nn.Conv2d(inner, 2, 1)
        self.excite = nn.Conv2d(2, inner, 1)
        self.project = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self.depthwise(self.expand(x)))
        scale = functional.hardsigmoid(
            self.excite(functional.relu(self.squeeze(functional.adaptive_avg_pool2d(y, 1))))
        )
        return x + self.project(y * scale)


def mobilenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.Hardswish(),
        Inverted(4, 8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 4),
    )


class DenseNet(nn.Module):
    """Each layer gets what all before it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(4 + 3 * i), nn.ReLU(), nn.Conv2d(4 + 3 * i, 3, 3, padding=1))
            for i in range(2)
        )
        self.norm = nn.BatchNorm2d(10)
        self.head = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.head(torch.relu(self.norm(x)).mean((2, 3)))


class UNet(nn.Module):
    """Down twice; up once by a transposed convolution, once by interpolation; with skips."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 6, 3, padding=1)
        self.bottom = nn.Conv2d(6, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.merge = nn.Conv2d(12, 6, 3, padding=1)
        self.last = nn.Conv2d(10, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(self.first(x))
        b = torch.relu(self.second(functional.max_pool2d(a, 2)))
        c = torch.relu(self.bottom(functional.max_pool2d(b, 2)))
        c = torch.relu(self.merge(torch.cat([self.up(c), b], 1)))
        c = functional.interpolate(c, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.last(torch.cat([c, a], 1))


def audio() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 4, 5, stride=2, padding=2),
        nn.SiLU(),
        nn.BatchNorm1d(4),
        nn.Conv1d(4, 6, 3, padding=2, dilation=2),
        nn.Mish(),
        nn.MaxPool1d(2),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


class Recurrent(nn.Module):
    """Token classifier of an embedding, a bidirectional LSTM and a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 5)
        self.lstm = nn.LSTM(5, 4, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(8, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        steps, _ = self.lstm(self.embed(tokens))
        steps, _ = self.gru(steps)
        return self.head(steps[:, -1])


class Encoder(nn.Module):
    """A transformer's encoder of PyTorch's own layer, with the mean of its steps classified."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.position = nn.Parameter(torch.randn(1, 6, 8))
        self.block = nn.TransformerEncoderLayer(
            8, 2, dim_feedforward=12, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.head = nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.block(self.embed(tokens) + self.position).mean(1))


class ViT(nn.Module):
    """Patches, a class token, learned positions and attention by ``scaled_dot_product_attention``."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.position = nn.Parameter(torch.randn(1, 5, 8))
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        q, k, v = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in self.qkv(self.norm(x)).chunk(3, -1))
        x = x + self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return self.head(x[:, 0])


class GPT(nn.Module):
    """A decoder with a causal mask whose head is its embedding."""

    causal: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.position = nn.Embedding(6, 8)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(8) for _ in range(3))
        self.qkv = nn.Linear(8, 24, bias=False)
        self.out = nn.Linear(8, 8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(approximate="tanh"), nn.Linear(16, 8))
        self.register_buffer("causal", torch.tril(torch.ones(6, 6, dtype=torch.bool)))

    def forward(self, tokens: Tensor) -> Tensor:
        steps = tokens.shape[1]
        x = self.embed(tokens) + self.position(torch.arange(steps))
        q, k, v = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in self.qkv(self.norm1(x)).chunk(3, -1))
        scores = q @ k.transpose(-1, -2) / 2.0
        scores = scores.masked_fill(~self.causal[:steps, :steps], float("-inf"))
        x = x + self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        x = self.norm3(x + self.mlp(self.norm2(x)))
        return functional.linear(x, self.embed.weight)


class Autoencoder(nn.Module):
    """A variational autoencoder at its mean: the noise is left out, the second head scales."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(64, 8))
        self.mean, self.scale = nn.Linear(8, 3), nn.Linear(8, 3)
        self.decode = nn.Sequential(
            nn.Linear(3, 64),
            nn.Softplus(),
            nn.Unflatten(1, (4, 4, 4)),
            nn.ConvTranspose2d(4, 1, 3, stride=2, padding=1, output_padding=1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        code = self.encode(x)
        return self.decode(self.mean(code) * torch.exp(0.5 * self.scale(code)))


class Normalized(nn.Module):
    """Normalization by group and by instance, PReLU and a shuffle of pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.group, self.instance = nn.GroupNorm(2, 4), nn.InstanceNorm2d(8, affine=True)
        self.prelu = nn.PReLU(4)
        self.head = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(self.group(self.conv1(x)))
        x = functional.pixel_shuffle(self.instance(self.conv2(x)), 2)
        return self.head(functional.softplus(x).amax((2, 3)))


class GraphNet(nn.Module):
    """Messages along fixed edges, gathered from their sources and added up at their targets."""

    source: Tensor
    target: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.message, self.update = nn.Linear(4, 6), nn.Linear(10, 5)
        self.head = nn.Linear(5, 2)
        self.register_buffer("source", torch.tensor([0, 1, 2, 3, 4, 0, 2]))
        self.register_buffer("target", torch.tensor([1, 2, 3, 4, 0, 3, 0]))

    def forward(self, nodes: Tensor) -> Tensor:
        messages = torch.relu(self.message(nodes.index_select(1, self.source)))
        index = self.target.view(1, -1, 1).expand(nodes.shape[0], -1, 6)
        received = torch.zeros(nodes.shape[0], 5, 6).scatter_add(1, index, messages)
        return self.head(torch.tanh(self.update(torch.cat([nodes, received], -1))).sum(1))
