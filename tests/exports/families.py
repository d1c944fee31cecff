"""The families that are exported, each with what it is fed and trained by."""

from __future__ import annotations

from tests.exports import nets
from tests.exports.harness import Family

IMAGE = (3, 8, 8)
FAMILIES = {
    "mlp": Family(nets.mlp, (6,), (3,), "mse"),
    "vgg": Family(nets.vgg, IMAGE, (4,)),
    "resnet": Family(nets.resnet, IMAGE, (4,)),
    "mobilenet": Family(nets.mobilenet, IMAGE, (4,)),
    "densenet": Family(nets.DenseNet, IMAGE, (4,)),
    "unet": Family(nets.UNet, IMAGE, (2, 8, 8), "mse"),
    "audio": Family(nets.audio, (2, 24), (3,)),
    "recurrent": Family(nets.Recurrent, (6,), (3,), tokens=11),
    "encoder": Family(nets.Encoder, (6,), (3,), tokens=11),
    "vit": Family(nets.ViT, IMAGE, (4,)),
    "gpt": Family(nets.GPT, (6,), (6, 11), tokens=11),
    "autoencoder": Family(nets.Autoencoder, (1, 8, 8), (1, 8, 8), "mse"),
    "normalized": Family(nets.Normalized, IMAGE, (3,)),
    "graph": Family(nets.GraphNet, (5, 4), (2,), "mse", rate=0.01),
}
