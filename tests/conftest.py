"""Shared by all tests: a small finished store, the command line in this process, and the real one in another."""

import csv
import gc
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from facelime_cli.cli import app
from facelime_cli.core.faces import draw
from facelime_cli.models import running
from facelime_cli.stages import predict
from facelime_cli.store.artifacts import Artifact
from facelime_cli.store.references import Store

SIZE = 48
FACES = 60
SMALL_SIDE = 24


@contextmanager
def breaking(monkeypatch, calls, error):
    """Let every network break down after some calls, each of which is committed."""
    compiled, left = running.compiled, iter(range(calls))

    def broken(net):
        call = compiled(net)

        def run_or_break(*arrays):
            if next(left, None) is None:
                raise error
            return call(*arrays)

        return run_or_break

    with monkeypatch.context() as patch:
        patch.setattr(running, "compiled", broken)
        patch.setattr(predict, "COMMIT_SECONDS", 0.0)
        yield
    error.__traceback__ = None
    gc.collect()  # the claim ends with its process, or with the traceback that holds it


@dataclass
class Facelime:
    """Runs commands on one store, in this process."""

    store: Path

    def __call__(self, *words, stdin=None):
        return CliRunner().invoke(app, [*map(str, words), "--store", str(self.store)], input=stdin)

    def json(self, *words, stdin=None):
        result = self(*words, "--json", stdin=stdin)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def artifact(self, *words, stdin=None) -> Artifact:
        answer = self.json(*words, stdin=stdin)
        return Store(self.store).stored(answer["kind"], answer["artifact"])

    def fails(self, *words, code=1, stdin=None):
        """Run a command that must fail in one sentence: nothing on stdout, no traceback."""
        result = self(*words, stdin=stdin)
        assert result.exit_code == code, (result.stdout, result.stderr)
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, result.stderr
        assert "unexpected" not in errors[0]
        return errors[0]


def write_faces(folder: Path, count: int = FACES, size: int = SIZE, truth: Path | None = None) -> Path:
    for number in range(count):
        label = ("normal", "rosacea")[number % 2]
        face = draw(0, number, size, flushed=label == "rosacea")
        for place, array in ((folder, face.image), (truth, face.truth * 255)):
            if place is not None:
                (place / label).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(place / label / f"face-{number:03d}.png")
    return folder


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """A folder of drawn faces, one sub-folder per class."""
    return write_faces(tmp_path_factory.mktemp("faces"))


@pytest.fixture
def facelime(tmp_path):
    """The command line on an empty store."""
    return Facelime(tmp_path / "store")


@dataclass
class Chain:
    """One artifact of each stage, by the stage's name, in one store."""

    facelime: Facelime
    artifacts: dict[str, Artifact]

    def __getitem__(self, stage):
        return self.artifacts[stage]

    def reference(self, stage):
        return f"{self.artifacts[stage].kind}/{self.artifacts[stage].id}"


@pytest.fixture(scope="session")
def chain(tmp_path_factory, faces):
    """Every stage run once on drawn faces; read it, do not change it."""
    run = Facelime(tmp_path_factory.mktemp("chain") / "store")
    made = {}
    made["preprocess"] = run.artifact("preprocess", faces, "--name", "faces", "--size", SIZE)
    made["finetune"] = run.artifact("finetune", "faces", "--backbone", "cnn-small", "--epochs", 2, "--name", "small")
    made["evaluate"] = run.artifact("evaluate", "small")
    made["describe"] = run.artifact("describe", "faces")
    made["segment"] = run.artifact(
        "segment", "faces", "--split", "test", "--first", 3, "--method", "slic", "--segments", 12
    )
    made["perturb"] = run.artifact("perturb", made["segment"].id, "--samples", 90)
    made["predict"] = run.artifact("predict", made["perturb"].id, "--model", "small", "--batch-size", 16)
    made["fit-surrogate"] = run.artifact("fit-surrogate", made["predict"].id)
    made["render"] = run.artifact("render", made["fit-surrogate"].id)
    made["gradcam"] = run.artifact("gradcam", made["segment"].id, "--model", "small")
    made["occlusion"] = run.artifact("occlusion", made["perturb"].id, "--model", "small")
    made["contrast"] = run.artifact("contrast", made["fit-surrogate"].id, "--class", "rosacea", "--versus", "normal")
    other = run.artifact("fit-surrogate", made["predict"].id, "--surrogate", "linear")
    made["compare"] = run.artifact("compare", made["fit-surrogate"].id, other.id)
    return Chain(run, made)


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
    found = Facelime(tmp_path_factory.mktemp("evaluated") / "store")
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
