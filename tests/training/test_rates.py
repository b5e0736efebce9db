"""The learning-rate range test: what it suggests, that it learns at it, and that it leaves nothing behind."""

import math

import numpy as np
import pytest

from facelime_cli.errors import FacelimeError
from facelime_cli.models.backend import keras
from facelime_cli.models.running import Labelled
from facelime_cli.training import loop, rates
from facelime_cli.training.loop import Phase, Training

WORDS = ("finetune", "faces", "--backbone", "cnn-small", "--find-rate")


def phase_of(labels, values):
    keras().utils.set_random_seed(0)
    net = keras().Sequential([keras().Input((values.shape[1],)), keras().layers.Dense(2, activation="softmax")])
    part = Labelled(lambda rows: values[rows], np.arange(len(labels)), labels)
    return Phase(net, part, Labelled(part.read, part.rows[:0], labels[:0]), 1, 1e-3)


@pytest.mark.long
def test_the_suggestion_is_where_the_loss_falls_fastest(rng):
    labels = np.arange(200) % 2
    values = (rng.normal(size=(200, 4)) + 2 * labels[:, None]).astype(np.float32)
    counted = []
    found = rates.range_test(phase_of(labels, values), Training(16, 0), counted.append)
    assert len(found.rates) == len(found.losses) == len(counted)
    assert 1e-4 < found.suggestion < 1
    # Steps at that rate learn; at the lowest rate they do not.
    ends = {}
    for rate in (rates.LOWEST, found.suggestion):
        ends[rate] = list(loop.losses_at(phase_of(labels, values), Training(16, 0), [rate] * 60))[-10:]
    assert np.mean(ends[found.suggestion]) < 0.7 * np.mean(ends[rates.LOWEST])


@pytest.mark.long
def test_it_ends_where_training_diverges_and_not_before(rng):
    """Labels that are noise: nothing can be learned, and high rates only spoil."""
    values = 100 * rng.normal(size=(64, 4)).astype(np.float32)
    labels = rng.integers(0, 2, 64)
    found = rates.range_test(phase_of(labels, values), Training(16, 0, "sgd"), lambda _: None)
    assert all(map(math.isfinite, found.losses))


def test_the_fall_is_measured_over_several_steps():
    """One lucky batch is no fall."""
    losses = [1.0] * 20 + [0.8] * 20 + [0.3] * 20 + [5.0] * 20
    losses[10] = 0.1
    assert rates.suggested(list(range(80)), losses) == 40


@pytest.mark.parametrize("losses", [[1.0], [1.0] * 40, [0.5 + 0.1 * place for place in range(40)]])
def test_a_loss_that_never_falls_is_a_sentence(losses):
    with pytest.raises(FacelimeError, match="falls at no learning rate"):
        rates.suggested([10.0**place for place in range(len(losses))], losses)


@pytest.mark.long
def test_the_command_prints_a_rate_and_a_curve_and_writes_nothing(chain):
    run = chain.facelime
    before = set(run.store.rglob("*"))
    result = run(*WORDS)
    assert result.exit_code == 0, result.stderr
    assert rates.LOWEST < float(result.stdout) < rates.HIGHEST
    assert "loss by learning rate" in result.stderr
    assert f"begin with --learning-rate {result.stdout.strip()}" in result.stderr
    assert set(run.store.rglob("*")) == before
    value = run.json(*WORDS)
    assert f"{value['learning_rate']:.2g}" == result.stdout.strip()
    assert len(value["rates"]) == len(value["losses"])


@pytest.mark.long
def test_with_frozen_features_and_with_class_weights(chain):
    words = ["--freeze", "all", "--class-weights", "balanced", "--batch-size", 8]
    assert chain.facelime(*WORDS, *words).exit_code == 0
