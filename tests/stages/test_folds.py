"""A network for every fold: trained in parts, tested out of fold, averaged, and where its members differ."""

import csv
import shutil
import subprocess
import time

import numpy as np
import pytest

from facelime_cli.models import features, running, wrapping
from facelime_cli.store import familiarity
from facelime_cli.store.pictures import members_by_split, splits_of
from tests.support import FewRounds, save_picture, write_faces

SIZE = 24
TRAIN = ("finetune", "data", "--backbone", "cnn-small", "--epochs", 2, "--batch-size", 16, "--fold", "all")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store with three folds of drawn faces, a network for each, and the same with their mean."""
    folder = tmp_path_factory.mktemp("folds")
    run = FewRounds(folder / "store")
    run.json("preprocess", write_faces(folder / "faces", 36), "--size", SIZE, "--folds", 3, "--name", "data")
    run.json(*TRAIN, "--name", "folds")
    run.json(*TRAIN, "--ensemble", "--name", "mean")
    return run


@pytest.fixture
def folds(trained):
    return trained.artifact(*TRAIN)


@pytest.fixture
def mean(trained):
    return trained.artifact(*TRAIN, "--ensemble")


@pytest.fixture
def data(folds):
    return folds.input("datasets")


def network(model, name):
    return wrapping.load(model.file(name))


def answers(model, name, images):
    return np.asarray(network(model, name)(images.astype(np.float32), training=False))


def by_member(model, data):
    """Return what each fold's network answers to every picture: (M, N, C)."""
    images = data.read("images")
    return np.stack([answers(model, f"fold-{fold}.keras", images) for fold in range(3)])


def test_every_picture_is_tested_and_validated_by_one_network(facelime, faces):
    data = facelime.artifact("preprocess", faces, "--size", 16, "--folds", 4)
    for split in (1, 2):
        members = members_by_split(data, split)
        assert sorted(set(members.tolist())) == [0, 1, 2, 3]
        for fold in range(4):
            assert np.array_equal(members == fold, splits_of(data, fold) == split)


def test_how_optimistic_a_threshold_is_that_is_picked_out_of_fold():
    """The pictures are the same, the networks are not: what docs/training.md says of it."""
    rng, alike = np.random.default_rng(0), 0.97
    for n, most in ((50, 0.01), (200, 0.003)):
        picked = rng.normal(size=(4000, n))
        reported = alike * picked + np.sqrt(1 - alike**2) * rng.normal(size=picked.shape)
        thresholds = np.sort(picked, axis=1)[:, ::-1][:, int(np.ceil(0.95 * n)) - 1 :][:, :1]
        on_others = rng.normal(size=picked.shape) >= thresholds
        assert 0 < (reported >= thresholds).mean() - on_others.mean() < most


def test_a_network_that_was_fitted_again_has_seen_its_validation_split(evaluated):
    """`--refit` notes it, of a model as of one of its networks."""
    from facelime_cli.errors import FacelimeError
    from facelime_cli.reporting import evaluation
    from facelime_cli.reporting.scoring import scoring_of

    model = evaluated.artifact("finetune", "people", "--backbone", "cnn-small", "--epochs", 5)
    data = model.input("datasets")
    cases = evaluation.cases_of(scoring_of(model, data), data, "validation", ("train", "validation", "test"), None)
    picking = evaluation.Picking(recalls={"rosacea": 0.9})
    assert evaluation.seen_in_training(model, data, cases) == {"pictures": 0, "of_a_trained_group": 0}
    evaluation.check_held_out(model, data, picking)
    model.manifest["facts"]["refit"] = {"pictures": 60, "epochs": 2}
    assert evaluation.seen_in_training(model, data, cases)["pictures"] == len(cases.rows)
    with pytest.raises(FacelimeError, match="--target-recall rosacea is picked"):
        evaluation.check_held_out(model, data, picking)
    evaluation.check_held_out(model, data, evaluation.Picking())


@pytest.mark.long
class TestTraining:
    def test_each_network_is_tested_on_its_fold(self, folds, data):
        fold = data.read("fold")
        assert folds.n_units == len(folds.facts["folds"]) == 3
        probabilities, labels = by_member(folds, data), data.read("labels")
        for number, each in enumerate(folds.facts["folds"]):
            assert each["fold"] == number
            assert each["test"]["n"] == (fold == number).sum()
            right = probabilities[number][fold == number].argmax(axis=1) == labels[fold == number]
            assert each["test"]["accuracy"] == pytest.approx(right.mean())
            assert folds.file(f"fold-{number}-history.csv").stat().st_size > 50
        assert len({each["model"] for each in folds.facts["folds"]}) == 3
        assert folds.parameters["fold"] == "all"
        assert "ensemble" not in folds.parameters

    def test_it_is_the_training_of_one_fold(self, trained, folds):
        """The same first weights and the same order of pictures."""
        alone = trained.artifact(*TRAIN[:-1], 1)
        wanted = alone.facts["history"][0]["loss"]
        assert folds.unit_facts(1)["history"][0]["loss"] == pytest.approx(wanted, rel=1e-3)

    def test_the_mean_uses_what_is_trained_and_is_the_mean(self, trained, folds, mean, data):
        assert mean.id != folds.id
        for number in range(3):
            name = f"fold-{number}.keras"
            assert mean.file(name).read_bytes() == folds.file(name).read_bytes()
        images = data.read("images")
        assert answers(mean, "model.keras", images) == pytest.approx(by_member(mean, data).mean(axis=0), abs=1e-6)
        assert mean.content != folds.content
        assert trained.json("verify")["faults"] == []

    def test_shards_train_their_folds(self, trained, folds, tmp_path):
        run = FewRounds(tmp_path / "store")
        shutil.copytree(trained.store / "datasets", run.store / "datasets")
        assert run.json(*TRAIN, "--missing", 3)["missing"] == [1, 2, 3]
        second = run.json(*TRAIN, "--shard", "2/3")
        assert (second["complete"], second["units_done"]) == (False, 1)
        assert run.json(*TRAIN, "--missing", 3)["missing"] == [1, 3]
        assert "not complete" in run.fails("evaluate", second["artifact"])
        assert "nothing to do" in run(*TRAIN, "--shard", "1/9").stderr
        # What one shard has trained, the mean need not train again.
        first, third = (run.json(*TRAIN, "--ensemble", "--shard", f"{number}/3") for number in (1, 3))
        assert not third["complete"]
        made = run.artifact(*TRAIN, "--ensemble", "--shard", "2/3")
        assert made.complete
        assert made.id == first["artifact"]
        assert made.facts["folds"][1]["model"] == run.artifact(*TRAIN).facts["folds"][1]["model"]
        assert run.artifact("evaluate", made.id).n == folds.input("datasets").n

    def test_a_killed_training_goes_on_with_its_fold(self, trained, command, tmp_path):
        store = tmp_path / "store"
        shutil.copytree(trained.store / "datasets", store / "datasets")
        words = [*map(str, TRAIN), "--seed", "5", "--store", str(store)]
        process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until = time.monotonic() + 120
        # The second fold is in work, and the first is finished.
        while not list(store.glob("models/*/begun/00001/state.npz")) and time.monotonic() < until:
            time.sleep(0.02)
        process.kill()
        process.communicate()
        (folder,) = store.glob("models/*/units")
        before = {path.name: path.read_bytes() for path in folder.glob("*.json")}
        assert set(before) == {"00000.json"}
        model = FewRounds(store).artifact(*words[:-2])
        assert model.complete
        assert model.unit_facts(0)["model"] == model.facts["folds"][0]["model"]
        assert f'"{model.unit_facts(0)["model"]}"'.encode() in before["00000.json"]
        assert [len(model.unit_facts(fold)["history"]) for fold in range(3)] == [2, 2, 2]

    def test_shards_that_begin_together_share_frozen_features(self, trained, command, tmp_path):
        store = tmp_path / "store"
        shutil.copytree(trained.store / "datasets", store / "datasets")
        words = [*map(str, TRAIN), "--freeze", "all"]
        shards = [
            subprocess.Popen(
                [*command, *words, "--shard", f"{number}/3", "--store", str(store)], stderr=subprocess.PIPE
            )
            for number in (1, 2, 3)
        ]
        assert [(each.communicate()[1], each.returncode)[1] for each in shards] == [0, 0, 0]
        model = FewRounds(store).artifact(*words)
        assert model.complete
        assert not (model.path / "begun").exists()
        alone = trained.artifact(*words)
        for fold in range(3):
            found, wanted = (each.unit_facts(fold)["history"] for each in (model, alone))
            assert [row["val_loss"] for row in found] == pytest.approx([row["val_loss"] for row in wanted], rel=1e-3)

    def test_a_damaged_network_is_not_used_again(self, trained, tmp_path):
        run = FewRounds(tmp_path / "store")
        shutil.copytree(trained.store, run.store)
        for path in run.store.glob("models/mean-*"):
            shutil.rmtree(path)
        (path,) = run.store.glob("models/folds-*/fold-1.keras")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
        assert "fold-1.keras" in run.fails(*TRAIN, "--ensemble")


@pytest.mark.long
class TestEvaluation:
    @pytest.mark.parametrize("name", ["folds", "mean"])
    def test_each_picture_is_answered_by_the_network_that_tested_it(self, trained, data, folds, name):
        made = trained.artifact("evaluate", name)
        rows, fold = made.read("row"), data.read("fold")
        assert sorted(rows) == list(range(data.n))
        wanted = by_member(folds, data)[fold[rows], rows]
        assert made.read("probabilities") == pytest.approx(wanted, abs=1e-5)
        assert made.facts["n"] == data.n
        assert made.facts["out_of_fold"] == 3
        assert made.facts["seen_in_training"] == {"pictures": 0, "of_a_trained_group": 0, "sentence": None}
        by_fold = [each for each in made.facts["subgroups"] if each["column"] == "fold"]
        assert [each["accuracy"] for each in by_fold] == pytest.approx(
            [each["test"]["accuracy"] for each in folds.facts["folds"]]
        )
        assert "one for each fold" in (made.path / "index.html").read_text()
        assert "not trained on it" in trained("evaluate", name).stderr

    def test_validation_is_by_the_network_that_validated(self, trained, data, folds):
        made = trained.artifact("evaluate", "folds", "--split", "validation")
        rows, fold = made.read("row"), data.read("fold")
        wanted = by_member(folds, data)[(fold[rows] - 1) % 3, rows]
        assert made.read("probabilities") == pytest.approx(wanted, abs=1e-5)
        picked = trained.artifact("evaluate", "folds", "--target-recall", "rosacea=0.9")
        assert picked.facts["thresholds"]["rosacea"]["threshold"] in made.read("probabilities")[:, 1]

    def test_what_was_answered_before_a_stop_is_kept(self, trained, monkeypatch):
        from facelime_cli.reporting import evaluation

        asked, of = [], evaluation.member_of

        def stopping(model, member):
            asked.append(member)
            if asked == [0, 1]:
                raise KeyboardInterrupt
            return of(model, member)

        monkeypatch.setattr(evaluation, "member_of", stopping)
        words = ("evaluate", "folds", "--seed", 3)
        assert trained(*words).exit_code != 0
        made = trained.artifact(*words)
        assert asked == [0, 1, 1, 2]
        whole = trained.artifact("evaluate", "folds")
        assert np.array_equal(made.read("probabilities"), whole.read("probabilities"))

    @pytest.mark.parametrize("split", ["train", "all"])
    def test_what_several_networks_were_trained_on_is_refused(self, trained, split):
        assert "--split test" in trained.fails("evaluate", "mean", "--split", split)

    def test_pictures_from_elsewhere_are_answered_by_the_mean(self, trained, mean, tmp_path):
        other = trained.artifact("preprocess", write_faces(tmp_path / "more", 12), "--size", SIZE)
        made = trained.artifact("evaluate", "mean", "--dataset", other.id, "--split", "all")
        assert made.read("probabilities") == pytest.approx(answers(mean, "model.keras", other.read("images")), abs=1e-5)
        assert made.facts["seen_in_training"]["pictures"] == 12  # the same drawn faces
        assert "--ensemble" in trained.fails("evaluate", "folds", "--dataset", other.id, "--split", "all")


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """A store whose training splits are large enough for a summary."""
    folder = tmp_path_factory.mktemp("unlike")
    run = FewRounds(folder / "store")
    run.json("preprocess", write_faces(folder / "faces", 72), "--size", SIZE, "--folds", 3, "--name", "data")
    run.json(*TRAIN, "--name", "folds")
    run.json(*TRAIN, "--ensemble", "--name", "mean")
    return run


@pytest.mark.long
class TestUnlikePictures:
    def test_the_mean_knows_what_its_first_network_learned_from(self, larger):
        folds, mean = larger.artifact(*TRAIN), larger.artifact(*TRAIN, "--ensemble")
        alone = larger.artifact(*TRAIN[:-1], 0)
        assert familiarity.FACT not in folds.facts
        assert mean.facts[familiarity.FACT]["pictures"] == alone.facts[familiarity.FACT]["pictures"] == 24
        assert familiarity.FILE in mean.manifest["files"]
        first = network(mean, "fold-0.keras")
        data = mean.input("datasets")
        images = data.read("images")[splits_of(data, 0) == 0].astype(np.float32)
        found = familiarity.read(mean).distances(running.answers_of(features.network_of(first, "it"), images))
        assert (found > 1).mean() < 0.1

    def test_strange_pictures_are_told(self, larger, tmp_path):
        blocks = np.random.default_rng(3).integers(0, 2, (4, 6, 6, 3), dtype=np.uint8) * 255
        for place, each in enumerate(blocks):
            save_picture(tmp_path / ("normal", "rosacea")[place % 2] / f"{place}.png", each.repeat(4, 0).repeat(4, 1))
        other = larger.artifact("preprocess", tmp_path, "--size", SIZE, "--split", "0:0:100", "--name", "strange")
        told = larger.json("evaluate", "mean", "--dataset", other.id, "--split", "all")["unlike"]
        assert told["unlike"] == 4
        # predict has a graph that answers with mean and features, and no network around it.
        segments = larger.artifact("segment", other.id, "--method", "grid", "--segments", 4)
        masks = larger.artifact("perturb", segments.id, "--samples", 8, "--fill", "mean")
        again = larger.json("predict", masks.id, "--model", "mean")["unlike"]["distances"]
        assert again == pytest.approx(told["distances"], rel=1e-3)

    def test_out_of_fold_answers_say_nothing_of_it(self, larger):
        # Most of these pictures are among those that the first network learned from.
        assert "unlike" not in larger.json("evaluate", "mean")


@pytest.mark.long
class TestExplaining:
    def test_without_the_mean_every_command_says_what_to_do(self, trained):
        picture = next((trained.store.parent / "faces").rglob("*.png"))
        segments = trained.artifact("segment", "data", "--method", "grid", "--segments", 4, "--first", 2)
        masks = trained.artifact("perturb", segments.id, "--samples", 8, "--fill", "mean")
        before = {path.name for path in trained.store.glob("*/*")}
        for words in (
            ["explain", "data", "--model", "folds"],
            ["explain", picture.parent, "--model", "folds"],
            ["predict", masks.id, "--model", "folds"],
            ["predict", masks.id, "--model", "folds", "--dry-run"],
            ["gradcam", "data", "--model", "folds"],
            ["occlusion", "data", "--model", "folds"],
            ["activations", "folds", picture],
            ["trust", "add", "models/folds"],
        ):
            said = trained.fails(*words)
            assert "--ensemble" in said, said
            assert "--fold 0" in said
        assert {path.name for path in trained.store.glob("*/*")} == before

    def test_predictions_are_those_of_the_mean(self, trained, mean, data):
        segments = trained.artifact("segment", "data", "--method", "grid", "--segments", 4, "--first", 2)
        masks = trained.artifact("perturb", segments.id, "--samples", 8, "--fill", "mean")
        made = trained.artifact("predict", masks.id, "--model", "mean")
        unchanged = made.read("probabilities")[:, 0]
        rows = [int(row) for row in segments.read("row")]
        assert made.shape("probabilities")[-1] == 2
        assert unchanged == pytest.approx(by_member(mean, data).mean(axis=0)[rows], abs=1e-5)

    @pytest.mark.parametrize("runtime", ["onnx", "openvino"])
    def test_other_runtimes_convert_the_mean(self, trained, runtime):
        pytest.importorskip({"onnx": "tf2onnx"}.get(runtime, runtime))
        segments = trained.artifact("segment", "data", "--method", "grid", "--segments", 4, "--first", 2)
        masks = trained.artifact("perturb", segments.id, "--samples", 8, "--fill", "mean")
        both = [
            trained.artifact("predict", masks.id, "--model", "mean", "--runtime", each) for each in (runtime, "keras")
        ]
        one, other = (each.read("probabilities") for each in both)
        assert one.shape == other.shape
        assert one == pytest.approx(other, abs=1e-4)
        surrogates = trained.artifact("fit-surrogate", both[0].id)
        check = trained.artifact("check", surrogates.id, "--regions", 1)
        assert check.parameters["runtime"] == runtime
        assert check.facts["members"] == 3

    def test_lime_of_the_mean_is_the_mean_of_the_members_lime(self, trained, mean):
        """A surrogate is linear in the answers, so the explanation averages those of the members."""
        segments = trained.artifact("segment", "data", "--method", "grid", "--segments", 4, "--first", 2)
        masks = trained.artifact("perturb", segments.id, "--samples", 12, "--fill", "mean")

        def explained(model):
            predictions = trained.artifact("predict", masks.id, "--model", model)
            return trained.artifact("fit-surrogate", predictions.id).read("coefficients")

        members = []
        for number in range(3):
            path = trained.store.parent / f"member-{number}.keras"
            shutil.copyfile(mean.file(f"fold-{number}.keras"), path)
            imported = trained.artifact("import-model", path, "--classes", "normal,rosacea", "--scaling", "0..255")
            members.append(explained(imported.id))
        assert explained("mean") == pytest.approx(np.mean(members, axis=0), abs=1e-5, nan_ok=True)

    def test_gradcam_of_the_mean_joins_the_maps_of_all_members(self, trained, mean, data):
        from facelime_cli.core.cams import gradcam
        from facelime_cli.models import gradients

        made = trained.artifact("gradcam", "data", "--model", "mean", "--first", 2)
        images = data.read("images", [int(row) for row in made.read("row")])
        for c in (0, 1):
            classes = np.full(len(images), c)
            maps, slopes = [], []
            for number in range(3):
                net = network(mean, f"fold-{number}.keras")
                found = gradients.maps_and_gradients(net, gradients.last_maps(net), images, classes)
                maps.append(found[0])
                slopes.append(found[1] / 3)
            for row in range(len(images)):
                wanted = gradcam(
                    np.concatenate([each[row] for each in maps], axis=-1),
                    np.concatenate([each[row] for each in slopes], axis=-1),
                )
                assert made.read("maps")[row, c] == pytest.approx(wanted, rel=1e-3, abs=1e-6)
        assert "member" not in made.facts["layer"]
        picture = next((trained.store.parent / "faces").rglob("*.png"))
        listed = trained.json("activations", "mean", picture)["layers"]
        alone = gradients.listed(network(mean, "fold-0.keras"))
        assert [each["layer"] for each in listed] == [each.name for each in alone]

    def test_the_report_says_where_the_members_differ(self, trained, mean, data):
        words = ["explain", "data", "--model", "mean", "--method", "grid", "--segments", 9, "--samples", 24]
        words += ["--first", 3, "--views", "single", "--regions", 1]
        said = trained(*words).stderr
        assert "in the training of some of the 3 networks" in said
        report = trained.artifact(*words)
        check = report.input("checks")
        assert check.shape("probabilities")[-1] == 2 * (1 + 3)
        rows = list(csv.DictReader((report.path / "members.csv").open()))
        probabilities, its = by_member(mean, data), [int(row) for row in check.read("row")]
        ids = data.texts("id")
        assert len(rows) == 3 * 2 * 3
        for each in rows:
            row, c = ids.index(each["id"]), ["normal", "rosacea"].index(each["class"])
            assert row in its
            assert float(each["answer"]) == pytest.approx(probabilities[int(each["network"]), row, c], abs=1e-5)
        facts = report.facts["members"]
        assert (facts["networks"], facts["pictures"]) == (3, 3)
        called = probabilities[:, its].argmax(axis=-1)
        assert facts["answers"] == (called != called[0]).any(axis=0).sum()
        page = (report.path / "index.html").read_text()
        assert "The model is the mean of 3 networks. They do not all call the same" in page
        assert page.count("The model is the mean of 3 networks, which") == 3 * 2

    def test_without_a_check_the_report_says_what_asks_the_members(self, trained):
        words = ["explain", "data", "--model", "mean", "--method", "grid", "--segments", 4, "--samples", 8]
        report = trained.artifact(*words, "--first", 1, "--views", "single", "--no-check")
        page = (report.path / "index.html").read_text()
        assert "mean of 3 networks. With" in page
        assert "members" not in report.facts
        assert not (report.path / "members.csv").exists()

    def test_how_each_fold_was_trained_is_drawn(self, trained, tmp_path):
        assert trained("show", "models/folds", "--png", tmp_path / "folds.png").exit_code == 0
        assert (tmp_path / "folds.png").stat().st_size > 1000
