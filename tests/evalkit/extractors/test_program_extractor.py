from __future__ import annotations

import numpy as np
import pytest

from evalkit.extractors.base import softmax
from evalkit.extractors.catalogue import load_extractor
from metrics.errors import InputError

torch = pytest.importorskip("torch")


class Network(torch.nn.Module):
    """Pixels / 255 through a fixed linear map, then a classifier."""

    def __init__(self, *, logits: bool = True, broken: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = torch.nn.Linear(48, 7), torch.nn.Linear(7, 4)
        self.logits, self.broken = logits, broken

    def forward(self, images):
        features = torch.relu(self.body(images.float().flatten(1) / 255))
        if self.broken:
            features = features / 0.0
        return (features, self.head(features)) if self.logits else features


class Doubled(torch.nn.Module):
    def forward(self, rows):
        return rows.float() * 2


def export(network, path, *, batch=3, dynamic=True, shape=(3, 4, 4)):
    example = torch.zeros(batch, *shape, dtype=torch.uint8)
    shapes = ({0: torch.export.Dim("n")},) if dynamic else None
    torch.export.save(torch.export.export(network.eval(), (example,), dynamic_shapes=shapes), path)


def images(n: int, side: int = 4) -> list[np.ndarray]:
    rng = np.random.default_rng(n)
    return [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(n)]


def expected(network, given):
    with torch.inference_mode():
        features, logits = network(torch.from_numpy(np.stack(given).transpose(0, 3, 1, 2).copy()))
    return features.numpy(), logits.numpy()


@pytest.mark.parametrize("n", [1, 2, 5, 300])
def test_features_and_probabilities_of_any_number_of_images(tmp_path, n):
    network, given = Network(), images(n)
    export(network, tmp_path / "net.pt2")
    result = load_extractor("net.pt2", folder=tmp_path).extract(given)
    features, logits = expected(network, given)
    np.testing.assert_allclose(result.features, features, atol=1e-5)
    np.testing.assert_allclose(result.probabilities, softmax(logits), atol=1e-5)
    assert result.features.dtype == result.probabilities.dtype == np.float32
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-5)


def test_rows_do_not_depend_on_the_images_around_them(tmp_path):
    export(Network(), tmp_path / "net.pt2")
    extractor, given = load_extractor("net.pt2", folder=tmp_path), images(9)
    alone = np.concatenate([extractor.extract([image]).features for image in given])
    np.testing.assert_allclose(alone, extractor.extract(given).features, atol=1e-6)


def test_a_fixed_batch_is_filled_up(tmp_path):
    network, given = Network(), images(6)
    export(network, tmp_path / "net.pt2", batch=4, dynamic=False)
    result = load_extractor("net.pt2", folder=tmp_path).extract(given)
    np.testing.assert_allclose(result.features, expected(network, given)[0], atol=1e-5)


def test_features_alone_have_no_probabilities(tmp_path):
    export(Network(logits=False), tmp_path / "net.pt2")
    assert load_extractor("net.pt2", folder=tmp_path).extract(images(2)).probabilities is None


def test_identity_follows_the_file(tmp_path):
    export(Network(), tmp_path / "a.pt2")
    export(Network(logits=False), tmp_path / "b.pt2")
    a, b = (load_extractor(name, folder=tmp_path).identity() for name in ("a.pt2", "b.pt2"))
    assert a["weights"].startswith("sha256:")
    assert a != b


def test_other_sizes_are_refused(tmp_path):
    export(Network(), tmp_path / "net.pt2")
    with pytest.raises(InputError, match="works on images 4x4, but image 2 is 8x8"):
        load_extractor("net.pt2", folder=tmp_path).extract([*images(2), *images(1, side=8)])


def test_outputs_that_are_not_finite_are_refused(tmp_path):
    export(Network(broken=True), tmp_path / "net.pt2")
    with pytest.raises(InputError, match="not finite for 3 of 3 images"):
        load_extractor("net.pt2", folder=tmp_path).extract(images(3))


def test_programs_of_the_wrong_kind_are_refused(tmp_path):
    export(Doubled(), tmp_path / "flat.pt2", shape=(16,))
    with pytest.raises(InputError, match="height, width"):
        load_extractor("flat.pt2", folder=tmp_path)
    export(Doubled(), tmp_path / "map.pt2")
    with pytest.raises(InputError, match=r"returned \[2, 3, 4, 4\] for 2 images"):
        load_extractor("map.pt2", folder=tmp_path).extract(images(2))
    (tmp_path / "broken.pt2").write_bytes(b"PK nonsense")
    with pytest.raises(InputError, match=r"broken\.pt2"):
        load_extractor("broken.pt2", folder=tmp_path)
