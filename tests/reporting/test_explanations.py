"""Explanations as a reader asks for them: which classes are shown, in which order, in which unit."""

import numpy as np
import pytest

from facelime_cli.errors import NotFoundError
from facelime_cli.reporting.explanations import COLUMNS, Explanations, explained_by, method_of
from facelime_cli.reporting.labels import labels_of


@pytest.fixture(scope="module")
def explanations(chain):
    return Explanations(chain["fit-surrogate"])


def test_the_most_probable_classes_are_shown_and_the_true_one(explanations, monkeypatch):
    assert [explanations.shown(row, None) for row in range(3)] == [
        explanations.full[row].argsort()[::-1].tolist() for row in range(3)
    ]
    monkeypatch.setattr("facelime_cli.reporting.explanations.MOST_PROBABLE", 1)
    for row in range(3):
        most, true = int(explanations.full[row].argmax()), explanations.names.index(explanations.label(row))
        assert explanations.shown(row, None) == ([most] if most == true else [most, true])
    assert explanations.shown(0, [1]) == [1]


def test_segments_stand_by_strength_times_100(explanations):
    coefficients = explanations.coefficients(0, 1)
    strengths = explanations.strengths(0, 1)
    assert [each.rank for each in strengths] == list(range(1, len(coefficients) + 1))
    assert [each.value for each in strengths] == [100 * coefficients[each.segment] for each in strengths]
    assert np.diff([abs(each.value) for each in strengths]).max() <= 0
    assert sum(each.pixels for each in strengths) == explanations.segments(0).size
    assert all(each.low <= each.value <= each.high for each in strengths)


def test_the_table_is_in_the_unit_of_the_array(explanations):
    for values in explanations.rows(0, 1):
        row = dict(zip(COLUMNS, values, strict=True))
        assert row["coefficient"] == explanations.coefficients(0, 1)[row["segment"]]
        assert (row["id"], row["class"]) == (explanations.ids[0], "rosacea")


def test_json_says_none_where_there_is_no_figure(chain):
    told = Explanations(chain["gradcam"]).as_json(0, 1)
    assert told["r2"] is None
    assert told["samples"] is None
    assert {each["low"] for each in told["regions"]} == {None}


def test_a_picture_is_found_by_the_last_part_of_its_id(explanations):
    name = explanations.ids[1]
    assert explanations.row(name) == explanations.row(name.rpartition("/")[2]) == 1
    with pytest.raises(NotFoundError, match="no picture 'nobody'"):
        explanations.row("nobody")


def test_what_was_fitted_and_what_was_not(chain):
    made = {stage: Explanations(chain[stage]) for stage in ("fit-surrogate", "gradcam", "occlusion", "contrast")}
    assert [each.fitted for each in made.values()] == [True, False, False, True]
    assert [each.contrast for each in made.values()] == [None, None, None, (1, 0)]
    assert made["contrast"].fitted_as.id == chain["fit-surrogate"].id
    assert made["gradcam"].zero == "not in the map"


def test_a_report_leads_to_its_surrogates(chain):
    assert explained_by(chain["render"])[0].id == chain["fit-surrogate"].id
    assert explained_by(chain["compare"])[0].id == chain["compare"].id
    assert method_of(chain["fit-surrogate"]) == "LIME"


def test_labels_name_what_differs_and_ids_where_nothing_does(chain, explanations):
    linear = Explanations(chain.facelime.artifact("fit-surrogate", chain["predict"].id, "--surrogate", "linear"))
    assert labels_of([explanations, linear]) == ["surrogate ridge", "surrogate linear"]
    assert labels_of([explanations, explanations]) == [f"surrogates ({explanations.surrogates.id})"] * 2
