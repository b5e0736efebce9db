"""The predictor: killed, stopped, in shards, resumed."""

import os
import random
import shutil
import signal
import subprocess
import time
from functools import partial

import numpy as np
import pytest

from facelime_cli.core.masks import unpack
from facelime_cli.errors import FacelimeError
from facelime_cli.models import backend, wrapping
from facelime_cli.predicting.predictor import COMMIT_SECONDS
from facelime_cli.store.arrays import PART_BYTES
from tests.support import Facelime, breaking, predictions, write_faces

ALLOWED_SECONDS = 30


def environment(store):
    return {**os.environ, "FACELIME_STORE": str(store)}


def popen(command, store, *words):
    return subprocess.Popen(
        [*command, *map(str, words)], env=environment(store), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def without_predictions(run, name):
    """Return a copy of a store that holds everything before its predictions."""
    for kind in ("datasets", "models", "segments", "masks"):
        shutil.copytree(run.store / kind, run.store.parent / name / kind)
    return Facelime(run.store.parent / name)


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail("what the test waits for did not happen")


def test_predictions_are_what_the_network_says(chain):
    predicted, masks, segments, data = chain["predict"], chain["perturb"], chain["segment"], chain["preprocess"]
    net = wrapping.load(chain["finetune"].file("model.keras"))
    for row in range(3):
        image = data.read("images", [int(segments.read("row")[row])])[0].astype(np.float32)
        fill, labels = masks.read("fill")[row].astype(np.float32), segments.read("segments")[row]
        kept = unpack(masks.read("masks")[row], int(segments.read("n_segments")[row]))
        composed = np.stack([fill + (image - fill) * z[labels][..., None] for z in kept])
        assert np.abs(net.predict(composed, verbose=0) - predicted.read("probabilities")[row]).max() < 1e-5


def kept_files(commits):
    return [*commits.glob("killed*/begun/*/0*.npz"), *commits.glob("killed*/units/*.json")]


def begun_or_over(process, commits):
    return process.poll() is not None or kept_files(commits)


@pytest.mark.long  # a minute
def test_kills_at_random_moments_change_no_bit_and_repeat_little(many, command):
    words = ["predict", "killed", "--model", "small", "--batch-size", 16]
    # On a fast machine, too, a unit must take longer than the time between two commits.
    many.json("perturb", "parts", "--samples", 6000, "--seed", 1, "--name", "killed")
    clock, kills, commits = random.Random(), 0, many.store / "predictions"
    while kills < 3:
        process = popen(command, many.store, *words)
        wait_for(partial(begun_or_over, process, commits))
        try:
            process.wait(clock.uniform(0, 2))
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed_at, kills = time.time(), kills + 1
            kept = [path.stat().st_mtime for path in kept_files(commits)]
            assert killed_at - max(kept) < min(ALLOWED_SECONDS, 3 * COMMIT_SECONDS)
    rest = many.artifact(*words)
    assert kills > 0
    calm = without_predictions(many, "calm")
    whole = calm.artifact(*words)
    assert whole.id == rest.id
    assert np.array_equal(whole.read("probabilities"), rest.read("probabilities"))
    assert whole.content == rest.content
    assert many.json("verify", rest.id)["faults"] == []
    resumed = [unit["facts"]["resumed_at"] for unit in rest.manifest["units"]]
    assert sum(resumed) > 0
    assert all(start % 16 == 0 for start in resumed)


@pytest.mark.long
def test_two_shards_side_by_side_equal_one_process(many, command):
    many.json("perturb", "parts", "--samples", 60, "--seed", 2, "--name", "shared")
    words = ["predict", "shared", "--model", "small", "--batch-size", 16]
    shards = [popen(command, many.store, *words, "--shard", f"{i}/2") for i in (1, 2)]
    said = [each.communicate() for each in shards]
    assert [each.returncode for each in shards] == [0, 0], said
    both = many.json(*words)
    assert both["reused"]
    one = without_predictions(many, "one")
    assert np.array_equal(
        one.artifact(*words).read("probabilities"), predictions(many, both["artifact"]).read("probabilities")
    )
    assert many.json(*words, "--missing", 2)["missing"] == []


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A network whose one batch of 64 takes far longer than a stop may take."""
    keras = backend.keras()
    inputs = keras.Input((96, 96, 3))
    x = keras.layers.Conv2D(64, 9, padding="same", activation="relu")(inputs)
    for _ in range(3):
        x = keras.layers.Conv2D(64, 15, padding="same", activation="relu")(x)
    folder = tmp_path_factory.mktemp("slow")
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))).save(
        folder / "slow.keras"
    )
    run = Facelime(folder / "store")
    run.json("import-model", folder / "slow.keras", "--classes", "a,b", "--scaling", "0..1", "--name", "slow")
    run.json("preprocess", write_faces(folder / "faces", 2), "--size", 96, "--name", "two")
    run.json(
        "perturb",
        run.artifact("segment", "two", "--method", "slic", "--first", 1).id,
        "--samples",
        400,
        "--name",
        "masks",
    )
    return run


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_stop_is_obeyed_in_the_middle_of_a_long_call(slow, command, how):
    process = popen(command, slow.store, "predict", "masks", "--model", "slow", "--batch-size", 64)
    wait_for(lambda: list((slow.store / "predictions").glob("*/claims/0*")))
    time.sleep(10)
    begun = time.monotonic()
    process.send_signal(how)
    stdout, stderr = process.communicate(timeout=30)
    assert time.monotonic() - begun < 10
    assert (process.returncode, stdout) == (75, ""), stderr
    assert "Traceback" not in stderr


def test_a_second_process_on_the_same_units_is_refused(slow, command):
    process = popen(command, slow.store, "predict", "masks", "--model", "slow", "--batch-size", 64)
    try:
        wait_for(
            lambda: [
                path
                for path in (slow.store / "predictions").glob("*/claims/0*")
                if f'"pid": {process.pid}' in path.read_text()
            ]
        )
        said = slow.fails("predict", "masks", "--model", "slow")
        assert f"process {process.pid}" in said
        assert "--shard" in said
    finally:
        process.kill()
        process.communicate()


def test_an_error_loses_nothing_that_was_kept(many, monkeypatch):
    """The first unit of a fresh artifact ends in an error of ours: what was committed stays, and `predict` resumes."""
    many.json("perturb", "parts", "--samples", 12, "--seed", 17, "--name", "broken")
    words = ["predict", "broken", "--model", "small", "--batch-size", 16]
    with breaking(monkeypatch, 5, FacelimeError("the model broke down.")):
        assert "the model broke down" in many.fails(*words)
    left_over = many.json(*words, "--dry-run")["evaluations"]
    rest = many.artifact(*words)
    assert [unit["facts"]["resumed_at"] for unit in rest.manifest["units"]] == [5 * 16, 0]
    assert left_over == rest.facts["evaluations"] - 5 * 16


def peak_bytes(command, store, *words):
    """Return the largest resident memory of a command in a process of its own."""
    process = subprocess.Popen(
        [*command, *map(str, words), "--quiet"], env=environment(store), stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    assert status == 0
    return used.ru_maxrss * 1024


@pytest.fixture(scope="module")
def two_sizes(many, tmp_path_factory):
    """Masks of one picture, few and many, all different; and a network of a thousand classes."""
    keras = backend.keras()
    inputs = keras.Input((48, 48, 3))
    path = tmp_path_factory.mktemp("wide") / "wide.keras"
    keras.Model(
        inputs, keras.layers.Dense(1000, activation="softmax")(keras.layers.GlobalAveragePooling2D()(inputs))
    ).save(path)
    (path.parent / "names.txt").write_text("\n".join(f"class {number}" for number in range(1000)))
    many.json("import-model", path, "--classes", f"@{path.parent / 'names.txt'}", "--scaling", "0..1", "--name", "wide")
    many.json("segment", "forty", "--method", "slic", "--first", 2, "--segments", 40, "--name", "fine")
    for samples in (100, 10_000):
        many.json("perturb", "fine", "--samples", samples, "--seed", 9, "--name", f"of-{samples}")
    return many


@pytest.mark.long
def test_memory_does_not_grow_with_the_samples(two_sizes, command):
    few, many_samples = (
        peak_bytes(command, two_sizes.store, "predict", f"of-{samples}", "--model", "small")
        for samples in (100, 10_000)
    )
    assert many_samples < 1.1 * few


@pytest.mark.long
def test_memory_is_bounded_with_a_thousand_classes(two_sizes, command):
    """A part of an array is 64 MiB at most; a few copies of it are alive while it is compressed and written."""
    few, many_samples = (
        peak_bytes(command, two_sizes.store, "predict", f"of-{samples}", "--model", "wide") for samples in (100, 10_000)
    )
    assert many_samples - few < 3 * PART_BYTES
