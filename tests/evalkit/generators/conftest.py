"""Tiny real models for the generators' tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder with 16 latents and 8 x 8 images in [-1, 1], saved by torch.export with any batch size."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 192))

        def forward(self, latents: torch.Tensor) -> torch.Tensor:
            return torch.tanh(self.layers(latents)).view(-1, 3, 8, 8)

    path = tmp_path_factory.mktemp("model") / "decoder.pt2"
    dynamic = ({0: torch.export.Dim("n", min=1, max=4096)},)
    torch.export.save(torch.export.export(Decoder().eval(), (torch.zeros(2, 16),), dynamic_shapes=dynamic), path)
    return path


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of one layer over letters, saved as safetensors with its tokenizer."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    torch.set_num_threads(1)
    torch.manual_seed(0)
    letters = ["<end>", *"abcdefghijklmnopqrstuvwxyz ", "?"]
    inner = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate(letters)}, unk_token="?"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", bos_token="<end>", unk_token="?")
    config = GPT2Config(
        vocab_size=len(letters), n_positions=32, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    folder = tmp_path_factory.mktemp("lm")
    model = GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
