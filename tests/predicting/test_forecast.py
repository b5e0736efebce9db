"""How long predicting would take: what `predict --dry-run` answers."""

import numpy as np
import pytest

from facelime_cli.store.references import Store


def test_a_forecast_says_how_long_and_writes_nothing(many):
    many.json("perturb", "parts", "--samples", 12, "--seed", 9, "--name", "forecast")
    before = sorted(many.store.rglob("*"))
    told = many.json("predict", "forecast", "--model", "small", "--dry-run", "--shard", "1/2")
    assert sorted(many.store.rglob("*")) == before
    masks = Store(many.store).resolve("forecast", ("masks",))
    different = [len(np.unique(each, axis=0)) for each in masks.read("masks")]
    assert told["evaluations"] + told["taken_over"] == sum(different)
    assert [
        each["evaluations"] <= sum(part)
        for each, part in zip(told["shards"], (different[:32], different[32:]), strict=True)
    ] == [True, True]
    assert sum(each["evaluations"] for each in told["shards"]) == told["evaluations"]
    assert told["bytes"] == 40 * 12 * 2 * 4
    assert told["evaluations_per_second"] > 0
    assert told["seconds"] == pytest.approx(sum(each["seconds"] for each in told["shards"]))
    shown = many("predict", "forecast", "--model", "small", "--dry-run", "--shard", "1/2").stdout
    assert "1/2" in shown
    assert "2/2" in shown


def test_a_forecast_counts_what_is_done_and_what_could_be_reused(many):
    many.json("perturb", "parts", "--samples", 12, "--seed", 10, "--name", "short")
    many.json("perturb", "parts", "--samples", 20, "--seed", 10, "--name", "long")
    done = many.artifact("predict", "short", "--model", "small")
    told = many.json("predict", "long", "--model", "small", "--dry-run")
    assert told["taken_over"] == done.facts["evaluations"] + done.facts["taken_over"]
    longer = many.artifact("predict", "long", "--model", "small")
    assert told["evaluations"] == longer.facts["evaluations"]
    nothing = many.json("predict", "long", "--model", "small", "--dry-run")
    assert (nothing["evaluations"], nothing["seconds"], nothing["bytes"]) == (0, 0, 0)
