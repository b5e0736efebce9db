"""Bounds at 100,000 pictures, on drawn records. Times are the processor's: others may work on this machine too."""

import time
from pathlib import Path

import pytest

from facelime_cli.machine import peak_memory
from facelime_cli.store.artifacts import Artifact
from tests.drawn_store import draw, without_waiting

pytestmark = pytest.mark.long

UNIT_BYTES = 200
MISSING_SECONDS, SEAL_SECONDS = 2, 60
MOST_MB = 1000


def peak_memory_from_now():
    """Forget what earlier tests of this process needed, and return what it has now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


@pytest.mark.parametrize("names", [["images"], ["masks", "fill"], ["a", "b", "c", "d", "e", "f"]], ids=len)
def test_an_artifact_of_a_hundred_thousand_pictures_stays_in_bounds(store, monkeypatch, names):
    before = peak_memory_from_now()
    with without_waiting(monkeypatch):
        drawn = draw(store, names)
        assert drawn.n_units == 3125
        asked, began = Artifact(store, drawn.path), time.process_time()
        assert asked.missing_shards(64) == [64]
        assert time.process_time() - began < MISSING_SECONDS
        began = time.process_time()
        with asked.sealing(print):
            assert asked.unrecorded() == []
            asked.seal({})
        assert time.process_time() - began < SEAL_SECONDS
    size = (drawn.path / "manifest.json").stat().st_size
    assert size / drawn.n_units / len(names) <= UNIT_BYTES
    assert (peak_memory() - before) / 1e6 < MOST_MB
    assert Artifact(store, drawn.path).require_complete().complete
