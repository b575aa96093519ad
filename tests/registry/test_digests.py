"""Keys sort in the order in which they were made."""

from __future__ import annotations

import uuid

from registry.digests import new_id


def test_keys_of_one_millisecond_keep_their_order():
    keys = [new_id() for _ in range(5000)]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    assert {uuid.UUID(key).version for key in keys} == {7}
    assert {uuid.UUID(key).variant for key in keys} == {uuid.RFC_4122}
