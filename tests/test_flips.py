"""One changed bit in any file of a store that every stage has written: it is named, and mended where it can be."""

import random

import numpy as np
import pytest

from facelime_cli.errors import FacelimeError
from facelime_cli.store.arrays import METADATA
from facelime_cli.store.references import Store
from facelime_cli.store.verifying import faults
from tests.store.test_flips import flip
from tests.support import words_of

pytestmark = pytest.mark.long
FLIPS = 6
"""Bits of each file."""
METADATA_FLIPS = 25
"""Bits of each file of zarr's own, which no checksum of its own protects."""
IN_NO_DIGEST = {"logs", "kept", "names"}
"""Folders of what can be made again, or says nothing about the content."""


@pytest.fixture(scope="module")
def store(chain, tmp_path_factory):
    run = chain.copy(tmp_path_factory.mktemp("flips") / "store")
    return Store(run.store)


def digested_files(artifact):
    """Return every file of an artifact that a digest covers."""
    for path in sorted(artifact.path.rglob("*")):
        if path.is_file() and path.relative_to(artifact.path).parts[0] not in IN_NO_DIGEST:
            yield path


def values_of(artifact):
    """Return every array of an artifact that can be read."""
    found = {}
    for name in artifact.arrays:
        try:
            found[name] = artifact.read(name)
        except FacelimeError:
            continue
    return found


def test_every_flipped_bit_is_named(store):
    chance, tried = random.Random(15), 0
    for artifact in store.artifacts():
        for path in digested_files(artifact):
            kept = path.read_bytes()
            flips = METADATA_FLIPS if path.name == METADATA else FLIPS
            for number in (chance.randrange(8 * len(kept)) for _ in range(flips if kept else 0)):
                flip(path, number)
                found = faults(store.stored(artifact.kind, artifact.id))
                assert found, (artifact.reference, path.name, number)
                assert {fault.artifact for fault in found} == {artifact.reference}
                path.write_bytes(kept)
                tried += 1
        assert faults(store.stored(artifact.kind, artifact.id)) == []
    assert tried > 1000


def test_no_flipped_bit_of_an_array_gives_another_value(store):
    chance = random.Random(16)
    for artifact in store.artifacts():
        if not artifact.arrays:
            continue
        before = values_of(artifact)
        assert set(before) == set(artifact.arrays)
        for path in sorted((artifact.path / "arrays.zarr").rglob("*")):
            if not path.is_file():
                continue
            kept = path.read_bytes()
            for number in (chance.randrange(8 * len(kept)) for _ in range(FLIPS)):
                flip(path, number)
                for name, values in values_of(store.stored(artifact.kind, artifact.id)).items():
                    assert np.array_equal(values, before[name], equal_nan=values.dtype.kind == "f"), (path, number)
                path.write_bytes(kept)


@pytest.mark.parametrize("stage", ["segment", "perturb", "predict", "fit-surrogate", "consensus", "check", "render"])
def test_what_is_broken_is_mended_by_repair_and_the_same_command(chain, faces, tmp_path, stage):
    run = chain.copy(tmp_path / "store")
    store = Store(run.store)
    sound = store.stored(chain[stage].kind, chain[stage].id)
    before, chance = sound.content, random.Random(17)
    made_by_units = [*sound.path.glob("arrays.zarr/*/c.0*"), *sound.path.glob("*.html"), *sound.path.rglob(METADATA)]
    known = [f"arrays.zarr/{name}" for name in sound.arrays if "digest" in sound.layout["arrays"][name]]
    broken = [path for path in made_by_units if not any(f"{each}/c." in str(path) for each in known)]
    for path in chance.sample(broken, min(6, len(broken))):
        flip(path, chance.randrange(8 * path.stat().st_size))
        assert run("verify", sound.reference).exit_code == 1
        run.json("repair", sound.reference)
        made = run.artifact(*words_of(stage, chain, faces))
        assert (made.id, made.content) == (sound.id, before)
        assert faults(store.stored(sound.kind, sound.id)) == []
