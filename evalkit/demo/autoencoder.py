"""A variational autoencoder of the digits (Kingma and Welling, 2014), with layers fully connected."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from evalkit.demo.digits import Digits
from evalkit.demo.training import PIXELS, Trained, batches, descend, flat, mlp, source_of_chance, to_rgb

LATENT = 16


class Decoder(nn.Module):
    """Latents float32 ``[n, 16]`` to images float32 ``[n, 3, 8, 8]`` in 0 to 1."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.layers = mlp(LATENT, width, PIXELS)

    def grey(self, latent: Tensor) -> Tensor:
        """Grey values ``[n, 64]`` in 0 to 1."""
        return torch.sigmoid(self.layers(latent))

    def forward(self, latent: Tensor) -> Tensor:
        """Images in RGB."""
        return to_rgb(self.grey(latent))


class Encoder(nn.Module):
    """Grey values ``[n, 64]`` to mean and log-variance of the latent, each ``[n, 16]``."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.layers = mlp(PIXELS, width, 2 * LATENT)

    def forward(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance."""
        mean, log_variance = self.layers(grey).chunk(2, dim=1)
        return mean, log_variance


def train_vae(train: Digits, *, seed: int, steps: int = 3000, batch: int = 128) -> Trained:
    """Maximise the evidence lower bound with a Gaussian likelihood of standard deviation 0.15 per pixel."""
    chance = source_of_chance(seed, "vae")
    encoder, decoder = Encoder(), Decoder()
    deviation = 0.15
    trained = Trained(
        "digits-vae", decoder, LATENT, {"steps": steps, "batch": batch, "lr": 1e-3, "deviation": deviation}
    )
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    data = flat(train)
    for step, rows in batches(len(train), batch, steps, chance):
        grey = data[rows]
        mean, log_variance = encoder(grey)
        latent = mean + torch.randn(mean.shape, generator=chance) * torch.exp(log_variance / 2)
        error = functional.mse_loss(decoder.grey(latent), grey, reduction="sum") / (2 * deviation**2 * len(rows))
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / len(rows)
        descend(optimiser, error + divergence)
        schedule.step()
        if trained.is_due(step, steps):
            trained.record(step, reconstruction=error.item(), divergence=divergence.item())
    return trained
