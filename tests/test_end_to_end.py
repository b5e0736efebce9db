"""The whole way through the real command line, as its users go it."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from facelime_cli.store.references import Store
from tests.support import Facelime


@pytest.mark.long
def test_stages_chain_in_a_shell(chain, faces, tmp_path, command):
    """The dataset and the network are found, the rest is made."""
    facelime, store = " ".join(command), chain.copy(tmp_path / "s").store
    script = f"""set -euo pipefail
    {facelime} preprocess {faces} --name faces --size 48 --quiet
    {facelime} finetune faces --backbone cnn-small --epochs 2 --name m --quiet
    {facelime} segment faces --split test --first 2 --method slic | {facelime} perturb - --samples 40 \\
      | {facelime} predict - --model m --json \\
      | {facelime} fit-surrogate - --surrogate linear | {facelime} render - --json"""
    done = subprocess.run(
        ["/bin/bash", "-c", script],
        env={**os.environ, "FACELIME_STORE": str(store)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    report = json.loads(lines[-1])
    assert (Path(report["path"]) / "index.html").is_file()
    assert report["complete"]


@pytest.mark.long
def test_the_demo_marks_the_flush(start, tmp_path):
    done = start("demo", "--json", store=tmp_path / "s")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["accuracy"] > 0.9
    assert answer["truth"]["on_truth"] > 4 * answer["truth"]["by_chance"]
    assert answer["truth"]["pointing"] > 0.6
    assert Path(answer["report"]).is_file()
    again = Facelime(tmp_path / "s").json("demo")
    assert again["artifact"] == answer["artifact"]
    assert again["reused"] is True


def test_the_demo_draws_its_faces_for_a_pipeline(facelime, tmp_path):
    place = tmp_path / "faces"
    assert facelime("demo", "--draw", place, "--faces", 100).stdout == f"{place}\n"
    data = facelime.artifact("preprocess", place / "pictures", "--truth", place / "truth", "--size", 32)
    assert (data.n, data.facts["classes"]) == (100, ["normal", "rosacea"])
    labels, truth = data.read("labels"), data.read("truth")
    assert truth.reshape(100, -1).any(axis=1).tolist() == (labels == 1).tolist()
    assert "--draw" in facelime.fails("demo", "--draw", place)


@pytest.mark.long
def test_real_xrays_end_to_end(start, tmp_path, data):
    store = tmp_path / "s"

    def run(*words):
        done = start(*words, "--json", store=store)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        return Store(store).stored(answer["kind"], answer["artifact"])

    dataset = run("preprocess", data / "xray", "--size", 96, "--group-pattern", "kermany", "--name", "xray")
    assert dataset.n == 1000
    groups, split = dataset.texts("group"), dataset.read("split")
    assert all(len({int(split[i]) for i, group in enumerate(groups) if group == one}) == 1 for one in set(groups))
    weights = data / "weights" / "mobilenet_v2_1.0_224_imagenet.weights.h5"
    model = run("finetune", "xray", "--backbone", "mobilenetv2", "--weights", weights, "--epochs", 2, "--name", "m")
    assert (
        model.facts["test"]["accuracy"] > 0.65
    )  # chance is .5; two short epochs reach .80 to .88, on no two machines the same
    report = run(
        "explain",
        "xray",
        "--model",
        "m",
        "--split",
        "test",
        "--first",
        8,
        "--method",
        "slic",
        "--samples",
        150,
        "--figures",
        "png",
        "--classes",
        "PNEUMONIA",
    )
    assert (
        len(list((report.path / "figures").glob("*.png"))) == len(list((report.path / "pictures").glob("*.jpg"))) == 8
    )


@pytest.mark.long
def test_a_real_network_answers_as_published(facelime, start, tmp_path, data):
    weights, labels = (
        data / "weights" / "mobilenet_v2_1.0_224_imagenet.weights.h5",
        data / "weights" / "imagenet_labels.txt",
    )
    words = [
        "import-model",
        weights,
        "--backbone",
        "mobilenetv2",
        "--classes",
        f"@{labels}",
        "--scaling",
        "-1..1",
        "--name",
        "imagenet",
    ]
    facelime.json(*words)
    import skimage.data
    import skimage.io

    skimage.io.imsave(tmp_path / "cat.png", skimage.data.chelsea())
    done = start(
        "explain",
        tmp_path / "cat.png",
        "--model",
        "imagenet",
        "--method",
        "slic",
        "--samples",
        64,
        "--json",
        store=facelime.store,
    )
    assert done.returncode == 0, done.stderr
    store = Store(facelime.store)
    predictions = store.artifacts(("predictions",))[0]
    full = predictions.read("probabilities")[0, 0]
    assert full.sum() == pytest.approx(1, abs=1e-3)
    top = [predictions.facts["classes"][c] for c in np.argsort(-full)[:5]]
    assert sum("cat" in name for name in top) >= 3
