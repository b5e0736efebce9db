"""Unequal classes: the loss that knows their shares, and the choice between it and weights."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from facelime_cli.core import calibration
from facelime_cli.models import building, wrapping
from facelime_cli.models.backend import keras
from facelime_cli.models.building import Architecture
from facelime_cli.training import auto, finetuning, imbalance, loop, objectives, probing
from facelime_cli.training.probing import Features
from facelime_cli.training.recipes import PARTS
from tests.support import Facelime, write_faces
from tests.training.test_auto import Told, Unit

FEATURES, CLASSES = 6, 3


def drawn(rng, counts, spread=1.0):
    """Return features of classes around centres of their own."""
    centres = np.random.default_rng(3).normal(size=(len(counts), FEATURES)) * 1.2
    labels = np.repeat(np.arange(len(counts)), counts)
    values = (centres[labels] + spread * rng.normal(size=(len(labels), FEATURES))).astype(np.float32)
    return Features(values, labels, np.arange(len(labels)), len(counts))


SHARES = {0: 0.7, 2: 0.3}


class TestAdjusted:
    def test_the_loss_is_that_of_answers_times_shares(self, rng):
        answers = softmax(rng.normal(size=(5, CLASSES)), axis=1).astype(np.float32)
        labels = np.array([0, 2, 2, 0, 0])
        objective = objectives.objective_of(labels, None, 0.0, CLASSES, SHARES)
        targets = objective.targets(labels, weighted=True)
        found = np.asarray(objective.compiled()["loss"](keras().ops.convert_to_tensor(targets), answers))
        scores = np.log(answers) + np.log([0.7, 1.0, 0.3])
        wanted = -log_softmax(scores, axis=1)[np.arange(5), labels]
        assert found == pytest.approx(wanted, abs=1e-5)

    def test_smoothing_is_for_training_alone(self):
        objective = objectives.objective_of(np.array([0, 2]), None, 0.3, CLASSES, SHARES)
        assert objective.targets(np.array([0]), weighted=True) == pytest.approx(np.array([[0.8, 0.1, 0.1]]))
        assert objective.targets(np.array([0]), weighted=False).tolist() == [[1, 0, 0]]

    def test_shares_are_of_the_classes_that_there_are(self):
        assert loop.class_shares(np.array([2, 0, 0, 0])) == {0: 0.75, 2: 0.25}


class TestChoice:
    def test_equal_classes_need_nothing(self, rng):
        part = drawn(rng, (30, 25, 28))
        found = imbalance.choose(part, part)
        assert (found.class_weights, found.losses, found.sentence) == ("none", {}, "")

    def test_without_a_validation_split_it_is_weights_and_for_findings_nothing(self, rng):
        part = drawn(rng, (60, 10, 10))
        empty = Features(part.values[:0], part.labels[:0], part.groups[:0], CLASSES)
        assert imbalance.choose(part, empty).class_weights == "balanced"
        several = Features(part.values, np.eye(CLASSES, dtype=int)[part.labels], part.groups, CLASSES)
        assert imbalance.choose(several, several).class_weights == "none"

    def test_the_less_balanced_loss_wins_and_both_are_told(self, rng):
        train, validation = drawn(rng, (200, 20, 12)), drawn(rng, (60, 15, 15))
        found = imbalance.choose(train, validation)
        assert set(found.losses) == {"balanced", "adjusted"}
        assert found.losses[found.class_weights] == min(found.losses.values())
        assert all(f"{name} {loss:.3f}" in found.sentence for name, loss in found.losses.items())

    def test_either_can_win(self):
        """Where few pictures are hard to tell, weights fit noise; the choice follows the validation pictures."""
        winners = set()
        for seed in range(12):
            draws = np.random.default_rng(seed)
            counts = (150, 8, 6) if seed % 2 else (60, 20, 12)
            train = drawn(draws, counts, 1.0 + seed % 3)
            winners.add(imbalance.choose(train, drawn(draws, (40, 40, 40), 1.0 + seed % 3), (0.1,)).class_weights)
        assert winners == {"balanced", "adjusted"}

    def test_both_are_better_balanced_than_nothing(self, rng):
        train, validation = drawn(rng, (300, 12, 8), 2.0), drawn(rng, (50, 50, 50), 2.0)
        plain = probing.fit_probe(train, strengths=(0.1,)).logits(validation.values)
        nothing = imbalance.balanced_log_loss(plain, validation.labels)
        assert max(imbalance.choose(train, validation, (0.1,)).losses.values()) < nothing

    def test_the_balanced_loss_counts_classes_alike(self, rng):
        scores, labels = rng.normal(size=(90, CLASSES)).astype(np.float32), np.repeat([0, 1, 2], [80, 6, 4])
        losses = -log_softmax(scores, axis=1)[np.arange(90), labels]
        wanted = np.mean([losses[:80].mean(), losses[80:86].mean(), losses[86:].mean()])
        assert imbalance.balanced_log_loss(scores, labels) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.long
def test_a_network_trained_with_shares_answers_as_if_classes_were_equal(rng):
    """On features of two overlapping classes, it has the recall of the rare one that the plain loss lacks."""
    part = drawn(rng, (400, 25), 5.0)
    recalls = {}
    for shares in (None, loop.class_shares(part.labels)):
        keras().utils.set_random_seed(0)
        net = keras().Sequential([keras().Input((FEATURES,)), keras().layers.Dense(2, activation="softmax")])
        objective = objectives.objective_of(part.labels, None, 0.0, 2, shares)
        net.compile(optimizer=keras().optimizers.Adam(0.05), **objective.compiled())
        targets = objective.targets(part.labels, weighted=True)
        net.fit(part.values, targets, epochs=25, batch_size=64, verbose=0)
        said = np.asarray(net(part.values))
        recalls[shares is not None] = (said[400:, 1] > 0.5).mean()
        if shares is not None:
            # With the shares put back, it is as sure as it is right.
            natural = said * np.array([shares[0], shares[1]])
            natural = (natural / natural.sum(axis=1, keepdims=True)).astype(np.float32)
            assert calibration.figures(part.labels, natural)["expected_calibration_error"] < 0.03
    assert recalls[True] > recalls[False] + 0.2


@pytest.fixture(scope="module")
def unequal(tmp_path_factory):
    """A dataset of drawn faces with three times as many of one class."""
    folder = tmp_path_factory.mktemp("unequal")
    faces = write_faces(folder / "faces", 64)
    for path in sorted((faces / "rosacea").iterdir())[10:]:
        path.unlink()
    return Facelime(folder / "store").artifact("preprocess", faces, "--size", 24, "--name", "unequal")


@pytest.mark.long
@pytest.mark.parametrize("epochs", [0, 1])
def test_the_recipe_auto_trains_as_was_chosen(unequal, tmp_path, epochs):
    what = Architecture("cnn-small", 24, 2, pooling="max")
    settings = replace(PARTS.settings("other"), epochs=epochs, batch_size=8)
    told = Told()
    job = finetuning.Job(settings, what, unequal, None, told, auto=auto.Plan(PARTS, weighs=True))
    trained = job.run(building.build(what), Unit(tmp_path / "scratch"))
    chosen = trained.facts["imbalance"]
    assert chosen["class_weights"] == min(chosen["losses"], key=chosen["losses"].get)
    assert any(f"--class-weights {chosen['class_weights']}" in each for each in told.said)
    labels = finetuning.splits_of(unequal, None).train.labels
    function = {"balanced": loop.balanced_class_weights, "adjusted": loop.class_shares}[chosen["class_weights"]]
    assert trained.facts["class_weights"] == function(labels)
    # What was compiled with a loss of our own is no part of what is saved.
    wrapping.save(trained.network, tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert "compile_config" not in json.loads(archive.read("config.json")) or chosen["class_weights"] == "balanced"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["balanced", "adjusted"])
def test_the_command_takes_either(unequal, kind):
    run = Facelime(unequal.store.root)
    words = ["finetune", "unequal", "--backbone", "cnn-small", "--epochs", 2, "--class-weights", kind]
    model = run.artifact(*words)
    assert model.parameters["class_weights"] == kind
    assert set(model.facts["class_weights"]) == {"0", "1"}
    total = sum(model.facts["class_weights"].values())
    assert (total == pytest.approx(1)) == (kind == "adjusted")
