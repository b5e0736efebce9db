"""The same bits of PyTorch's answers after kills and in shards."""

import importlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support import Facelime, predictions, write_faces

pytest.importorskip("torch", reason="needs the extra `torch`")
pytestmark = pytest.mark.long

BUILD = """
import torch
from torch import nn

def build():
    torch.manual_seed(5)
    layers = [nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 2))
    net[-1].weight.data *= 9
    return net
"""
PREDICT = ("predict", "masks", "--model", "built", "--batch-size", "16", "--name", "answers")
KILLS = 3


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A store with predictions of 40 pictures (two units) that nothing has stopped."""
    folder = tmp_path_factory.mktemp("bits")
    (folder / "bits_builder.py").write_text(BUILD)
    here = os.getcwd()  # noqa: PTH109 - to go back to it
    os.chdir(folder)
    try:
        importlib.invalidate_caches()
        run = Facelime(folder / "store")
        run.json("preprocess", write_faces(folder / "faces", 40), "--size", 48, "--name", "forty")
        run.json("segment", "forty", "--method", "slic", "--segments", 14, "--name", "parts")
        run.json("perturb", "parts", "--samples", 60, "--name", "masks")
        words = ["import-model", "bits_builder:build", "--classes", "no,yes", "--scaling", "-1..1", "--size", 48]
        run.json(*words, "--activation", "softmax", "--name", "built")
        before = shutil.copytree(run.store, folder / "before")
        run.json(*PREDICT)
        yield predictions(run, "answers").read("probabilities"), before
    finally:
        os.chdir(here)


def process(store):
    return subprocess.Popen(
        [sys.executable, "-m", "facelime_cli", *PREDICT, "--store", str(store)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def written(store):
    # Folders may go while they are listed, which `glob` does not bear.
    walked = os.walk(store / "predictions")
    return {
        Path(folder, name) for folder, _, names in walked if Path(folder) != store / "predictions" for name in names
    }


def test_a_killed_run_ends_with_the_same_bits(straight, tmp_path):
    wanted, before = straight
    store = shutil.copytree(before, tmp_path / "killed")
    killed = 0
    for _ in range(KILLS):
        known, running = written(store), process(store)
        laid_out = len(known) > 0
        while running.poll() is None and len(written(store) - known) < (2 if laid_out else 8):
            time.sleep(0.02)
        killed += running.poll() is None
        running.kill()
        running.wait()
    assert killed > 0, "it was done before it could be killed"
    run = Facelime(store)
    run.json(*PREDICT)
    assert np.array_equal(predictions(run, "answers").read("probabilities"), wanted, equal_nan=True)
    assert np.ptp(wanted[~np.isnan(wanted)]) > 0.01


def test_shards_make_the_same_bits(straight, tmp_path):
    wanted, before = straight
    run = Facelime(shutil.copytree(before, tmp_path / "shards"))
    assert not run.json(*PREDICT, "--shard", "2/2")["complete"]
    assert run.json(*PREDICT, "--shard", "1/2")["complete"]
    assert np.array_equal(predictions(run, "answers").read("probabilities"), wanted, equal_nan=True)


def test_a_forecast_says_how_long_it_takes_and_writes_nothing(straight, tmp_path):
    _, before = straight
    run = Facelime(shutil.copytree(before, tmp_path / "forecast"))
    found = run.json(*PREDICT, "--dry-run")
    assert found["evaluations"] > 0
    assert found["evaluations_per_second"] > 0
    assert written(run.store) == set()
