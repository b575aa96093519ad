"""Language models of the standard library's documentation: a BPE tokenizer and GPT-2's architecture in two sizes."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from evalkit.demo import documentation
from evalkit.demo.training import MovingAverage, Trained, descend, source_of_chance
from registry.digests import file_digest

VOCABULARY = 1024
CONTEXT = 128
END = "<|endoftext|>"


@dataclass(frozen=True, slots=True)
class Size:
    """A model's size and training; `spread` is the standard deviation of initial weights."""

    layers: int
    width: int
    heads: int
    steps: int
    lr: float
    spread: float
    batch: int = 8


# Initial weights wider than GPT-2's 0.02, which is meant for widths of 768 and more: narrow layers stand still with it.
SMALL = Size(layers=1, width=32, heads=2, steps=450, lr=1e-2, spread=0.1)
LARGE = Size(layers=2, width=128, heads=4, steps=600, lr=6e-3, spread=0.06)


def split(seed: int, held_out: float = 0.15) -> dict[str, list[documentation.Entry]]:
    """Return docstrings for ``train`` and ``heldout``, split by module: no module is on both sides."""
    modules = sorted({entry.module for entry in documentation.entries()})
    documentation.chance("modules", seed).shuffle(modules)
    kept_back = set(modules[: round(held_out * len(modules))])
    parts: dict[str, list[documentation.Entry]] = {"train": [], "heldout": []}
    for entry in documentation.entries():
        parts["heldout" if entry.module in kept_back else "train"].append(entry)
    return parts


def write(folder: Path, seed: int, *, texts: int = 300, prompts: int = 100) -> dict[str, Path]:
    """Write the held-out texts (id, text, module), prompts to continue (id, prompt, module) and the card."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = documentation.chance("texts", seed)
    long_enough = [entry for entry in split(seed)["heldout"] if len(entry.text) >= 80]
    chosen = sorted(chance.sample(long_enough, min(texts, len(long_enough))), key=lambda entry: entry.name)
    asked = sorted(chance.sample(long_enough, min(prompts, len(long_enough))), key=lambda entry: entry.name)
    tables = {
        "heldout": pa.table(
            {
                "id": [entry.name for entry in chosen],
                "text": [entry.text for entry in chosen],
                "module": [entry.module for entry in chosen],
            }
        ),
        "prompts": pa.table(
            {
                "id": [entry.name for entry in asked],
                "prompt": [" ".join(entry.text.split()[:5]) for entry in asked],
                "module": [entry.module for entry in asked],
            }
        ),
    }
    files: dict[str, Path] = {}
    splits: dict[str, dict[str, str | int]] = {}
    for name, table in tables.items():
        files[name] = folder / f"documentation-{name}.parquet"
        pq.write_table(table, files[name], compression="zstd")
        splits[name] = {"file": files[name].name, "rows": table.num_rows, "digest": file_digest(files[name])}
    card = {
        "name": "stdlib-documentation",
        "licence": documentation.LICENCE,
        "source": documentation.SOURCE,
        "labels": {},
        "seed": seed,
        "splits": splits,
    }
    (folder / "documentation.card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return files


def compressed_bits_per_byte(seed: int) -> float:
    """What DEFLATE needs for a held-out text when the training text stands before it, in bits per byte.

    A baseline that knows repetition but no language; a language model that needs more has learnt nothing.
    """
    parts = split(seed)
    before = "\n".join(entry.text for entry in parts["train"]).encode()[-32_768:]
    bits = size = 0
    for entry in parts["heldout"]:
        text = entry.text.encode()
        packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, before)
        bits += 8 * len(packer.compress(text) + packer.flush())
        size += len(text)
    return bits / size


def train_tokenizer(texts: list[str]) -> Any:
    """Train a byte-level BPE tokenizer (Sennrich et al., 2016) and wrap it for transformers."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(texts, vocab_size=VOCABULARY, special_tokens=[END], show_progress=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def train_model(folder: Path, *, seed: int, name: str, size: Size) -> Trained:
    """Train on the documentation and save model (safetensors) and tokenizer under `folder`."""
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    texts = [entry.text for entry in split(seed)["train"]]
    tokenizer = train_tokenizer(texts)
    end = tokenizer.eos_token_id
    encoded = tokenizer(texts, verbose=False)["input_ids"]  # longer than the context: windows are cut from them
    stream = torch.tensor([token for text in encoded for token in (end, *text)])
    chance = source_of_chance(seed, name)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT,
        n_embd=size.width,
        n_layer=size.layers,
        n_head=size.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=size.spread,
        bos_token_id=end,
        eos_token_id=end,
    )
    network = GPT2LMHeadModel(config)
    trained = Trained(name, network, 0, asdict(size))
    optimiser = torch.optim.AdamW(network.parameters(), lr=size.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    warm = max(1, size.steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, 1.02 - step / size.steps)
    )
    average = MovingAverage(network, decay=0.97)
    for step in range(size.steps):
        window = _windows(stream, size.batch, chance)
        value = descend(optimiser, network(input_ids=window, labels=window).loss)
        schedule.step()
        average.update(network)
        if trained.is_due(step, size.steps):
            trained.record(step, loss=value)
    average.apply(network)
    network.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    trained.results["parameters"] = float(network.num_parameters())
    return trained


def _windows(stream: Tensor, count: int, chance: torch.Generator) -> Tensor:
    starts = torch.randint(0, len(stream) - CONTEXT, (count, 1), generator=chance)
    return stream[starts + torch.arange(CONTEXT)]
