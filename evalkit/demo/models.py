"""The demo's models: trained two at a time in processes of their own, and only where something has changed."""

from __future__ import annotations

import json
import multiprocessing
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from registry.digests import digest, file_digest

WORKERS = 2
EXTRACTOR = "digits-classifier"


@dataclass(frozen=True, slots=True)
class Training:
    """A finished training: where its model is, and what `evalkit.demo.training.Trained` says about it.

    `seconds` is processor time; `key` covers code, data and seed, so that an unchanged training is not repeated.
    """

    name: str
    path: str
    key: str
    latent: int
    parameters: dict[str, Any]
    curves: dict[str, list[tuple[int, float]]]
    results: dict[str, float]
    seconds: float


def train_all(folder: Path, seed: int) -> Iterator[tuple[Training, bool]]:
    """Train what is missing or out of date below `folder`; yield each training and whether it was done just now."""
    waiting = []
    for name in RECIPES:
        stored = read(folder, name)
        if stored is not None and stored.key == training_key(name, seed) and (folder / stored.path).exists():
            yield stored, False
        else:
            waiting.append(name)
    if not waiting:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(WORKERS, len(waiting)), mp_context=context) as pool:
        running = [pool.submit(train_one, name, folder, seed) for name in waiting]
        for done in as_completed(running):
            yield done.result(), True


def train_one(name: str, folder: Path, seed: int) -> Training:
    """Train one model on one thread (the networks are too small for two) and write it below `folder`."""
    import torch

    torch.set_num_threads(1)
    began = time.process_time()
    place, trained = RECIPES[name](name, folder, seed)
    training = Training(
        name=name,
        path=place,
        key=training_key(name, seed),
        latent=trained.latent,
        parameters=dict(trained.parameters),
        curves=trained.curves,
        results=trained.results,
        seconds=time.process_time() - began,
    )
    note = _note(folder, name)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(asdict(training)), encoding="utf-8")
    return training


def read(folder: Path, name: str) -> Training | None:
    """The stored training of a model; None where there is none."""
    note = _note(folder, name)
    if not note.exists():
        return None
    content = json.loads(note.read_text(encoding="utf-8"))
    content["curves"] = {
        key: [(int(step), value) for step, value in points] for key, points in content["curves"].items()
    }
    return Training(**content)


def training_key(name: str, seed: int) -> str:
    """Digest of what a training depends on: the seed, the demo's code and the versions underneath."""
    import torch

    here = Path(__file__).parent
    modules = ["training", "models", *_CODE[name]]
    return digest(
        {
            "name": name,
            "seed": seed,
            "code": {module: file_digest(here / f"{module}.py") for module in modules},
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
    )


def _note(folder: Path, name: str) -> Path:
    return folder / "trainings" / f"{name}.json"


def _classifier(name: str, folder: Path, seed: int) -> tuple[str, Any]:
    from evalkit.demo import classifier, digits, training

    halves = digits.split(seed)
    trained = classifier.train_classifier(halves["train"], halves["test"], seed=seed)
    place = f"extractors/{name}.pt2"
    training.export(trained.module, classifier.as_rgb(halves["train"])[:2].contiguous(), folder / place)
    return place, trained


def _images(train: Callable[[Any, int], Any]) -> Callable[[str, Path, int], tuple[str, Any]]:
    def build(name: str, folder: Path, seed: int) -> tuple[str, Any]:
        import torch

        from evalkit.demo import digits, training

        trained = train(digits.split(seed)["train"], seed)
        place = f"models/{name}"
        training.export(trained.module, torch.zeros(2, trained.latent), folder / place / "model.pt2")
        card = {"settings": {"latent": [trained.latent], "range": "unit"}}
        (folder / place / "generator.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        return place, trained

    return build


def _vae(train: Any, seed: int) -> Any:
    from evalkit.demo.autoencoder import train_vae

    return train_vae(train, seed=seed)


def _gan(train: Any, seed: int) -> Any:
    from evalkit.demo.adversarial import train_gan

    return train_gan(train, seed=seed)


def _collapsed(train: Any, seed: int) -> Any:
    from evalkit.demo.adversarial import COLLAPSED, train_gan

    return train_gan(train, seed=seed, name="digits-gan-collapsed", recipe=COLLAPSED)


def _diffusion(train: Any, seed: int) -> Any:
    from evalkit.demo.diffusion import train_diffusion

    return train_diffusion(train, seed=seed)


def _language(size: str) -> Callable[[str, Path, int], tuple[str, Any]]:
    def build(name: str, folder: Path, seed: int) -> tuple[str, Any]:
        from evalkit.demo import language

        place = f"models/{name}"
        recipe = {"small": language.SMALL, "large": language.LARGE}[size]
        return place, language.train_model(folder / place, seed=seed, name=name, size=recipe)

    return build


# The longest first, so that two processes end at about the same time.
RECIPES: dict[str, Callable[[str, Path, int], tuple[str, Any]]] = {
    "documentation-large": _language("large"),
    "digits-diffusion": _images(_diffusion),
    "digits-gan": _images(_gan),
    "digits-vae": _images(_vae),
    "digits-gan-collapsed": _images(_collapsed),
    "documentation-small": _language("small"),
    EXTRACTOR: _classifier,
}
_CODE = {
    "documentation-large": ("documentation", "language"),
    "documentation-small": ("documentation", "language"),
    "digits-diffusion": ("digits", "diffusion"),
    "digits-gan": ("digits", "adversarial"),
    "digits-gan-collapsed": ("digits", "adversarial"),
    "digits-vae": ("digits", "autoencoder"),
    EXTRACTOR: ("digits", "classifier"),
}
