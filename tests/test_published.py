"""Tables in which the large public sets come: their entries, and from the command line to the dataset."""

import numpy as np
import pytest

from facelime_cli.sources import NO_SPLIT
from tests.published import BUILDERS, NONE, TEST, catalogue

QUICK = {"isic2020"}
"""The others take longer: the leakage report looks at each finding for itself."""


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
    assert account.labels == (published.names if published.several else [])


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
def test_a_published_table_up_to_an_explanation(facelime, tmp_path, name):
    published = BUILDERS[name](tmp_path)
    facelime.json(*published.words, "--size", 48, "--name", "published")
    facelime.json("finetune", "published", "--backbone", "cnn-small", "--epochs", 1, "--name", "small")
    # CheXpert publishes no list of tests; its valid.csv is what papers report on.
    split = "test" if TEST in published.splits.values() or not published.splits else "validation"
    evaluation = facelime.artifact("evaluate", "small", "--split", split, "--bootstrap", 100)
    report = facelime.artifact(
        "explain", "published", "--model", "small", "--split", split, "--first", 2, "--samples", 60
    )
    assert evaluation.facts["classes"] == published.names
    assert evaluation.read("probabilities").shape == (evaluation.n, len(published.names))
    assert evaluation.read("labels").ndim == 1 + published.several
    page = (report.path / "index.html").read_text(encoding="utf-8")
    assert report.n == 2
    assert any(each in page for each in published.names)
    assert ("probability of its own" in page) == published.several
    assert facelime("verify").code == 0
