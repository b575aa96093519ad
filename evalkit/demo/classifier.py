"""A small classifier of the digits, trained on the spot: its penultimate layer is the demo's feature space."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from evalkit.demo.digits import CLASSES, Digits
from evalkit.demo.training import Trained, batches, descend, source_of_chance

FEATURES = 64


class DigitClassifier(nn.Module):
    """Images uint8 ``[n, 3, 8, 8]`` to (features float32 ``[n, 64]``, logits float32 ``[n, 10]``)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(32, 32, 3, padding=1, stride=2),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, FEATURES),
        )
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features are the pre-activation of the penultimate layer: no dead units, so distances mean something."""
        grey = images.to(torch.float32).mean(dim=1, keepdim=True) / 127.5 - 1
        features = self.body(grey)
        return features, self.head(functional.silu(features))


def train_classifier(train: Digits, test: Digits, *, seed: int, steps: int = 400, batch: int = 64) -> Trained:
    """Train with label smoothing and weight decay; ``results["accuracy"]`` is on the test half.

    Without those two the features of one class would shrink towards a point, and diversity within a class
    could no longer be seen.
    """
    chance = source_of_chance(seed, "classifier")
    network = DigitClassifier()
    parameters = {"steps": steps, "batch": batch, "lr": 2e-3, "weight_decay": 0.05, "label_smoothing": 0.1}
    trained = Trained("digits-classifier", network, 0, parameters)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    images, labels = as_rgb(train), torch.from_numpy(train.labels)
    for step, rows in batches(len(train), batch, steps, chance):
        _, logits = network(images[rows])
        loss = functional.cross_entropy(logits, labels[rows], label_smoothing=0.1)
        value = descend(optimiser, loss)
        schedule.step()
        if trained.is_due(step, steps):
            trained.record(step, loss=value)
    with torch.no_grad():
        _, logits = network.eval()(as_rgb(test))
    trained.results["accuracy"] = (logits.argmax(1) == torch.from_numpy(test.labels)).float().mean().item()
    return trained


def as_rgb(digits: Digits) -> Tensor:
    """The images as uint8 ``[n, 3, 8, 8]``."""
    return torch.from_numpy(digits.images)[:, None].expand(-1, 3, -1, -1)
