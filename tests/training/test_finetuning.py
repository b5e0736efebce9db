"""One training: what is computed once."""

from dataclasses import replace

import numpy as np
import pytest

from facelime_cli.console import Console
from facelime_cli.models import building, wrapping
from facelime_cli.models.building import Architecture
from facelime_cli.models.running import Labelled
from facelime_cli.training import finetuning
from facelime_cli.training.recipes import DEFAULTS


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


def test_what_follows_a_training_is_in_order_and_in_the_final_figures(chain, tmp_path):
    """Each step takes what the one before it returned; digest and figures are those of the last network."""
    data = chain["preprocess"]
    what = Architecture("cnn-small", 48, 2, pooling="max")
    settings = replace(DEFAULTS, epochs=1, freeze="none")
    other = building.build(replace(what, seed=7)).whole
    taken = []

    class Unit:
        def scratch(self, name):
            return tmp_path / name

    def first(trained, splits, unit):
        taken.append((len(splits.validation.rows), unit.scratch("kept").parent, "test" in trained.facts))
        return replace(trained, facts={**trained.facts, "steps": ["first"]})

    def second(trained, *_):
        return replace(trained, network=other, facts={**trained.facts, "steps": [*trained.facts["steps"], "second"]})

    job = finetuning.Job(settings, what, data, None, Console(quiet=True), after=[first, second])
    trained = job.run(building.build(what), Unit())
    n_validation = len(finetuning.splits_of(data, None).validation.rows)
    assert taken == [(n_validation, tmp_path, False)]
    assert trained.facts["steps"] == ["first", "second"]
    assert trained.network is other
    assert trained.facts["model"] == wrapping.digest(other)
    assert trained.facts["validation"]["n"] == n_validation
