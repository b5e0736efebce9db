"""The command: what each setting does, and that a stop loses nothing."""

import subprocess
import time

import numpy as np
import pytest

from facelime_cli.models import wrapping
from facelime_cli.training.loop import Checkpoints
from facelime_cli.training.recipes import RECIPES
from facelime_cli.training.settings import augmentation
from tests.support import write_faces


class TestCommand:
    def test_a_recipe_presets_what_was_not_given(self, chain):
        answer = chain.facelime.artifact(
            "finetune", "faces", "--recipe", "pneumonia", "--backbone", "cnn", "--epochs", 1, "--steps-per-epoch", 2
        )
        parameters = answer.parameters
        assert (
            parameters["epochs"],
            parameters["batch_size"],
            parameters["patience"],
            parameters["output"],
            parameters["head"],
        ) == (1, 44, 10, "sigmoid", [8])
        assert parameters["augment"] == RECIPES["pneumonia"].settings.augment
        assert answer.facts["recipe"] == "pneumonia"

    def test_a_recipe_is_for_its_own_networks(self, chain):
        assert "cnn-deep" in chain.facelime.fails(
            "finetune", "faces", "--recipe", "pneumonia", "--backbone", "densenet121", code=2
        )
        assert "--recipe" in chain.facelime.fails("finetune", "faces", code=2)

    @pytest.mark.parametrize(
        ("option", "value", "code"),
        [
            ("--augment", "spin=3", 2),
            ("--augment", "rotation", 2),
            ("--augment", "rotation=nan", 2),
            ("--augment", "flip=sideways", 2),
            ("--head", "8,x", 2),
            ("--head", "0", 2),
            ("--dropout", "1", 2),
            ("--dropout", "0.1,0.1", 1),
            ("--fine-tune-layers", "few", 2),
            ("--fold", "1", 1),
            ("--l2", "0.1", 2),
            ("--fine-tune-layers", "2", 2),
            ("--fine-tune-rate", "0.1", 2),
        ],
    )
    def test_wrong_settings(self, chain, option, value, code):
        assert option in chain.facelime.fails("finetune", "faces", "--backbone", "cnn-small", option, value, code=code)

    def test_more_layers_than_there_are(self, chain):
        assert "--fine-tune-layers 99" in chain.facelime.fails(
            "finetune", "faces", "--backbone", "cnn-small", "--fine-tune-epochs", 1, "--fine-tune-layers", 99
        )

    @pytest.mark.long
    def test_cached_features_are_the_same_training(self, chain):
        """With a frozen base and no augmentation, the head is trained on features.

        The whole network answers as the head did.
        """
        words = [
            "finetune",
            "faces",
            "--backbone",
            "mobilenetv2",
            "--weights",
            "none",
            "--freeze",
            "all",
            "--epochs",
            2,
        ]
        model = chain.facelime.artifact(*words)
        kept = min(model.facts["history"], key=lambda row: row["val_loss"])
        assert model.facts["validation"]["accuracy"] == pytest.approx(kept["val_accuracy"], abs=1e-6)

    @pytest.mark.long
    def test_two_phases_mixed_precision_and_every_setting(self, chain):
        phases = [
            "--epochs",
            1,
            "--fine-tune-epochs",
            1,
            "--fine-tune-layers",
            2,
            "--augment",
            "flip=horizontal,rotation=5",
            "--precision",
            "mixed",
        ]
        classes = ["--class-weights", "balanced", "--oversample", "--output", "sigmoid"]
        layers = ["--head", "8", "--dropout", "0.1", "--l2", 0.01, "--optimizer", "nadam", "--schedule", "plateau"]
        model = chain.facelime.artifact("finetune", "faces", "--backbone", "cnn-small", *phases, *classes, *layers)
        assert [row["phase"] for row in model.facts["history"]] == [1, 2]
        assert model.facts["class_weights"] == {"0": 1.0, "1": 1.0}  # oversampling has made the classes equal already
        net = wrapping.load(model.file("model.keras"))
        assert {layer.compute_dtype for layer in net.layers} == {"float32"}
        assert model.parameters["augment"] == {"rotation": 5.0, "flip": "horizontal"}
        for name in ("history.csv", "history.png", "history.svg"):
            assert model.file(name).stat().st_size > 100
        assert chain.facelime("verify", f"models/{model.id}").exit_code == 0

    @pytest.mark.long
    def test_folds(self, chain, faces):
        data = chain.facelime.artifact("preprocess", faces, "--size", 24, "--folds", 3, "--name", "folded")
        fold = data.read("fold")
        first, third = (
            chain.facelime.artifact("finetune", data.id, "--backbone", "cnn-small", "--epochs", 1, "--fold", number)
            for number in (0, 2)
        )
        assert first.facts["test"]["n"] == (fold == 0).sum()
        assert third.facts["test"]["n"] == (fold == 2).sum()
        assert third.facts["validation"]["n"] == (fold == 0).sum()
        assert "--fold 3" in chain.facelime.fails("finetune", data.id, "--backbone", "cnn-small", "--fold", 3)
        evaluated = chain.facelime.artifact("evaluate", f"models/{third.id}")
        assert sorted(evaluated.read("row")) == sorted(np.flatnonzero(fold == 2))
        assert evaluated.facts["accuracy"] == pytest.approx(third.facts["test"]["accuracy"])


def test_none_overrides_a_recipe(chain):
    model = chain.facelime.artifact(
        "finetune",
        "faces",
        "--recipe",
        "pneumonia",
        "--backbone",
        "ann",
        "--epochs",
        1,
        "--steps-per-epoch",
        1,
        "--augment",
        "none",
    )
    assert model.parameters["augment"] == augmentation("none") == {}


@pytest.mark.long
def test_training_goes_on_after_a_stop(facelime, command, tmp_path):
    folder = write_faces(tmp_path / "some", 400, 48)
    facelime.json("preprocess", folder, "--size", 48, "--name", "some")
    words = [
        "finetune",
        "some",
        "--backbone",
        "cnn-small",
        "--epochs",
        "16",
        "--batch-size",
        "8",
        "--store",
        str(facelime.store),
    ]
    process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 90
    while not facelime_epochs(facelime) and time.monotonic() < until:
        time.sleep(0.05)
    process.terminate()
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (75, ""), stderr
    before, _ = Checkpoints(next(facelime.store.glob("models/*/begun/00000"))).load()
    assert before.epoch >= 2
    model = facelime.artifact(*words[:-2])
    assert model.facts["history"][: len(before.history)] == before.history
    assert [row["epoch"] for row in model.facts["history"]] == list(range(1, 17))
    assert len((model.path / "history.csv").read_text().splitlines()) == 17
    assert 0 <= model.facts["test"]["accuracy"] <= 1


def facelime_epochs(facelime):
    """Whether an unfinished training has two epochs behind it."""
    return any(
        Checkpoints(folder).load()[0].epoch >= 2
        for folder in facelime.store.glob("models/*/begun/00000")
        if (folder / "state.npz").exists()
    )
