"""Networks that answer as one: the mean, and beside it what each says; in other precisions and sizes too."""

import numpy as np
import pytest

from facelime_cli.core.members import apart
from facelime_cli.errors import BrokenError, FacelimeError
from facelime_cli.models import building, ensembles, features, running, wrapping
from facelime_cli.models.backend import keras
from facelime_cli.models.building import Architecture

SIZE = 16


@pytest.fixture(scope="module")
def members():
    return [building.build(Architecture("cnn-small", SIZE, 3, pooling="max", seed=seed)).whole for seed in (0, 1)]


@pytest.fixture(scope="module")
def mean(members, tmp_path_factory):
    """The mean as it comes from its file."""
    path = tmp_path_factory.mktemp("mean") / "model.keras"
    wrapping.save(ensembles.averaging(members), path)
    return wrapping.load(path)


@pytest.fixture
def pictures(rng):
    return rng.integers(0, 256, (4, SIZE, SIZE, 3)).astype(np.float32)


def test_it_answers_with_the_mean_and_behind_that_with_the_members(members, mean, pictures):
    each = np.stack([running.answers_of(one, pictures) for one in members], axis=1)
    assert running.answers_of(mean, pictures) == pytest.approx(each.mean(axis=1), abs=1e-6)
    spoken = running.answers_of(ensembles.speaking(mean, 2, "it"), pictures)
    assert spoken.shape == (4, 3 * (1 + 2))
    assert spoken[:, :3] == pytest.approx(each.mean(axis=1), abs=1e-6)
    assert apart(spoken, 2) == pytest.approx(each, abs=1e-6)
    assert np.ptp(each, axis=1).max() > 1e-3  # the members differ, so that the test can fail


def test_members_are_found_in_it(members, mean, pictures):
    for found, one in zip(ensembles.members_of(mean, 2, "it"), members, strict=True):
        assert running.answers_of(found, pictures) == pytest.approx(running.answers_of(one, pictures), abs=1e-6)
    with pytest.raises(BrokenError, match="mean of 3 networks"):
        ensembles.members_of(mean, 3, "it")
    with pytest.raises(BrokenError, match="it does not hold"):
        ensembles.speaking(members[0], 2, "it")


def test_its_features_are_those_of_the_first_member(members, mean, pictures):
    of_first, of_second = (running.answers_of(features.network_of(one, "it"), pictures) for one in members)
    smaller = wrapping.resized(ensembles.speaking(mean, 2, "it"), (8, 12))
    for network in (mean, ensembles.speaking(mean, 2, "it")):
        found = running.answers_of(features.network_of(network, "it"), pictures)
        assert found == pytest.approx(of_first, abs=1e-6)
        assert np.abs(found - of_second).max() > 1e-3
    looking = features.network_of(smaller, "it")
    assert running.answers_of(looking, pictures[:, :8, :12]).shape == of_first.shape


def test_the_mean_has_32_bits_in_every_precision(mean, pictures):
    other = wrapping.in_precision(mean, "bfloat16")
    assert other.layers[-1].compute_dtype == "float32"
    assert running.answers_of(other, pictures) == pytest.approx(running.answers_of(mean, pictures), abs=0.02)
    smaller = wrapping.resized(ensembles.speaking(other, 2, "it"), (8, 12))
    assert running.answers_of(smaller, pictures[:, :8, :12]).shape == (4, 9)


def test_networks_of_several_outputs_have_no_mean(members):
    k, one = keras(), members[0]
    both = k.Model(one.inputs[0], {"class": one.outputs[0], "subtype": one.outputs[0] * 1.0})
    with pytest.raises(FacelimeError, match="2 outputs each"):
        ensembles.averaging([both, both])
