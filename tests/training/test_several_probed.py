"""Several labels by the recipe `auto`: a probe for each, judged together, each calibrated."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from facelime_cli.models import building, outputs, running
from facelime_cli.store.references import Store
from facelime_cli.training import auto, finetuning, heads, probing
from facelime_cli.training.calibrating import Calibrating
from facelime_cli.training.loop import Training
from facelime_cli.training.probing import Probe
from facelime_cli.training.recipes import PARTS
from facelime_cli.training.several_probed import Judges, fit_probes, weights_for
from tests.labels import LABELS_SIZE, write_tinted
from tests.support import Facelime
from tests.training.test_auto import Told, Unit

KINDS = [("class", np.int64), ("tint", np.int64)]
WIDTHS = (2, 3)
WHAT = building.Architecture("cnn-small", LABELS_SIZE, 2, pooling="max", outputs=(("class", 2), ("tint", 3)))


class TestJudges:
    labels = np.array([(0, -1), (1, 2), (1, 0)], KINDS)
    answers = np.array([[0.8, 0.2, 1, 0, 0], [0.3, 0.7, 0.1, 0.1, 0.8], [0.6, 0.4, 0.2, 0.7, 0.1]], np.float32)

    def test_the_loss_is_the_sum_of_what_each_judge_says(self):
        judges = Judges.of(self.labels, WIDTHS, {"class": {0: 1.0, 1: 2.0}})
        first = auto.Judge(np.array([0, 1, 1]), {0: 1.0, 1: 2.0}).figures(self.answers[:, :2])
        second = auto.Judge(np.array([2, 0])).figures(self.answers[1:, 2:])
        found = judges.figures(self.answers)
        assert found["loss"] == pytest.approx(first["loss"] + second["loss"])
        assert (found["accuracy"], found["tint accuracy"]) == pytest.approx((2 / 3, 1 / 2))
        assert judges.losses(self.answers).mean() == pytest.approx(found["loss"])

    def test_no_label_may_become_worse_than_its_probe(self):
        judges = Judges.of(self.labels, WIDTHS, None).against(self.answers)
        assert judges.accepts(self.answers)
        # Right about every class, and about no tint.
        other = np.array([[0.8, 0.2, 1, 0, 0], [0.3, 0.7, 0.8, 0.1, 0.1], [0.4, 0.6, 0.2, 0.7, 0.1]], np.float32)
        assert not judges.accepts(other)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_a_head_with_the_weights_of_several_probes_answers_as_they_do(output, rng):
    probe = Probe(rng.normal(size=(64, 5)).astype(np.float32), rng.normal(size=5).astype(np.float32), (1.0, 1.0), 0.5)
    head = building.build(replace(WHAT, output=output)).head
    auto.put(head, probe)
    values = rng.normal(size=(6, 64)).astype(np.float32)
    logits = probe.logits(values)
    expected = np.hstack([softmax(logits[:, :2], axis=1), softmax(logits[:, 2:], axis=1)])
    assert np.asarray(head(values)) == pytest.approx(expected, abs=1e-5)


def test_each_probe_is_fitted_to_the_pictures_whose_label_is_known(rng):
    labels = np.array([(i % 2, i % 3 if i % 5 else -1) for i in range(60)], KINDS)
    values = rng.normal(size=(60, 7)).astype(np.float32)
    groups = np.arange(60)
    how = Training(8, 0, widths=WIDTHS)
    both = fit_probes(probing.Features(values, labels, groups, 2), how, (0.01, 0.1))
    known = labels["tint"] >= 0
    tint = probing.fit_probe(
        probing.Features(values[known], labels["tint"][known], groups[known], 3), None, (0.01, 0.1)
    )
    assert both.coef.shape == (7, 5)
    assert np.array_equal(both.coef[:, 2:], tint.coef)
    assert both.strength[1:] == tint.strength


def test_unequal_classes_of_any_label_are_balanced():
    even = np.array([(i % 2, i % 3 if i % 5 else -1) for i in range(60)], KINDS)
    uneven = np.array([(i % 2, 0 if i % 4 else 1) for i in range(60)], KINDS)
    assert (weights_for(even), weights_for(uneven)) == ("none", "balanced")


@pytest.mark.long
def test_the_recipe_auto_trains_calibrates_and_refits_several_labels(tmp_path):
    run = Facelime(tmp_path / "store")
    run.json(*write_tinted(tmp_path, 90))
    data = Store(run.store).resolve("datasets/tinted")
    both = heads.heads_of("class,tint", data)
    settings = replace(PARTS.settings("other"), epochs=2, batch_size=8)
    plan = auto.Plan(PARTS, refits=True)
    told = Told()
    job = finetuning.Job(settings, WHAT, data, None, told, auto=plan, heads=both)
    job = replace(job, after=[Calibrating(told, 8), auto.Refitting(job, plan)])
    trained = job.run(building.build(WHAT), Unit(tmp_path / "scratch"))
    facts = trained.facts
    assert [each["name"] for each in facts["heads"]] == ["class", "tint"]
    assert facts["probe"]["validation"]["tint accuracy"] > 0.5
    assert facts["validation"] == facts["heads"][0]["validation"]
    assert facts["temperature"] == facts["heads"][0]["temperature"]
    assert facts["heads"][1]["temperature"] == facts["temperatures"]["tint"]
    assert facts["refit"]["pictures"] > len(finetuning.splits_of(data, None, both).train.rows)
    assert {tuple(sorted(row)) for row in trained.history} == {tuple(sorted(trained.history[0]))}
    # The network that is saved has both outputs, each at its temperature.
    test = finetuning.splits_of(data, None, both).test
    assert list(trained.network.output) == ["class", "tint"]
    tint = running.probabilities(outputs.with_one(trained.network, "tint", "it"), test, 8)
    known = test.labels["tint"] >= 0
    right = (tint.argmax(axis=1) == test.labels["tint"])[known].mean()
    assert right == pytest.approx(facts["heads"][1]["test"]["accuracy"])
