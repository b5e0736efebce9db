"""A network that learned several labels: trained, measured, explained and handed on output by output."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

from facelime_cli.stages import finetune
from facelime_cli.store.references import Store
from tests.labels import OPEN, TINTS, TRAINED, write_tinted
from tests.support import FewRounds

N_TINTED = 90


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def tinted(tmp_path_factory):
    """A store with a dataset of two labels, and a network that learned both."""
    folder = tmp_path_factory.mktemp("tinted")
    run = FewRounds(folder / "store")
    run.json(*write_tinted(folder, N_TINTED))
    run.json("finetune", "tinted", "--labels", "class,tint", "--backbone", "cnn-small", "--epochs", 2, "--name", "both")
    return run


@pytest.fixture
def model(tinted):
    return Store(tinted.store).resolve("models/both")


class TestFinetune:
    def test_both_labels_are_learned(self, tinted):
        model = tinted.artifact("finetune", "tinted", "--labels", "class,tint", *TRAINED)
        assert [each["test"]["accuracy"] > 0.8 for each in model.facts["heads"]] == [True, True]

    def test_both_labels_are_said(self, model):
        first, further = model.facts["heads"]
        assert model.facts["classes"] == first["classes"] == ["bright", "dark"]
        assert (further["name"], further["label_column"], further["classes"]) == ("tint", "tint", sorted(TINTS))
        assert first["label_column"] is None
        assert model.facts["test"] == first["test"]
        assert {"accuracy", "tint accuracy", "val_tint accuracy"} <= set(model.facts["history"][0])

    def test_rows_without_a_label_are_left_out_for_it_alone(self, tinted, model):
        dataset = Store(tinted.store).resolve("datasets/tinted")
        n_test = int((dataset.read("split") == 2).sum())
        tints = np.array(dataset.texts("table/tint"))[dataset.read("split") == 2]
        assert model.facts["heads"][0]["test"]["n"] == n_test
        assert model.facts["heads"][1]["test"]["n"] == int((tints != "").sum()) < n_test
        assert sum(text == "" for text in dataset.texts("table/tint")) == N_TINTED // OPEN

    def test_without_the_option_a_model_is_what_it_was(self, tinted):
        plain = tinted.artifact("finetune", "tinted", "--backbone", "cnn-small", "--epochs", 1)
        named = tinted.artifact("finetune", "tinted", "--backbone", "cnn-small", "--epochs", 1, "--labels", "class")
        assert "labels" not in plain.parameters
        assert "heads" not in plain.facts
        assert named.id == plain.id

    def test_a_column_alone_is_learned_instead_of_the_class(self, tinted):
        model = tinted.artifact("finetune", "tinted", "--labels", "grade", "--backbone", "cnn-small", "--epochs", 1)
        assert model.facts["classes"] == ["0", "1", "2", "3"]
        assert "heads" not in model.facts
        measured = tinted.json("evaluate", model.reference)
        assert measured["accuracy"] == pytest.approx(model.facts["test"]["accuracy"])

    def test_a_probe_of_frozen_features_has_both_outputs(self, tinted):
        """Features are computed once, and the halves are trained alone."""
        words = ("--labels", "class,tint", "--backbone", "cnn-small", "--freeze", "all", "--epochs", 2, "--head", 6)
        model = tinted.artifact("finetune", "tinted", *words, "--class-weights", "balanced", "--output", "sigmoid")
        assert [len(each["classes"]) for each in model.facts["heads"]] == [2, 3]
        assert list(model.facts["class_weights"]) == ["class", "tint"]
        measured = [tinted.json("evaluate", model.reference, *words) for words in ((), ("--output", "tint"))]
        for each, its in zip(measured, model.facts["heads"], strict=True):
            assert each["accuracy"] == pytest.approx(its["test"]["accuracy"])

    @pytest.mark.parametrize(
        ("labels", "code", "words"),
        [
            ("class,hue", 1, "no column 'hue'; its columns are grade, nobody, tint, weight"),
            ("class,weight", 1, "holds numbers such as"),
            ("class,tint,tint", 2, "different names"),
            ("class,", 2, "different names"),
        ],
    )
    def test_labels_that_are_none_are_refused(self, tinted, labels, code, words):
        said = tinted.fails("finetune", "tinted", "--backbone", "cnn-small", "--labels", labels, code=code)
        assert words in said

    def test_a_column_of_names_is_no_label(self, tmp_path):
        run = FewRounds(tmp_path / "store")
        run.json(*write_tinted(tmp_path, 110))
        said = run.fails("finetune", "tinted", "--backbone", "cnn-small", "--labels", "class,nobody")
        assert "has 110 different values" in said

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--oversample",), "--class-weights balanced"),
            (("--class-weights", "adjusted"), "--class-weights balanced"),
            (("--fold", "all"), "train each fold on its own with --fold 0"),
        ],
    )
    def test_what_is_for_one_label_is_refused(self, tinted, words, said):
        command = ("finetune", "tinted", "--backbone", "cnn-small", "--labels", "class,tint")
        assert said in tinted.fails(*command, *words, code=2)

    def test_a_history_is_written_by_name(self, tmp_path):
        """Keras has another order of figures than the row of a probe."""
        rows = [
            {"phase": 1, "epoch": 1, "loss": 0.5, "accuracy": 0.9},
            {"phase": 2, "epoch": 1, "accuracy": 1, "loss": 0},
        ]
        finetune._write_history(SimpleNamespace(file=lambda name: tmp_path / name), {"history": rows}, "history")
        assert (tmp_path / "history.csv").read_text().split() == ["phase,epoch,loss,accuracy", "1,1,0.5,0.9", "2,1,0,1"]


class TestEvaluate:
    def test_each_output_has_its_own_figures(self, tinted, model):
        first, further = model.facts["heads"]
        plain = tinted.json("evaluate", "both")
        assert plain["accuracy"] == pytest.approx(first["test"]["accuracy"])
        assert tinted.json("evaluate", "both", "--output", "class")["artifact"] == plain["artifact"]
        tint = tinted.json("evaluate", "both", "--output", "tint")
        assert tint["n"] == further["test"]["n"]
        assert tint["accuracy"] == pytest.approx(further["test"]["accuracy"])
        assert tint["seen_in_training"]["pictures"] == 0

    def test_the_other_outputs_are_named(self, tinted):
        assert "the model has other outputs: tint" in tinted("evaluate", "both").stderr
        assert "other outputs" not in tinted("evaluate", "both", "--output", "tint").stderr

    def test_an_unknown_output_is_refused(self, tinted):
        assert "give --output one of class, tint" in tinted.fails("evaluate", "both", "--output", "hue", code=2)
        tinted.json("finetune", "tinted", "--backbone", "cnn-small", "--epochs", 1, "--name", "plain")
        assert "has one output" in tinted.fails("evaluate", "plain", "--output", "tint", code=2)

    def test_another_dataset_is_read_by_its_classes_or_its_column(self, tinted, tmp_path):
        """Its own classes fit where the values of the column do not, or there is none."""
        words = write_tinted(tmp_path, 30, seed=5)
        by_class = [{"label": "tint"}.get(word, word) for word in map(str, words)]
        by_class = [word.replace("tinted", "by-class") if word == "tinted" else word for word in by_class]
        tinted.json(*by_class)
        found = tinted.json("evaluate", "both", "--output", "tint", "--dataset", "by-class", "--split", "all")
        assert found["n"] == 30 - 30 // OPEN
        said = tinted.fails("evaluate", "both", "--dataset", "by-class", "--split", "all")
        assert "the model's classes are bright, dark" in said


class TestExplain:
    def test_the_first_output_is_explained_unless_another_is_named(self, tinted):
        segments = tinted.artifact("segment", "tinted", "--first", 2, "--segments", 6)
        masks = tinted.artifact("perturb", segments.id, "--samples", 20)
        first = tinted.artifact("predict", masks.id, "--model", "both")
        tint = tinted.artifact("predict", masks.id, "--model", "both", "--output", "tint")
        assert first.facts["classes"] == ["bright", "dark"]
        assert tint.facts["classes"] == sorted(TINTS)
        assert tint.facts["taken_over"] == 0
        assert tint.read("probabilities").sum(axis=-1) == pytest.approx(1, abs=1e-4)
        again = tinted.json("predict", masks.id, "--model", "both", "--output", "tint")
        assert again["reused"]

    def test_gradcam_and_occlusion_take_the_output(self, tinted):
        segments = tinted.artifact("segment", "tinted", "--first", 2, "--segments", 6)
        for stage in ("gradcam", "occlusion"):
            made = tinted.artifact(stage, segments.id, "--model", "both", "--output", "tint")
            assert made.facts["classes"] == sorted(TINTS)
            assert made.input("models").facts["answers"] == "tint"

    def test_a_report_tells_the_true_label_of_its_output(self, tinted):
        words = ("--images", "p001", "--samples", 30, "--views", "single", "--no-check", "--segments", 6)
        answer = tinted.json("explain", "tinted", "--model", "both", "--output", "tint", *words)
        report = Store(tinted.store).stored("reports", answer["artifact"])
        page = (report.path / "index.html").read_text()
        assert "green" in page  # p001
        shown = tinted.json("show", answer["artifacts"]["surrogates"], "--format", "json")
        assert shown["pictures"][0]["label"] == "green"

    def test_a_dry_run_makes_nothing(self, tmp_path):
        run = FewRounds(tmp_path / "store")
        run.json(*write_tinted(tmp_path, 40))
        run.json(
            "finetune", "tinted", "--labels", "class,tint", "--backbone", "cnn-small", "--epochs", 1, "--name", "m"
        )
        segments = run.artifact("segment", "tinted", "--first", 1, "--segments", 4)
        masks = run.artifact("perturb", segments.id, "--samples", 10)
        said = run.fails("predict", masks.id, "--model", "m", "--output", "tint", "--dry-run")
        assert "run `facelime take-output m --output tint` first" in said
        assert len(Store(run.store).artifacts(["models"])) == 1
        run.json("take-output", "m", "--output", "tint")
        assert run.json("predict", masks.id, "--model", "m", "--output", "tint", "--dry-run")


class TestTakeOutput:
    def test_it_is_a_model_of_its_own(self, tinted, model):
        tint = tinted.artifact("take-output", "both", "--output", "tint")
        assert tint.content != model.content
        assert tint.facts["test"] == model.facts["heads"][1]["test"]
        assert "heads" not in tint.facts
        assert tint.input("datasets").id == Store(tinted.store).resolve("datasets/tinted").id
        assert (
            tinted.json("evaluate", tint.reference)["artifact"]
            == (tinted.json("evaluate", "both", "--output", "tint")["artifact"])
        )
        shown = tinted("show", tint.reference)
        assert shown.exit_code == 0
        assert "tint" in shown.stdout

    def test_a_damaged_file_is_not_copied(self, tmp_path):
        run = FewRounds(tmp_path / "store")
        run.json(*write_tinted(tmp_path, 40))
        made = run.artifact("finetune", "tinted", "--labels", "class,tint", "--backbone", "cnn-small", "--epochs", 1)
        file = made.path / "model.keras"
        held = bytearray(file.read_bytes())
        held[len(held) // 2] ^= 1
        file.write_bytes(held)
        assert "is damaged" in run.fails("take-output", made.reference, "--output", "tint")
        assert len(Store(run.store).artifacts(["models"])) == 1

    def test_one_output_cannot_be_taken_again(self, tinted):
        tint = tinted.artifact("take-output", "both", "--output", "tint")
        assert "answers with tint already" in tinted.fails("take-output", tint.reference, "--output", "tint", code=2)
        assert "is the output tint" in tinted.fails("take-output", tint.reference, "--output", "class", code=2)


class TestElsewhere:
    def test_its_file_is_imported_output_by_output(self, model, tmp_path):
        run = FewRounds(tmp_path / "elsewhere")
        words = ("import-model", model.path / "model.keras", "--scaling", "0..255")
        said = run.fails(*words, "--classes", "blue,green,red")
        assert "2 outputs (class, tint)" in said
        made = run.artifact(*words, "--classes", "blue,green,red", "--output", "tint")
        assert made.facts["classes"] == sorted(TINTS)

    @pytest.mark.parametrize("runtime", ["openvino", "onnx"])
    def test_each_output_is_converted(self, tinted, runtime):
        """The program compares the answers with Keras' before it uses a runtime."""
        needed = {"openvino": ("openvino",), "onnx": ("onnxruntime", "onnx", "tf2onnx")}[runtime]
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
        if missing:
            pytest.skip(f"{', '.join(missing)} is not installed")
        segments = tinted.artifact("segment", "tinted", "--first", 2, "--segments", 5)
        masks = tinted.artifact("perturb", segments.id, "--samples", 16)
        for output in ("class", "tint"):
            words = ("predict", masks.id, "--model", "both", "--output", output)
            plain, other = tinted.artifact(*words), tinted.artifact(*words, "--runtime", runtime)
            assert other.read("probabilities") == pytest.approx(plain.read("probabilities"), abs=1e-4)
