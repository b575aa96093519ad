from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from evalkit.demo import adversarial, autoencoder, classifier, diffusion, digits, training  # noqa: E402
from registry.digests import file_digest  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def halves():
    return digits.split(0)


SHORT = {
    "vae": lambda train, seed: autoencoder.train_vae(train, seed=seed, steps=6),
    "gan": lambda train, seed: adversarial.train_gan(train, seed=seed, recipe=adversarial.Recipe(steps=6)),
    "collapsed": lambda train, seed: adversarial.train_gan(
        train, seed=seed, recipe=adversarial.Recipe(steps=6, sees_spread=False, reconstruction=100.0)
    ),
    "diffusion": lambda train, seed: diffusion.train_diffusion(train, seed=seed, steps=6, sampling_steps=3),
}


def test_no_image_is_in_both_halves(halves):
    train, test = set(halves["train"].index.tolist()), set(halves["test"].index.tolist())
    assert not train & test
    assert len(train | test) == 1797
    assert np.bincount(halves["test"].labels).min() >= 80


def test_the_files_hold_the_images_and_repeat_with_the_seed(tmp_path: Path, halves):
    first = digits.write(tmp_path / "a", 0)
    again = digits.write(tmp_path / "b", 0)
    other = digits.write(tmp_path / "c", 1)
    assert {k: file_digest(v) for k, v in first.items()} == {k: file_digest(v) for k, v in again.items()}
    assert file_digest(first["test"]) != file_digest(other["test"])
    table = pq.read_table(first["test"])
    picture = np.asarray(Image.open(io.BytesIO(table["image"][5].as_py())))
    assert picture.shape == (8, 8, 3)
    assert (picture[:, :, 1] == halves["test"].images[5]).all()
    assert table["label"][5].as_py() == str(halves["test"].labels[5])
    card = json.loads((tmp_path / "a" / "digits.card.json").read_text())
    assert card["licence"] == "CC BY 4.0"
    assert card["splits"]["test"]["digest"] == file_digest(first["test"])


@pytest.mark.parametrize("kind", SHORT)
def test_generators_repeat_with_the_seed_and_survive_export(kind: str, tmp_path: Path, halves):
    trained, again, other = (SHORT[kind](halves["train"], seed) for seed in (0, 0, 1))
    latent = torch.randn((7, trained.latent), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        images = trained.module.eval()(latent)
        assert torch.equal(images, again.module.eval()(latent))
        assert not torch.allclose(images, other.module.eval()(latent))
    assert images.shape == (7, 3, 8, 8)
    assert images.min() >= 0 and images.max() <= 1
    training.export(trained.module, latent[:2], tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    for count in (1, 2, 7):
        assert torch.allclose(program(latent[:count]), images[:count], atol=1e-5)
    steps = [step for step, _ in next(iter(trained.curves.values()))]
    assert steps == sorted(set(steps)) and steps[-1] == 5


def test_the_classifier_learns_and_its_program_takes_any_batch(tmp_path: Path, halves):
    trained = classifier.train_classifier(halves["train"], halves["test"], seed=0, steps=120)
    assert trained.results["accuracy"] > 0.9
    images = classifier.as_rgb(halves["test"])[:9].contiguous()
    training.export(trained.module, images[:2], tmp_path / "classifier.pt2")
    program = torch.export.load(tmp_path / "classifier.pt2").module()
    features, logits = program(images)
    assert features.shape == (9, classifier.FEATURES) and logits.shape == (9, 10)
    with torch.no_grad():
        assert torch.allclose(features, trained.module(images)[0], atol=1e-4)


def test_the_latent_draws_every_class_alike():
    latent = torch.randn((20_000, 32), generator=torch.Generator().manual_seed(0))
    classes, noise = training.split_latent(latent)
    assert torch.equal(classes.sum(dim=1), torch.ones(20_000))
    assert noise.shape == (20_000, 22)
    assert (classes.mean(dim=0) - 0.1).abs().max() < 0.012


def test_a_critic_without_sight_of_the_spread_scores_images_one_by_one():
    torch.manual_seed(0)
    images, classes = torch.rand(16, 64), torch.eye(10)[torch.arange(16) % 10]
    alone = adversarial.Critic(sees_spread=False)
    assert torch.allclose(alone(images, classes)[:8], alone(images[:8], classes[:8]), atol=1e-6)
    together = adversarial.Critic(sees_spread=True)
    same = images[:1].expand(16, -1).clone()
    assert not torch.allclose(together(images, classes)[0], together(torch.cat([images[:1], same[1:]]), classes)[0])


def test_batches_are_epochs_without_repeats():
    rows = [r for _, r in training.batches(100, 25, 8, torch.Generator().manual_seed(0))]
    for epoch in (rows[:4], rows[4:]):
        assert sorted(torch.cat(epoch).tolist()) == list(range(100))
