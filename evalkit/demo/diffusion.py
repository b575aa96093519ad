"""A small diffusion model of the digits: DDPM training (Ho et al., 2020), DDIM sampling (Song et al., 2021)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from evalkit.demo.digits import CLASSES, Digits
from evalkit.demo.training import (
    PIXELS,
    MovingAverage,
    Trained,
    batches,
    descend,
    flat,
    source_of_chance,
    split_latent,
    to_rgb,
)

LATENT = CLASSES + PIXELS


class Denoiser(nn.Module):
    """Noisy grey values ``[n, 64]`` (-1 to 1) one-hot classes and noise levels ``[n]`` to the noise ``[n, 64]``."""

    frequencies: Tensor

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(1000), 32)))
        self.entry = nn.Linear(PIXELS + CLASSES + 64, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(3)
        )
        self.exit = nn.Linear(width, PIXELS)

    def forward(self, noisy: Tensor, classes: Tensor, kept: Tensor) -> Tensor:
        """`kept` is the share of the signal's variance that is left (alpha bar), 0 to 1."""
        angles = torch.acos(kept.sqrt().clamp(0, 1))[:, None] * self.frequencies
        hidden = self.entry(torch.cat([noisy, 3 * classes, angles.sin(), angles.cos()], dim=1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        noise: Tensor = self.exit(hidden)
        return noise


class Sampler(nn.Module):
    """Latents float32 ``[n, 74]`` to images float32 ``[n, 3, 8, 8]`` in 0 to 1, by DDIM without fresh noise.

    The whole loop is inside, so that one call makes an image and the latent alone decides it.
    """

    levels: Tensor

    def __init__(self, denoiser: Denoiser, steps: int) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.register_buffer("levels", signal_kept(torch.linspace(1, 0, steps + 1)))
        self.steps = steps

    def forward(self, latent: Tensor) -> Tensor:
        """Remove the noise step by step."""
        classes, noisy = split_latent(latent)
        for step in range(self.steps):
            kept, following = self.levels[step], self.levels[step + 1]
            noise = self.denoiser(noisy, classes, kept.expand(noisy.shape[0]))
            clean = ((noisy - (1 - kept).sqrt() * noise) / kept.sqrt()).clamp(-1, 1)
            noise = (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()
            noisy = following.sqrt() * clean + (1 - following).sqrt() * noise
        return to_rgb((noisy + 1).clamp(0, 2) / 2)


def signal_kept(time: Tensor) -> Tensor:
    """Cosine schedule (Nichol and Dhariwal, 2021): time 0 (clean) to 1 (noise) to the variance share kept."""
    return torch.cos((time * 0.98 + 0.004) * math.pi / 2).square()


def train_diffusion(
    train: Digits, *, seed: int, steps: int = 3000, batch: int = 128, sampling_steps: int = 20
) -> Trained:
    """Predict the noise with mean squared error; the sampler uses averaged weights."""
    chance = source_of_chance(seed, "diffusion")
    network = Denoiser()
    average = MovingAverage(network, decay=0.998)
    parameters: dict[str, float | int | str] = {
        "steps": steps,
        "batch": batch,
        "lr": 1e-3,
        "sampling_steps": sampling_steps,
    }
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    trained = Trained("digits-diffusion", Sampler(network, sampling_steps), LATENT, parameters)
    data = flat(train) * 2 - 1
    classes = functional.one_hot(torch.from_numpy(train.labels), CLASSES).to(torch.float32)
    for step, rows in batches(len(train), batch, steps, chance):
        kept = signal_kept(torch.rand(len(rows), generator=chance))
        noise = torch.randn((len(rows), PIXELS), generator=chance)
        noisy = kept.sqrt()[:, None] * data[rows] + (1 - kept).sqrt()[:, None] * noise
        loss = (network(noisy, classes[rows], kept) - noise).square().mean()
        value = descend(optimiser, loss)
        schedule.step()
        average.update(network)
        if trained.is_due(step, steps):
            trained.record(step, loss=value)
    average.apply(network)
    return trained
