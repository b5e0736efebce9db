"""Evaluation: figures equal those of scikit-learn on the stored predictions, and the rest is counted by hand."""

import csv
import json
import shlex

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sk

from facelime_cli.answering import runtimes
from facelime_cli.core.faces import draw
from facelime_cli.reporting.evaluation_report import explain_command

SIZE = 24


@pytest.fixture
def run(evaluated):
    return evaluated


def test_figures_equal_those_of_scikit_learn(run):
    answer = run.json("evaluate", "weak")
    artifact = run.artifact("evaluate", "weak")
    labels, probabilities = artifact.read("labels"), artifact.read("probabilities")
    predicted = probabilities.argmax(axis=1)
    assert answer["classes"] == ["normal", "rosacea"]
    assert answer["n"] == len(labels) == (run_part(run) == 2).sum()
    assert answer["accuracy"] == sk.accuracy_score(labels, predicted)
    assert answer["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, predicted))
    assert answer["macro_f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert answer["auc"] == pytest.approx(sk.roc_auc_score(labels, probabilities[:, 1]))
    assert answer["confusion_matrix"] == sk.confusion_matrix(labels, predicted).tolist()
    for name, function in (("recall", sk.recall_score), ("precision", sk.precision_score), ("f1", sk.f1_score)):
        assert list(answer[name].values()) == pytest.approx(function(labels, predicted, average=None, zero_division=0))


def run_part(run):
    return run.artifact("evaluate", "weak").input("datasets").read("split")


def test_labels_and_probabilities_are_those_of_the_pictures(run):
    from facelime_cli.models import wrapping

    artifact = run.artifact("evaluate", "weak")
    data, rows = artifact.input("datasets"), artifact.read("row")
    assert np.array_equal(artifact.read("labels"), data.read("labels")[rows])
    assert artifact.texts("id") == [data.texts("id")[row] for row in rows]
    net = wrapping.load(artifact.input("models").file("model.keras"))
    straight = np.asarray(net(data.read("images", [int(row) for row in rows]).astype(np.float32)))
    assert artifact.read("probabilities") == pytest.approx(straight, abs=1e-5)


@pytest.mark.long
def test_a_threshold_comes_from_the_validation_part(run):
    answer = run.json("evaluate", "weak", "--target-recall", "rosacea=0.9")
    validation = run.artifact("evaluate", "weak", "--split", "validation")
    found = answer["thresholds"]["rosacea"]
    true, scores = validation.read("labels") == 1, validation.read("probabilities")[:, 1]
    assert found["threshold"] in scores
    assert (scores[true] >= found["threshold"]).mean() >= 0.9
    assert (scores[true] > found["threshold"]).mean() < 0.9
    test = run.artifact("evaluate", "weak")
    here = test.read("probabilities")[:, 1] >= found["threshold"]
    labels = test.read("labels") == 1
    assert found["test"]["recall"] == (here & labels).sum() / labels.sum()
    assert found["test"]["specificity"] == (~here & ~labels).sum() / (~labels).sum()


def test_subgroups_are_counted(run, tabled):
    facts = run.artifact("evaluate", "weak").facts
    sexes = {each["value"]: each["n"] for each in facts["subgroups"] if each["column"] == "sex"}
    artifact = run.artifact("evaluate", "weak")
    table = {row["image_id"]: row for row in csv.DictReader((tabled / "table.csv").open())}
    expected = [table[name]["sex"] or "unknown" for name in artifact.texts("id")]
    assert sexes == {value: expected.count(value) for value in set(expected)}
    right = artifact.read("probabilities").argmax(axis=1) == artifact.read("labels")
    women = next(each for each in facts["subgroups"] if (each["column"], each["value"]) == ("sex", "f"))
    assert women["accuracy"] == pytest.approx(right[[value == "f" for value in expected]].mean())
    ages = [each for each in facts["subgroups"] if each["column"] == "age"]
    assert sum(each["n"] for each in ages) == artifact.n
    assert [each["value"].split()[0] for each in ages] == [
        "up",
        *[each["value"].split()[0] for each in ages[1:-2]],
        "over",
        "unknown",
    ]
    assert [each["n"] for each in ages if each["value"] == "unknown"] == [
        sum(table[name]["age"] == "" for name in artifact.texts("id"))
    ]


@pytest.mark.long
def test_mistakes_go_straight_into_segment(run):
    answer = run.json("evaluate", "weak", "--mistakes", 3)
    mistakes = answer["mistakes"]
    assert [each["probability"] for each in mistakes] == sorted(
        (each["probability"] for each in mistakes), reverse=True
    )
    assert all(each["label"] != each["predicted"] for each in mistakes)
    segments = run.artifact(
        "segment", "people", "--images", ",".join(each["id"] for each in mistakes), "--method", "slic", "--segments", 5
    )
    assert sorted(segments.texts("id")) == sorted(each["id"] for each in mistakes)


def test_the_model_is_loaded_once_for_both_splits(run, monkeypatch):
    loaded, load = [], runtimes.load
    monkeypatch.setattr(runtimes, "load", lambda *given: loaded.append(given) or load(*given))
    run.json("evaluate", "weak", "--target-recall", "rosacea=0.85")
    assert len(loaded) == 1


def test_files_and_page(run):
    artifact = run.artifact("evaluate", "weak", "--target-recall", "rosacea=0.9")
    page = (artifact.path / "index.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    for name in ("confusion", "curves", "calibration", "mistakes"):
        assert (artifact.path / "figures" / f"{name}.png").stat().st_size > 1000
        assert f"figures/{name}.svg" in page
    rows = list(csv.DictReader((artifact.path / "predictions.csv").open()))
    assert [row["id"] for row in rows] == artifact.texts("id")
    assert [float(row["rosacea"]) for row in rows] == pytest.approx(artifact.read("probabilities")[:, 1])
    assert json.loads((artifact.path / "metrics.json").read_text())["accuracy"] == artifact.facts["accuracy"]
    figures = list(csv.DictReader((artifact.path / "figures.csv").open()))
    assert float(next(row for row in figures if row["figure"] == "accuracy")["value"]) == artifact.facts["accuracy"]
    assert run("verify", f"evaluations/{artifact.id}").exit_code == 0


def test_the_reference_is_on_stdout_and_the_table_beside_it(run):
    result = run("evaluate", "weak")
    assert result.stdout == run.artifact("evaluate", "weak").id + "\n"
    assert "balanced accuracy" in result.stderr
    assert run("evaluate", "weak", "--quiet").stderr == ""


def test_the_command_under_the_mistakes_works_for_any_name(chain, tmp_path):
    run = chain.facelime
    for name in ("a, b", 'c "d"'):
        Image.fromarray(draw(2, len(name), SIZE, flushed=True).image).save(tmp_path / f"{name}.png")
    data = run.artifact("preprocess", tmp_path, "--size", 48)
    command = explain_command(data, chain["finetune"], [{"id": name} for name in data.texts("id")])
    words = shlex.split(command)
    segments = run.artifact(
        "segment", data.id, "--images", words[words.index("--images") + 1], "--method", "slic", "--segments", 5
    )
    assert segments.texts("id") == data.texts("id")


class TestSeenInTraining:
    @pytest.mark.long
    def test_the_training_part_is_said_to_be_one(self, run):
        result = run("evaluate", "weak", "--split", "all")
        n = len(run_part(run))
        assert f"the model was trained on {(run_part(run) == 0).sum()} of these {n} pictures" in result.stderr
        page = (run.artifact("evaluate", "weak", "--split", "all").path / "index.html").read_text()
        assert "The model was trained on" in page
        assert run.json("evaluate", "weak", "--split", "test")["seen_in_training"] == {
            "pictures": 0,
            "of_a_trained_group": 0,
            "sentence": None,
        }

    def test_the_same_pictures_under_other_names(self, run, tabled, tmp_path):
        """Copies of two training pictures and one of a test picture, in a dataset of their own."""
        own = run.artifact("evaluate", "weak").input("datasets")
        split, ids, labels = own.read("split"), own.texts("id"), own.read("labels")
        for place, row in enumerate([*np.flatnonzero(split == 0)[:2], np.flatnonzero(split == 2)[0]]):
            folder = tmp_path / own.facts["classes"][labels[row]]
            folder.mkdir(exist_ok=True)
            (folder / f"copy{place}.png").write_bytes((tabled / f"{ids[row]}.png").read_bytes())
        (tmp_path / "rosacea").mkdir(exist_ok=True)
        other = run.artifact("preprocess", tmp_path, "--size", SIZE)
        found = run.json("evaluate", "weak", "--dataset", other.id, "--split", "all")["seen_in_training"]
        assert found["pictures"] == 2

    @pytest.mark.long
    def test_other_pictures_of_a_trained_patient(self, run, tabled):
        words = [
            "--table",
            tabled / "table.csv",
            "--label-column",
            "dx",
            "--group-column",
            "patient",
            "--size",
            SIZE,
            "--split",
            "40:30:30",
            "--seed",
            5,
            "--contrast",
            0.9,
        ]
        other = run.artifact("preprocess", tabled, *words)
        found = run.json("evaluate", "weak", "--dataset", other.id)["seen_in_training"]
        assert found["pictures"] == 0
        assert found["of_a_trained_group"] > 0
        assert "patient or lesion" in found["sentence"]


class TestWrong:
    def test_another_dataset_needs_the_same_classes(self, run, tmp_path):
        for name in ("normal", "psoriasis"):
            (tmp_path / name).mkdir()
            Image.new("RGB", (30, 30)).save(tmp_path / name / "a.png")
        other = run.artifact("preprocess", tmp_path, "--size", SIZE)
        assert "'psoriasis'" in run.fails("evaluate", "weak", "--dataset", other.id, "--split", "all")

    @pytest.mark.long
    def test_an_imported_model_has_no_dataset_of_its_own(self, run):
        model = run.artifact("finetune", "people", "--backbone", "cnn-small", "--epochs", 5)
        imported = run.artifact(
            "import-model",
            model.file("model.keras"),
            "--classes",
            "rosacea,normal",
            "--scaling",
            "0..255",
            "--name",
            "imported",
        )
        assert "--dataset" in run.fails("evaluate", imported.id)
        swapped = run.artifact("evaluate", imported.id, "--dataset", "people")
        assert swapped.facts["confusion_matrix"] == run.artifact("evaluate", "weak").facts["confusion_matrix"][::-1]
        assert sorted(swapped.read("labels")) == sorted(1 - run.artifact("evaluate", "weak").read("labels"))

    @pytest.mark.parametrize(("text", "code"), [("rosacea", 2), ("rosacea=2", 2), ("rosacea=nan", 2), ("acne=0.9", 2)])
    def test_wrong_targets(self, run, text, code):
        assert "--target-recall" in run.fails("evaluate", "weak", "--target-recall", text, code=code)

    def test_a_threshold_needs_another_part(self, run):
        assert "validation" in run.fails("evaluate", "weak", "--split", "validation", "--target-recall", "rosacea=0.9")


def test_many_classes_and_odd_names(facelime, tmp_path):
    """A network of 120 classes sees pictures of two, and one name looks like a formula.

    Classes that do not occur are left out.
    """
    for name in ("$^$", "class3"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.fromarray(draw(1, number, SIZE, flushed=name == "$^$").image).save(tmp_path / name / f"{number}.png")
    facelime.json("preprocess", tmp_path, "--size", SIZE, "--name", "odd")
    import keras

    net = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(120, activation="softmax")]
    )
    net.save(tmp_path / "many.keras")
    (tmp_path / "names.txt").write_text("\n".join(["$^$", *(f"class{c}" for c in range(1, 120))]))
    facelime.json(
        "import-model",
        tmp_path / "many.keras",
        "--classes",
        f"@{tmp_path / 'names.txt'}",
        "--scaling",
        "0..1",
        "--name",
        "many",
    )
    artifact = facelime.artifact("evaluate", "many", "--dataset", "odd", "--split", "all", "--bootstrap", 100)
    occurring = {"$^$", "class3"} | {f"class{c}" if c else "$^$" for c in artifact.read("probabilities").argmax(axis=1)}
    assert set(artifact.facts["classes"]) == occurring
    assert len(artifact.facts["confusion_matrix"]) == len(occurring)
    assert artifact.read("probabilities").shape == (6, 120)
