"""A model on another source: differences with intervals, calibration, and the thresholds that were chosen elsewhere."""

import csv
import html
import re

import numpy as np
import pytest
from sklearn import metrics as sk

from facelime_cli.core import findings, metrics
from facelime_cli.reporting import source_report
from tests.sources import NAMES, SIDE, store_of, write_source
from tests.support import ROUNDS

OWN = {
    "two": ("--split", "test", "--target-recall", "red=0.95"),
    "three": ("--split", "test", "--target-recall", "red=0.9"),
    "findings": ("--split", "test", "--thresholds", "f1"),
    "values": ("--split", "all"),
}
"""How each model is evaluated on its own source."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        yield store_of(tmp_path_factory.mktemp("sources"), patched)


def own(run, way, *more):
    return run.artifact("evaluate", way, "--dataset", f"own-{way}", *OWN[way], "--bootstrap", ROUNDS, *more)


def words_far(run, way, *more):
    there = own(run, way).id
    return (
        "evaluate",
        way,
        "--dataset",
        f"far-{way}",
        "--split",
        "all",
        "--compare",
        there,
        "--bootstrap",
        ROUNDS,
        *more,
    )


@pytest.fixture(scope="module", params=list(OWN))
def both(request, run):
    """An evaluation on a model's own source, and one on the other, of every kind of answer."""
    return own(run, request.param), run.artifact(*words_far(run, request.param))


def figures(evaluation):
    """Return what the model said of a class evaluation, and what is true."""
    return evaluation.read("labels").astype(int), evaluation.read("probabilities")


@pytest.mark.long
class TestEveryKind:
    def test_both_sides_are_the_two_evaluations_own_figures(self, both):
        there, here = both
        compared = here.facts["compared"]
        assert compared["evaluation"] == there.id
        assert (compared["n"], compared["groups"]) == (there.n, there.facts["groups"])
        checked = 0
        for name, each in compared.get("figures", {}).items():
            # The F1s of findings are taken at the thresholds there, and calibration stands elsewhere in the facts.
            for side, facts in (("there", there.facts), ("here", here.facts)):
                if name in facts and not ("multilabel" in facts and name in source_report.AT_THRESHOLDS):
                    assert each[side] == pytest.approx(facts[name]), name
                    checked += 1
        for name, its in compared.get("values", {}).items():
            for figure in ("mae", "rmse", "r2", "bias", "lower_limit", "upper_limit"):
                assert its[figure]["there"] == pytest.approx(there.facts["values"][name][figure])
                assert its[figure]["here"] == pytest.approx(here.facts["values"][name][figure])
                checked += 1
        assert checked >= 4

    def test_every_figure_stands_in_the_table(self, both):
        _, here = both
        rows = list(csv.DictReader((here.path / "sources.csv").open()))
        assert len(rows) >= 8
        for row in rows:
            if row["there"] and row["here"]:
                assert float(row["difference"]) == pytest.approx(float(row["here"]) - float(row["there"]))
        assert any(row["low"] for row in rows)
        assert all(float(row["low"]) <= float(row["high"]) for row in rows if row["low"])

    def test_page_and_terminal_say_the_same(self, run, both):
        there, here = both
        page = html.unescape((here.path / "index.html").read_text())
        sentences = source_report.sentences(here.facts["compared"], here.facts.get("unit", ""))
        assert sentences
        printed = run("show", here.id)
        assert printed.exit_code == 0
        again = run(*words_far(run, here.inputs["model"]["id"].rsplit("-", 1)[0]))
        assert again.stdout == here.id + "\n"
        for each in sentences:
            assert each[0].upper() + each[1:] in page
            assert each in again.stderr
        assert there.id in page
        assert (here.path / "figures" / "sources.svg").stat().st_size > 1000
        assert "figures/sources.svg" in page
        assert run("verify", here.reference).exit_code == 0

    def test_an_evaluation_without_it_has_nothing_of_it(self, both):
        there, _ = both
        assert "compared" not in there.facts
        assert "compare" not in there.inputs
        assert not (there.path / "sources.csv").exists()
        assert "On another source" not in (there.path / "index.html").read_text()


@pytest.mark.long
class TestClasses:
    def test_the_threshold_is_the_one_that_was_chosen_there(self, run):
        there, here = own(run, "two"), run.artifact(*words_far(run, "two"))
        its = here.facts["compared"]["thresholds"]["red"]
        assert its["threshold"] == there.facts["thresholds"]["red"]["threshold"]
        assert its["recall"]["there"] == there.facts["thresholds"]["red"]["test"]["recall"]
        assert its["recall"]["there_interval"] == there.facts["thresholds"]["red"]["test"]["recall_interval"]
        labels, probabilities = figures(here)
        called, true = probabilities[:, 1] >= its["threshold"], labels == 1
        assert its["recall"]["here"] == called[true].mean()
        assert its["specificity"]["here"] == (~called[~true]).mean()
        assert its["precision"]["here"] == true[called].mean()
        assert its["recall"]["here_interval"] == pytest.approx(metrics.wilson(called[true].sum(), true.sum()))
        # What adapting it would reach.
        again = its["here_for_that_recall"]
        assert (probabilities[true, 1] >= again["threshold"]).mean() == again["recall"] >= 0.95

    def test_without_a_chosen_threshold_half_is_taken(self, run):
        there = run.artifact("evaluate", "two", "--dataset", "own-two", "--bootstrap", ROUNDS)
        words = [*words_far(run, "two")]
        words[words.index("--compare") + 1] = there.id
        its = run.artifact(*words).facts["compared"]["thresholds"]
        assert list(its) == ["red"]
        assert (its["red"]["picked"], its["red"]["threshold"]) == ("half", 0.5)
        assert its["red"]["recall"]["there"] == pytest.approx(there.facts["recall"]["red"])

    def test_prevalence_and_what_it_does_to_the_accuracy(self, run):
        there, here = own(run, "three"), run.artifact(*words_far(run, "three"))
        compared = here.facts["compared"]
        (own_labels, _), (labels, probabilities) = figures(there), figures(here)
        expected = 0.0
        for c, name in enumerate(NAMES):
            prevalence = compared["classes"][name]["prevalence"]
            assert prevalence["there"] == pytest.approx((own_labels == c).mean())
            assert prevalence["here"] == pytest.approx((labels == c).mean())
            expected += (labels == c).mean() * there.facts["recall"][name]
        its = compared["figures"]["accuracy_with_the_shares_here"]
        assert its["there"] == pytest.approx(expected)
        assert its["here"] == pytest.approx(here.facts["accuracy"])
        assert compared["classes"]["blue"]["auc"]["here"] == pytest.approx(
            sk.roc_auc_score(labels == 2, probabilities[:, 2])
        )

    def test_a_class_without_a_threshold_is_called_where_it_is_the_most_probable(self, run):
        there, here = own(run, "three"), run.artifact(*words_far(run, "three"))
        its = here.facts["compared"]["thresholds"]
        assert {name: each["picked"] for name, each in its.items()} == {
            "red": "recall",
            "green": "most probable",
            "blue": "most probable",
        }
        assert its["blue"]["recall"]["there"] == pytest.approx(there.facts["recall"]["blue"])
        assert its["blue"]["recall"]["here"] == pytest.approx(here.facts["recall"]["blue"])
        assert its["blue"]["precision"]["here"] == pytest.approx(here.facts["precision"]["blue"])

    def test_a_class_that_one_source_lacks_is_left_out_and_named(self, run, tmp_path):
        write_source(tmp_path, 40, 0.4, (0.5, 0.5, 0.0), 3)
        table = ("--table", tmp_path / "table.csv", "--id-column", "file", "--group-column", "patient")
        more = ("--label-column", "three", "--size", SIDE, "--split", "0:0:100", "--workers", 1)
        lacking = run.artifact("preprocess", tmp_path / "pictures", *table, *more)
        words = [*words_far(run, "three")]
        words[words.index("far-three")] = lacking.id
        compared = run.artifact(*words).facts["compared"]
        there = own(run, "three")
        assert compared["only_there"] == ["blue"]
        assert set(compared["classes"]) == {"red", "green"}
        recalls = [there.facts["recall"][name] for name in ("red", "green")]
        assert compared["figures"]["balanced_accuracy"]["there"] == pytest.approx(np.mean(recalls))
        assert any("pictures of blue are there alone" in each for each in source_report.sentences(compared))


@pytest.mark.long
class TestFindings:
    def test_thresholds_and_f1_are_those_of_there(self, run):
        there, here = own(run, "findings"), run.artifact(*words_far(run, "findings"))
        compared = here.facts["compared"]
        labels, probabilities = here.read("labels"), here.read("probabilities")
        limits = [there.facts["thresholds"][name]["threshold"] for name in NAMES]
        expected = findings.figures(labels, probabilities, limits)
        assert compared["figures"]["macro_f1"]["here"] == pytest.approx(expected["macro_f1"])
        assert compared["figures"]["macro_f1"]["there"] == pytest.approx(there.facts["macro_f1"])
        assert compared["figures"]["macro_f1"]["here"] != pytest.approx(here.facts["macro_f1"])
        for c, name in enumerate(NAMES):
            its = compared["thresholds"][name]
            assert (its["picked"], its["threshold"]) == ("f1", limits[c])
            reached = findings.at_threshold(labels[:, c], probabilities[:, c], limits[c])
            assert [its[share]["here"] for share in ("recall", "specificity", "precision")] == [
                reached[share] for share in ("recall", "specificity", "precision")
            ]
            assert compared["classes"][name]["prevalence"]["here"] == here.facts["findings"][name]["prevalence"]
            error = here.facts["findings"][name]["calibration"]["expected_calibration_error"]
            assert compared["classes"][name]["calibration_error"]["here"] == pytest.approx(error)
        assert compared["too_few"]["here"] == [
            name for name, its in here.facts["findings"].items() if not its["enough"]
        ]

    def test_a_fall_is_told_with_both_intervals(self, run):
        compared = run.artifact(*words_far(run, "findings")).facts["compared"]
        said = [each for each in source_report.sentences(compared) if each.startswith("green, at the threshold")]
        number = r"\d\.\d{3}"
        share = rf"{number} \({number} to {number}\)"
        assert re.search(rf"\({number}\d, for the best F1\): sensitivity falls from {share} to {share};", said[0]), said


class TestDoubts:
    @pytest.mark.long
    def test_pictures_on_both_sides_are_counted(self, run):
        """The same pictures under another name of the dataset."""
        again = run.artifact(
            "preprocess", run.store.parent / "own" / "pictures", "--table", run.store.parent / "own" / "table.csv",
            "--id-column", "file", "--group-column", "patient", "--label-column", "two", "--size", SIDE,
            "--split", "0:0:100", "--workers", 1,
        )  # fmt: skip
        words = [*words_far(run, "two")]
        words[words.index("far-two")] = again.id
        result = run(*words)
        assert f"{own(run, 'two').n} of the pictures here are in evaluations/" in result.stderr
        assert run.artifact(*words_far(run, "two")).facts["compared"]["shared_pictures"] == 0

    @pytest.mark.long
    def test_what_the_model_was_trained_on_is_told_of_the_other_evaluation(self, run):
        compared = dict(run.artifact(*words_far(run, "two")).facts["compared"], seen_in_training="it remembers.")
        assert source_report.sentences(compared)[0] == f"of evaluations/{compared['evaluation']}: it remembers."

    def test_probabilities_that_are_too_high_here_are_told(self):
        def each(there, here, interval=None):
            return {"there": there, "here": here, "difference": here - there, "interval": interval}

        its = {"prevalence": each(0.5, 0.4), "mean_probability": each(0.5, 0.8), "slope": each(1.0, 1.0)}
        compared = {"evaluation": "e", "dataset": "d", "seen_in_training": None, "shared_pictures": 0, "unlike": None}
        for interval, told in (([-4.0, -2.0], True), ([-4.0, 2.0], False)):
            moved = {**its, "in_the_large": each(0.0, -3.0, interval)}
            compared |= {"figures": {"accuracy": each(0.9, 0.6)}, "classes": {"no": moved, "yes": moved}}
            said = "its probabilities of yes are too high here: 0.800 on average for 0.400 of the pictures, and 0.500"
            assert [said in sentence for sentence in source_report.sentences(compared)] == [True] * told

    def test_what_does_not_move_is_not_told_as_a_fall(self):
        still = {"there": 1.0, "here": 1.0, "difference": 0.0, "interval": [0.0, 0.0]}
        unsure = {"there": 0.9, "here": 0.8, "difference": -0.1, "interval": [-0.3, 0.1]}
        compared = {"evaluation": "e", "dataset": "d", "seen_in_training": None, "shared_pictures": 0, "unlike": None}
        compared |= {"figures": {"auc": still, "calibration_error": unsure}, "classes": {}}
        assert source_report.sentences(compared) == [
            "AUC stays at 1.000.",
            "calibration error is 0.900 there and 0.800 here: the difference may be chance.",
        ]


@pytest.mark.long
class TestRefused:
    @pytest.mark.parametrize(
        ("model", "dataset", "compared", "said"),
        [
            ("another", "far-two", "two", "is an evaluation of models/two-"),
            ("two", "own-two", "two", "of the same groups of datasets/own-two-"),
            ("findings", "far-three", "findings", "was scored in another way (findings: red, green, blue)"),
        ],
    )
    def test_what_does_not_fit(self, run, model, dataset, compared, said):
        there = own(run, compared).id
        before = sorted(run.store.rglob("*"))
        words = ["evaluate", model, "--dataset", dataset, "--split", "all", "--compare", there, "--bootstrap", ROUNDS]
        error = run.fails(*words)
        assert said in error
        assert there in error
        assert sorted(run.store.rglob("*")) == before

    def test_sides_without_a_common_class(self, run, tmp_path):
        write_source(tmp_path, 12, 0.4, (0.0, 0.0, 1.0), 3)
        table = tmp_path / "far.csv"
        table.write_text((tmp_path / "table.csv").read_text().replace("green", "nodule"))
        table = ("--table", table, "--id-column", "file", "--label-columns", "blue,nodule")
        own_only = ("--table", tmp_path / "table.csv", "--id-column", "file", "--label-columns", "red,green")
        more = ("--size", SIDE, "--split", "0:0:100", "--workers", 1)
        far = run.artifact("preprocess", tmp_path / "pictures", *table, *more)
        near = run.artifact("preprocess", tmp_path / "pictures", *own_only, *more)
        there = run.artifact("evaluate", "findings", "--dataset", near.id, "--split", "all", "--bootstrap", ROUNDS)
        error = run.fails("evaluate", "findings", "--dataset", far.id, "--split", "all", "--compare", there.id)
        assert "have no class, finding or value in common" in error


@pytest.mark.long
def test_the_command_that_makes_it_again_names_the_evaluation(run):
    here = run.artifact(*words_far(run, "two"))
    page = html.unescape((here.path / "index.html").read_text())
    assert here.inputs["compare"]["id"] == own(run, "two").id
    assert f"facelime evaluate models/{here.inputs['model']['id']}" in page
    # Another evaluation there is another comparison.
    words = [*words_far(run, "two")]
    words[words.index("--compare") + 1] = own(run, "two", "--seed", 1).id
    assert run.artifact(*words).id != here.id
