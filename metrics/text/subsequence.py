"""Longest common subsequences of token lists."""

from __future__ import annotations

from collections.abc import Sequence


def lcs_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, by RapidFuzz's bit-parallel algorithm.

    Tokens become single characters first, which makes equality of tokens exact (RapidFuzz compares hashes of
    anything else) and the comparison fast.
    """
    from rapidfuzz.distance import LCSseq

    if not a or not b:
        return 0
    codes = {token: chr(place) for place, token in enumerate(dict.fromkeys(a))}
    other = chr(len(codes))
    left = "".join([codes[token] for token in a])
    right = "".join([codes.get(token, other) for token in b])
    return int(LCSseq.similarity(left, right))


def lcs_positions(reference: Sequence[str], candidate: Sequence[str]) -> list[int]:
    """Positions in `reference` of one longest common subsequence: the one that rouge-score picks.

    The table of lengths is kept as one integer per row, whose zero bits are the steps of that row (Hyyrö 2004), so
    that it costs bits instead of Python objects; the way back through it decides ties as rouge-score does.
    """
    places: dict[str, int] = {}
    for j, token in enumerate(candidate):
        places[token] = places.get(token, 0) | 1 << j
    full = (1 << len(candidate)) - 1
    row = full
    rows = [row]
    for token in reference:
        matched = row & places.get(token, 0)
        row = ((row + matched) | (row - matched)) & full
        rows.append(row)

    def length(i: int, j: int) -> int:
        return j - (rows[i] & ((1 << j) - 1)).bit_count()

    i, j, found = len(reference), len(candidate), []
    while i and j:
        if reference[i - 1] == candidate[j - 1]:
            i, j = i - 1, j - 1
            found.append(i)
        elif length(i, j - 1) > length(i - 1, j):
            j -= 1
        else:
            i -= 1
    return found[::-1]
