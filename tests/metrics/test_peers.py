"""The fixture `peer` and the stand-in for torchvision."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

FAKE = "import torchvision\nfrom torchvision.models import inception\n\nclass Net(inception.Block):\n    pass\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("EVALKIT_PEERS", str(tmp_path))
    return tmp_path


def test_without_the_folder_a_parity_test_skips_unless_peers_are_required(folder, monkeypatch, peer):
    monkeypatch.setenv("EVALKIT_PEERS", str(folder / "none"))
    monkeypatch.delenv("EVALKIT_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"run `python tests/peers\.py`"):
        peer("prdc")
    monkeypatch.setenv("EVALKIT_REQUIRE", "data,peers")
    with pytest.raises(pytest.fail.Exception, match="no peers in"):
        peer("prdc")


def test_a_peer_that_does_not_import_says_so(folder, peer, monkeypatch):
    monkeypatch.delenv("EVALKIT_REQUIRE", raising=False)
    (folder / "broken_peer.py").write_text("import no_such_library")
    with pytest.raises(pytest.skip.Exception, match="no_such_library"):
        peer("broken_peer")


def test_peers_that_name_torchvision_import_without_it_and_leave_no_trace(folder, peer):
    pytest.importorskip("torch")
    (folder / "fake_peer.py").write_text(FAKE)
    module: ModuleType = peer("fake_peer")
    assert not [name for name in sys.modules if name.startswith("torchvision")]
    with pytest.raises(Exception, match="placeholder"):
        module.Net()


def test_the_environment_comes_first(folder, peer, monkeypatch):
    (folder / "colorsys.py").write_text("raise AssertionError('the peers folder must not shadow the environment')")
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    assert hasattr(peer("colorsys"), "rgb_to_hsv")
    assert sys.path[-1] == str(folder)
