"""Predict: shards, time budgets, and options that cannot be."""

import shutil
import time

import numpy as np
import pytest

from tests.opening import counted
from tests.support import Facelime, predictions


def test_a_shard_does_its_units_and_says_so(many):
    many.json("perturb", "parts", "--samples", 10, "--seed", 3, "--name", "partly")
    words = ["predict", "partly", "--model", "small"]
    first = many.json(*words, "--shard", "1/2")
    assert (first["complete"], first["units_done"], first["units"]) == (False, 1, 2)
    assert many(*words, "--missing", 2).stdout == "2\n"
    values = predictions(many, first["artifact"]).read("probabilities")
    assert not np.isnan(values[:32]).any()
    assert np.isnan(values[32:]).all()
    assert "not complete (1 of 2 units done)" in many.fails("fit-surrogate", first["artifact"])
    assert many.json(*words, "--shard", "2/2")["complete"]


@pytest.mark.long
def test_a_time_budget_stops_with_75_and_the_same_command_resumes(many, start):
    many.json("perturb", "parts", "--samples", 4000, "--seed", 4, "--name", "budget")
    words = ["predict", "budget", "--model", "small", "--batch-size", 16]
    for budget in ("12s", "25s", "50s"):  # the first may be over before a slow machine has loaded the network
        done = start(*words, "--time-budget", budget, store=many.store)
        assert (done.returncode, done.stdout) == (75, ""), done.stderr
        assert "the same command resumes" in done.stderr
        artifact = predictions(many, "budget-small")
        if any(True for _ in artifact.committed(0)) or artifact.done():
            return
    pytest.fail("nothing was kept")


def test_the_end_of_a_slurm_job_is_a_time_budget(many, monkeypatch):
    """Half a minute before its end a job stops by itself, without --time-budget; another job goes on."""
    many.json("perturb", "parts", "--samples", 20, "--seed", 5, "--name", "in-a-job")
    words = ["predict", "in-a-job", "--model", "small", "--batch-size", 16]
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 30))
    stopped = many(*words)
    assert (stopped.exit_code, stopped.stdout) == (75, ""), stopped.stderr
    assert "the time of the job" in stopped.stderr
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 3600))
    assert many.json(*words)["complete"] is True


@pytest.mark.parametrize("text", ["", "m", "-3s", "1w", "1m30s"])
def test_wrong_time_spans(chain, text):
    chain.facelime.fails("predict", chain["perturb"].id, "--model", "small", "--time-budget", text, code=2)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "²"])
def test_what_is_no_batch_size(chain, text):
    assert "--batch-size" in chain.facelime.fails(
        "predict", chain["perturb"].id, "--model", "small", "--batch-size", text, code=2
    )


def test_what_predict_asks_of_the_store(many, tmp_path, monkeypatch):
    """A budget of opens: at first it was 40 a picture, which is what breaks a shared file system first."""
    # Without what other tests have predicted, whose answers would be looked through.
    shutil.copytree(many.store, tmp_path / "store", ignore=shutil.ignore_patterns("predictions", "checks"))
    many, counts = Facelime(tmp_path / "store"), {}
    for seed, unit in ((41, 32), (42, 8)):
        many.json("perturb", "parts", "--samples", 10, "--seed", seed, "--fill", "mean", "--name", f"asks-{unit}")
        with counted(many.store, monkeypatch) as found:
            told = many.json("predict", f"asks-{unit}", "--model", "small", "--batch-size", 16, "--unit", unit)
        counts[told["units"]] = found
    two, five = counts[2], counts[5]
    assert two["opens"] <= 6 * 40
    assert two["stat"] <= 20 * 40
    assert (five["opens"] - two["opens"]) / 3 <= 40
    assert (five["fsync"] - two["fsync"]) / 3 <= 4
    assert (five["stat"] - two["stat"]) / 3 <= 80


def test_a_shard_that_is_done_asks_no_more_when_others_have_done_more(many, monkeypatch):
    counts = []
    for unit in (8, 2):
        words = ["perturb", "parts", "--samples", 10, "--seed", 43 + unit, "--fill", "mean", "--unit", unit]
        many.json(*words, "--shard", "1/5")
        many.json(*words, "--shard", "2/2")
        with counted(many.store, monkeypatch) as found:
            assert not many.json(*words, "--shard", "1/5")["complete"]
        counts.append(found)
    few, many_units = counts
    assert (few["records"], many_units["records"]) == (1, 4)
    assert many_units["opens"] - few["opens"] <= 3
    assert many_units["listings"] == few["listings"]
