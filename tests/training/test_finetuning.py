"""One training: what is computed once."""

import numpy as np
import pytest

from facelime_cli.console import Console
from facelime_cli.models import building
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
