"""Text metrics side by side with the libraries whose values they equal: CPU seconds, and the ratio of the medians.

Ours and the peer take turns in one process on the same texts, single-threaded, after one warm-up each; every pair of
values is compared first. The peers come from the folder that `EVALKIT_PEERS` names (`python tests/peers.py`). Two
are timed by their published method: torchmetrics' SQuAD on fewer pairs, scaled up, since it takes minutes for a
million; the Hugging Face perplexity, whose script is not in the package `evaluate`, as written below.

    python -m benchmarks.text_metrics [--only rouge] [--repeats 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import math
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Timed = Callable[[], Any]


@dataclass(frozen=True)
class Contest:
    """Two ways to the same values; `scale` is how many times the peer's work fits into ours."""

    name: str
    ours: Timed
    theirs: Timed
    agree: Callable[[Any, Any], bool]
    target: float
    scale: float = 1.0


def sentences(count: int, words: int, seed: int, vocabulary: int = 4000) -> list[str]:
    """Texts of made-up English-like words whose frequencies follow Zipf's law."""
    rng = random.Random(seed)
    parts = ["con", "re", "sta", "tion", "ing", "ed", "ly", "ment", "er", "al", "the", "por", "gen", "er", "ous", "ity"]
    known = ["".join(rng.choices(parts, k=rng.randint(1, 4))) for _ in range(vocabulary)]
    weights = [1 / (i + 1) for i in range(vocabulary)]
    lengths = [max(1, round(rng.gauss(words, words / 4))) for _ in range(count)]
    drawn = iter(rng.choices(known, weights, k=sum(lengths)))
    return [" ".join(next(drawn) for _ in range(length)) for length in lengths]


def near_copies(texts: list[str], seed: int) -> list[str]:
    """The texts with a third of their words replaced."""
    rng = random.Random(seed)
    words = [word for text in texts for word in text.split()]
    return [" ".join(rng.choice(words) if rng.random() < 0.33 else w for w in text.split()) for text in texts]


def rouge_contest() -> Contest:
    """ROUGE-1, -2, -L of 2,000 summaries of 60 words with stemming, against rouge-score."""
    from metrics.text import rouge

    scorer = importlib.import_module("rouge_score.rouge_scorer")
    kinds = ["rouge1", "rouge2", "rougeL"]
    references = sentences(2000, 60, 0)
    predictions = near_copies(references, 1)

    def ours() -> Any:
        return [rouge(predictions, references, kinds=kinds, stem=True)[kind].value for kind in kinds]

    def theirs() -> Any:
        made = scorer.RougeScorer(kinds, use_stemmer=True)
        found = [made.score(r, p) for p, r in zip(predictions, references, strict=True)]
        return [statistics.fmean(f[kind].fmeasure for f in found) for kind in kinds]

    return Contest("ROUGE-1/2/L, 2,000 pairs, stemmed", ours, theirs, _close, 15)


def bleu_contest() -> Contest:
    """1,000 resamples of corpus BLEU of 2,000 sentences, against sacreBLEU's; the counts are given to both."""
    import numpy as np

    from metrics.text.resampling import resampled_sums
    from metrics.text.translation import bleu_of_counts

    library = importlib.import_module("sacrebleu.metrics")
    significance = importlib.import_module("sacrebleu.significance")
    references = sentences(2000, 25, 2)
    peer = library.BLEU()
    counts = peer._extract_corpus_statistics(near_copies(references, 3), [references])
    os.environ["SACREBLEU_SEED"] = "12345"

    def ours() -> Any:
        return list(bleu_of_counts(resampled_sums(np.array(counts, dtype=np.float64), 1000, 12345)))

    def theirs() -> Any:
        return [score.score for score in significance._bootstrap_resample(counts, peer, 1000)[1]]

    return Contest("bootstrap of corpus BLEU, 2,000 sentences, 1,000 resamples", ours, theirs, _close, 5)


def squad_contest(pairs: int = 1_000_000, peer_pairs: int = 20_000) -> Contest:
    """Exact match and token F1 of a million short answers, against torchmetrics' SQuAD."""
    from metrics.text import exact_match, token_f1

    squad = importlib.import_module("torchmetrics.functional.text.squad").squad
    references = sentences(pairs, 4, 4)
    predictions = near_copies(references, 5)
    asked = [{"prediction_text": p, "id": str(i)} for i, p in enumerate(predictions[:peer_pairs])]
    answers = [{"answer_start": [0], "text": [r]} for r in references[:peer_pairs]]
    wanted = [{"answers": answer, "id": str(i)} for i, answer in enumerate(answers)]

    def ours() -> Any:
        return [100 * measure(predictions, references).value for measure in (exact_match, token_f1)]

    def theirs() -> Any:
        found = squad(asked, wanted)
        return [float(found["exact_match"]), float(found["f1"])]

    def agree(_: Any, b: Any) -> bool:  # on the pairs that both see
        head = [100 * m(predictions[:peer_pairs], references[:peer_pairs]).value for m in (exact_match, token_f1)]
        return _close(head, b, 1e-3)  # torchmetrics adds up in float32

    return Contest("exact match and token F1, 1,000,000 pairs", ours, theirs, agree, 5, pairs / peer_pairs)


def perplexity_contest(count: int = 2000) -> Contest:
    """Perplexity of 2,000 texts of 5 to 400 words under a tiny GPT-2, against Hugging Face evaluate's method.

    Its script (metrics/perplexity/perplexity.py of evaluate) takes the texts in their order, 16 at a time, pads each
    group to its longest text, computes the loss of every position and masks the padding.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    from metrics.text import perplexity

    torch.manual_seed(0)
    rng = random.Random(6)
    lengths = rng.choices(range(5, 60), k=count - count // 10) + rng.choices(range(60, 400), k=count // 10)
    stream = iter(" ".join(sentences(1, 2 * sum(lengths), 6, 200)).split())
    texts = [" ".join(itertools.islice(stream, length)) for length in lengths]
    rng.shuffle(texts)
    words = sorted({word for text in texts for word in text.split()})
    table = {word: i for i, word in enumerate(["<s>", *words])}
    inner = Tokenizer(models.WordLevel(table, unk_token="<s>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", pad_token="<s>")
    config = GPT2Config(
        vocab_size=len(table), n_positions=1024, n_embd=64, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model = GPT2LMHeadModel(config).eval()

    def ours() -> Any:
        return [perplexity(model, tokenizer, texts, batch_size=16)["mean"].value]

    def theirs() -> Any:
        encoded = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
        found: list[float] = []
        loss = torch.nn.CrossEntropyLoss(reduction="none")
        for start in range(0, len(texts), 16):
            ids, mask = encoded["input_ids"][start : start + 16], encoded["attention_mask"][start : start + 16]
            bos = torch.full((len(ids), 1), tokenizer.bos_token_id)
            ids, mask = torch.cat([bos, ids], dim=1), torch.cat([torch.ones_like(bos), mask], dim=1)
            with torch.no_grad():
                logits = model(ids, attention_mask=mask).logits
            shifted, labels, kept = logits[:, :-1].contiguous(), ids[:, 1:].contiguous(), mask[:, 1:].contiguous()
            nll = (loss(shifted.transpose(1, 2), labels) * kept).sum(1) / kept.sum(1)
            found += torch.exp(nll).tolist()
        return [statistics.fmean(found)]

    def agree(a: Any, b: Any) -> bool:
        return _close(a, b, 1e-4)

    return Contest(f"perplexity, {count:,} texts of mixed length, tiny GPT-2", ours, theirs, agree, 3)


CONTESTS: dict[str, Callable[[], Contest]] = {
    "rouge": rouge_contest,
    "bleu": bleu_contest,
    "squad": squad_contest,
    "perplexity": perplexity_contest,
}


def _close(a: Any, b: Any, relative: float = 1e-5) -> bool:
    return len(a) == len(b) and all(math.isclose(x, y, rel_tol=relative) for x, y in zip(a, b, strict=True))


def seconds(run: Timed) -> float:
    """CPU time of one call: everything runs in one thread, and other work on the machine disturbs it least."""
    started = time.process_time()
    run()
    return time.process_time() - started


def contest(given: Contest, repeats: int) -> dict[str, Any]:
    """Check that the values agree, then time both in turn."""
    if not given.agree(given.ours(), given.theirs()):
        raise SystemExit(f"{given.name}: the values differ")
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(seconds(given.ours))
        theirs.append(seconds(given.theirs) * given.scale)
    ratio = statistics.median(theirs) / statistics.median(ours)
    spread = [min(theirs) / max(ours), max(theirs) / min(ours)]
    verdict = "reached" if ratio >= given.target else "missed"
    print(
        f"{given.name}: {statistics.median(ours):.3f} s against {statistics.median(theirs):.3f} s, "
        f"{ratio:.1f} times (from {spread[0]:.1f} to {spread[1]:.1f}); at least {given.target:g}: {verdict}"
    )
    return {"name": given.name, "ours": ours, "theirs": theirs, "ratio": ratio, "target": given.target}


def main() -> None:
    """Run the contests and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--only", choices=CONTESTS, action="append")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if peers := os.environ.get("EVALKIT_PEERS"):
        sys.path.append(peers)
    if "perplexity" in (given.only or CONTESTS) or "squad" in (given.only or CONTESTS):
        import torch

        torch.set_num_threads(1)
    rows = [contest(CONTESTS[name](), given.repeats) for name in given.only or CONTESTS]
    if given.json:
        given.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
