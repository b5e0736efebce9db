"""What `explain` does at the same time: masks beside predictions, the model beside segments, fills before the check."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from facelime_cli import engine
from facelime_cli.console import Console
from facelime_cli.predicting.checked import Asked, Checked, make_beforehand
from facelime_cli.stages import explain
from facelime_cli.store.explanations import views_of
from facelime_cli.store.references import Store
from facelime_cli.workers import Workers
from tests.support import Facelime, write_faces

SIZE = 48
WAITING = """
import os, time
from pathlib import Path
import numpy as np

def classify(pictures):
    wanted = int(os.environ.get("MASKS_WANTED", "0"))
    until = time.monotonic() + 60
    while wanted and len(list(Path(os.environ["STORE"]).glob("masks/*/manifest.json"))) < wanted:
        if time.monotonic() > until:
            raise RuntimeError("no further masks were made while the model was asked")
        time.sleep(0.02)
    red = pictures[..., 0].mean(axis=(1, 2))
    return np.stack([1 - red, red], axis=1)
"""
VIEWS = ["--method", "grid", "--segments", 9, "--samples", 101, "--no-check", "--workers", 1]


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    """A store with four faces and with a model that can wait for masks, whose module lies in a folder of its own."""
    folder = tmp_path_factory.mktemp("waiting")
    (folder / "waits_for_masks.py").write_text(WAITING)
    before = Path.cwd()
    os.chdir(folder)
    run = Facelime(folder / "store")
    run.json("preprocess", write_faces(folder / "faces", 4), "--size", SIZE, "--name", "data")
    run.json("import-model", "waits_for_masks:classify", "--size", SIZE, "--classes", "normal,rosacea", "--name", "net")
    yield run
    os.chdir(before)


def test_masks_of_the_next_view_are_made_while_the_model_computes(waiting, monkeypatch):
    """The model answers the first view only when the masks of the second are there: else it would wait for ever."""
    monkeypatch.setenv("STORE", str(waiting.store))
    monkeypatch.setenv("MASKS_WANTED", "2")
    begun, later = [], explain._import_later

    def importing():
        begun.append(None)
        later()

    monkeypatch.setattr(explain, "_import_later", importing)
    report = waiting.artifact("explain", "data", "--model", "net", *VIEWS)
    views = report.input("surrogates").facts["views"]
    assert len(views) == 2
    # Of all views, the first imports what comes after.
    assert len(begun) == 1


@pytest.mark.long
def test_a_stop_while_stages_run_beside_is_resumed(waiting, tmp_path):
    """The model waits for ever when the signal comes; what runs beside it is kept as far as it is."""
    store = tmp_path / "store"
    shutil.copytree(waiting.store, store)
    shutil.rmtree(store / "masks", ignore_errors=True)
    shutil.rmtree(store / "predictions", ignore_errors=True)
    words = [sys.executable, "-m", "facelime_cli", "explain", "data", "--model", "net", *map(str, VIEWS)]
    environment = {**os.environ, "STORE": str(store), "FACELIME_STORE": str(store), "MASKS_WANTED": "99"}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 120
        while len(list(store.glob("masks/*/manifest.json"))) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        stopped = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert out == ""
    assert time.monotonic() - stopped < 10
    environment["MASKS_WANTED"] = "0"
    again = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    whole = waiting.artifact("explain", "data", "--model", "net", *VIEWS)
    assert Store(store).resolve(again.stdout.strip()).content == whole.content


def test_the_stages_alone_make_the_same_to_the_bit(waiting, tmp_path):
    """Removed and made again one after the other, every artifact of an explanation has the same content."""
    explained = waiting.artifact("explain", "data", "--model", "net", *VIEWS)
    apart = Facelime(tmp_path / "store")
    shutil.copytree(waiting.store, apart.store)
    views = views_of(Store(apart.store).resolve(explained.input("surrogates").reference))
    made = [each for view in views for each in (view.input("masks"), view.input("predictions"), view)]
    assert len(made) == 6
    for each in made:
        content, stage = each.content, engine.stage_called(each.stage)
        shutil.rmtree(each.path)
        result = engine.execute(stage, stage.params_of(each), engine.Context(each.store, Console(quiet=True)))
        assert (result.reused, result.artifact.id, result.artifact.content) == (False, each.id, content)


def test_the_model_is_loaded_beside_the_segments(chain, tmp_path, monkeypatch):
    """The note that it is loaded comes before the last picture is segmented, and it comes once."""
    monkeypatch.setattr("facelime_cli.console.PLAIN_SECONDS", 0.02)
    run = chain.copy(tmp_path / "store")
    words = ["--method", "slic", "--segments", 13, "--samples", 20, "--views", "single", "--no-check", "--workers", 1]
    result = run("explain", "faces", "--model", "small", "--split", "test", *words)
    assert result.exit_code == 0, result.stderr
    lines = result.stderr.splitlines()
    loading = [place for place, line in enumerate(lines) if line.startswith("loading models/")]
    segmented = [place for place, line in enumerate(lines) if line.startswith("segment: ")]
    assert len(loading) == 1
    assert loading[0] < segmented[-1]


def test_nothing_is_loaded_where_everything_is_there(chain, tmp_path):
    run = chain.copy(tmp_path / "store")
    words = ["explain", "faces", "--model", "small", "--split", "test", "--first", 2, "--method", "grid"]
    words += ["--segments", 4, "--samples", 20, "--views", "single", "--no-check"]
    run.json(*words)
    again = run(*words, "--top", 2)
    assert again.exit_code == 0
    assert "loading" not in again.stderr


def test_a_check_takes_the_fills_that_were_made_beforehand(chain):
    surrogates = chain["fit-surrogate"]
    segments = surrogates.input("segments")
    context = engine.Context(Store(chain.facelime.store), Console(quiet=True))
    asked = Asked(classes=lambda _: [], numbers=(1,), sets=19, seed=0, versus=None)
    rows = slice(0, 2)
    itself = Checked(surrogates, asked, context.console, workers=Workers(1)).fills(rows)
    make_beforehand(context, segments, set(), 1)
    assert list(context.fills) == [(segments.content, "inpaint")]
    assert np.array_equal(Checked(surrogates, asked, context.console, context.fills).fills(rows), itself)
    # That they are taken at all is seen by others than it would make.
    context.fills[segments.content, "inpaint"] = np.full_like(context.fills[segments.content, "inpaint"], 7)
    taken = Checked(surrogates, asked, context.console, context.fills).fills(rows)
    assert (taken == 7).all(axis=(0, 2, 3, 4)).sum() == 1


def test_fills_of_the_explanation_are_not_made_twice(chain):
    context = engine.Context(Store(chain.facelime.store), Console(quiet=True))
    make_beforehand(context, chain["segment"], {"inpaint"}, 1)
    assert context.fills == {}
