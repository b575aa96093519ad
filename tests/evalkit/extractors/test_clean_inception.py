from __future__ import annotations

import numpy as np
import pytest

from evalkit.extractors.inception import CleanInceptionV3Extractor, InceptionV3Extractor, resize_like_clean_fid

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def network():
    from evalkit.extractors.inception_network import InceptionV3

    torch.manual_seed(0)
    return InceptionV3()


def test_an_image_of_the_network_s_size_is_left_as_it_is(network):
    image = np.random.default_rng(1).integers(0, 256, (299, 299, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize_like_clean_fid(image, 299), image)
    plain, clean = (kind(network, weights="sha256:0") for kind in (InceptionV3Extractor, CleanInceptionV3Extractor))
    np.testing.assert_allclose(clean.extract([image]).features, plain.extract([image]).features, rtol=1e-5)


def test_the_two_modes_have_different_identities_and_features(network):
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    plain, clean = (kind(network, weights="sha256:0") for kind in (InceptionV3Extractor, CleanInceptionV3Extractor))
    assert plain.identity()["preprocessing"] != clean.identity()["preprocessing"]
    assert plain.identity()["extractor"] != clean.identity()["extractor"]
    assert not np.array_equal(plain.extract([image]).features, clean.extract([image]).features)
