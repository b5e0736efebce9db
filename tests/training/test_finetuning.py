"""One training: what is computed once."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from facelime_cli.console import Console
from facelime_cli.models import building, wrapping
from facelime_cli.models.building import Architecture
from facelime_cli.models.running import Labelled
from facelime_cli.store import pictures
from facelime_cli.training import finetuning, frozen
from facelime_cli.training.recipes import DEFAULTS


def test_features_are_computed_once_and_kept(chain, monkeypatch, tmp_path):
    """What a stop leaves of them is read, not computed again."""
    data = chain["preprocess"]
    what = Architecture("cnn-small", 48, 2, pooling="max")
    job = finetuning.Job(DEFAULTS, what, data, None, Console(quiet=True))
    part, read = finetuning.splits_of(data, None).train, []
    monkeypatch.setattr(frozen, "BLOCK", 10)

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


def test_all_folds_share_the_features_of_a_picture(facelime, faces, monkeypatch, tmp_path):
    """Each picture is looked at once, plain and mirrored, whichever fold begins."""
    data = facelime.artifact("preprocess", faces, "--size", 16, "--folds", 3)
    what = Architecture("cnn-small", 16, 2, pooling="max")
    built, looked = building.build(what), []
    monkeypatch.setattr(frozen, "BLOCK", 7)
    reader = pictures.reader(data)
    monkeypatch.setattr(pictures, "reader", lambda _: lambda rows: (looked.extend(rows), reader(rows))[1])

    @dataclass
    class Unit:
        index: int

        def scratch(self, name):
            return tmp_path / f"{self.index}-{name}"

        def shared(self, name):
            return tmp_path / name

    for shares in (True, False):
        looked.clear()
        found = {}
        for fold in (2, 0, 1):
            job = finetuning.Job(DEFAULTS, what, data, fold, Console(quiet=True), shares_features=shares)
            splits = finetuning.splits_of(data, fold)
            for name in ("train", "validation"):
                for mirrored in (False, True):
                    part = job.features(name, built.bare, getattr(splits, name), Unit(fold), mirrored=mirrored)
                    assert np.array_equal(part.labels, getattr(splits, name).labels)
                    found[fold, name, mirrored] = part.read(part.rows.tolist())
        if shares:
            assert sorted(looked) == sorted([*range(data.n), *range(data.n)])
            shared = found
    for key, values in found.items():
        assert shared[key] == pytest.approx(values, abs=1e-5)
    assert not np.allclose(found[0, "train", False], found[0, "train", True])
    # Another process begins elsewhere, and what is there is not made again.
    assert len(list(tmp_path.glob("features-all-0*"))) == -(-data.n // 7)


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
