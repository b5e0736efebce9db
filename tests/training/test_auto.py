"""The recipe `auto`: a probe first, then the whole network, and the better of both."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, softmax

from facelime_cli.core.calibration import at_temperature
from facelime_cli.errors import CommandLineError
from facelime_cli.models import building, running
from facelime_cli.models.building import Architecture
from facelime_cli.models.running import Labelled
from facelime_cli.store.references import Store
from facelime_cli.training import auto, finetuning, loop, schedules
from facelime_cli.training.calibrating import Calibrating
from facelime_cli.training.loop import Checkpoints, Phase, Training
from facelime_cli.training.probing import Probe
from facelime_cli.training.recipes import AUTO, KINDS, NONE, PARTS, RECIPES
from facelime_cli.training.settings import recipe_of, settle
from tests.support import write_findings

WHAT = Architecture("cnn-small", 48, 2, pooling="max", dropout=(0.2,))


class Unit:
    def __init__(self, folder):
        self.folder = folder

    def scratch(self, name):
        self.folder.mkdir(exist_ok=True)
        return self.folder / name


class Told:
    """Listens, and stops a training after some steps, as Ctrl-C does."""

    def __init__(self, steps=None):
        self.said, self.left = [], steps

    def note(self, text):
        self.said.append(text)

    warn = note

    def progress(self, task, total, done=0, unit="pictures"):
        del task, total, done
        listener = self

        class Counting:
            def __enter__(self):
                return self.advance

            def __exit__(self, *_):
                return None

            def advance(self, n):
                if unit == "steps" and listener.left is not None:
                    listener.left -= n
                    if not listener.left:
                        raise loop.StopRequested

        return Counting()


def job_of(data, parts=PARTS, steps=None, minutes=None, **changed):
    settings = replace(parts.settings("other"), **{"epochs": 2, "batch_size": 8, **changed})
    plan = auto.Plan(parts, minutes)
    return finetuning.Job(settings, WHAT, data, None, Told(steps), auto=plan)


def answers_of(network, split):
    return running.probabilities(network, split, 8)


class TestHead:
    """A head with a probe's weights answers as the probe."""

    VALUES = np.random.Generator(np.random.Philox(2)).normal(size=(6, 64)).astype(np.float32)

    @pytest.mark.parametrize(("output", "several"), [("softmax", False), ("sigmoid", False), ("sigmoid", True)])
    def test_every_output(self, output, several):
        generator = np.random.Generator(np.random.Philox(5))
        coef, bias = generator.normal(size=(64, 2)).astype(np.float32), np.array([0.3, -1], np.float32)
        probe = Probe(coef, bias, (1.0,), 0.5)
        head = building.build(replace(WHAT, output=output, multilabel=several)).head
        auto.put(head, probe)
        logits = probe.logits(self.VALUES)
        expected = expit(logits) if several else softmax(logits, axis=1)
        assert np.asarray(head(self.VALUES)) == pytest.approx(expected, abs=1e-5)


class TestJudge:
    LABELS = np.array([0, 1, 1, 0])
    ANSWERS = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], np.float32)

    def test_a_surer_network_is_no_better(self):
        judge = auto.Judge(self.LABELS)
        surer = np.stack([self.ANSWERS[:, 0] ** 3, self.ANSWERS[:, 1] ** 3], axis=1)
        surer /= surer.sum(axis=1, keepdims=True)
        first, second = judge.figures(self.ANSWERS), judge.figures(surer)
        assert first["loss"] == pytest.approx(second["loss"], rel=1e-3)
        assert first["accuracy"] == 0.75
        worse = judge.figures(self.ANSWERS[:, ::-1])
        assert worse["loss"] > first["loss"]

    def test_classes_count_as_in_training(self):
        judge = auto.Judge(self.LABELS, {0: 1.0, 1: 3.0})
        assert judge.accuracy(self.ANSWERS) == pytest.approx(5 / 8)
        assert judge.figures(self.ANSWERS)["loss"] > auto.Judge(self.LABELS).figures(self.ANSWERS)["loss"]

    def test_what_is_unknown_of_a_finding_does_not_count(self):
        labels = np.array([[1, 0], [0, -1]])
        answers = np.array([[0.8, 0.3], [0.1, 0.9]], np.float32)
        assert auto.Judge(labels).figures(answers)["accuracy"] == 1
        assert auto.Judge(np.array([[1, 0], [0, 0]])).figures(answers)["accuracy"] == 0.75

    def test_what_is_less_often_right_than_the_probe_is_not_accepted(self):
        assert auto.Judge(self.LABELS, least=0.75).accepts(self.ANSWERS)
        assert not auto.Judge(self.LABELS, least=0.8).accepts(self.ANSWERS)

    def test_what_has_more_loss_than_the_probe_is_not_accepted(self):
        judge = auto.Judge(self.LABELS, {0: 1.0, 1: 3.0}).against(self.ANSWERS)
        assert judge.accepts(self.ANSWERS)
        as_often_right = np.array([[0.51, 0.49], [0.2, 0.8], [0.99, 0.01], [0.7, 0.3]], np.float32)
        assert judge.accuracy(as_often_right) == judge.least
        assert not judge.accepts(as_often_right)

    def test_the_loss_is_the_mean_of_what_pictures_add(self):
        judge = auto.Judge(self.LABELS, {0: 1.0, 1: 3.0})
        assert judge.losses(self.ANSWERS).shape == (4,)
        assert judge.losses(self.ANSWERS).mean() == pytest.approx(judge.figures(self.ANSWERS)["loss"])


def test_the_probe_is_the_first_row_and_what_is_kept_is_no_worse(chain, tmp_path):
    data = chain["preprocess"]
    job = job_of(data)
    trained = job.run(building.build(WHAT), Unit(tmp_path))
    history, facts = trained.history, trained.facts
    assert [(row["phase"], row["epoch"]) for row in history] == [(1, 1), (2, 1), (2, 2)]
    assert facts["probe"]["validation"] == {"loss": history[0]["val_loss"], "accuracy": history[0]["val_accuracy"]}
    splits = finetuning.splits_of(data, None)
    assert facts["probe"]["pictures"] == 2 * len(splits.train.rows)
    kept = auto.Judge(splits.validation.labels).figures(answers_of(trained.network, splits.validation))
    assert kept["loss"] <= history[0]["val_loss"] + 1e-4
    assert kept["accuracy"] >= history[0]["val_accuracy"]
    assert history[facts["kept"]["epochs"]]["val_loss"] == pytest.approx(kept["loss"], abs=1e-4)
    assert any("probe: 64 features" in text and "mirrored too" in text for text in job.console.said)


@pytest.mark.long
def test_where_training_destroys_the_probe_the_probe_is_kept(chain, tmp_path):
    data = chain["preprocess"]
    job = job_of(data, learning_rate=3.0, epochs=1)
    network = building.build(WHAT)
    first = network.backbone.get_weights()
    trained = job.run(network, Unit(tmp_path))
    assert trained.facts["kept"]["epochs"] == 0
    assert all(np.array_equal(a, b) for a, b in zip(network.backbone.get_weights(), first, strict=True))
    found = trained.facts["validation"]["accuracy"]
    assert found == pytest.approx(trained.facts["probe"]["validation"]["accuracy"])
    assert any("kept: the probe" in text and "no epoch was better" in text for text in job.console.said)


@pytest.mark.parametrize("changed", [{"freeze": "all"}, pytest.param({"minutes": 1e-6}, marks=pytest.mark.long)])
def test_the_probe_alone(chain, tmp_path, changed):
    job = job_of(chain["preprocess"], **changed)
    trained = job.run(building.build(WHAT), Unit(tmp_path))
    assert [row["phase"] for row in trained.history] == [1]
    assert trained.facts["kept"]["epochs"] == 0
    assert ("time for the probe alone" in " ".join(job.console.said)) == ("minutes" in changed)


@pytest.mark.long
def test_a_stop_loses_no_step_no_feature_and_no_mean(chain, tmp_path):
    data, unit = chain["preprocess"], Unit(tmp_path / "stopped")
    with pytest.raises(loop.StopRequested):
        job_of(data, steps=3).run(building.build(WHAT), unit)
    files = {path: path.read_bytes() for path in unit.folder.glob("*.np[yz]") if path.stem not in {"state", "best"}}
    assert {path.name.rpartition("-")[0] for path in files} == {
        "", "features-train", "features-train-mirrored", "features-validation"
    }  # fmt: skip
    progress, values = Checkpoints(unit.folder).load()
    assert (progress.phase, progress.kept) == (1, 0)
    steps = Training(8, 0).steps(finetuning.splits_of(data, None).train)
    assert progress.epoch * steps + progress.step == 3
    network = building.build(WHAT)
    n_trained = len(network.whole.trainable_variables)
    assert len(values) > 3 * n_trained  # weights, two moments of Adam, and the mean
    trained = job_of(data).run(network, unit)
    assert {path: path.read_bytes() for path in files} == files
    straight = job_of(data).run(building.build(WHAT), Unit(tmp_path / "straight"))
    assert len(trained.history) == len(straight.history)
    assert trained.history[0] == straight.history[0]


@pytest.mark.long
def test_a_stopped_run_keeps_its_plan(chain, tmp_path):
    """A plan that was made is not measured again: another machine may go on."""
    unit = Unit(tmp_path)
    unit.scratch("plan.json").write_text(json.dumps({"epochs": 1, "steps": 2, "pace": 3.5}))
    job = job_of(chain["preprocess"], minutes=1e-6)
    trained = job.run(building.build(WHAT), unit)
    assert [row["phase"] for row in trained.history] == [1, 2]
    assert any("a step takes 3.5 s, so 1 epoch of 2 of" in text for text in job.console.said)
    assert trained.facts["kept"]["steps_per_epoch"] == 2


@pytest.mark.long
def test_minutes_are_planned_by_measured_steps_which_leave_no_trace(chain, tmp_path):
    data = chain["preprocess"]
    network = building.build(WHAT)
    trained = job_of(data, minutes=60.0).run(network, Unit(tmp_path))
    assert [row["phase"] for row in trained.history] == [1, 2, 2]
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["epochs"] == 2
    assert 0 < plan["pace"] < 60


@pytest.mark.parametrize("name", ["probe.npz", pytest.param("plan.json", marks=pytest.mark.long)])
def test_a_broken_file_is_named(chain, tmp_path, name):
    unit = Unit(tmp_path)
    unit.scratch(name).write_bytes(b"no such thing")
    with pytest.raises(auto.BrokenError, match=name):
        job_of(chain["preprocess"], minutes=1.0).run(building.build(WHAT), unit)


@pytest.mark.long
def test_several_findings_have_a_probe_each(facelime, tmp_path):
    facelime.json("preprocess", write_findings(tmp_path / "marks.npz", (40, 16, 16)), "--size", 48, "--name", "marks")
    data = next(iter(Store(facelime.store).artifacts(("datasets",))))
    n_findings = len(data.facts["classes"])
    what = replace(WHAT, n_classes=n_findings, multilabel=True, output="sigmoid")
    job = replace(job_of(data, epochs=1, output="sigmoid"), what=what)
    trained = job.run(building.build(what), Unit(tmp_path / "unit"))
    assert len(trained.facts["probe"]["strength"]) == n_findings
    splits = finetuning.splits_of(data, None)
    found = auto.Judge(splits.validation.labels).figures(answers_of(trained.network, splits.validation))
    assert found["accuracy"] >= trained.facts["probe"]["validation"]["accuracy"]
    assert found["loss"] <= trained.facts["probe"]["validation"]["loss"] + 1e-4


@pytest.mark.long
class TestRefit:
    def run(self, data, folder, **changed):
        planned = job_of(data, **changed)
        job = replace(planned, after=[auto.Refitting(planned, planned.auto)])
        return job.run(building.build(WHAT), Unit(folder))

    def test_it_learns_from_validation_pictures_and_keeps_their_figures(self, chain, tmp_path):
        data = chain["preprocess"]
        plain = job_of(data).run(building.build(WHAT), Unit(tmp_path / "plain"))
        again = self.run(data, tmp_path / "again")
        splits = finetuning.splits_of(data, None)
        assert again.facts["refit"]["pictures"] == len(splits.train.rows) + len(splits.validation.rows)
        assert again.facts["refit"]["epochs"] == again.facts["kept"]["epochs"]
        assert again.facts["validation"]["n"] == plain.facts["validation"]["n"]
        assert again.facts["model"] != plain.facts["model"]
        assert again.facts["test"]["n"] == len(splits.test.rows)

    def test_the_probe_alone_is_fitted_again_with_its_strength(self, chain, tmp_path):
        data = chain["preprocess"]
        again = self.run(data, tmp_path, freeze="all")
        assert again.facts["refit"]["epochs"] == 0
        with np.load(tmp_path / "probe.npz") as first, np.load(tmp_path / "probe-refit.npz") as second:
            assert first["strength"].tolist() == second["strength"].tolist()
            assert not np.array_equal(first["coef"], second["coef"])
        splits = finetuning.splits_of(data, None)
        assert answers_of(again.network, splits.test).shape == (len(splits.test.rows), 2)


@pytest.mark.long
@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_a_temperature_that_was_found_before_stays_with_the_network_that_is_trained_again(chain, tmp_path, output):
    data, what = chain["preprocess"], replace(WHAT, output=output)
    planned = replace(job_of(data, freeze="all"), what=what)  # the probe alone, which is the same to the bit
    refitting, calibrating = auto.Refitting(planned, planned.auto), Calibrating(planned.console, 8)
    plain = replace(planned, after=[refitting]).run(building.build(what), Unit(tmp_path / "plain"))
    both = replace(planned, after=[calibrating, refitting]).run(building.build(what), Unit(tmp_path / "both"))
    before = replace(planned, after=[calibrating]).run(building.build(what), Unit(tmp_path / "before"))
    temperature = both.facts["temperature"]
    assert temperature == before.facts["temperature"] != 1
    test = finetuning.splits_of(data, None).test
    expected = at_temperature(answers_of(plain.network, test), temperature, independent=False)
    assert answers_of(both.network, test) == pytest.approx(expected, abs=1e-5)
    assert not np.allclose(answers_of(before.network, test), expected, atol=1e-5)


class TestRecipe:
    def test_a_pretrained_network_is_trained_by_auto(self):
        assert recipe_of(None, "mobilenetv2", {}, {}) == (AUTO, None)
        assert recipe_of("none", "mobilenetv2", {}, {}) == (NONE, None)
        assert recipe_of("skin", "densenet121", {}, {}) == ("skin", None)

    @pytest.mark.parametrize(
        ("backbone", "given", "word"),
        [
            ("cnn-small", {}, "cnn-small"),
            ("mobilenetv2", {"weights": "none"}, "--weights none"),
            ("mobilenetv2", {"head": "64"}, "--head 64"),
        ],
    )
    def test_a_network_without_a_probe_is_trained_as_before_and_says_why(self, backbone, given, word):
        assert recipe_of(None, backbone, given, {}) == (NONE, None)
        recipe, reason = recipe_of(AUTO, backbone, given, {})
        assert recipe == NONE
        assert word in reason

    def test_phases_of_ones_own(self):
        given = {"fine_tune_epochs": 3}
        assert recipe_of(None, "mobilenetv2", given, {}) == (NONE, None)
        with pytest.raises(CommandLineError, match="--fine-tune-epochs"):
            recipe_of(AUTO, "mobilenetv2", given, {})

    @pytest.mark.parametrize(("name", "value"), [("kind", "xray"), ("minutes", 3.0), ("refit", True)])
    def test_parts_of_auto_without_it(self, name, value):
        assert recipe_of(None, "mobilenetv2", {}, {name: value})[0] == AUTO
        for recipe, backbone in (("none", "mobilenetv2"), ("skin", "densenet121"), (None, "cnn-small")):
            with pytest.raises(CommandLineError, match=f"--{name}"):
                recipe_of(recipe, backbone, {}, {name: value})

    def test_the_kind_chooses_the_augmentation_and_options_override_it(self):
        skin = settle({}, "mobilenetv2", AUTO, 7, "skin")
        assert skin.augment == KINDS["skin"].augment
        assert (skin.optimizer, skin.schedule, skin.freeze) == ("adamw", "cosine", "early")
        assert settle({"augment": "none", "epochs": 3}, "mobilenetv2", AUTO, 7, "skin").epochs == 3
        assert settle({"augment": "none"}, "mobilenetv2", AUTO, 7, "skin").augment == {}

    def test_kinds(self):
        assert all(kind.mirrored for kind in KINDS.values())
        assert not replace(KINDS["xray"], augment={"flip": "vertical"}).mirrored
        assert "hue" not in KINDS["xray"].augment
        assert set(RECIPES).isdisjoint({AUTO, NONE})


class TestSteps:
    """What the loop does for the recipe."""

    @pytest.fixture
    def part(self, rng):
        labels = np.array([0] * 12 + [1] * 12)
        pictures = (rng.integers(0, 100, (24, 48, 48, 3)) + 50 * labels[:, None, None, None]).astype(np.uint8)
        return Labelled(lambda rows: pictures[rows], np.arange(24), labels)

    def rates(self, part, folder, how, epochs=2):
        """Return the rate of every step."""
        built, found = building.build(WHAT), []
        phase = Phase(built.whole, part, part, epochs, 1e-3)

        def advance(_):
            found.append(float(built.whole.optimizer.learning_rate))

        loop.train(built.whole, [phase], how, Checkpoints(folder), lambda _: None, advance)
        return found

    @pytest.mark.long
    def test_the_rate_rises_and_then_falls_with_every_step(self, part, tmp_path):
        how = Training(4, 0, schedule="cosine", by_step=True, warm_up=0.25)
        found = self.rates(part, tmp_path, how)
        step = np.arange(12)
        expected = 1e-3 * 0.5 * (1 + np.cos(np.pi * step / 12)) * np.minimum(1, (step + 1) / 3)
        assert found == pytest.approx(expected, rel=1e-5)

    def test_a_rise_of_less_than_a_step_is_one_step_long(self):
        for steps in (1, 10, 19, 20, 30):
            assert schedules.warm_up(0, 0.05, steps) == 0.5
            assert schedules.warm_up(1, 0.05, steps) == 1.0
        assert schedules.warm_up(0, 0.0, 10) == 1.0
        # More than that is as it was.
        assert [schedules.warm_up(step, 0.05, 100) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])

    @pytest.mark.long
    def test_a_mean_is_measured_and_kept_and_training_goes_on_without_it(self, part, tmp_path):
        built = building.build(WHAT)
        trace = [built.whole.trainable_variables[0].numpy()]

        def advance(_):
            trace.append(built.whole.trainable_variables[0].numpy())

        phase = Phase(built.whole, part, part, 1, 1e-3)
        loop.train(built.whole, [phase], Training(4, 0, averaging=0.6), Checkpoints(tmp_path), lambda _: None, advance)
        mean = trace[0]
        for t, now in enumerate(trace[1:], 1):
            decay = min(0.6, (1 + t) / (10 + t))
            mean = decay * mean + (1 - decay) * now
        assert len(trace) == 7
        assert built.whole.trainable_variables[0].numpy() == pytest.approx(mean, abs=1e-6)
        assert not np.allclose(mean, trace[-1], atol=1e-6)

    def test_smoothed_labels_are_for_training_alone(self):
        from facelime_cli.training.objectives import objective_of

        several = objective_of(np.array([[1, 0], [0, -1]]), None, 0.1, 2)
        assert several.targets(np.array([[1, 0]]), weighted=True)[0, :2] == pytest.approx([0.95, 0.05])
        assert several.targets(np.array([[1, 0]]), weighted=False)[0, :2].tolist() == [1, 0]
        one = objective_of(np.array([0, 1, 2]), None, 0.3, 3)
        assert one.targets(np.array([1]), weighted=True)[0] == pytest.approx([0.1, 0.8, 0.1])
        assert one.targets(np.array([1]), weighted=False)[0].tolist() == [0, 1, 0]
