"""Several findings per picture: from the source to the explanation."""

import json

import numpy as np
import pytest

from facelime_cli.answering.runtimes import independent
from facelime_cli.core import labels, leakage, neighbours, splits
from facelime_cli.models import running, wrapping
from facelime_cli.models.building import Architecture, build
from facelime_cli.reporting.columns import Classes
from facelime_cli.reporting.explanations import Explanations
from facelime_cli.store.pictures import is_multilabel
from facelime_cli.store.references import Store
from facelime_cli.training import loop, objectives
from tests.support import MARK, MARKS, SIZE, Facelime, save_picture, write_findings
from tests.test_bad_input import check_refused


@pytest.fixture(scope="module")
def marks(tmp_path_factory):
    """The command line on a store with one dataset of drawn findings, called marks; read it, add to it."""
    folder = tmp_path_factory.mktemp("marks")
    run = Facelime(folder / "store")
    run.json("preprocess", write_findings(folder / SOURCE, (120, 40, 40)), "--size", SIZE)
    return run


@pytest.fixture(scope="module")
def trained(marks):
    """A model of the drawn findings."""
    return marks.artifact(*FINETUNE, "--epochs", 8)


SOURCE = "marks.npz"
FINETUNE = ("finetune", "marks", "--backbone", "cnn-small", "--batch-size", 16, "--class-weights", "balanced")


class TestDataset:
    def test_a_file_of_arrays_with_several_columns(self, marks):
        path = marks.store.parent / SOURCE
        data = Store(marks.store).resolve("marks", ("datasets",))
        said = np.concatenate([np.load(path)[f"{split}_labels"] for split in ("test", "train", "val")])
        assert data.read("labels").dtype == np.int8
        np.testing.assert_array_equal(data.read("labels"), said)
        assert is_multilabel(data)
        assert data.facts["classes"] == ["0", "1", "2"]
        assert data.facts["counts"]["1"]["validation"] == (np.load(path)["val_labels"][:, 1] == 1).sum()

    def test_a_dataset_of_classes_says_nothing_of_findings(self, chain):
        assert not is_multilabel(chain["preprocess"])
        assert not independent(chain["finetune"])
        assert "multilabel" not in {**chain["preprocess"].facts, **chain["finetune"].facts}

    @pytest.mark.parametrize("strange", [2, -2, 0.5, np.nan])
    def test_other_numbers_are_a_sentence(self, facelime, tmp_path, strange):
        said = np.array([[0, 1], [1, strange], [0, 0]])
        np.savez(tmp_path / "x.npz", train_images=np.zeros((3, 8, 8), np.uint8), train_labels=said)
        words = ["preprocess", str(tmp_path / "x.npz"), "--size", "16"]
        check_refused(facelime, words, f"the label {strange!r} of picture 1 of train_labels", 1)

    def test_classes_beside_findings_are_a_sentence(self, facelime, tmp_path):
        pictures = np.zeros((3, 8, 8), np.uint8)
        parts = {"train_images": pictures, "train_labels": np.zeros((3, 2), int), "test_images": pictures}
        np.savez(tmp_path / "x.npz", **parts, test_labels=np.zeros((3, 1), int))
        assert "several findings" in facelime.fails("preprocess", tmp_path / "x.npz", "--size", 16)

    def test_what_is_lacking_is_said(self, facelime, tmp_path):
        said = np.array([[1, 0], [0, 0], [-1, -1]])
        pictures = np.random.default_rng(0).integers(0, 256, (3, 16, 16), dtype=np.uint8)
        parts = {"train_images": pictures, "train_labels": said, "test_images": pictures + 9, "test_labels": said[::-1]}
        np.savez(tmp_path / "x.npz", **parts)
        told = " ".join(facelime("preprocess", tmp_path / "x.npz", "--size", 16).stderr.split())
        assert "2 pictures have no finding that is known to be present or absent; they get no split." in told
        assert "no picture with 1 came into the train split" in told
        assert "no picture with 0" not in told


@pytest.mark.parametrize("way", [("--folds", 3), ("--split", "60:20:20")])
def test_a_table_of_findings_is_divided_by_patient(facelime, tmp_path, rng, way):
    """Five patients of two pictures for each finding, the first with both, and one of which nothing is known."""
    lines = ["image_id,patient,edema,mass"]
    for patient in range(11):
        said = ["1,0", "0,1", ","][(patient >= 5) + (patient == 10)] if patient else "1,1"
        for number in range(2):
            lines.append(f"p{patient}-{number},{patient},{said}")
            save_picture(
                tmp_path / "pictures" / f"p{patient}-{number}.png", rng.integers(0, 256, (16, 16, 3), np.uint8)
            )
    (tmp_path / "table.csv").write_text("\n".join(lines))
    words = [
        "--table",
        tmp_path / "table.csv",
        "--label-columns",
        "edema,mass",
        "--group-column",
        "patient",
        "--size",
        16,
    ]
    data = facelime.artifact("preprocess", tmp_path / "pictures", *words, *way)
    said, divided = data.read("labels"), data.read("fold" if way[0] == "--folds" else "split")
    assert data.facts["classes"] == ["edema", "mass"]
    groups = np.array(data.texts("group"))
    assert all(len(set(divided[groups == each].tolist())) == 1 for each in groups)
    assert set(divided[groups == "10"].tolist()) == {-1}
    wanted = {"--folds": ([2, 4, 4], [4, 4, 4]), "--split": ([2, 2, 6], [2, 2, 8])}[way[0]]
    for finding in (0, 1):
        counts = np.bincount(divided[said[:, finding] == 1], minlength=3)
        assert sorted(counts.tolist()) == wanted[finding]


def test_unknown_findings_are_neither_present_nor_absent():
    said = np.array([[1, 0], [-1, 1], [-1, -1]], np.int8)
    assert labels.labelled(said).tolist() == [True, True, False]
    assert labels.having(said, 0).tolist() == [True, False, False]
    assert labels.lacking(said, 0).tolist() == [False, False, False]
    assert labels.lacking(said, 1).tolist() == [True, False, False]


class TestSplits:
    """Patients of 1 to 60 pictures, findings of 25 % down to 1 %, a fifth of them unknown."""

    SHARES = np.array([0.7, 0.2, 0.1])

    @pytest.fixture(params=range(4))
    def drawn(self, request):
        rng = np.random.default_rng(request.param)
        groups = np.repeat(np.arange(600), rng.geometric(0.3, 600).clip(1, 60))
        ill = rng.random((600, 5)) < (0.25, 0.15, 0.05, 0.03, 0.01)
        said = (ill[groups] & (rng.random((len(groups), 5)) < 0.8)).astype(np.int8)
        said[rng.random(said.shape) < 0.2] = -1
        return said, [f"p{g}" for g in groups]

    def off(self, said, split):
        """Return how far the shares of each finding are from what they should be, at most: (2L,)."""
        known = np.hstack([said == 1, said == 0])
        found = np.array([np.bincount(split[each], minlength=3) / each.sum() for each in known.T])
        return np.abs(found - self.SHARES).max(axis=1)

    def test_every_finding_is_near_its_share_and_no_group_is_cut(self, drawn):
        said, groups = drawn
        split = splits.divide_findings(said, groups, self.SHARES, 0)
        assert all(len(set(split[np.array(groups) == g].tolist())) == 1 for g in set(groups))
        assert np.abs(np.bincount(split) / len(split) - self.SHARES).max() < 0.01
        off = self.off(said, split)
        assert off[:4].max() < 0.05
        assert off[5:].max() < 0.02
        # Patients dealt out by chance are farther off: the test could fail.
        rng = np.random.default_rng(0)
        dealt = dict(zip(sorted(set(groups)), rng.choice(3, 600, p=self.SHARES), strict=False))
        assert self.off(said, np.array([dealt[g] for g in groups]))[:4].max() > 0.05

    def test_every_split_gets_some_of_a_finding_in_as_many_groups(self, drawn):
        said, groups = drawn
        said[:, 0] = 0
        rare = [groups.index(f"p{g}") for g in (5, 100, 300)]
        said[rare, 0] = 1
        split = splits.divide_findings(said, groups, self.SHARES, 0)
        assert sorted(split[rare].tolist()) == [0, 1, 2]

    def test_the_seed_decides_and_unknown_labels_do_not_count(self, drawn):
        said, groups = drawn
        found = [splits.divide_findings(said, groups, self.SHARES, seed).tolist() for seed in (0, 0, 1)]
        assert found[0] == found[1] != found[2]
        more = np.column_stack([said, np.full(len(said), -1, np.int8)])
        assert splits.divide_findings(more, groups, self.SHARES, 0).tolist() == found[0]

    def test_folds_of_equal_size(self, drawn):
        said, groups = drawn
        fold = splits.divide_findings(said, groups, [1.0] * 5, 0)
        assert np.abs(np.bincount(fold) / len(fold) - 0.2).max() < 0.01


class TestLeakage:
    @pytest.fixture
    def measured(self, rng):
        """Pictures of noise of which those with finding b are brighter; finding a is drawn."""
        said = (rng.random((80, 2)) < 0.5).astype(np.int8)
        pictures = rng.integers(0, 120, (80, 16, 16, 3)) + 100 * said[:, 1, None, None, None]
        return said, [leakage.traits(each.astype(np.uint8), "png") for each in pictures]

    def report(self, said, measured):
        n = len(said)
        ids = [str(i) for i in range(n)]
        return leakage.report(ids, measured, said, np.zeros(n, int), ids, ["a", "b"])

    def test_a_finding_that_trivial_figures_tell_is_named(self, measured):
        said, traits = measured
        said[:4] = [[1, 0], [1, -1], [1, 0], [0, 0]]
        # Two pairs of copies, of which one pair differs in something that is known of both.
        traits[:4] = [traits[0], traits[0], traits[2], traits[2]]
        found = self.report(said, traits)
        assert found["exact"]["pairs"] == 2
        assert found["exact"]["different_labels"] == 1
        copies, sentence = found["sentences"]
        assert copies == "1 pair shows the same picture with different labels (a 1): one label of each pair is wrong."
        assert sentence.startswith("b: a rule that sees no content tells pictures with it from pictures without it")
        assert "brightness 100 %" in sentence
        assert found["trivial_rules"]["b"]["separates"]
        assert not found["trivial_rules"]["a"]["separates"]
        assert "trivial_rule" not in found

    @pytest.mark.long
    def test_unknown_labels_are_left_out(self, measured):
        said, traits = measured
        # Were they absent, half of the bright pictures would count as without the finding.
        said[(said[:, 1] == 1) & (np.arange(80) % 2 == 0), 1] = -1
        # The first finding is as the second, but counts what is unknown as absent.
        said[:, 0] = np.maximum(said[:, 1], 0)
        rules = self.report(said, traits)["trivial_rules"]
        assert rules["b"]["balanced_accuracy"] == 1
        assert rules["a"]["balanced_accuracy"] < 0.95


class TestObjective:
    SAID = np.array([[1, 0, -1], [-1, 1, 0], [0, -1, -1], [1, 1, 1]])

    def loss(self, targets, answers):
        return np.asarray(objectives.crossentropy(targets, answers))

    def test_it_is_the_mean_over_what_is_known(self, rng):
        answers = rng.uniform(0.05, 0.95, self.SAID.shape).astype(np.float32)
        found = self.loss(objectives.Findings(None).targets(self.SAID, weighted=True), answers).mean()
        known = self.SAID >= 0
        wanted = -np.log(np.where(self.SAID == 1, answers, 1 - answers))[known].mean()
        assert found == pytest.approx(wanted, rel=1e-5)

    def test_answers_to_what_is_unknown_change_nothing(self, rng):
        answers = rng.uniform(0.05, 0.95, self.SAID.shape).astype(np.float32)
        others = np.where(self.SAID < 0, 1 - answers, answers)
        targets = objectives.Findings(None).targets(self.SAID, weighted=True)
        np.testing.assert_array_equal(self.loss(targets, answers), self.loss(targets, others))
        as_absent = objectives.Findings(None).targets(np.maximum(self.SAID, 0), weighted=True)
        assert not np.allclose(self.loss(as_absent, answers), self.loss(as_absent, others))

    def test_accuracy_is_over_what_is_known(self):
        answers = np.array([[0.9, 0.9, 0.9], [0.9, 0.9, 0.9], [0.1, 0.9, 0.9], [0.9, 0.9, 0.1]], np.float32)
        found = np.asarray(objectives.accuracy(objectives.Findings(None).targets(self.SAID, weighted=True), answers))
        assert found.tolist() == pytest.approx([1 / 2, 1 / 2, 1, 2 / 3])

    def test_balanced_weights_are_per_finding_and_only_for_training(self):
        said = np.array([[1, -1], [0, 1], [0, 1], [0, 0]])
        weights = loop.balanced_class_weights(said)
        assert weights == {0: {0: pytest.approx(2 / 3), 1: 2.0}, 1: {0: 1.5, 1: 0.75}}
        objective = objectives.Findings(weights)
        found, plain = (objective.targets(said, weighted=each)[:, 2:] for each in (True, False))
        per_picture = 7 / 4
        np.testing.assert_allclose(found * per_picture, [[2, 0], [2 / 3, 0.75], [2 / 3, 0.75], [2 / 3, 1.5]], rtol=1e-6)
        np.testing.assert_allclose(plain * per_picture, said >= 0, rtol=1e-6)

    def test_a_picture_of_one_class_is_trained_as_ever(self):
        said = np.array([0, 1, 1])
        objective = objectives.objective_of(said, {0: 2.0})
        assert objective.targets(said, weighted=True) is said
        assert objective.compiled() == {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
        assert objective.fitted() == {"class_weight": {0: 2.0}}


def test_a_donor_has_none_of_the_pictures_findings():
    """Thumbnails grow, so the nearest is the next row; 1 shares a finding, 2 does not know it, 3 is of the patient."""
    said = np.array([[1, 1, 0], [0, 1, 1], [0, -1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]], np.int8)
    groups = np.array([0, 1, 2, 0, 4, 5])
    rows = np.array([0, 5, 4])
    thumbs = np.arange(6)[:, None]
    found = neighbours.nearest_unlike(thumbs, said, groups, rows, np.arange(6), 2)
    assert found[0].tolist() == [4, 5]
    # A picture without any finding gets one that has some.
    assert found[1].tolist() == [4, 3]
    assert found[2].tolist() == [5, 2]


def test_a_description_has_a_picture_in_each_of_its_findings():
    classes = Classes.of(np.array([[1, 1], [0, 1], [0, 0], [-1, -1]]), ["a", "b"])
    assert classes.every == ["a", "b", "no finding", "no known finding"]
    assert [classes.within(k).tolist() for k in range(4)] == [[0], [0, 1], [2], [3]]


class TestDescribe:
    def test_prevalence_unknown_labels_and_pairs(self, marks):
        data = marks.artifact("describe", "marks").input("datasets")
        facts = marks.json("describe", "marks")["facts"]
        said = data.read("labels")
        for k, name in enumerate(data.facts["classes"]):
            found = facts["findings"][name]
            counts = {value: int((said[:, k] == value).sum()) for value in (1, 0, -1)}
            assert (found["positive"], found["negative"], found["unknown"]) == (counts[1], counts[0], counts[-1])
            assert found["prevalence"] == counts[1] / (counts[1] + counts[0])
        assert facts["together"][0][1] == ((said[:, 0] == 1) & (said[:, 1] == 1)).sum()

    def test_page_and_tables(self, marks):
        report = marks.artifact("describe", "marks")
        said, split = report.input("datasets").read("labels"), report.input("datasets").read("split")
        heading, *rows = [line.split(",") for line in (report.path / "findings.csv").read_text().splitlines()]
        assert heading == ["finding", "part", "fold", "present", "absent", "unknown", "prevalence"]
        found = {(name, part): int(present) for name, part, _, present, *_ in rows}
        assert found["1", "test"] == ((said[:, 1] == 1) & (split == 2)).sum()
        both = int(((said[:, 0] == 1) & (said[:, 2] == 1)).sum())
        known = int(((said[:, 0] == 1) & (said[:, 2] >= 0)).sum())
        assert f"0,2,{both},{known},{both / known}" in (report.path / "together.csv").read_text()
        page = (report.path / "index.html").read_text()
        assert "What occurs together" in page
        assert f"{100 * both / known:.0f} % ({both})" in page


class TestRefused:
    @pytest.mark.parametrize(
        ("words", "fragment"),
        [
            (["--recipe", "pneumonia"], "--recipe pneumonia is for pictures of one class each"),
            (["--recipe", "skin", "--backbone", "resnet50"], "--recipe skin is for pictures of one class each"),
            (["--backbone", "cnn", "--output", "softmax"], "--output softmax lets probabilities add up to 1"),
            (
                ["--backbone", "cnn", "--class-weights", "adjusted"],
                "--class-weights adjusted takes the shares of classes",
            ),
            (["--backbone", "cnn", "--oversample"], "--oversample repeats pictures of the smaller classes"),
        ],
    )
    def test_settings_that_need_one_class_per_picture(self, marks, words, fragment):
        check_refused(marks, ["finetune", "marks", *words], fragment, 2)


@pytest.mark.long
class TestTrained:
    def test_every_finding_is_told_and_stands_for_itself(self, trained):
        assert independent(trained)
        assert trained.facts["multilabel"] is True
        assert trained.facts["output"] == "sigmoid"
        figures = trained.facts["test"]
        assert min(figures["auc"].values()) > 0.95
        assert figures["macro_auc"] == pytest.approx(np.mean(list(figures["auc"].values())))
        assert set(trained.facts["class_weights"]) == {"0", "1", "2"}

    def test_the_file_holds_nothing_of_the_training(self, trained):
        import keras

        net = keras.models.load_model(trained.file("model.keras"))
        assert not net.compiled

    @pytest.mark.parametrize("masked", [True, False])
    def test_unknown_labels_teach_nothing(self, facelime, tmp_path, masked):
        """Of nine pictures in ten with the first mark nobody knows; taken as absent, the model would deny the mark."""
        path = write_findings(tmp_path / "whole.npz", (200, 40, 40), unknown=0.0)
        parts = dict(np.load(path))
        truth = parts["test_labels"][:, 0] == 1
        rng = np.random.default_rng(0)
        for split in ("train", "val"):
            said = parts[f"{split}_labels"]
            said[(said[:, 0] == 1) & (rng.random(len(said)) < 0.9), 0] = -1 if masked else 0
        np.savez(tmp_path / "marks.npz", **parts)
        facelime.json("preprocess", tmp_path / "marks.npz", "--size", SIZE)
        model = facelime.artifact("finetune", "marks", "--backbone", "cnn-small", "--batch-size", 16, "--epochs", 12)
        net = wrapping.load(model.file("model.keras"))
        every = running.Labelled(lambda rows: parts["test_images"][rows], np.arange(40), truth)
        found = running.probabilities(net, every, 8)[truth, 0].mean()
        assert found > 0.8 if masked else found < 0.3

    def test_features_are_cached_and_two_phases_are_trained(self, marks):
        words = ["--freeze", "all", "--epochs", 2, "--fine-tune-epochs", 1, "--precision", "mixed"]
        model = marks.artifact(*FINETUNE, *words)
        assert [row["phase"] for row in model.facts["history"]] == [1, 1, 2]

    def test_a_finding_that_no_training_picture_shows_is_said(self, facelime, tmp_path):
        parts = dict(np.load(write_findings(tmp_path / "some.npz", (40, 10, 10))))
        parts["train_labels"][:, 0] = np.minimum(parts["train_labels"][:, 0], 0)
        parts["train_labels"][:, 1] = -1
        np.savez(tmp_path / "marks.npz", **parts)
        facelime.json("preprocess", tmp_path / "marks.npz", "--size", SIZE)
        words = ["finetune", "marks", "--backbone", "cnn-small", "--epochs", 1, "--class-weights", "balanced"]
        told = " ".join(facelime(*words).stderr.split())
        assert "no training picture is with 0: the model cannot learn it" in told
        assert "no training picture is with or without 1: the model cannot learn it" in told
        assert "without 2" not in told


@pytest.fixture(scope="module")
def explained(marks, trained):
    """Explanations of test pictures of the drawn findings."""
    words = ["explain", "marks", "--model", trained.id, "--split", "test", "--first", 12, "--method", "grid"]
    return Explanations.of(marks.artifact(*words, "--segments", 16, "--samples", 300, "--views", "single"))


@pytest.mark.long
class TestExplained:
    def test_the_explanation_of_a_finding_points_at_its_mark(self, explained):
        pointed = []
        for row in range(len(explained)):
            for c in explained.true(row):
                *_, top, left = MARKS[c]
                strongest = explained.strengths(row, c)[0].segment
                where = explained.segments(row)[top : top + MARK, left : left + MARK]
                pointed.append(strongest in np.unique(where))
        assert len(pointed) >= 8
        assert np.mean(pointed) > 0.9

    def test_by_default_what_the_model_says_and_what_is_true(self, explained):
        for row in range(len(explained)):
            said = set(np.flatnonzero(explained.full[row] >= 0.5).tolist())
            wanted = (said or {int(explained.full[row].argmax())}) | set(explained.true(row))
            assert set(explained.shown(row, None)) == wanted

    def test_stand_ins_lack_the_pictures_findings(self, explained):
        masks = explained.masks or explained.runs[0].masks
        assert masks.parameters["fill"] == "nearest-unlike"
        said = explained.dataset.read("labels")
        for row, donor in zip(masks.read("row"), masks.read("fill_row"), strict=True):
            assert labels.unlike(said, np.array([row]), np.array([donor])).all()

    def test_other_ways_to_explain(self, marks, trained, explained):
        segments = explained.segmentation.reference
        gradients = marks.artifact("gradcam", segments, "--model", trained.id)
        assert not np.isnan(gradients.read("coefficients")[:, :, 0]).any()
        fitted = explained.runs[0].fitted_as.reference
        contrast = marks.artifact("contrast", fitted, "--class", 0, "--versus", 1)
        assert contrast.facts["classes"] == ["0 rather than 1"]

    def test_what_is_labelled_is_in_the_json(self, marks, explained):
        result = marks("show", explained.surrogates.reference, "--format", "json")
        for row, picture in enumerate(json.loads(result.stdout)["pictures"]):
            assert picture["findings"] == {name: explained.holds(row, name) for name in ("0", "1", "2")}


@pytest.mark.long
def test_a_stop_within_an_epoch_loses_nothing(tmp_path, rng):
    """As for classes: the training that goes on ends where one without a stop ends."""
    said = (rng.random((24, 3)) < 0.5).astype(np.int64)
    said[rng.random(said.shape) < 0.2] = -1
    pictures = rng.integers(0, 256, (24, 24, 24, 3), dtype=np.uint8)
    part = running.Labelled(lambda rows: pictures[rows], np.arange(24), said)
    steps = []

    def run(folder, stop):
        folder.mkdir(exist_ok=True)
        net = build(Architecture("cnn-small", 24, 3, output="sigmoid", multilabel=True)).whole

        def advance(n):
            steps.append(n)
            if len(steps) == stop:
                raise loop.StopRequested

        how = loop.Training(8, 0, class_weights=loop.balanced_class_weights(said))
        phases = [loop.Phase(net, part, part, 2, 1e-3)]
        return net, loop.train(net, phases, how, loop.Checkpoints(folder), lambda _: None, advance)

    with pytest.raises(loop.StopRequested):
        run(tmp_path / "one", 2)
    net, history = run(tmp_path / "one", 0)
    assert len(steps) == 6
    straight, wanted = run(tmp_path / "other", 0)
    assert [row["loss"] for row in history] == pytest.approx([row["loss"] for row in wanted], rel=1e-4)
    assert all(a == pytest.approx(b, abs=1e-4) for a, b in zip(net.get_weights(), straight.get_weights(), strict=True))
