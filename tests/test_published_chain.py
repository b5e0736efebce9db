"""The tables of the large public sets, from the command line to an explanation."""

import numpy as np
import pytest

from facelime_cli.models.runtimes import independent
from facelime_cli.reporting.explanations import Explanations
from tests.published import BUILDERS
from tests.support import FewRounds


@pytest.mark.long
@pytest.mark.parametrize("name", BUILDERS)
def test_a_published_table_up_to_the_explanation(tmp_path, name):
    published = BUILDERS[name](tmp_path)
    run = FewRounds(tmp_path / "store")
    data = run.artifact(*published.words, "--size", 32, "--name", "published")
    model = run.artifact("finetune", "published", "--backbone", "cnn", "--epochs", 1, "--name", "once")
    assert model.facts["classes"] == published.names
    assert independent(model) == published.several
    # The drawn scans are of one patient, who is in one split.
    split = ("train", "validation", "test")[data.read("split").max()]
    evaluation = run.artifact("evaluate", "once", "--split", split)
    assert evaluation.shape("probabilities")[1] == len(published.names)
    words = ["explain", "published", "--model", "once", "--split", split, "--first", 1, "--views", "single"]
    report = run.artifact(*words, "--method", "grid", "--segments", 9, "--samples", 100)
    explanations = Explanations.of(report)
    said = published.said[explanations.ids[0]]
    holds = [explanations.holds(0, each) for each in published.names]
    if published.several:
        assert holds == [{1: True, 0: False, -1: None}[value] for value in said]
    else:
        assert holds == [each == said for each in published.names]
    assert set(explanations.true(0)) <= set(explanations.shown(0, None))
    assert all(np.isfinite(explanations.coefficients(0, c)).all() for c in explanations.shown(0, None))
