"""Fixtures of all tests: drawn faces, a small finished store, the command line in this process and in another."""

import atexit
import csv
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facelime_cli.core.faces import draw
from facelime_cli.store.references import Store
from tests.findings import ORDER, save_network, words_of_source, write_source
from tests.scene import make as make_scene
from tests.support import ROUNDS, SIZE, Chain, Facelime, FewRounds, Judged, write_faces, write_maps

SMALL_SIDE = 24
MADE = "made.json"
"""Written last into a folder that one process of a run makes for all of them."""
LONGEST = {
    *("test_end_to_end.py", "test_training.py", "test_evaluate.py", "test_predictor.py"),
    *("test_kills.py", "test_any_value.py", "test_disk_full.py", "test_flips.py"),
}
"""Files that take longest. A run begins with them, so that no process is left alone with one of them at the end."""


def pytest_configure():
    """Keep the user's own state out of the tests, and give each process of a run its own share of the cores."""
    # For child processes too. The processes of a run share one folder, since what one imports the others may use.
    if "FACELIME_TEST_STATE" not in os.environ:
        os.environ["FACELIME_TEST_STATE"] = tempfile.mkdtemp(prefix="facelime-state-")
        atexit.register(shutil.rmtree, os.environ["FACELIME_TEST_STATE"], ignore_errors=True)
    os.environ["XDG_STATE_HOME"] = os.environ["FACELIME_TEST_STATE"]
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None or not hasattr(os, "sched_setaffinity"):
        return
    number, count = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    share = sorted(os.sched_getaffinity(0))[number::count]
    if share:
        os.sched_setaffinity(0, share)


def pytest_collection_modifyitems(items):
    """Put the tests of the longest files first; each file keeps the order of its tests."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@contextmanager
def alone(place: Path):
    """Hold the lock of a folder, so that one process of a run makes what stands there and the others wait for it."""
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that all processes of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def faces(shared):
    """A folder of drawn faces, one sub-folder per class; read it, do not change it."""
    place = shared / "drawn"
    with alone(place):
        if not (place / MADE).exists():
            write_faces(place / "pictures")
            (place / MADE).write_text("{}")
    return place / "pictures"


def run_every_stage(run: Facelime, faces: Path) -> dict[str, str]:
    """Run every stage once, and return the reference of each stage's artifact."""
    made = {}

    def keep(*words, stage=None):
        artifact = run.artifact(*words)
        made[stage or words[0]] = f"{artifact.kind}/{artifact.id}"
        return artifact.id

    keep("preprocess", faces, "--name", "faces", "--size", SIZE)
    keep("finetune", "faces", "--backbone", "cnn-small", "--epochs", 2, "--name", "small")
    keep("evaluate", "small", "--bootstrap", ROUNDS)
    keep("describe", "faces")
    segments = keep("segment", "faces", "--split", "test", "--first", 3, "--method", "slic", "--segments", 12)
    masks = keep("perturb", segments, "--samples", 90)
    predictions = keep("predict", masks, "--model", "small", "--batch-size", 16)
    surrogates = keep("fit-surrogate", predictions)
    keep("render", surrogates)
    keep("gradcam", segments, "--model", "small")
    keep("occlusion", masks, "--model", "small")
    keep("contrast", surrogates, "--class", "rosacea", "--versus", "normal")
    linear = run.artifact("fit-surrogate", predictions, "--surrogate", "linear")
    keep("compare", surrogates, linear.id)
    blurred = run.artifact("perturb", segments, "--samples", 60, "--fill", "blur")
    answers = run.artifact("predict", blurred.id, "--model", "small", "--batch-size", 16)
    witness = run.artifact("fit-surrogate", answers.id)
    keep("consensus", surrogates, witness.id)
    keep("check", surrogates)
    keep("import-maps", segments, "--model", "small", "--maps", write_maps(faces, run.store.parent / "maps"))
    return made


@pytest.fixture(scope="session")
def chain(tmp_path_factory, shared, faces):
    """Every stage run once on drawn faces: this process's copy. A test may add to it, but changes nothing in it."""
    place = shared / "every-stage"
    with alone(place):
        if not (place / MADE).exists():
            made = run_every_stage(Facelime(place / "store"), faces)
            (place / MADE).write_text(json.dumps(made))
    made = json.loads((place / MADE).read_text())
    copy = tmp_path_factory.mktemp("chain") / "store"
    shutil.copytree(place / "store", copy)
    artifacts = {stage: Store(copy).stored(*reference.split("/")) for stage, reference in made.items()}
    return Chain(Facelime(copy), artifacts, place / "store")


@pytest.fixture(scope="session")
def judged(chain):
    """Four views of the chain's pictures, their consensus and its check, in the chain's store."""
    run, views = chain.facelime, [chain["fit-surrogate"]]
    for words in (("--donor", 2), ("--fill", "blur"), ("--fill", "inpaint")):
        masks = run.artifact("perturb", chain["segment"].id, "--samples", 60, *words)
        predictions = run.artifact("predict", masks.id, "--model", "small", "--batch-size", 16)
        views.append(run.artifact("fit-surrogate", predictions.id))
    consensus = run.artifact("consensus", *(each.reference for each in views))
    return Judged(run, views, consensus, run.artifact("check", consensus.reference))


@pytest.fixture(scope="session")
def many(tmp_path_factory):
    """A store with segments of 40 pictures (two units) and a small network. A test adds to it under its own names."""
    run = Facelime(tmp_path_factory.mktemp("many") / "store")
    run.json("preprocess", write_faces(tmp_path_factory.mktemp("forty"), 40), "--name", "forty", "--size", 48)
    run.json("finetune", "forty", "--backbone", "cnn-small", "--epochs", 1, "--name", "small")
    run.json("segment", "forty", "--method", "slic", "--name", "parts")
    return run


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """A store with something for every command, and a process that runs commands on copies of it in forks."""
    made = make_scene(tmp_path_factory.mktemp("scene"))
    yield made
    made.forks.stop()


@pytest.fixture
def worker():
    """Another process that shows that it works on an artifact, as long as the block lasts."""

    @contextmanager
    def working(folder):
        code = (
            f"from facelime_cli.store import presence; from pathlib import Path; presence.show(Path({str(folder)!r}))"
        )
        words = [sys.executable, "-c", f"{code}; print(flush=True); input()"]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            yield process
            process.communicate("\n")

    return working


@pytest.fixture
def facelime(tmp_path):
    """The command line on an empty store."""
    return Facelime(tmp_path / "store")


@pytest.fixture(scope="session")
def command():
    """Words that start the real command line in a process of its own."""
    return [sys.executable, "-m", "facelime_cli"]


@pytest.fixture
def start(command):
    """Run the real command line in a process of its own and wait for it."""

    def run(*words, store, stdin=None, env=None):
        environment = {**os.environ, "FACELIME_STORE": str(store), **(env or {})}
        return subprocess.run(
            [*command, *map(str, words)], input=stdin, capture_output=True, text=True, env=environment, check=False
        )

    return run


@pytest.fixture(scope="session")
def data():
    """The folder with real pictures and weights, which is not part of this repository."""
    folder = Path(os.environ.get("FACELIME_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not (folder / "xray").is_dir():
        pytest.skip(f"no real pictures at {folder}: set FACELIME_DATA to a folder that holds them")
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def tabled(tmp_path_factory):
    """A folder of drawn faces and a table: three pictures a patient, an age with gaps, a sex."""
    folder = tmp_path_factory.mktemp("tabled")
    rows = [("image_id", "dx", "patient", "age", "sex")]
    for number in range(90):
        flushed = number // 3 % 2 == 1
        Image.fromarray(draw(0, number, SMALL_SIDE, flushed=flushed).image).save(folder / f"p{number:03d}.png")
        rows.append(
            (
                f"p{number:03d}",
                "rosacea" if flushed else "normal",
                f"patient{number // 3}",
                "" if number % 10 == 0 else 20 + number % 50,
                ("f", "m", "")[number % 3],
            )
        )
    with (folder / "table.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return folder


@pytest.fixture(scope="session")
def evaluated(tabled, tmp_path_factory):
    """A store with that dataset and a network that has hardly learned anything."""
    found = FewRounds(tmp_path_factory.mktemp("evaluated") / "store")
    words = [
        "--table",
        tabled / "table.csv",
        "--label-column",
        "dx",
        "--group-column",
        "patient",
        "--size",
        SMALL_SIDE,
        "--split",
        "40:30:30",
    ]
    found.json("preprocess", tabled, *words, "--name", "people")
    found.json("finetune", "people", "--backbone", "cnn-small", "--epochs", 5, "--name", "weak")
    found.json(
        "finetune", "people", "--backbone", "cnn-small", "--epochs", 1, "--output", "sigmoid", "--name", "weaker"
    )
    return found


@pytest.fixture(scope="session")
def several(tmp_path_factory):
    """A store with a dataset of three findings, and two networks of four: one tells them well, one less well."""
    folder = write_source(tmp_path_factory.mktemp("findings"))
    found = FewRounds(folder / "store")
    found.json("preprocess", *words_of_source(folder), "--name", "chest")
    for name, noise in (("good", 1.5), ("worse", 3.5)):
        path = save_network(folder / f"{name}.keras", noise)
        more = ("--classes", ",".join(ORDER), "--scaling", "0..1", "--multi-label", "--name", name)
        found.json("import-model", path, *more)
    return found
