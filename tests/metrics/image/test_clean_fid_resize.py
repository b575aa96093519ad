from __future__ import annotations

import numpy as np
import pytest

from evalkit.extractors.inception import resize_like_clean_fid


@pytest.mark.parametrize(("height", "width"), [(32, 32), (400, 380), (299, 299), (20, 600)])
def test_the_resize_is_clean_fid_s(peer, height, width):
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    theirs = peer("cleanfid.resize").make_resizer("PIL", False, "bicubic", (299, 299))(image)
    ours = resize_like_clean_fid(image, 299)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, theirs)
