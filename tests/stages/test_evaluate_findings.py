"""Evaluation of several findings per picture: by scikit-learn on the known labels, finding by finding, by name."""

import csv
import html
import json
import shlex

import numpy as np
import pytest
from sklearn import metrics as sk

from facelime_cli.console import Console
from facelime_cli.core import metrics
from facelime_cli.engine import Context
from facelime_cli.names import WITHOUT
from facelime_cli.reporting import evaluation
from facelime_cli.reporting.findings_scored import SeveralFindings
from facelime_cli.reporting.scoring import finding_of, scoring_of
from facelime_cli.sources import SPLITS
from facelime_cli.stages import evaluate
from facelime_cli.store.references import Store
from tests.findings import NAMES, ORDER, SEXES, save_network, words_of_source
from tests.support import ROUNDS, SIZE, STAGES, fingerprint


@pytest.fixture(scope="module")
def run(several):
    return several


@pytest.fixture(scope="module")
def chest(run):
    return run.artifact("preprocess", *words_of_source(run.store.parent))


def context(run):
    return Context(Store(run.store), Console(quiet=True))


def model(run, name="good"):
    return Store(run.store).resolve(name, ("models",))


@pytest.fixture(scope="module")
def here(run, chest):
    """What the good network says of the test split, without an evaluation's charts."""
    return answered(run, chest, "test")


def answered(run, chest, split):
    scoring = scoring_of(model(run), chest)
    cases = evaluation.cases_of(scoring, chest, split, SPLITS, None)
    return evaluation.Answered(cases, evaluation.Answers(model(run), chest, 32).of(cases))


@pytest.fixture(scope="module")
def scoring(run, chest):
    return scoring_of(model(run), chest)


def figures_of(scoring, here, picking=None, before=None):
    thresholds = scoring.thresholds(picking or evaluation.Picking(), before, here, "test")
    return scoring.figures(here, thresholds, 100, 0), thresholds


class TestScoring:
    def test_labels_are_those_of_the_dataset_by_name(self, chest, here):
        stored = chest.read("labels")[here.cases.rows]
        for name in NAMES:
            expected = stored[:, chest.facts["classes"].index(name)]
            assert here.cases.labels[:, ORDER.index(name)].tolist() == expected.tolist()
        assert set(here.cases.labels[:, ORDER.index("Hernia")]) == {-1}
        assert (here.cases.labels == -1).sum() > len(stored)

    def test_figures_are_those_of_scikit_learn(self, scoring, here):
        found, _ = figures_of(scoring, here)
        labels, probabilities = here.cases.labels, here.probabilities
        areas = []
        for name, its in found["findings"].items():
            column, scores = labels[:, ORDER.index(name)], probabilities[:, ORDER.index(name)]
            known = column >= 0
            areas.append(sk.roc_auc_score(column[known], scores[known]))
            assert its["auc"] == pytest.approx(areas[-1])
            assert its["average_precision"] == pytest.approx(sk.average_precision_score(column[known], scores[known]))
            assert (its["n"], its["positive"], its["unknown"]) == (known.sum(), (column == 1).sum(), (~known).sum())
            for figure in ("auc", "average_precision"):
                low, high = its[f"{figure}_interval"]
                assert 0 <= low <= its[figure] <= high <= 1
        assert list(found["findings"]) == [name for name in ORDER if name in NAMES]
        assert found["macro_auc"] == pytest.approx(np.mean(areas))
        assert found["not_in_dataset"] == ["Hernia"]

    def test_intervals_draw_whole_patients(self, scoring, here):
        """With every picture a patient of its own there are other intervals, and of one patient there are none."""
        rows, labels = here.cases.rows, here.cases.labels
        own = [str(row) for row in rows]
        by_picture, _ = figures_of(
            scoring, evaluation.Answered(evaluation.Cases(rows, labels, own), here.probabilities)
        )
        by_patient, _ = figures_of(scoring, here)
        assert by_picture["macro_auc"] == by_patient["macro_auc"]
        assert by_picture["bootstrap_intervals"] != by_patient["bootstrap_intervals"]
        alone, _ = figures_of(
            scoring, evaluation.Answered(evaluation.Cases(rows, labels, ["a"] * len(rows)), here.probabilities)
        )
        assert set(alone["bootstrap_intervals"].values()) == {None}
        assert not any(each["enough"] for each in alone["findings"].values())

    def test_thresholds_come_from_the_validation_split(self, run, chest, scoring, here):
        before = answered(run, chest, "validation")
        picking = evaluation.Picking("f1", {"Mass": 0.9})
        _, found = figures_of(scoring, here, picking, before)
        for name, its in found.items():
            column = before.cases.labels[:, ORDER.index(name)]
            scores = before.probabilities[:, ORDER.index(name)]
            known = column >= 0
            true, scores = column[known] == 1, scores[known]
            if name == "Mass":
                assert its["picked"] == "recall"
                assert (scores[true] >= its["threshold"]).mean() >= 0.9 > (scores[true] > its["threshold"]).mean()
            else:
                assert its["picked"] == "f1"
                best = max(sk.f1_score(true, scores >= value) for value in scores)
                assert its["validation"]["f1"] == pytest.approx(best)
                assert sk.f1_score(true, scores >= its["threshold"]) == pytest.approx(best)
            here_column, here_scores = (each[:, ORDER.index(name)] for each in (here.cases.labels, here.probabilities))
            called = here_scores >= its["threshold"]
            assert its["test"]["true_positives"] == (called & (here_column == 1)).sum()
            assert its["test"]["false_positives"] == (called & (here_column == 0)).sum()

    def test_a_finding_that_the_validation_split_lacks_keeps_the_usual_threshold(self, run, chest, scoring, here):
        before = answered(run, chest, "validation")
        labels = before.cases.labels.copy()
        labels[:, ORDER.index("Edema")] = np.minimum(labels[:, ORDER.index("Edema")], 0)
        cases = evaluation.Cases(before.cases.rows, labels, before.cases.groups)
        without = evaluation.Answered(cases, before.probabilities)
        _, found = figures_of(scoring, here, evaluation.Picking("f1"), without)
        assert {name: its["picked"] for name, its in found.items()} == {"Effusion": "f1", "Edema": "half", "Mass": "f1"}
        assert found["Edema"]["threshold"] == 0.5
        assert "validation" not in found["Edema"]

    def test_mistakes_are_the_surest_of_each_kind(self, scoring, here):
        ids = [f"picture {row}" for row in here.cases.rows]
        thresholds = scoring.thresholds(evaluation.Picking(), None, here, "test")
        found = scoring.mistakes(here, ids, thresholds, 4)
        for name in NAMES:
            column, scores = (each[:, ORDER.index(name)] for each in (here.cases.labels, here.probabilities))
            false = np.sort(scores[(column == 0) & (scores >= 0.5)])[::-1].tolist()
            missed = np.sort(scores[(column == 1) & (scores < 0.5)]).tolist()
            its = [each for each in found if each["finding"] == name]
            of = {
                kind: [each["probability"] for each in its if each["kind"] == kind]
                for kind in ("false positive", "false negative")
            }
            assert len(its) == min(4, len(false) + len(missed))
            assert of["false positive"] == false[: len(of["false positive"])]
            assert of["false negative"] == missed[: len(of["false negative"])]
            assert min(len(of["false negative"]), 2) == min(len(missed), 2, 4 - len(of["false positive"]))
        assert found

    def test_subgroups_are_of_each_finding(self, run, chest, scoring, here):
        thresholds = scoring.thresholds(evaluation.Picking(), None, here, "test")
        found = scoring.subgroups(chest, here, thresholds)
        with (run.store.parent / "table.csv").open() as stream:
            sexes = {row["image_id"]: row["sex"] for row in csv.DictReader(stream)}
        ids = chest.texts("id")
        own = np.array([sexes[ids[row]] for row in here.cases.rows])
        checked = 0
        for each in found:
            if each["column"] != "sex":
                continue
            column, scores = (
                values[:, ORDER.index(each["finding"])] for values in (here.cases.labels, here.probabilities)
            )
            chosen = (own == each["value"]) & (column >= 0)
            assert each["n"] == chosen.sum()
            assert each["auc"] == pytest.approx(sk.roc_auc_score(column[chosen], scores[chosen]))
            assert each["recall"] == pytest.approx(sk.recall_score(column[chosen], scores[chosen] >= 0.5))
            checked += 1
        assert checked == len(NAMES) * len(SEXES)


class TestWhatFits:
    def test_two_classes_of_one_finding_fit_a_model_of_many(self, run):
        """A dataset of the classes `no Mass` and `Mass` scores this one finding."""
        folder = run.store.parent
        words = ["--table", folder / "table.csv", "--label-columns", "Mass", "--size", SIZE, "--workers", 1]
        alone = run.artifact("preprocess", folder / "pictures", *words)
        assert sorted(alone.facts["classes"]) == sorted(["Mass", WITHOUT.format("Mass")])
        found = scoring_of(model(run), alone)
        assert isinstance(found, SeveralFindings)
        column = found.labels(alone)[:, ORDER.index("Mass")]
        stored, index = alone.read("labels"), alone.facts["classes"].index("Mass")
        assert column.tolist() == [-1 if each < 0 else int(each == index) for each in stored]
        assert set(column) == {-1, 0, 1}
        assert set(np.delete(found.labels(alone), ORDER.index("Mass"), axis=1).ravel()) == {-1}

    def test_a_model_of_one_finding_fits_a_dataset_of_many(self, run, chest, tmp_path):
        path = two_classes(tmp_path, ("Mass", "no Mass"))
        words = ("--classes", "Mass,no Mass", "--scaling", "0..1", "--name", "mass")
        single = run.artifact("import-model", path, *words)
        labels = scoring_of(single, chest).labels(chest)
        column = chest.read("labels")[:, chest.facts["classes"].index("Mass")]
        assert labels.tolist() == [{1: 0, 0: 1, -1: -1}[int(each)] for each in column]
        message = run.fails("evaluate", "mass", "--dataset", chest.id, "--thresholds", "f1")
        assert "--thresholds f1 is for models with a probability for each finding" in message

    def test_other_pairs_are_a_sentence(self, run, chest, tmp_path):
        path = two_classes(tmp_path, ("sick", "well"))
        words = ("--classes", "sick,well", "--scaling", "0..1")
        run.json("import-model", path, *words, "--name", "one-class")
        assert "several findings per picture" in run.fails("evaluate", "one-class", "--dataset", chest.id)
        run.json("import-model", path, *words, "--multi-label", "--name", "others")
        message = run.fails("evaluate", "others", "--dataset", chest.id)
        assert "Edema" in message
        assert "sick, well" in message

    def test_findings_that_only_one_of_them_knows_are_left_out(self, run, chest, tmp_path):
        path = two_classes(tmp_path, ("Mass", "Hernia"))
        words = ("--classes", "Mass,Hernia", "--scaling", "0..1", "--multi-label", "--name", "two")
        found = scoring_of(run.artifact("import-model", path, *words), chest)
        assert list(found.known) == ["Mass"]
        assert sorted(found.not_in_model) == ["Edema", "Effusion"]
        # Pictures of which only an unknown finding is known are no cases.
        cases = evaluation.cases_of(found, chest, "all", SPLITS, None)
        assert (cases.labels[:, 0] >= 0).all()

    @pytest.mark.parametrize("split", ["validation", "all"])
    def test_thresholds_are_reported_on_other_pictures(self, run, split):
        message = run.fails("evaluate", "good", "--dataset", "chest", "--split", split, "--thresholds", "f1")
        assert "--thresholds f1 is picked on the validation split" in message

    def test_the_finding_of_two_classes(self):
        assert finding_of(["Mass", "no Mass"]) == "Mass"
        assert finding_of(["no Mass", "Mass", "Edema"]) is None
        assert finding_of(["no Mass", "Edema"]) is None


@pytest.fixture(scope="module")
def evaluation_of(run):
    """An evaluation through the command line, with thresholds from the validation split."""
    return run("evaluate", "good", "--dataset", "chest", "--thresholds", "f1", "--mistakes", 2, "--json")


class TestStage:
    @pytest.fixture
    def answer(self, evaluation_of):
        assert evaluation_of.exit_code == 0, evaluation_of.stderr
        return json.loads(evaluation_of.stdout)

    @pytest.fixture
    def artifact(self, run, answer):
        return Store(run.store).stored("evaluations", answer["artifact"])

    def test_arrays_and_answer(self, answer, artifact, here):
        assert artifact.read("labels").dtype == np.int8
        assert artifact.spec("labels").dimensions == ("picture", "label")
        assert artifact.read("labels").tolist() == here.cases.labels.tolist()
        assert artifact.read("probabilities") == pytest.approx(here.probabilities, abs=1e-6)
        assert answer["multilabel"]
        assert answer["findings"]["Mass"]["auc"] == artifact.facts["findings"]["Mass"]["auc"]

    def test_files(self, answer, artifact, run):
        table = list(csv.DictReader((artifact.path / "findings.csv").open()))
        assert [row["finding"] for row in table] == list(answer["findings"])
        assert [float(row["auc"]) for row in table] == [each["auc"] for each in answer["findings"].values()]
        predictions = list(csv.DictReader((artifact.path / "predictions.csv").open()))
        words = {1: "present", 0: "absent", -1: ""}
        for c, name in enumerate(ORDER):
            values = [float(row[name]) for row in predictions]
            assert values == pytest.approx(artifact.read("probabilities")[:, c].tolist())
            if name in NAMES:
                said = [row[f"{name} label"] for row in predictions]
                assert said == [words[int(each)] for each in artifact.read("labels")[:, c]]
        assert run("verify", f"evaluations/{artifact.id}").exit_code == 0

    def test_the_terminal_tells_too_few_and_what_was_left_out(self, run, artifact):
        shown = run("evaluate", "good", "--dataset", "chest", "--thresholds", "f1", "--mistakes", 2)
        assert shown.stdout == artifact.id + "\n"
        assert "the dataset says nothing of Hernia" in shown.stderr
        for name, each in artifact.facts["findings"].items():
            (line,) = [line for line in shown.stderr.splitlines() if line.split()[:2] == [name, str(each["n"])]]
            assert ("too few" in line) == (min(each["positive_groups"], each["negative_groups"]) < 10)

    def test_the_page(self, artifact):
        page = (artifact.path / "index.html").read_text()
        assert "Each finding has a probability of its own" in page
        assert "The dataset says nothing of Hernia" in page
        assert "https://" not in page
        for name in ("findings", "curves", "calibration", "mistakes-0"):
            assert (artifact.path / "figures" / f"{name}.png").stat().st_size > 1000
            assert f"figures/{name}.svg" in page

    def test_the_command_under_the_mistakes_explains_their_finding(self, artifact):
        page = html.unescape((artifact.path / "index.html").read_text())
        commands = [line for line in page.splitlines() if "facelime explain" in line]
        mistakes = artifact.facts["mistakes"]
        assert len(commands) == len({each["finding"] for each in mistakes})
        first = mistakes[0]["finding"]
        words = shlex.split(commands[0].partition("<code>")[2].partition("</code>")[0])
        assert words[words.index("--classes") + 1] == first
        ids = words[words.index("--images") + 1].split(",")
        assert ids == [each["id"] for each in mistakes if each["finding"] == first]

    def test_another_way_to_pick_thresholds_is_another_evaluation(self, run, artifact):
        assert artifact.parameters["thresholds"] == "f1"
        usual = fingerprint(STAGES["evaluate"], evaluate.Params(model="good", dataset="chest"), context(run))
        same = evaluate.Params(model="good", dataset="chest", thresholds="half")
        assert fingerprint(STAGES["evaluate"], same, context(run)) == usual != artifact.fingerprint


@pytest.mark.long
class TestCompare:
    def test_differences_are_of_each_finding(self, run):
        answer = run.json("compare-models", "worse", "good", "--dataset", "chest")
        first, second = (run.artifact("evaluate", name, "--dataset", "chest") for name in ("worse", "good"))
        (pair,) = answer["pairs"]
        for name in NAMES:
            for figure in ("auc", "average_precision"):
                its = pair["findings"][name][figure]
                values = [each.facts["findings"][name][figure] for each in (first, second)]
                assert its["difference"] == pytest.approx(values[1] - values[0])
                low, high = its["interval"]
                assert low <= its["difference"] <= high
        macro = pair["differences"]["macro_auc"]
        assert macro["difference"] == pytest.approx(second.facts["macro_auc"] - first.facts["macro_auc"])
        assert "mcnemar" not in pair
        shown = run("compare-models", "worse", "good", "--dataset", "chest").stdout
        assert all(name in shown for name in NAMES)

    def test_the_interval_is_that_of_the_same_rounds_for_both(self, run):
        answer = run.json("compare-models", "worse", "good", "--dataset", "chest")
        first, second = (run.artifact("evaluate", name, "--dataset", "chest") for name in ("worse", "good"))
        column = first.read("labels")[:, ORDER.index("Mass")]
        known = column >= 0
        differences = []
        for counts in metrics.rounds_by_group(first.texts("group"), ROUNDS, 0)[:, known]:
            drawn = np.repeat(np.flatnonzero(known), counts)
            one, other = (
                sk.roc_auc_score(column[drawn], each.read("probabilities")[drawn, ORDER.index("Mass")])
                for each in (first, second)
            )
            differences.append(other - one)
        expected = np.quantile(differences, [0.025, 0.975])
        assert answer["pairs"][0]["findings"]["Mass"]["auc"]["interval"] == pytest.approx(expected.tolist())

    def test_the_order_of_the_findings_does_not_matter(self, run):
        """The same network with its findings in another order is as good as itself."""
        folder = run.store.parent
        turned = ORDER[::-1]
        path = save_network(folder / "turned.keras", 1.5, order=turned)
        more = ("--classes", ",".join(turned), "--scaling", "0..1", "--multi-label", "--name", "turned")
        run.json("import-model", path, *more)
        pair = run.json("compare-models", "good", "turned", "--dataset", "chest")["pairs"][0]
        for its in pair["findings"].values():
            assert its["auc"] == {"difference": 0, "interval": [0, 0]}

    def test_classes_and_findings_are_not_compared(self, run, tmp_path):
        path = two_classes(tmp_path, ("Mass", "no Mass"))
        run.json("import-model", path, "--classes", "Mass,no Mass", "--scaling", "0..1", "--name", "single")
        assert "different pictures or classes" in run.fails("compare-models", "good", "single", "--dataset", "chest")


@pytest.mark.long
def test_a_trained_model_is_evaluated_on_its_own_dataset(run):
    """Its findings, its split and its fold are those that it was trained with, and no picture was seen before."""
    run.json("finetune", "chest", "--backbone", "cnn-small", "--epochs", 1, "--name", "trained")
    answer = run.json("evaluate", "trained")
    assert list(answer["findings"]) == list(NAMES)
    assert answer["seen_in_training"] == {"pictures": 0, "of_a_trained_group": 0, "sentence": None}
    seen = run.json("evaluate", "trained", "--split", "train")["seen_in_training"]
    assert seen["pictures"] == run.json("evaluate", "trained", "--split", "train")["n"]


@pytest.mark.long
def test_folds_of_findings(run):
    """Each fold's model is tested on that fold."""
    folds = run.artifact(
        "preprocess",
        *[each for each in words_of_source(run.store.parent) if each not in ("--split", "25:25:50")],
        "--folds",
        3,
    )
    run.json("finetune", folds.id, "--backbone", "cnn-small", "--epochs", 1, "--fold", 1, "--name", "second")
    artifact = run.artifact("evaluate", "second")
    known = (folds.read("labels") >= 0).any(axis=1)
    assert artifact.read("row").tolist() == np.flatnonzero((folds.read("fold") == 1) & known).tolist()


def two_classes(folder, names):
    """Save a network of two outputs that add up to 1."""
    import keras

    net = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(len(names), activation="softmax")]
    )
    net.save(folder / "two.keras")
    return folder / "two.keras"
