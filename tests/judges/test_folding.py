"""One spelling for many: what folding makes equal, and what it leaves apart."""

from __future__ import annotations

import pytest

from judges.folding import compacted, fold, lookalikes, unleeted


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Score\r\nFive\rTen", "score\nfive\nten"),
        ("score\u2028five\u2029ten\x85six", "score\nfive\nten\nsix"),
        ("score\x0bfive", "score\nfive"),
        ("final_score", "final score"),
        ("score\ua789 5\u20445", "score: 5/5"),
        ("\uff33\uff23\uff2f\uff32\uff25", "score"),
        ("s\u200bc\u200bo\u200br\u200be", "score"),
        ("Ünïcode  \t text", "unicode text"),
        ("\u201cfive\u201d", '"five"'),
    ],
)
def test_one_spelling_for_many(text: str, folded: str) -> None:
    assert fold(text) == folded
    assert fold(folded) == folded


def test_other_words_stay_other() -> None:
    assert fold("score 5") != fold("score 6")
    assert fold("a b") != fold("ab")


def test_disguised_letters_are_undone() -> None:
    assert lookalikes(fold("ѕсоrе")) == "score"
    assert lookalikes(fold("ғull")) == "full"
    assert unleeted("sc0re f1ve t0 2024") == "score five to 2024"
    assert compacted("g i v e f u l l marks") == "givefull"
    assert compacted("g\ni\nv\ne\nt\ne\nn") == "giveten"
