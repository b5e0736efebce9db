"""The logistic probe on frozen features: what it is fitted to, and how its strength is chosen."""

import numpy as np
import pytest
from scipy.special import expit, softmax

from facelime_cli.training.probing import Features, fit_probe

N, F = 240, 12


@pytest.fixture(scope="module")
def drawn():
    """Return features that tell three classes apart, on scales that differ by thousands; four pictures per group."""
    generator = np.random.Generator(np.random.Philox(3))
    labels = np.repeat(generator.integers(0, 3, N // 4), 4)
    values = generator.normal(size=(N, F))
    values[np.arange(N), labels] += 3
    scales = np.geomspace(0.01, 100, F)
    return Features((values * scales + 5).astype(np.float32), labels, np.repeat(np.arange(N // 4), 4), 3)


def test_the_probe_tells_classes_apart(drawn):
    probe = fit_probe(drawn)
    answers = softmax(probe.logits(drawn.values), axis=1)
    assert (answers.argmax(axis=1) == drawn.labels).mean() > 0.9
    assert probe.coef.shape == (F, 3)
    assert probe.coef.dtype == probe.bias.dtype == np.float32
    assert 0 < probe.log_loss < np.log(3)


def test_two_classes_are_those_of_scikit_learn(drawn):
    from sklearn.linear_model import LogisticRegression

    two = drawn.labels < 2
    features = Features(drawn.values[two], drawn.labels[two], drawn.groups[two], 2)
    probe = fit_probe(features, strengths=[0.1])
    standard = (features.values - features.values.mean(axis=0)) / features.values.std(axis=0)
    expected = LogisticRegression(C=0.1, tol=1e-6).fit(standard, features.labels).predict_proba(standard)
    assert softmax(probe.logits(features.values), axis=1) == pytest.approx(expected, abs=2e-3)
    assert np.isnan(probe.log_loss)  # nothing was held out


def test_the_strength_is_chosen_on_groups_that_were_held_out():
    """The features know every group by heart. Held out picture by picture, that would look like knowledge."""
    generator = np.random.Generator(np.random.Philox(4))
    groups = np.repeat(np.arange(40), 6)
    labels = generator.integers(0, 2, 40)[groups]
    values = np.eye(40, dtype=np.float32)[groups] + generator.normal(scale=0.01, size=(240, 40)).astype(np.float32)
    by_group = fit_probe(Features(values, labels, groups, 2))
    by_picture = fit_probe(Features(values, labels, np.arange(240), 2))
    assert by_group.strength[0] <= 0.01
    assert by_group.log_loss > 0.6
    assert by_picture.strength[0] > 0.1
    assert by_picture.log_loss < 0.1


def test_weights_count(drawn):
    plain, weighted = fit_probe(drawn), fit_probe(drawn, {0: 20.0, 1: 1.0, 2: 1.0})
    told = [(probe.logits(drawn.values).argmax(axis=1) == 0).sum() for probe in (plain, weighted)]
    assert told[1] > told[0]


def test_findings_have_a_regression_each(drawn):
    present = (drawn.labels[:, None] == [0, 1]).astype(np.int64)
    labels = np.column_stack([present, np.ones(N, np.int64)])
    labels[::5, 0] = -1  # unknown
    probe = fit_probe(Features(drawn.values, labels, drawn.groups, 3))
    answers = expit(probe.logits(drawn.values))
    assert ((answers[:, :2] > 0.5) == present).mean() > 0.9
    assert len(probe.strength) == 3
    assert np.all(probe.coef[:, 2] == 0)  # of the third finding nothing can be learned
    assert np.all(answers[:, 2] > 0.99)


def test_a_class_without_a_picture_is_hardly_ever_answered(drawn):
    probe = fit_probe(Features(drawn.values, drawn.labels, drawn.groups, 4))
    assert softmax(probe.logits(drawn.values), axis=1)[:, 3].max() < 0.05


@pytest.mark.parametrize("n_groups", [1, 2, 3])
def test_few_groups(drawn, n_groups):
    probe = fit_probe(Features(drawn.values, drawn.labels, np.arange(N) % n_groups, 3))
    assert np.isfinite(probe.coef).all()
    assert np.isnan(probe.log_loss) == (n_groups == 1)


def test_one_class_alone(drawn):
    probe = fit_probe(Features(drawn.values, np.zeros(N, np.int64), drawn.groups, 2))
    assert probe.logits(drawn.values).argmax(axis=1).tolist() == [0] * N
