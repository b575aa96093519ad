"""A .pt2 file must not run code: each attack below works on torch.export.load itself."""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from evalkit.exported import check_exported, load_exported
from evalkit.generators.base import GenerationFailed
from evalkit.generators.catalogue import create
from metrics.errors import InputError


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.path), "w")


def rewrite(source: Path, target: Path, change: Callable[[str, bytes], bytes], extra: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        root = old.namelist()[0].partition("/")[0]
        for info in old.infolist():
            new.writestr(info.filename, change(info.filename.partition("/")[2], old.read(info)))
        for name, data in extra.items():
            new.writestr(f"{root}/{name}", data)
    return target


def keep(_: str, data: bytes) -> bytes:
    return data


def test_honest_model_loads_with_its_input_shape(exported: Path) -> None:
    loaded = load_exported(exported)
    assert loaded.input_shape == (16,) and loaded.fixed_batch is None
    assert loaded.module(torch.zeros(5, 16)).shape == (5, 3, 8, 8)


def test_pickled_example_inputs_run_in_torch_but_are_refused_here(exported: Path, tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    torch.save(((Touch(mark),), {}), tmp_path / "inputs.pt")
    payload = (tmp_path / "inputs.pt").read_bytes()
    evil = rewrite(exported, tmp_path / "evil.pt2", lambda n, d: payload if "sample_inputs" in n else d, {})
    with pytest.raises(InputError, match=r"pickled example inputs.*--trust-pickle"):
        load_exported(evil)
    assert not mark.exists()
    logging.disable()
    with contextlib.suppress(Exception):
        torch.export.load(evil)
    logging.disable(logging.NOTSET)
    assert mark.exists()  # the attack is real: the test would not notice a harmless one


def edit_model(change: Callable[[dict], None]) -> Callable[[str, bytes], bytes]:
    def apply(name: str, data: bytes) -> bytes:
        if not name.startswith("models/"):
            return data
        content = json.loads(data)
        change(content)
        return json.dumps(content).encode()

    return apply


def set_target(content: dict) -> None:
    content["graph_module"]["graph"]["nodes"][0]["target"] = "torch.hub.load"


def set_shape(content: dict) -> None:
    text = json.dumps(content)
    start = text.index('"expr_str": "') + len('"expr_str": "')
    end = text.index('"', start)
    changed = json.loads(text[:start] + "__import__('os').system('true')" + text[end:])
    content.clear()
    content.update(changed)


@pytest.mark.parametrize(
    ("change", "extra", "message"),
    [
        (edit_model(set_target), {}, "torch.hub.load"),
        (edit_model(set_shape), {}, "__import__"),
        (keep, {"data/aotinductor/model/kernel.so": b"\x7fELF"}, "kernel.so"),
        (keep, {"data/constants/opaque_obj_0": pickle.dumps(1)}, "opaque_obj_0"),
        (
            lambda n, d: d.replace(b'"use_pickle": false', b'"use_pickle": true').replace(
                b'"use_pickle":false', b'"use_pickle":true'
            ),
            {},
            "pickled tensor",
        ),
    ],
)
def test_what_could_run_code_is_refused(
    exported: Path, tmp_path: Path, change: Callable[[str, bytes], bytes], extra: dict[str, bytes], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_exported(rewrite(exported, tmp_path / "evil.pt2", change, extra))


def test_old_format_and_rubbish_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
        archive.writestr("serialized_state_dict.pt", b"")
    (tmp_path / "rubbish.pt2").write_bytes(b"not a zip")
    with zipfile.ZipFile(tmp_path / "empty.pt2", "w"):
        pass
    for name in ("old", "rubbish"):
        with pytest.raises(InputError):
            load_exported(tmp_path / f"{name}.pt2")
    with pytest.raises(GenerationFailed, match="not a usable"):
        load_exported(tmp_path / "empty.pt2")


def test_pickled_module_needs_trust(tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    torch.save(Touch(mark), tmp_path / "model.pth")
    with pytest.raises(InputError, match="--trust-pickle"):
        create({"adapter": "torch", "path": str(tmp_path / "model.pth")})
    assert not mark.exists()


def test_fixed_batch_is_filled_up(tmp_path: Path) -> None:
    from evalkit.generators.seeds import unconditional_requests

    class Decoder(torch.nn.Module):
        def forward(self, latents: torch.Tensor) -> torch.Tensor:
            return torch.tanh(latents).view(-1, 1, 2, 2)

    torch.export.save(torch.export.export(Decoder(), (torch.zeros(8, 4),)), tmp_path / "fixed.pt2")
    generator = create({"adapter": "torch", "path": str(tmp_path / "fixed.pt2"), "settings": {"range": "signed"}})
    made = generator.generate(unconditional_requests(0, 0, 11), {})
    assert len(made) == 11 and all(g.image is not None for g in made)
