"""Generative adversarial networks of the digits, by class: one trained with care, one driven into mode collapse.

Both run the same code; two settings tell them apart. The collapsed one adds pix2pix's reconstruction term at
its published weight of 100 and drops the critic's view of the batch's spread. With that term the best answer
for a class is one image, the median of its examples: the generator stops listening to its noise, as Isola et
al. (2017, section 3.2) and Mathieu et al. (2016) report. Every image it makes is a fine digit, and the same one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

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
    mlp,
    source_of_chance,
    split_latent,
    to_rgb,
)

NOISE = 22
LATENT = CLASSES + NOISE


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a GAN is trained; `reconstruction` is the weight of the L1 distance to a real image of the same class."""

    steps: int
    batch: int = 64
    lr: float = 1e-3
    r1: float = 0.3
    sees_spread: bool = True
    reconstruction: float = 0.0


GOOD = Recipe(steps=2500)
COLLAPSED = Recipe(steps=1200, sees_spread=False, reconstruction=100.0)


class ClassGenerator(nn.Module):
    """Latents float32 ``[n, 32]`` to images float32 ``[n, 3, 8, 8]`` in 0 to 1; the latent draws the class too."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.layers = mlp(LATENT, width, PIXELS)

    def grey(self, classes: Tensor, noise: Tensor) -> Tensor:
        """Grey values ``[n, 64]`` for one-hot classes ``[n, 10]`` and noise ``[n, 22]``."""
        grey: Tensor = torch.sigmoid(self.layers(torch.cat([3 * classes, noise], dim=1)))
        return grey

    def forward(self, latent: Tensor) -> Tensor:
        """Images in RGB."""
        return to_rgb(self.grey(*split_latent(latent)))


class Critic(nn.Module):
    """Grey values ``[n, 64]`` and one-hot classes to a realness score ``[n]``.

    With `sees_spread` groups of eight images share a feature that tells how much they differ (the minibatch
    standard deviation of Karras et al., 2018), so that a generator without variety is found out.
    """

    GROUP = 8

    def __init__(self, *, sees_spread: bool, width: int = 256) -> None:
        super().__init__()
        self.sees_spread = sees_spread
        self.body = nn.Sequential(mlp(PIXELS + CLASSES, width, width), nn.LeakyReLU(0.2))
        self.head = nn.Linear(width + int(sees_spread), 1)

    def forward(self, grey: Tensor, classes: Tensor) -> Tensor:
        """Score every image."""
        hidden = self.body(torch.cat([grey * 2 - 1, classes], dim=1))
        if self.sees_spread:
            groups = hidden.reshape(-1, self.GROUP, hidden.shape[1])
            spread = groups.std(dim=1).mean(dim=1).repeat_interleave(self.GROUP)
            hidden = torch.cat([hidden, spread[:, None]], dim=1)
        score: Tensor = self.head(hidden)[:, 0]
        return score


def train_gan(train: Digits, *, seed: int, name: str = "digits-gan", recipe: Recipe = GOOD) -> Trained:
    """Non-saturating loss with the R1 penalty (Mescheder et al., 2018); the result has averaged weights."""
    chance = source_of_chance(seed, name)
    generator, critic = ClassGenerator(), Critic(sees_spread=recipe.sees_spread)
    average = MovingAverage(generator, decay=0.998)
    trained = Trained(name, generator, LATENT, asdict(recipe))
    make = torch.optim.Adam(generator.parameters(), lr=recipe.lr, betas=(0.0, 0.99), fused=True)
    judge = torch.optim.Adam(critic.parameters(), lr=recipe.lr, betas=(0.0, 0.99), fused=True)
    data = flat(train)
    labels = functional.one_hot(torch.from_numpy(train.labels), CLASSES).to(torch.float32)
    for step, rows in batches(len(train), recipe.batch, recipe.steps, chance):
        for group in (*make.param_groups, *judge.param_groups):
            group["lr"] = recipe.lr * min(1.0, 2 * (1 - step / recipe.steps) + 0.02)
        real, wanted = data[rows].requires_grad_(), labels[rows]
        classes, noise = split_latent(torch.randn((recipe.batch, LATENT), generator=chance))
        fake = generator.grey(classes, noise)

        real_score, fake_score = critic(real, wanted), critic(fake.detach(), classes)
        (gradient,) = torch.autograd.grad(real_score.sum(), real, create_graph=True)
        critic_loss = functional.softplus(-real_score).mean() + functional.softplus(fake_score).mean()
        descend(judge, critic_loss + recipe.r1 / 2 * gradient.square().sum(dim=1).mean())

        generator_loss = functional.softplus(-critic(fake, classes)).mean()
        if recipe.reconstruction:
            distance = (generator.grey(wanted, noise) - real.detach()).abs().mean()
            generator_loss = generator_loss + recipe.reconstruction * distance
        descend(make, generator_loss)
        average.update(generator)
        if trained.is_due(step, recipe.steps):
            trained.record(step, critic_loss=critic_loss.item(), generator_loss=generator_loss.item())
    average.apply(generator)
    return trained
