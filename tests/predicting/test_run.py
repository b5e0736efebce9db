"""What a run works with: equal masks computed once, batches that fit, one compiled call."""

import numpy as np
import pytest

from facelime_cli.models import backend, running, wrapping
from tests.support import predictions


def test_equal_masks_are_computed_once(chain):
    run = chain.facelime
    few = run.artifact("segment", "faces", "--first", 2, "--method", "slic", "--segments", 4)
    masks = run.artifact("perturb", few.id, "--samples", 300)
    predicted = run.artifact("predict", masks.id, "--model", "small", "--batch-size", 16)
    packed, values = masks.read("masks"), predicted.read("probabilities")
    different = sum(len(np.unique(each, axis=0)) for each in packed)
    assert predicted.facts["evaluations"] == different < 80
    assert not np.isnan(values).any()
    for picture in range(2):
        for mask in np.unique(packed[picture], axis=0):
            same = values[picture][(packed[picture] == mask).all(axis=1)]
            assert (same == same[0]).all()
    images = chain["preprocess"].read("images", [int(row) for row in few.read("row")]).astype(np.float32)
    whole = backend.keras().ops.convert_to_numpy(wrapping.load(chain["finetune"].file("model.keras"))(images))
    assert np.abs(values[:, 0] - whole).max() < 1e-5


def test_across_batch_sizes_they_agree(chain):
    run = chain.facelime
    found = []
    for number, batch in enumerate((1, 7, 64)):
        other = run.artifact("perturb", chain["segment"].id, "--samples", 90 + number, "--name", f"batch{batch}")
        found.append(
            run.artifact("predict", other.id, "--model", "small", "--batch-size", batch).read("probabilities")[:, :90]
        )
    assert max(np.abs(each - chain["predict"].read("probabilities")).max() for each in found) < 1e-5


def test_one_trace_serves_units_of_any_size(many, monkeypatch):
    """Two units, the second of eight pictures, and a last batch that is not full: composition is traced once."""
    traced = []
    composer = running.composer

    def counting(size):
        compose = composer(size)

        def counted(*arrays):
            traced.append(arrays)
            return compose(*arrays)

        return counted

    monkeypatch.setattr(running, "composer", counting)
    many.json("perturb", "parts", "--samples", 9, "--seed", 5, "--name", "traced")
    assert many.artifact("predict", "traced", "--model", "small").n_units == 2
    assert len(traced) == 1


@pytest.fixture
def small_memory(monkeypatch):
    """A device on which a batch of more than ten does not fit."""
    compiled = running.compiled

    def limit(net):
        call = compiled(net)

        def limited(packed, *arrays):
            if len(packed) > 10:
                raise backend.DeviceMemoryError
            return call(packed, *arrays)

        return limited

    monkeypatch.setattr(running, "compiled", limit)


@pytest.mark.usefixtures("small_memory")
def test_out_of_memory_halves_the_batch_and_says_so(many):
    many.json("perturb", "parts", "--samples", 6, "--seed", 6, "--name", "tight")
    result = many("predict", "tight", "--model", "small", "--batch-size", 32)
    assert result.exit_code == 0
    assert "a batch of 32 did not fit into memory; batches of 16 are used now" in result.stderr
    assert "a batch of 16 did not fit into memory; batches of 8 are used now" in result.stderr
    found = predictions(many, "tight-small")
    assert [unit["facts"]["batch_size"] for unit in found.manifest["units"]] == [8, 8]
    assert not np.isnan(found.read("probabilities")).any()


@pytest.mark.usefixtures("small_memory")
def test_out_of_memory_while_precisions_are_compared(many):
    many.json("perturb", "parts", "--samples", 6, "--seed", 16, "--name", "close")
    told = many.json("predict", "close", "--model", "small", "--precision", "bfloat16", "--tolerance", 0.1, "--dry-run")
    assert told["batch_size"] == 8
    found = many.artifact("predict", "close", "--model", "small", "--precision", "bfloat16", "--tolerance", 0.1)
    assert [unit["facts"]["batch_size"] for unit in found.manifest["units"]] == [8, 8]


def test_auto_is_measured_once_and_kept_in_the_layout(many):
    for seed in (7, 8):
        many.json("perturb", "parts", "--samples", 6, "--seed", seed, "--name", f"auto{seed}")
    first = many("predict", "auto7", "--model", "small", "--batch-size", "auto")
    second = many("predict", "auto8", "--model", "small", "--batch-size", "auto")
    assert "evaluations/s by batch size: 8: " in first.stderr
    assert "by batch size" not in second.stderr
    sizes = [predictions(many, f"auto{seed}-small").layout["execution"]["batch_size"] for seed in (7, 8)]
    assert sizes[0] == sizes[1]
    assert sizes[0] in {8, 16, 32, 64}
    assert many.json("verify", "auto7-small")["faults"] == []
