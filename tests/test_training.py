"""Training: what each setting does, and that nothing but time is lost by a stop."""

import subprocess
import time
from functools import partial

import numpy as np
import pytest

from facelime_cli.console import Console
from facelime_cli.models import augmenting, backend, building, finetuning, running, training, wrapping
from facelime_cli.models.building import Architecture
from facelime_cli.models.recipes import DEFAULTS, RECIPES, SCHEDULES
from facelime_cli.models.running import Labelled
from facelime_cli.models.settings import augmentation
from facelime_cli.models.training import Checkpoints, Phase, Training

from .conftest import write_faces

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
    history = training.train(
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
        history = training.train(
            built.whole, phases, Training(8, 0), Checkpoints(tmp_path), lambda _: None, lambda _: None
        )
        assert history[-1]["val_loss"] > history[-2]["val_loss"]
        assert loss(built.whole, part) == pytest.approx(min(row["val_loss"] for row in history[:-1]), rel=1e-3)
        assert [row["phase"] for row in history] == [1] * 5 + [2]

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


class Stopped(training.StopRequested):
    pass


@pytest.mark.parametrize("stop", [5, 24, 30])
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
        history = training.train(built.whole, phases, Training(8, 0), Checkpoints(tmp_path), lambda _: None, advance)
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
        training.train(built.whole, phases, Training(8, 0), Checkpoints(folder), lambda _: None, lambda _: None),
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
        run = training._Run(
            built.whole,
            Phase(model, part, part, 1, 1e-3),
            Training(8, 0),
            Checkpoints(tmp_path),
            training.Progress(),
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
    training.train(
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
        orders = [training.order(labels, epoch, Training(4, 0), 3) for epoch in range(3)]
        assert all(sorted(each) == list(range(10)) for each in orders)
        assert not np.array_equal(orders[0], orders[1])

    def test_short_epochs_go_through_passes_without_a_break(self):
        labels = np.zeros(10, int)
        how = Training(4, 0, steps_per_epoch=2)
        taken = np.concatenate([training.order(labels, epoch, how, 2) for epoch in range(5)])
        assert len(taken) == 40
        assert all(sorted(taken[start : start + 10]) == list(range(10)) for start in range(0, 40, 10))

    def test_oversampling_evens_the_classes_out(self):
        labels = np.array([0] * 7 + [1] * 3 + [2])
        taken = labels[training.order(labels, 0, Training(4, 0, oversample=True), 6)]
        assert np.bincount(taken).tolist() == [7, 7, 7]


def test_plateau_lowers_the_rate_when_the_loss_stays():
    entry = SCHEDULES["plateau"]
    plateau = partial(entry.load(), **entry.settings)
    assert plateau(1.0, 5, 9, [3, 2, 1, 0.5]) == 1.0
    assert plateau(1.0, 5, 9, [1, 1, 1, 1]) == pytest.approx(0.3)
    assert plateau(1.0, 9, 9, [1, 1, 1, 1, 1, 1, 1]) == pytest.approx(0.09)


class TestCommand:
    def test_a_recipe_presets_what_was_not_given(self, chain):
        answer = chain.facelime.artifact(
            "finetune", "faces", "--recipe", "pneumonia", "--backbone", "cnn", "--epochs", 1, "--steps-per-epoch", 2
        )
        parameters = answer.parameters
        assert (
            parameters["epochs"],
            parameters["batch_size"],
            parameters["patience"],
            parameters["output"],
            parameters["head"],
        ) == (1, 44, 10, "sigmoid", [8])
        assert parameters["augment"] == RECIPES["pneumonia"].settings.augment
        assert answer.facts["recipe"] == "pneumonia"

    def test_a_recipe_is_for_its_own_networks(self, chain):
        assert "cnn-deep" in chain.facelime.fails(
            "finetune", "faces", "--recipe", "pneumonia", "--backbone", "densenet121", code=2
        )
        assert "--recipe" in chain.facelime.fails("finetune", "faces", code=2)

    @pytest.mark.parametrize(
        ("option", "value", "code"),
        [
            ("--augment", "spin=3", 2),
            ("--augment", "rotation", 2),
            ("--augment", "rotation=nan", 2),
            ("--augment", "flip=sideways", 2),
            ("--head", "8,x", 2),
            ("--head", "0", 2),
            ("--dropout", "1", 2),
            ("--dropout", "0.1,0.1", 1),
            ("--fine-tune-layers", "few", 2),
            ("--fold", "1", 1),
            ("--l2", "0.1", 2),
            ("--fine-tune-layers", "2", 2),
            ("--fine-tune-rate", "0.1", 2),
        ],
    )
    def test_wrong_settings(self, chain, option, value, code):
        assert option in chain.facelime.fails("finetune", "faces", "--backbone", "cnn-small", option, value, code=code)

    def test_more_layers_than_there_are(self, chain):
        assert "--fine-tune-layers 99" in chain.facelime.fails(
            "finetune", "faces", "--backbone", "cnn-small", "--fine-tune-epochs", 1, "--fine-tune-layers", 99
        )

    def test_cached_features_are_the_same_training(self, chain):
        """A frozen base and no augmentation: the head is trained on features, and the whole network answers as the head did."""
        words = [
            "finetune",
            "faces",
            "--backbone",
            "mobilenetv2",
            "--weights",
            "none",
            "--freeze",
            "all",
            "--epochs",
            2,
        ]
        model = chain.facelime.artifact(*words)
        kept = min(model.facts["history"], key=lambda row: row["val_loss"])
        assert model.facts["validation"]["accuracy"] == pytest.approx(kept["val_accuracy"], abs=1e-6)

    def test_two_phases_mixed_precision_and_every_setting(self, chain):
        phases = [
            "--epochs",
            1,
            "--fine-tune-epochs",
            1,
            "--fine-tune-layers",
            2,
            "--augment",
            "flip=horizontal,rotation=5",
            "--precision",
            "mixed",
        ]
        classes = ["--class-weights", "balanced", "--oversample", "--output", "sigmoid"]
        layers = ["--head", "8", "--dropout", "0.1", "--l2", 0.01, "--optimizer", "nadam", "--schedule", "plateau"]
        model = chain.facelime.artifact("finetune", "faces", "--backbone", "cnn-small", *phases, *classes, *layers)
        assert [row["phase"] for row in model.facts["history"]] == [1, 2]
        assert model.facts["class_weights"] == {"0": 1.0, "1": 1.0}  # oversampling has made the classes equal already
        net = wrapping.load(model.file("model.keras"))
        assert {layer.compute_dtype for layer in net.layers} == {"float32"}
        assert model.parameters["augment"] == {"rotation": 5.0, "flip": "horizontal"}
        for name in ("history.csv", "history.png", "history.svg"):
            assert model.file(name).stat().st_size > 100
        assert chain.facelime("verify", f"models/{model.id}").exit_code == 0

    def test_folds(self, chain, faces):
        data = chain.facelime.artifact("preprocess", faces, "--size", 24, "--folds", 3, "--name", "folded")
        fold = data.read("fold")
        first, third = (
            chain.facelime.artifact("finetune", data.id, "--backbone", "cnn-small", "--epochs", 1, "--fold", number)
            for number in (0, 2)
        )
        assert first.facts["test"]["n"] == (fold == 0).sum()
        assert third.facts["test"]["n"] == (fold == 2).sum()
        assert third.facts["validation"]["n"] == (fold == 0).sum()
        assert "--fold 3" in chain.facelime.fails("finetune", data.id, "--backbone", "cnn-small", "--fold", 3)
        evaluated = chain.facelime.artifact("evaluate", f"models/{third.id}")
        assert sorted(evaluated.read("row")) == sorted(np.flatnonzero(fold == 2))
        assert evaluated.facts["accuracy"] == pytest.approx(third.facts["test"]["accuracy"])


def test_none_overrides_a_recipe(chain):
    model = chain.facelime.artifact(
        "finetune",
        "faces",
        "--recipe",
        "pneumonia",
        "--backbone",
        "ann",
        "--epochs",
        1,
        "--steps-per-epoch",
        1,
        "--augment",
        "none",
    )
    assert model.parameters["augment"] == augmentation("none") == {}


def test_features_are_computed_once_and_kept(chain, monkeypatch, tmp_path):
    """What a stop leaves of them is read, not computed again."""
    data = chain["preprocess"]
    what = Architecture("cnn-small", 48, 2, pooling="max")
    job = finetuning.Job(DEFAULTS, what, data, None, Console(quiet=True))
    part, read = finetuning.splits_of(data, None).train, []
    monkeypatch.setattr(finetuning, "FEATURE_PICTURES", 10)

    class Unit:
        def scratch(self, name):
            return tmp_path / name

    built = building.build(what)
    counted = Labelled(lambda rows: (read.extend(rows), part.read(rows))[1], part.rows, part.labels)
    first = job.features("train", built.bare, counted, Unit())
    assert sorted(read) == sorted(part.rows)
    (tmp_path / "features-train-00000010.npy").unlink()
    again = job.features("train", built.bare, counted, Unit())
    assert read[len(part.rows) :] == list(part.rows[10:20])
    assert np.array_equal(first.read(list(first.rows)), again.read(list(again.rows)))
    assert first.read(list(first.rows)) == pytest.approx(
        np.asarray(built.bare(part.read(list(part.rows)).astype(np.float32))), abs=1e-4
    )


def test_training_goes_on_after_a_stop(facelime, command, tmp_path):
    folder = write_faces(tmp_path / "some", 400, 48)
    facelime.json("preprocess", folder, "--size", 48, "--name", "some")
    words = [
        "finetune",
        "some",
        "--backbone",
        "cnn-small",
        "--epochs",
        "16",
        "--batch-size",
        "8",
        "--store",
        str(facelime.store),
    ]
    process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 90
    while not facelime_epochs(facelime) and time.monotonic() < until:
        time.sleep(0.05)
    process.terminate()
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (75, ""), stderr
    before, _ = Checkpoints(next(facelime.store.glob("models/*/begun/00000"))).load()
    assert before.epoch >= 2
    model = facelime.artifact(*words[:-2])
    assert model.facts["history"][: len(before.history)] == before.history
    assert [row["epoch"] for row in model.facts["history"]] == list(range(1, 17))
    assert len((model.path / "history.csv").read_text().splitlines()) == 17
    assert 0 <= model.facts["test"]["accuracy"] <= 1


def facelime_epochs(facelime):
    """Whether an unfinished training has two epochs behind it."""
    return any(
        Checkpoints(folder).load()[0].epoch >= 2
        for folder in facelime.store.glob("models/*/begun/00000")
        if (folder / "state.npz").exists()
    )
