"""Training: what each setting does, and that nothing but time is lost by a stop."""

import numpy as np
import pytest

from facelime_cli.models import backend, building, running
from facelime_cli.models.building import Architecture
from facelime_cli.models.running import Labelled
from facelime_cli.training import augmenting, loop
from facelime_cli.training.loop import Checkpoints, Phase, Training

SIZE = 24


@pytest.fixture
def part(rng):
    """Pictures of noise, 30 of a class that is mostly dark, 10 of one that is mostly bright."""
    labels = np.array([0] * 30 + [1] * 10)
    brightness = (60 + 30 * labels + rng.normal(0, 30, 40)).clip(0, 150)
    pictures = (rng.integers(0, 100, (40, SIZE, SIZE, 3)) + brightness[:, None, None, None]).astype(np.uint8)
    return Labelled(lambda rows: pictures[rows], np.arange(40), labels)


def fit(part, folder, how=None, epochs=3, rate=1e-3, phases=1):
    built = building.build(Architecture("cnn-small", SIZE, 2, pooling="max"))
    stretches = [Phase(built.whole, part, part, epochs, rate) for _ in range(phases)]
    said = []
    history = loop.train(
        built.whole, stretches, how or Training(8, 0), Checkpoints(folder), said.append, lambda _: None
    )
    return built.whole, history, said


def loss(net, part):
    """Cross-entropy of a network's own answers."""
    found = running.probabilities(net, part, 8)
    return float(-np.log(np.clip(found[np.arange(len(found)), part.labels], 1e-7, 1)).mean())


class TestTrain:
    def test_the_best_epoch_is_kept(self, part, tmp_path):
        net, history, _ = fit(part, tmp_path, epochs=6, rate=0.02)
        assert loss(net, part) == pytest.approx(min(row["val_loss"] for row in history), rel=1e-3)

    def test_a_second_phase_that_only_gets_worse_is_not_kept(self, part, tmp_path):
        built = building.build(Architecture("cnn-small", SIZE, 2, pooling="max"))
        phases = [Phase(built.whole, part, part, 5, 1e-3), Phase(built.whole, part, part, 1, 5.0)]
        history = loop.train(built.whole, phases, Training(8, 0), Checkpoints(tmp_path), lambda _: None, lambda _: None)
        assert history[-1]["val_loss"] > history[-2]["val_loss"]
        assert loss(built.whole, part) == pytest.approx(min(row["val_loss"] for row in history[:-1]), rel=1e-3)
        assert [row["phase"] for row in history] == [1] * 5 + [2]

    def test_the_last_epoch_within_one_standard_error_of_the_least_is_kept(self, part, tmp_path):
        """The third has more loss than the second, by less than its error; the fourth by more."""
        added = iter([[0.6, 0.6, 0.6], [0.1, 0.5, 0.3], [0.5, 0.1, 0.4], [0.5, 0.6, 0.7]])

        class Scripted:
            def losses(self, _):
                return self.now

            def accepts(self, _):
                return True

            def figures(self, _):
                self.now = np.array(next(added))
                return {"loss": self.now.mean(), "accuracy": 0.5}

        built = building.build(Architecture("cnn-small", SIZE, 2, pooling="max"))
        weights, checkpoints = [], Checkpoints(tmp_path)
        phases = [Phase(built.whole, part, part, 4, 1e-3, judge=Scripted())]
        loop.train(
            built.whole,
            phases,
            Training(8, 0),
            checkpoints,
            lambda _: weights.append(built.whole.get_weights()),
            lambda _: None,
        )
        progress, _ = checkpoints.load()
        assert (progress.kept, progress.best) == (2, pytest.approx(0.3))
        assert progress.least == pytest.approx([0.1, 0.5, 0.3])
        for found, expected in zip(built.whole.get_weights(), weights[2], strict=True):
            assert np.array_equal(found, expected)

    def test_training_ends_early(self, part, tmp_path):
        _, history, said = fit(part, tmp_path, Training(8, 0, optimizer="sgd", patience=2), epochs=30, rate=1e-9)
        assert len(history) < 30
        losses = [row["val_loss"] for row in history]
        assert len(losses) - 1 - int(np.argmin(losses)) == 2
        assert any("ended early" in text for text in said)

    def test_a_loss_that_is_no_number_is_said(self, part, tmp_path):
        with pytest.raises(Exception, match="diverged"):
            fit(part, tmp_path, Training(8, 0, optimizer="sgd"), rate=1e38)

    def test_the_schedule_sets_the_rate(self, part, tmp_path):
        _, history, _ = fit(part, tmp_path, Training(8, 0, schedule="cosine"), epochs=4)
        assert [row["learning_rate"] for row in history] == pytest.approx(
            [1e-3, 1e-3 * (1 + 0.5**0.5) / 2, 5e-4, 1e-3 * (1 - 0.5**0.5) / 2]
        )

    def test_class_weights_change_what_is_learned(self, part, tmp_path):
        means = []
        for name, weights in (("even", None), ("rare", {0: 0.01, 1: 10.0})):
            (tmp_path / name).mkdir()
            net, _, _ = fit(part, tmp_path / name, Training(8, 0, class_weights=weights), epochs=1)
            means.append(running.probabilities(net, part, 8)[:, 1].mean())
        assert means[1] > means[0]


class Stopped(loop.StopRequested):
    pass


@pytest.mark.long
@pytest.mark.parametrize(
    "stop", [pytest.param(5, marks=pytest.mark.long), 24, pytest.param(30, marks=pytest.mark.long)]
)
def test_a_stop_anywhere_keeps_the_step(part, tmp_path, stop):
    """Two phases of 3 epochs of 5 steps: what is done is not done again, and the optimiser goes on as it was."""
    steps = []

    def until(count):
        def advance(n):
            steps.append(n)
            if len(steps) == count:
                raise Stopped

        return advance

    def run(advance):
        built = building.build(Architecture("cnn-small", SIZE, 2, pooling="max"))
        phases = [Phase(built.whole, part, part, 3, 1e-3), Phase(built.whole, part, part, 3, 1e-4)]
        history = loop.train(built.whole, phases, Training(8, 0), Checkpoints(tmp_path), lambda _: None, advance)
        return built.whole, history

    with pytest.raises(Stopped):
        run(until(stop))
    progress, values = Checkpoints(tmp_path).load()
    assert progress.phase * 15 + progress.epoch * 5 + progress.step == stop
    assert progress.running["loss"] > 0
    assert values
    net, history = run(until(-1))
    assert len(steps) == 30
    assert [(row["phase"], row["epoch"]) for row in history] == [
        (phase, epoch) for phase in (1, 2) for epoch in (1, 2, 3)
    ]
    (tmp_path / "whole").mkdir()
    straight, wanted, _ = fit_two(part, tmp_path / "whole")
    assert [row["loss"] for row in history] == pytest.approx([row["loss"] for row in wanted], rel=1e-3)
    assert all(a == pytest.approx(b, abs=1e-3) for a, b in zip(net.get_weights(), straight.get_weights(), strict=True))


def fit_two(part, folder):
    built = building.build(Architecture("cnn-small", SIZE, 2, pooling="max"))
    phases = [Phase(built.whole, part, part, 3, 1e-3), Phase(built.whole, part, part, 3, 1e-4)]
    return (
        built.whole,
        loop.train(built.whole, phases, Training(8, 0), Checkpoints(folder), lambda _: None, lambda _: None),
        phases,
    )


def test_a_stop_after_the_last_epoch_does_not_lose_the_training(part, tmp_path):
    """Figures and the saved network come after it; what is taken up again is the best epoch, not a fresh network."""
    net, history, _ = fit(part, tmp_path, epochs=4)
    again, same, _ = fit(part, tmp_path, epochs=4)
    assert same == history
    assert all(np.array_equal(a, b) for a, b in zip(net.get_weights(), again.get_weights(), strict=True))


@pytest.mark.parametrize("moment", ["keep_best", "save"])
def test_a_stop_while_an_epoch_is_kept_loses_nothing(part, tmp_path, monkeypatch, moment):
    """Between the last step of an epoch and its checkpoint."""
    original, calls = getattr(Checkpoints, moment), []

    def stopped(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise Stopped
        original(self, *arguments)

    monkeypatch.setattr(Checkpoints, moment, stopped)
    with pytest.raises(Stopped):
        fit(part, tmp_path, epochs=3, rate=1e-4)
    progress, _ = Checkpoints(tmp_path).load()
    assert progress.epoch * 5 + progress.step == 10
    _, history, _ = fit(part, tmp_path, epochs=3, rate=1e-4)
    assert [row["epoch"] for row in history] == [1, 2, 3]


def test_float16_scales_its_loss(part, tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "on_accelerator", lambda: True)
    built = building.build(Architecture("ann", SIZE, 2, pooling="flatten", head=(10,)), "mixed")
    augmented = augmenting.augmented(built.whole, {"flip": "both"}, 0)
    for place, model in enumerate((built.whole, augmented, built.head)):
        assert building.computes_in_float16(model)
        run = loop._Run(
            built.whole,
            Phase(model, part, part, 1, 1e-3),
            Training(8, 0),
            Checkpoints(tmp_path),
            loop.Progress(),
            lambda _: None,
        )
        run.begin([])
        assert type(model.optimizer).__name__ == "LossScaleOptimizer", place
    assert not building.computes_in_float16(
        building.build(Architecture("ann", SIZE, 2, pooling="flatten", head=(10,))).whole
    )


def test_a_checkpoint_within_an_epoch(part, tmp_path):
    """A kill loses no more than the time between two checkpoints."""
    kept = []
    built = building.build(Architecture("cnn-small", SIZE, 2, pooling="max"))
    checkpoints = Checkpoints(tmp_path)
    loop.train(
        built.whole,
        [Phase(built.whole, part, part, 1, 1e-3)],
        Training(8, 0, checkpoint_seconds=0),
        checkpoints,
        lambda _: None,
        lambda _: kept.append(checkpoints.load()[0].step),
    )
    assert kept == [0, 1, 2, 3, 4]


class TestOrder:
    def test_a_pass_takes_every_picture_once(self):
        labels = np.array([0] * 7 + [1] * 3)
        orders = [loop.order(labels, epoch, Training(4, 0), 3) for epoch in range(3)]
        assert all(sorted(each) == list(range(10)) for each in orders)
        assert not np.array_equal(orders[0], orders[1])

    def test_short_epochs_go_through_passes_without_a_break(self):
        labels = np.zeros(10, int)
        how = Training(4, 0, steps_per_epoch=2)
        taken = np.concatenate([loop.order(labels, epoch, how, 2) for epoch in range(5)])
        assert len(taken) == 40
        assert all(sorted(taken[start : start + 10]) == list(range(10)) for start in range(0, 40, 10))

    def test_oversampling_evens_the_classes_out(self):
        labels = np.array([0] * 7 + [1] * 3 + [2])
        taken = labels[loop.order(labels, 0, Training(4, 0, oversample=True), 6)]
        assert np.bincount(taken).tolist() == [7, 7, 7]
