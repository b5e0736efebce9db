"""`predict` reuses what the store knows already: the bits are the same, and only what is new is computed."""

import shutil

import numpy as np
import pytest

from facelime_cli.models import running
from facelime_cli.store.references import Store
from tests.support import Facelime, breaking

pytestmark = pytest.mark.long  # several whole runs of the stages


FEW, MANY = 60, 200
BATCH = ["--batch-size", 16]


@pytest.fixture
def run(chain, segments, forty, tmp_path):
    """A store of its own that holds data, segments and the chain's network, and no predictions."""
    del segments, forty
    for kind in ("datasets", "models", "segments"):
        shutil.copytree(chain.facelime.store / kind, tmp_path / "store" / kind)
    return Facelime(tmp_path / "store")


@pytest.fixture(scope="module")
def segments(chain):
    return chain.facelime.artifact("segment", "faces", "--first", 3, "--method", "slic", "--segments", 40).id


@pytest.fixture(scope="module")
def forty(chain):
    """Segments of 40 pictures: two units."""
    return chain.facelime.artifact("segment", "faces", "--first", 40, "--method", "slic", "--segments", 40).id


def different(masks):
    """Return how many different masks each picture has."""
    return [
        len(np.unique(packed[:n], axis=0))
        for packed, n in zip(masks.read("masks"), masks.read("n_samples"), strict=True)
    ]


def predicted(run, *words, batch=16):
    masks = run.artifact("perturb", *words)
    return masks, run.artifact("predict", masks.id, "--model", "small", "--batch-size", batch)


def without_donor(run, *words):
    """Return the same predictions in a store that has no others."""
    alone = Facelime(run.store.parent / "alone")
    for kind in ("datasets", "models", "segments"):
        shutil.copytree(run.store / kind, alone.store / kind)
    return predicted(alone, *words)[1]


def same_as_without(run, found, *words):
    alone = without_donor(run, *words)
    assert alone.layout["fingerprint"] == found.layout["fingerprint"]
    assert alone.facts["taken_over"] == 0
    assert np.array_equal(alone.read("probabilities"), found.read("probabilities"))
    assert alone.content == found.content


def test_more_samples_cost_only_what_is_new(run, segments):
    first_masks, first = predicted(run, segments, "--samples", FEW)
    masks = run.artifact("perturb", segments, "--samples", MANY)
    assert np.array_equal(masks.read("masks")[:, :FEW], first_masks.read("masks"))
    result = run("predict", masks.id, "--model", "small", *BATCH)
    more = Store(run.store).stored("predictions", result.stdout.strip())
    known = sum(different(first_masks))
    assert (more.facts["taken_over"], more.facts["evaluations"]) == (known, sum(different(masks)) - known)
    assert more.facts["evaluations"] > 3 * (MANY - FEW) // 2
    assert f"{known} evaluations of the same pictures were reused from predictions/{first.id}" in result.stderr
    assert np.array_equal(more.read("probabilities")[:, :FEW], first.read("probabilities"))
    same_as_without(run, more, segments, "--samples", MANY)


def test_only_what_is_new_goes_through_the_network(run, segments, monkeypatch):
    """Counted where the pictures are composed and shown to the network, batch by batch."""
    _, first = predicted(run, segments, "--samples", FEW)
    calls, compiled = [], running.compiled

    def counted(net):
        call = compiled(net)
        return lambda packed, *arrays: calls.append(len(packed)) or call(packed, *arrays)

    monkeypatch.setattr(running, "compiled", counted)
    _, more = predicted(run, segments, "--samples", MANY)
    assert calls == [16] * -(-more.facts["evaluations"] // 16)
    assert first.facts["taken_over"] == 0


def test_fewer_samples_cost_nothing(run, segments):
    _, many = predicted(run, segments, "--samples", MANY)
    _, few = predicted(run, segments, "--samples", FEW)
    assert few.facts["evaluations"] == 0
    assert np.array_equal(few.read("probabilities"), many.read("probabilities")[:, :FEW])


def test_any_equal_mask_counts_not_only_a_prefix(run, segments):
    masks, _ = predicted(run, segments, "--samples", MANY, "--design", "bernoulli", "--probability", 0.5)
    words = (segments, "--samples", MANY, "--design", "paired")
    pairs, found = predicted(run, *words)
    shared = sum(
        len({each.tobytes() for each in a} & {each.tobytes() for each in b})
        for a, b in zip(masks.read("masks"), pairs.read("masks"), strict=True)
    )
    assert found.facts["taken_over"] == shared >= 3 * MANY // 2 - 20
    same_as_without(run, found, *words)


def test_several_donors_add_up(run, segments):
    predicted(run, segments, "--samples", MANY, "--design", "bernoulli", "--probability", 0.5)
    predicted(run, segments, "--samples", MANY, "--design", "balanced")
    masks, found = predicted(run, segments, "--samples", 2 * MANY, "--design", "paired")
    alone = sum(different(masks))
    assert MANY < found.facts["taken_over"] < alone
    assert found.facts["taken_over"] + found.facts["evaluations"] == alone


@pytest.mark.parametrize("other", ["batch", "fill", "model", "segments", "seed"])
def test_what_was_made_otherwise_is_not_taken(run, segments, other):
    words, batch = [segments, "--samples", FEW], 16
    if other == "batch":
        batch = 8
    if other == "fill":
        words += ["--fill", "black"]
    if other == "segments":
        words[0] = run.artifact(
            "segment", "faces", "--split", "test", "--first", 3, "--method", "slic", "--segments", 30
        ).id
    if other == "seed":
        words += ["--fill", "noise", "--seed", 5]
    masks = run.artifact("perturb", *words)
    if other == "model":
        run.json("finetune", "faces", "--backbone", "cnn-small", "--epochs", 1, "--seed", 4, "--name", "another")
    donor = run.artifact(
        "predict", masks.id, "--model", "another" if other == "model" else "small", "--batch-size", batch
    )
    assert donor.facts["evaluations"] > 0
    _, found = predicted(run, segments, "--samples", MANY, *(["--fill", "noise"] if other == "seed" else []))
    assert found.facts["taken_over"] == 0


def test_a_picture_whose_fill_differs_is_computed_again(run, segments):
    """Every byte of the fill counts, not the word that chose it."""
    _, _ = predicted(run, segments, "--samples", FEW, "--fill", "blur", "--fill-sigma", 4.8)
    _, same = predicted(run, segments, "--samples", MANY, "--fill", "blur")
    _, other = predicted(run, segments, "--samples", MANY, "--fill", "blur", "--fill-sigma", 4.0)
    assert same.facts["taken_over"] > FEW
    assert other.facts["taken_over"] == 0


def test_a_broken_or_removed_donor_is_no_donor(run, segments):
    masks, donor = predicted(run, segments, "--samples", FEW)
    for path in (donor.path / "arrays.zarr" / "probabilities").glob("c.*"):
        path.write_bytes(path.read_bytes()[:-9] + b"nonsense!")
    _, found = predicted(run, segments, "--samples", MANY)
    assert found.facts["taken_over"] == 0
    assert np.isfinite(found.read("probabilities")).all()
    shutil.rmtree(found.path)
    shutil.rmtree(masks.path)
    _, again = predicted(run, segments, "--samples", MANY + 1)
    assert again.facts["taken_over"] == 0


def test_the_finished_units_of_an_incomplete_artifact_count(run, forty):
    masks = run.artifact("perturb", forty, "--samples", 20)
    assert run.json("predict", masks.id, "--model", "small", *BATCH, "--shard", "1/2")["complete"] is False
    _, found = predicted(run, forty, "--samples", 30)
    taken = [unit["facts"]["taken_over"] for unit in found.manifest["units"]]
    assert taken == [sum(different(masks)[:32]), 0]
    same_as_without(run, found, forty, "--samples", 30)


def test_shards_reuse_each_its_own(run, forty):
    first, _ = predicted(run, forty, "--samples", 20)
    masks = run.artifact("perturb", forty, "--samples", 30)
    for shard in ("2/2", "1/2"):
        answer = run.json("predict", masks.id, "--model", "small", *BATCH, "--shard", shard)
    found = Store(run.store).stored("predictions", answer["artifact"])
    assert found.facts["taken_over"] == sum(different(first))
    same_as_without(run, found, forty, "--samples", 30)


def crash(run, monkeypatch, calls, *words):
    """Run a command whose network breaks down after some calls, each of which was committed."""
    with breaking(monkeypatch, calls, RuntimeError("the device is gone")):
        assert run(*words).exit_code == 1


def test_a_crash_in_the_middle_changes_no_bit(run, forty, monkeypatch):
    first, _ = predicted(run, forty, "--samples", 20)
    masks = run.artifact("perturb", forty, "--samples", 50)
    words = ["predict", masks.id, "--model", "small", *BATCH]
    crash(run, monkeypatch, 20, *words)
    found = run.artifact(*words)
    units = [unit["facts"] for unit in found.manifest["units"]]
    assert [unit["resumed_at"] for unit in units] == [20 * 16, 0]
    assert sum(unit["taken_over"] for unit in units) == sum(different(first))
    assert [len(unit["made_with"]) for unit in units] == [1, 1]
    same_as_without(run, found, forty, "--samples", 50)


def test_what_was_kept_before_the_donor_came_stays(run, forty, monkeypatch):
    """A run that crashed resumes after another one has finished that knows much of the rest."""
    masks = run.artifact("perturb", forty, "--samples", 50)
    words = ["predict", masks.id, "--model", "small", *BATCH]
    crash(run, monkeypatch, 20, *words)
    other, _ = predicted(run, forty, "--samples", 30)
    found = run.artifact(*words)
    assert found.manifest["units"][0]["facts"]["resumed_at"] == 20 * 16
    assert 0 < found.facts["taken_over"] < sum(different(other)) - 6 * 29
    same_as_without(run, found, forty, "--samples", 50)


def test_a_unit_that_was_made_with_two_batch_sizes_is_no_donor(run, forty, monkeypatch):
    masks = run.artifact("perturb", forty, "--samples", 30)
    words = ["predict", masks.id, "--model", "small", "--batch-size"]
    crash(run, monkeypatch, 10, *words, 8)
    mixed = run.artifact(*words, 24)
    assert [len(unit["facts"]["made_with"]) for unit in mixed.manifest["units"]] == [2, 1]
    _, found = predicted(run, forty, "--samples", 20, batch=24)
    assert [unit["facts"]["taken_over"] > 0 for unit in found.manifest["units"]] == [False, True]
