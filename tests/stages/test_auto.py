"""The recipe `auto` on real pictures: the command, what a kill leaves, and that the same command goes on."""

import csv
import json
import signal
import subprocess
import time

import pytest

from facelime_cli.training.loop import Checkpoints

PICTURES = 60
"""Of each class."""


@pytest.fixture
def xrays(facelime, data, tmp_path):
    """Return the words of a training on some X-rays of the store."""
    with (data / "xray" / "index.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "xray" / label).mkdir(parents=True)
        chosen = [row["file"] for row in rows if row["label"] == label][:: len(rows) // (2 * PICTURES)]
        for file in chosen:
            (tmp_path / "xray" / file).symlink_to(data / "xray" / file)
    facelime.json("preprocess", tmp_path / "xray", "--size", 64, "--group-pattern", "kermany", "--name", "some")
    weights = data / "weights" / "mobilenet_v2_1.0_224_imagenet.weights.h5"
    network = ["--backbone", "mobilenetv2", "--weights", str(weights)]
    return ["finetune", "some", *network, "--kind", "xray", "--batch-size", "8", "--epochs", "2"]


def scratch_of(store):
    return next(iter(store.glob("models/*/begun/00000")), None)


def until(found, process):
    limit = time.monotonic() + 300
    while not found() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)


@pytest.mark.long
def test_through_kills(facelime, xrays, command):
    """Killed in the features, then in the training: what was computed has the same bits, and the plan goes on."""
    words = [*command, *xrays, "--minutes", "30", "--checkpoint-minutes", "0", "--store", str(facelime.store)]

    def killed_when(found):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until(found, process)
        process.send_signal(signal.SIGKILL)
        return process.communicate(timeout=60)[1]

    def kept(pattern):
        folder = scratch_of(facelime.store)
        return {path.name: path.read_bytes() for path in folder.glob(pattern)} if folder else {}

    killed_when(lambda: kept("features-train-0*.npy"))
    features = kept("features-*.npy")
    assert features

    def some_steps():
        folder = scratch_of(facelime.store)
        progress = Checkpoints(folder).load()[0] if folder else None
        return progress is not None and progress.phase == 1 and progress.step + progress.epoch > 1

    said = killed_when(some_steps)
    later = kept("features-*.npy") | kept("probe.npz") | kept("plan.json")
    assert features.items() <= later.items(), said
    progress, _ = Checkpoints(scratch_of(facelime.store)).load()
    assert progress.phase == 1
    assert progress.step + progress.epoch > 1
    model = facelime.artifact(*xrays, "--minutes", 30)
    assert [(row["phase"], row["epoch"]) for row in model.facts["history"]] == [(1, 1), (2, 1), (2, 2)]
    assert model.facts["kept"]["epochs"] <= json.loads(later["plan.json"])["epochs"]
    figures = model.facts["probe"]["validation"]
    assert model.facts["validation"]["accuracy"] >= figures["accuracy"] - 1e-6
    assert model.parameters["recipe"] == "auto"
    assert facelime("verify", model.reference).exit_code == 0


@pytest.mark.long
def test_the_probe_alone_is_a_model_and_its_command_is_known(facelime, xrays):
    model = facelime.artifact(*xrays, "--freeze", "all", "--refit")
    assert len(model.facts["history"]) == 1
    assert model.facts["refit"]["epochs"] == 0
    evaluated = facelime.artifact("evaluate", model.reference)
    assert evaluated.facts["accuracy"] == pytest.approx(model.facts["test"]["accuracy"])
    again = facelime.json(*xrays, "--freeze", "all", "--refit")
    assert again["artifact"] == model.id
