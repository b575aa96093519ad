"""The FID Inception by structure: names, shapes and pooling of the published checkpoint, with random weights."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest

from evalkit.extractors import inception as inception_module
from evalkit.extractors.weights import WeightsFile
from metrics.errors import InputError

torch = pytest.importorskip("torch")

from evalkit.extractors.inception_network import InceptionV3, _BlockE, resize_like_tensorflow  # noqa: E402


@pytest.fixture(scope="module")
def network() -> InceptionV3:
    torch.manual_seed(0)
    return InceptionV3().eval()


def images(seed: int, n: int, height: int, width: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(n)]


def test_state_dict_has_the_names_and_shapes_of_the_checkpoint(network):
    state = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    known = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_1a_3x3.bn.running_var": (32,),
        "Conv2d_2a_3x3.conv.weight": (32, 32, 3, 3),
        "Conv2d_2b_3x3.conv.weight": (64, 32, 3, 3),
        "Conv2d_3b_1x1.conv.weight": (80, 64, 1, 1),
        "Conv2d_4a_3x3.conv.weight": (192, 80, 3, 3),
        "Mixed_5b.branch1x1.conv.weight": (64, 192, 1, 1),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
        "Mixed_5d.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
        "Mixed_6c.branch7x7dbl_2.conv.weight": (160, 160, 7, 1),
        "Mixed_6e.branch7x7dbl_5.conv.weight": (192, 192, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch3x3dbl_1.conv.weight": (448, 2048, 1, 1),
        "Mixed_7c.branch_pool.bn.bias": (192,),
        "fc.weight": (1008, 2048),
        "fc.bias": (1008,),
    }
    assert {name: state.get(name) for name in known} == known
    assert len([name for name in state if name.endswith("conv.weight")]) == 94
    assert not any(name.endswith("conv.bias") for name in state)
    parameters = sum(value.numel() for value in network.parameters())
    assert parameters == 21_785_568 + 1008 * 2048 + 1008  # Inception-v3 without its classifier, and 1,008 classes
    # the published file is these floats and running statistics, plus the archive's own names
    floats = parameters + sum(value.numel() for name, value in network.named_buffers() if "running" in name)
    assert 0 < inception_module.FID_WEIGHTS.size - 4 * floats < 200_000


def test_batch_normalisation_has_the_epsilon_of_tensorflow(network):
    assert {m.eps for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.001}


def test_pools_of_the_2015_graph(network):
    torch.manual_seed(0)
    x = torch.rand(1, 8, 8, 8)

    def pooled(block):
        seen = []
        block.branch_pool.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        block.eval()(x)
        return seen[0][:, :, 0, 0]

    corner = x[:, :, :2, :2]
    torch.testing.assert_close(pooled(_BlockE(8, maximum=False)), corner.mean(dim=(2, 3)))  # padding is not counted
    torch.testing.assert_close(pooled(_BlockE(8, maximum=True)), corner.amax(dim=(2, 3)))
    assert network.Mixed_7b._pool is not network.Mixed_7c._pool


@pytest.mark.parametrize(("height", "width", "side"), [(8, 8, 299), (5, 9, 13), (400, 300, 299), (1, 1, 7)])
def test_resize_is_that_of_tensorflow_1(height, width, side):
    image = np.random.default_rng(0).uniform(0, 255, (2, 3, height, width)).astype(np.float32)
    result = resize_like_tensorflow(torch.from_numpy(image), side).numpy()
    assert result.shape == (2, 3, side, side)
    for i in range(0, side, max(1, side // 13)):
        for j in range(0, side, max(1, side // 13)):
            y, x = i * np.float32(height / side), j * np.float32(width / side)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            above = image[:, :, top, left] + (image[:, :, top, right] - image[:, :, top, left]) * (x - left)
            below = image[:, :, bottom, left] + (image[:, :, bottom, right] - image[:, :, bottom, left]) * (x - left)
            np.testing.assert_allclose(result[:, :, i, j], above + (below - above) * (y - top), atol=1e-2)


def test_an_image_of_full_size_is_not_resampled():
    image = torch.rand(1, 3, 299, 299)
    torch.testing.assert_close(resize_like_tensorflow(image, 299), image)


def test_features_and_probabilities_keep_the_order_of_mixed_sizes(network):
    extractor = inception_module.InceptionV3Extractor(network, weights="sha256:test")
    given = [*images(1, 2, 8, 8), *images(2, 1, 20, 12), *images(3, 1, 8, 8)]
    result = extractor.extract(given)
    assert result.features.shape == (4, 2048)
    assert result.probabilities.shape == (4, 1008)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-5)
    assert not np.allclose(result.features[2], result.features[3], rtol=1e-2)
    for position in (2, 3):
        alone = extractor.extract([given[position]])
        np.testing.assert_allclose(result.features[position], alone.features[0], rtol=1e-3, atol=1e-6)


def test_probabilities_leave_the_bias_of_the_classifier_out(network):
    extractor = inception_module.InceptionV3Extractor(network, weights="sha256:test")
    before = extractor.extract(images(1, 1, 8, 8)).probabilities
    with torch.no_grad():
        network.fc.bias += 100 * torch.rand(1008)
    np.testing.assert_array_equal(extractor.extract(images(1, 1, 8, 8)).probabilities, before)


def test_the_published_file_is_loaded_strictly_and_without_unpickling(network, tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_WEIGHTS", str(tmp_path))

    def publish(value) -> None:
        buffer = io.BytesIO()
        torch.save(value, buffer)
        (tmp_path / "w.pth").write_bytes(buffer.getvalue())
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        monkeypatch.setattr(inception_module, "FID_WEIGHTS", WeightsFile("w.pth", "https://x.invalid", digest, 10**9))

    old = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}  # as in 2019
    publish(old)
    extractor = inception_module.InceptionV3Extractor()
    assert extractor.identity()["weights"] == f"sha256:{inception_module.FID_WEIGHTS.sha256}"
    own = inception_module.InceptionV3Extractor(network, weights="sha256:test")
    given = images(1, 1, 8, 8)
    np.testing.assert_array_equal(extractor.extract(given).features, own.extract(given).features)
    for wrong in ({"fc": torch.nn.Linear(2, 2)}, {k: v for k, v in old.items() if not k.startswith("fc")}):
        publish(wrong)
        with pytest.raises(InputError, match="not the published weights"):
            inception_module.load_published()


def test_a_network_needs_the_digest_of_its_weights(network):
    with pytest.raises(InputError, match="digest"):
        inception_module.InceptionV3Extractor(network)
