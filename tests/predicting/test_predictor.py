"""Predict as its users meet it: killed, stopped, sharded, resumed."""

import os
import random
import shutil
import signal
import subprocess
import time
from concurrent.futures import Future
from functools import partial

import numpy as np
import pytest

from facelime_cli.core.masks import unpack
from facelime_cli.errors import FacelimeError
from facelime_cli.models import backend, running, wrapping
from facelime_cli.predicting.device import Device
from facelime_cli.predicting.predictor import COMMIT_SECONDS
from facelime_cli.stopping import span
from facelime_cli.store.arrays import PART_BYTES
from facelime_cli.store.references import Store
from tests.support import Facelime, breaking, write_faces

ALLOWED_SECONDS = 30


@pytest.fixture(scope="module")
def many(tmp_path_factory, chain):
    """A store with masks of 40 pictures (two units), and the chain's small network."""
    del chain
    run = Facelime(tmp_path_factory.mktemp("many") / "store")
    run.json("preprocess", write_faces(tmp_path_factory.mktemp("forty"), 40), "--name", "forty", "--size", 48)
    run.json("finetune", "forty", "--backbone", "cnn-small", "--epochs", 1, "--name", "small")
    run.json("segment", "forty", "--method", "slic", "--name", "parts")
    return run


def environment(store):
    return {**os.environ, "FACELIME_STORE": str(store)}


def popen(command, store, *words):
    return subprocess.Popen(
        [*command, *map(str, words)], env=environment(store), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def predictions(run, reference):
    return Store(run.store).resolve(reference, ("predictions",))


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


def test_equal_masks_are_computed_once(chain):
    run = chain.facelime
    few = run.artifact("segment", "faces", "--first", 2, "--method", "slic", "--segments", 4)
    masks = run.artifact("perturb", few.id, "--samples", 300)
    predicted = run.artifact("predict", masks.id, "--model", "small", "--batch-size", 16)
    packed, values = masks.read("masks"), predicted.read("probabilities")
    different = sum(len(np.unique(each, axis=0)) for each in packed)
    assert predicted.facts["evaluations"] == different < 80
    assert not np.isnan(values).any()
    for picture in range(2):
        for mask in np.unique(packed[picture], axis=0):
            same = values[picture][(packed[picture] == mask).all(axis=1)]
            assert (same == same[0]).all()
    images = chain["preprocess"].read("images", [int(row) for row in few.read("row")]).astype(np.float32)
    whole = backend.keras().ops.convert_to_numpy(wrapping.load(chain["finetune"].file("model.keras"))(images))
    assert np.abs(values[:, 0] - whole).max() < 1e-5


def test_across_batch_sizes_they_agree(chain):
    run = chain.facelime
    found = []
    for number, batch in enumerate((1, 7, 64)):
        other = run.artifact("perturb", chain["segment"].id, "--samples", 90 + number, "--name", f"batch{batch}")
        found.append(
            run.artifact("predict", other.id, "--model", "small", "--batch-size", batch).read("probabilities")[:, :90]
        )
    assert max(np.abs(each - chain["predict"].read("probabilities")).max() for each in found) < 1e-5


def kept_files(commits):
    return [*commits.glob("killed*/begun/*/0*.npz"), *commits.glob("killed*/units/*.json")]


def begun_or_over(process, commits):
    return process.poll() is not None or kept_files(commits)


@pytest.mark.long  # a minute
def test_kills_at_random_moments_change_no_bit_and_repeat_little(many, command):
    words = ["predict", "killed", "--model", "small", "--batch-size", 16]
    many.json("perturb", "parts", "--samples", 1500, "--seed", 1, "--name", "killed")
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


def test_a_shard_does_its_part_and_says_so(many):
    many.json("perturb", "parts", "--samples", 10, "--seed", 3, "--name", "partly")
    words = ["predict", "partly", "--model", "small"]
    first = many.json(*words, "--shard", "1/2")
    assert (first["complete"], first["units_done"], first["units"]) == (False, 1, 2)
    assert many(*words, "--missing", 2).stdout == "2\n"
    values = predictions(many, first["artifact"]).read("probabilities")
    assert not np.isnan(values[:32]).any()
    assert np.isnan(values[32:]).all()
    assert "not complete (1 of 2 units done)" in many.fails("fit-surrogate", first["artifact"])
    assert many.json(*words, "--shard", "2/2")["complete"]


def test_a_time_budget_stops_with_75_and_the_same_command_goes_on(many, start):
    many.json("perturb", "parts", "--samples", 4000, "--seed", 4, "--name", "budget")
    words = ["predict", "budget", "--model", "small", "--batch-size", 16]
    for budget in ("12s", "25s", "50s"):  # the first may be over before a slow machine has loaded the network
        done = start(*words, "--time-budget", budget, store=many.store)
        assert (done.returncode, done.stdout) == (75, ""), done.stderr
        assert "the same command resumes" in done.stderr
        artifact = predictions(many, "budget-small")
        if any(True for _ in artifact.committed(0)) or artifact.done():
            return
    pytest.fail("nothing was kept")


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


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("45", 45), ("1.5h", 5400), ("1d", 86400)]
)
def test_time_spans(text, seconds):
    assert span(text) == seconds


def test_explain_has_one_time_budget(chain):
    words = [
        "explain",
        "faces",
        "--model",
        "small",
        "--split",
        "test",
        "--first",
        3,
        "--method",
        "slic",
        "--segments",
        12,
        "--samples",
        37,
    ]
    assert chain.facelime(*words, "--time-budget", "0s").exit_code == 75
    assert chain.facelime.json(*words, "--time-budget", "10m")["complete"] is True


@pytest.mark.parametrize("text", ["", "m", "-3s", "1w", "1m30s"])
def test_wrong_time_spans(chain, text):
    chain.facelime.fails("predict", chain["perturb"].id, "--model", "small", "--time-budget", text, code=2)


def test_one_trace_serves_units_of_any_size(many, monkeypatch):
    """Two units, the second of eight pictures, and a last batch that is not full: composition is traced once."""
    traced = []
    composer = running.composer

    def counting(size):
        compose = composer(size)

        def counted(*arrays):
            traced.append(arrays)
            return compose(*arrays)

        return counted

    monkeypatch.setattr(running, "composer", counting)
    many.json("perturb", "parts", "--samples", 9, "--seed", 5, "--name", "traced")
    assert many.artifact("predict", "traced", "--model", "small").n_units == 2
    assert len(traced) == 1


@pytest.fixture
def small_memory(monkeypatch):
    """A device on which a batch of more than ten does not fit."""
    compiled = running.compiled

    def limit(net):
        call = compiled(net)

        def limited(packed, *arrays):
            if len(packed) > 10:
                raise backend.DeviceMemoryError
            return call(packed, *arrays)

        return limited

    monkeypatch.setattr(running, "compiled", limit)


@pytest.mark.usefixtures("small_memory")
def test_out_of_memory_halves_the_batch_and_says_so(many):
    many.json("perturb", "parts", "--samples", 6, "--seed", 6, "--name", "tight")
    result = many("predict", "tight", "--model", "small", "--batch-size", 32)
    assert result.exit_code == 0
    assert "a batch of 32 did not fit into memory; batches of 16 are used now" in result.stderr
    assert "a batch of 16 did not fit into memory; batches of 8 are used now" in result.stderr
    found = predictions(many, "tight-small")
    assert [unit["facts"]["batch_size"] for unit in found.manifest["units"]] == [8, 8]
    assert not np.isnan(found.read("probabilities")).any()


@pytest.mark.usefixtures("small_memory")
def test_out_of_memory_while_precisions_are_compared(many):
    many.json("perturb", "parts", "--samples", 6, "--seed", 16, "--name", "close")
    told = many.json("predict", "close", "--model", "small", "--precision", "bfloat16", "--tolerance", 0.1, "--dry-run")
    assert told["batch_size"] == 8
    found = many.artifact("predict", "close", "--model", "small", "--precision", "bfloat16", "--tolerance", 0.1)
    assert [unit["facts"]["batch_size"] for unit in found.manifest["units"]] == [8, 8]


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


def test_a_call_that_ends_while_it_is_asked_about_is_no_error():
    class Late(Future):
        def result(self, timeout=None):
            if timeout is not None:
                raise TimeoutError
            return 7

        def done(self):
            return True

    assert Device().wait(Late()) == 7


class TestBatchSize:
    def test_auto_is_measured_once_and_kept_in_the_layout(self, many):
        for seed in (7, 8):
            many.json("perturb", "parts", "--samples", 6, "--seed", seed, "--name", f"auto{seed}")
        first = many("predict", "auto7", "--model", "small", "--batch-size", "auto")
        second = many("predict", "auto8", "--model", "small", "--batch-size", "auto")
        assert "evaluations/s by batch size: 8: " in first.stderr
        assert "by batch size" not in second.stderr
        sizes = [predictions(many, f"auto{seed}-small").layout["execution"]["batch_size"] for seed in (7, 8)]
        assert sizes[0] == sizes[1]
        assert sizes[0] in {8, 16, 32, 64}
        assert many.json("verify", "auto7-small")["faults"] == []

    @pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "²"])
    def test_what_is_none(self, chain, text):
        assert "--batch-size" in chain.facelime.fails(
            "predict", chain["perturb"].id, "--model", "small", "--batch-size", text, code=2
        )


class TestForecast:
    def test_says_how_long_and_writes_nothing(self, many):
        many.json("perturb", "parts", "--samples", 12, "--seed", 9, "--name", "forecast")
        before = sorted(many.store.rglob("*"))
        told = many.json("predict", "forecast", "--model", "small", "--dry-run", "--shard", "1/2")
        assert sorted(many.store.rglob("*")) == before
        masks = Store(many.store).resolve("forecast", ("masks",))
        different = [len(np.unique(each, axis=0)) for each in masks.read("masks")]
        assert told["evaluations"] + told["taken_over"] == sum(different)
        assert [
            each["evaluations"] <= sum(part)
            for each, part in zip(told["shards"], (different[:32], different[32:]), strict=True)
        ] == [True, True]
        assert sum(each["evaluations"] for each in told["shards"]) == told["evaluations"]
        assert told["bytes"] == 40 * 12 * 2 * 4
        assert told["evaluations_per_second"] > 0
        assert told["seconds"] == pytest.approx(sum(each["seconds"] for each in told["shards"]))
        shown = many("predict", "forecast", "--model", "small", "--dry-run", "--shard", "1/2").stdout
        assert "1/2" in shown
        assert "2/2" in shown

    def test_counts_what_is_done_and_what_could_be_taken_over(self, many):
        many.json("perturb", "parts", "--samples", 12, "--seed", 10, "--name", "short")
        many.json("perturb", "parts", "--samples", 20, "--seed", 10, "--name", "long")
        done = many.artifact("predict", "short", "--model", "small")
        told = many.json("predict", "long", "--model", "small", "--dry-run")
        assert told["taken_over"] == done.facts["evaluations"] + done.facts["taken_over"]
        longer = many.artifact("predict", "long", "--model", "small")
        assert told["evaluations"] == longer.facts["evaluations"]
        nothing = many.json("predict", "long", "--model", "small", "--dry-run")
        assert (nothing["evaluations"], nothing["seconds"], nothing["bytes"]) == (0, 0, 0)


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
