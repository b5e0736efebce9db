"""Several labels learned together: what is minimised, and what an unknown label changes."""

import numpy as np
import pytest

from facelime_cli.models import backend, building, running
from facelime_cli.models.building import Architecture
from facelime_cli.models.running import Labelled
from facelime_cli.training import loop, objectives
from facelime_cli.training.loop import Checkpoints, Phase, Training

KINDS = [("class", np.int64), ("subtype", np.int64)]
WIDTHS = {"class": 2, "subtype": 3}


def labels_of(*rows):
    return np.array(list(rows), KINDS)


@pytest.fixture
def answers(rng):
    """Probabilities of two classes and of three subtypes, one behind the other, for four pictures."""
    found = [rng.dirichlet(np.ones(width), 4) for width in WIDTHS.values()]
    return np.hstack(found).astype(np.float32)


def mean_loss(objective, labels, answers, *, weighted=False):
    targets = objective.targets(labels, weighted=weighted)
    return float(np.mean(objectives.crossentropy_of_labels(targets, answers, list(WIDTHS.values()))))


class TestSeveralLabels:
    labels = labels_of((0, 2), (1, -1), (-1, 0), (1, 1))

    def test_the_loss_is_the_sum_of_each_labels_own_mean(self, answers):
        """What is unknown of one label is no part of its mean."""
        backend.keras()
        own = -np.log([answers[0, 0], answers[1, 1], answers[3, 1]]).mean()
        further = -np.log([answers[0, 2 + 2], answers[2, 2 + 0], answers[3, 2 + 1]]).mean()
        found = mean_loss(objectives.SeveralLabels(WIDTHS, None), self.labels, answers)
        assert found == pytest.approx(own + further, rel=1e-5)

    def test_an_unknown_label_teaches_nothing(self, answers):
        backend.keras()
        other = answers.copy()
        other[1, 2:] = (0.98, 0.01, 0.01)
        objective = objectives.SeveralLabels(WIDTHS, None)
        before, after = (mean_loss(objective, self.labels, each) for each in (answers, other))
        assert before == after
        known = labels_of((0, 2), (1, 1), (-1, 0), (1, 1))
        assert mean_loss(objective, known, answers) != mean_loss(objective, known, other)

    def test_class_weights_are_each_labels_own_and_count_in_training_only(self, answers):
        backend.keras()
        weights = loop.balanced_class_weights(self.labels)
        assert weights == {"class": {0: 1.5, 1: 0.75}, "subtype": {0: 1.0, 1: 1.0, 2: 1.0}}
        objective = objectives.SeveralLabels(WIDTHS, weights)
        plain = mean_loss(objectives.SeveralLabels(WIDTHS, None), self.labels, answers)
        own = -np.log([answers[0, 0], answers[1, 1], answers[3, 1]])
        added = ((1.5, 0.75, 0.75) * own).mean() - own.mean()
        assert mean_loss(objective, self.labels, answers, weighted=True) == pytest.approx(plain + added, rel=1e-5)
        assert mean_loss(objective, self.labels, answers) == pytest.approx(plain, rel=1e-6)

    def test_smoothing_spreads_a_share_over_the_classes_of_each_label(self, answers):
        backend.keras()
        logs = np.log(answers)
        own = [0.9 * logs[i, c] + 0.1 * logs[i, :2].mean() for i, c in ((0, 0), (1, 1), (3, 1))]
        further = [0.9 * logs[i, 2 + c] + 0.1 * logs[i, 2:].mean() for i, c in ((0, 2), (2, 0), (3, 1))]
        objective = objectives.SeveralLabels(WIDTHS, None, 0.1)
        found = mean_loss(objective, self.labels, answers, weighted=True)
        assert found == pytest.approx(-np.mean(own) - np.mean(further), rel=1e-5)
        # Validation labels stay sure.
        plain = mean_loss(objectives.SeveralLabels(WIDTHS, None), self.labels, answers)
        assert mean_loss(objective, self.labels, answers) == pytest.approx(plain, rel=1e-6)

    def test_each_accuracy_is_over_the_pictures_whose_label_is_known(self):
        backend.keras()
        objective = objectives.SeveralLabels(WIDTHS, None)
        metrics = objective.compiled()["metrics"]
        assert [each.name for each in metrics] == ["accuracy", "subtype accuracy"]
        sure = np.array([[0.9, 0.1, 0.1, 0.2, 0.7], [0.9, 0.1, 0.1, 0.2, 0.7]] * 2, np.float32)
        targets = objective.targets(self.labels, weighted=False)
        for metric in metrics:
            metric.update_state(targets, sure)
        # The answers are class 0 and subtype 2; both are known of three pictures each.
        assert [float(each.result()) for each in metrics] == pytest.approx([1 / 3, 1 / 3])


@pytest.mark.long
def test_a_network_with_two_outputs_learns_both(rng, tmp_path):
    """Its halves have the same layers: what the joined one learns is in the named one."""
    labels = labels_of(*((i % 2, i % 3 if i % 4 else -1) for i in range(48)))
    colours = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]])
    pictures = colours[np.arange(48) % 3][:, None, None] + 50 * (np.arange(48) % 2)[:, None, None, None]
    pictures = (pictures + rng.integers(0, 5, (48, 16, 16, 3))).clip(0, 255).astype(np.uint8)
    part = Labelled(lambda rows: pictures[rows], np.arange(48), labels)
    built = building.build(Architecture("cnn-small", 16, 2, pooling="max", outputs=(("class", 2), ("subtype", 3))))
    how = Training(8, 0, widths=(2, 3))
    phases = [Phase(built.whole, part, part, 25, 1e-2)]
    history = loop.train(built.whole, phases, how, Checkpoints(tmp_path), lambda _: None, lambda _: None)
    assert history[-1]["val_loss"] < history[0]["val_loss"] / 2
    assert history[-1]["val_subtype accuracy"] > 0.9
    named = built.saved(pictures.astype(np.float32), training=False)
    joined = running.probabilities(built.whole, part, 16)
    assert list(built.saved.output) == ["class", "subtype"]
    assert np.hstack([np.asarray(named[name]) for name in WIDTHS]) == pytest.approx(joined, abs=1e-5)
    assert np.asarray(named["subtype"]).sum(axis=1) == pytest.approx(1, abs=1e-5)
