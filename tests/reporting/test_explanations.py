"""Explanations as a reader asks for them: which classes are shown, in which order, in which unit."""

import numpy as np
import pytest

from facelime_cli.errors import NotFoundError
from facelime_cli.reporting.explanations import COLUMNS, Explanations
from facelime_cli.reporting.labels import labels_of
from facelime_cli.reporting.runs import explained_by, method_of


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


def test_a_check_leads_to_what_it_checked(judged):
    surrogates, check = explained_by(judged.check)
    assert (surrogates.id, check.id) == (judged.consensus.id, judged.check.id)
    assert explained_by(judged.consensus) == (judged.consensus, None)


def test_the_verdict_of_the_check_counts_where_there_is_one(judged):
    found, after = Explanations.of(judged.check), judged.check.read("verdict")
    before = Explanations(judged.consensus)
    assert (after != "").any(axis=1).all()
    for row, c in np.ndindex(after.shape):
        assert found.verdict(row, c) == (after[row, c] or before.verdict(row, c))


def test_words_of_earlier_versions_are_not_checked(chain, monkeypatch):
    found = Explanations(chain["fit-surrogate"])
    read = found._reader.read
    old = np.array(["trustworthy", "needs more samples: about 90"])
    monkeypatch.setattr(
        found._reader, "read", lambda artifact, name, row: old if name == "verdict" else read(artifact, name, row)
    )
    assert [found.verdict(0, c) for c in range(2)] == ["not checked", "needs more samples: about 90"]
    # Methods that fit nothing keep their own sentence.
    assert Explanations(chain["occlusion"]).verdict(0, 0).startswith("exact for one region")


def test_a_consensus_is_read_like_any_explanation(judged):
    found = Explanations(judged.consensus)
    assert (found.n_views, found.fitted, found.masks, found.predictions) == (4, False, None, None)
    assert found.samples(1) == 90 + 3 * 60
    assert found.fills == ["nearest-unlike", "blur", "inpaint"]
    assert found.compared_with == (
        "the most similar picture of another class, a blurred copy and the region painted over from its border"
    )
    assert [
        each.votes for each in sorted(found.strengths(0, 1), key=lambda each: each.segment)
    ] == judged.consensus.read("votes")[0, 1, : found.counts[0]].tolist()
    assert list(found.first_by_fill(0, 1).values()) == judged.consensus.read("first")[0, 1].tolist()
    assert found.full == pytest.approx(found.answers)


def test_the_lineage_names_what_every_view_was_made_from(judged):
    made = [each.reference for each in Explanations.of(judged.check).origins]
    assert len(made) == len(set(made))
    assert made[-2:] == [judged.consensus.reference, judged.check.reference]
    for view in judged.views:
        for each in (view, view.input("masks"), view.input("predictions"), view.input("segments")):
            assert each.reference in made


def test_effect_and_p_are_told_at_the_largest_number(judged):
    found, c = Explanations.of(judged.check), int(np.flatnonzero(judged.check.read("verdict")[0] != "")[0])
    told = found.ranked_json(0, c)
    effect, p_value = (judged.check.read(name)[0, c] for name in ("effect", "p_value"))
    assert judged.check.facts["numbers"] == [1, 3]
    assert told["effect"] == pytest.approx(effect[1].mean())
    assert told["p_value"] == p_value[1].max()
    assert told["effects"] == effect.tolist()
    assert told["p_values"] == p_value.tolist()
    unchecked = Explanations(judged.consensus).ranked_json(0, c)
    assert (unchecked["effect"], unchecked["p_value"], unchecked["effects"]) == (None, None, [])
    assert unchecked["regions"] == told["regions"]


def test_regions_are_told_with_their_boxes(judged):
    found = Explanations(judged.consensus)
    told, segments = found.ranked_json(2, 0), found.segments(2)
    assert told["segments"] == judged.consensus.input("segments").reference
    points = [abs(each["points"]) for each in told["regions"]]
    assert points == sorted(points, reverse=True)
    assert len(points) == found.counts[2]
    for each in told["regions"]:
        top, left, bottom, right = each["box"]
        inside = segments == each["segment"]
        assert inside[top:bottom, left:right].sum() == inside.sum()
        assert inside[top].any()
        assert inside[bottom - 1].any()
        assert inside[:, left].any()
        assert inside[:, right - 1].any()
        assert each["interval"][0] <= each["points"] <= each["interval"][1]


def test_labels_tell_a_consensus_from_a_run(judged):
    assert labels_of([Explanations(judged.consensus), Explanations(judged.views[0])]) == [
        "LIME, consensus of 4 views",
        "LIME",
    ]


def test_labels_name_what_differs_and_ids_where_nothing_does(chain, explanations):
    linear = Explanations(chain.facelime.artifact("fit-surrogate", chain["predict"].id, "--surrogate", "linear"))
    assert labels_of([explanations, linear]) == ["surrogate ridge", "surrogate linear"]
    assert labels_of([explanations, explanations]) == [f"surrogates ({explanations.surrogates.id})"] * 2
