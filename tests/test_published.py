"""Tables in which the large public sets come: their entries, and from the command line to the dataset."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from facelime_cli.answering.runtimes import independent
from facelime_cli.reporting.explanations import Explanations
from facelime_cli.sources import NO_SPLIT
from tests.published import BUILDERS, NONE, catalogue, params_of
from tests.support import FewRounds

QUICK = {"isic2020"}
"""The others take longer: the leakage report looks at each finding for itself."""


def test_the_commands_of_the_document_can_be_typed():
    page = (Path(__file__).parent.parent / "docs" / "datasets.md").read_text(encoding="utf-8")
    section = page.partition("## Tables of published data sets")[2].partition("\n## ")[0]
    typed = "".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)).replace("\\\n", "")
    lines = [shlex.split(line)[1:] for line in typed.splitlines()]
    assert len(lines) >= len(BUILDERS)
    for line in lines:
        params = params_of(line)
        assert params.table or params.source[0].suffix == ".npz"


@pytest.mark.parametrize("name", BUILDERS)
def test_entries_of_a_published_table(tmp_path, name):
    published = BUILDERS[name](tmp_path)
    entries, account = catalogue(published.words, tmp_path / "store")
    assert [entry.id for entry in entries] == sorted(published.said)
    for entry in entries:
        said = published.said[entry.id]
        if published.several:
            known = {name: value for name, value in zip(published.names, said, strict=True) if value != -1}
            assert (entry.label, entry.findings) == (None, known)
        else:
            assert (entry.label, entry.findings) == (said, None)
        assert entry.split == published.splits.get(entry.id, NO_SPLIT)
        assert entry.path.exists()
        if published.groups:
            assert entry.group in {published.groups[entry.id], None}
    assert {name: account.facts[name] for name in published.facts} == published.facts
    # Classes have no order of their own, but for the two that a single finding makes.
    assert account.labels == (published.names if published.several or name == "rsna" else [])


@pytest.mark.parametrize(
    "name", [each if each in QUICK else pytest.param(each, marks=pytest.mark.long) for each in BUILDERS]
)
def test_dataset_of_a_published_table(facelime, tmp_path, name):
    published = BUILDERS[name](tmp_path)
    data = facelime.artifact(*published.words, "--size", 16, "--workers", 1)
    ids, labels = data.texts("id"), data.read("labels")
    assert ids == sorted(published.said)
    assert data.facts["classes"] == published.names
    if published.several:
        np.testing.assert_array_equal(labels, [published.said[each] for each in ids])
    else:
        assert [published.names[label] for label in labels] == [published.said[each] for each in ids]
    if published.groups:
        assert data.texts("group") == [published.groups[each] for each in ids]
    split = dict(zip(ids, data.read("split").tolist(), strict=True))
    assert all(split[each] == place for each, place in published.splits.items() if place != NONE)
    # What is in no published split is divided among those that are not published.
    rest = {split[each] for each, place in published.splits.items() if place == NONE}
    assert rest == ({0, 1} if NONE in published.splits.values() else set())
    assert {name: data.facts["table"][name] for name in published.facts} == published.facts


@pytest.mark.long
@pytest.mark.parametrize("name", BUILDERS)
def test_a_published_table_up_to_the_explanation(tmp_path, name):
    published = BUILDERS[name](tmp_path)
    run = FewRounds(tmp_path / "store")
    data = run.artifact(*published.words, "--size", 32, "--name", "published")
    model = run.artifact("finetune", "published", "--backbone", "cnn", "--epochs", 1, "--name", "once")
    assert model.facts["classes"] == published.names
    assert independent(model) == published.several
    # CheXpert publishes no test split.
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
    page = (report.path / "index.html").read_text(encoding="utf-8")
    assert ("probability of its own" in page) == published.several
    assert run("verify").exit_code == 0
