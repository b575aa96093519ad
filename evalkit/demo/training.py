"""What the demo's trainings share: seeds, loss curves, batches and export."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from evalkit.demo.digits import CLASSES, SIZE, Digits

PIXELS = SIZE * SIZE


@dataclass
class Trained:
    """A trained network in inference form.

    `latent` is the length of the latent vectors it makes images from (0 where it makes none), `parameters`
    how it was trained, `curves` name to (step, value) pairs, `results` its final figures.
    """

    name: str
    module: nn.Module
    latent: int
    parameters: Mapping[str, float | int | str]
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    results: dict[str, float] = field(default_factory=dict)

    def record(self, step: int, **values: float) -> None:
        """Add a point to each named curve."""
        for name, value in values.items():
            self.curves.setdefault(name, []).append((step, value))

    @staticmethod
    def is_due(step: int, steps: int) -> bool:
        """Whether a step belongs on the curves: some fifty points of a training, and its last step."""
        return step % max(1, steps // 50) == 0 or step == steps - 1


def source_of_chance(seed: int, purpose: str) -> torch.Generator:
    """A random stream of its own for each purpose, so that changing one training leaves the others alone."""
    value = int.from_bytes(hashlib.sha256(f"{purpose}:{seed}".encode()).digest()[:7], "big")
    torch.manual_seed(value)  # layers draw their initial weights from the global stream
    return torch.Generator().manual_seed(value)


def batches(count: int, size: int, steps: int, chance: torch.Generator) -> Iterator[tuple[int, Tensor]]:
    """Yield ``steps`` times (step, row numbers of a random batch), drawn epoch by epoch."""
    order = torch.randperm(count, generator=chance)
    place = 0
    for step in range(steps):
        if place + size > count:
            order, place = torch.randperm(count, generator=chance), 0
        yield step, order[place : place + size]
        place += size


class MovingAverage:
    """An exponential moving average of a network's weights, which generates better than the last step's."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards the network's present weights."""
        for name, tensor in network.state_dict().items():
            self.weights[name].lerp_(tensor, 1 - self.decay)

    def apply(self, network: nn.Module) -> None:
        """Give the network the averaged weights."""
        network.load_state_dict(self.weights)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> float:
    """Take one step down the loss and return its value."""
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()
    return loss.item()


def mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two hidden layers: enough for 64 pixels."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, outputs),
    )


def split_latent(latent: Tensor) -> tuple[Tensor, Tensor]:
    """Read a standard normal latent as (one-hot class ``[n, 10]``, the rest as noise).

    The class is the place of the largest of the first ten numbers: each class is equally likely, so that a
    generator that knows classes still needs nothing but a latent.
    """
    scores = latent[:, :CLASSES]
    return (scores == scores.amax(dim=1, keepdim=True)).to(latent.dtype), latent[:, CLASSES:]


def flat(digits: Digits) -> Tensor:
    """Grey values float32 ``[n, 64]`` in 0 to 1."""
    return torch.from_numpy(digits.images).reshape(len(digits), PIXELS).to(torch.float32) / 255


def to_rgb(grey: Tensor) -> Tensor:
    """Turn grey values ``[n, 64]`` into images ``[n, 3, 8, 8]``."""
    return grey.reshape(-1, 1, SIZE, SIZE).expand(-1, 3, -1, -1)


def export(module: nn.Module, example: Tensor, path: Path) -> None:
    """Write a ``torch.export`` program with a free batch dimension; loading it runs no pickled code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    program = torch.export.export(
        module.eval(), (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=65536)},)
    )
    torch.export.save(program, path)
