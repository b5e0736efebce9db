"""What must not be imported: nothing heavy by any --help, no TensorFlow by the stages that need none."""

import os
import subprocess
import sys

import pytest

from facelime_cli.stages import INDEX
from tests.support import joined

HEAVY = {"numpy", "zarr", "tensorflow", "keras", "skimage", "sklearn", "h5py", "matplotlib", "PIL", "scipy"}
NETWORKS = {"tensorflow", "keras", "jax", "torch"}


def imported(words, store=None):
    """Return the packages that a command imports, and the finished process."""
    environment = {"FACELIME_STORE": str(store)} if store else {}
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.split("|")[-1].strip().split(".")[0] for line in lines}, done


@pytest.mark.parametrize("command", [None, *(each.name for each in INDEX)])
def test_help_imports_nothing_heavy(command):
    words = [sys.executable, "-X", "importtime", "-m", "facelime_cli", *([command] if command else []), "--help"]
    packages, done = imported(words)
    assert done.returncode == 0
    assert packages & HEAVY == set()
    assert "typer" in packages


def test_the_test_above_can_fail():
    packages, _ = imported([sys.executable, "-X", "importtime", "-c", "import facelime_cli.cli, numpy, zarr"])
    assert packages & HEAVY >= {"numpy", "zarr"}


def commands_without_network(chain, faces, tmp_path):
    segments, predictions = chain["segment"].id, chain["predict"].id
    return {
        "preprocess": ["preprocess", faces / "normal", "--size", "20", "--workers", "1"],
        "describe": ["describe", "faces", "--sheet", "1"],
        "segment": ["segment", "faces", "--first", "1", "--method", "slic", "--segments", "7"],
        "perturb": ["perturb", segments, "--samples", "6", "--seed", "11"],
        "fit-surrogate": ["fit-surrogate", predictions, "--kernel-width", "0.4"],
        "render": ["render", chain["fit-surrogate"].id, "--top", "2", "--figures", "png", "--by-zone", "face"],
        "predict, when it is found": ["predict", chain["perturb"].id, "--model", "small"],
        "finetune, when it is found": ["finetune", "faces", "--backbone", "cnn-small", "--epochs", "2"],
        "status": ["status"],
        "show": ["show", predictions],
        "show --png": ["show", chain.reference("fit-surrogate"), "--png", tmp_path / "look.png"],
        "show --format": ["show", chain.reference("gradcam"), "--format", "text"],
        "contrast": ["contrast", chain["fit-surrogate"].id, "--class", "normal", "--versus", "rosacea"],
        "compare": ["compare", chain["fit-surrogate"].id, chain["gradcam"].id, "--top", "2"],
        "consensus": ["consensus", *joined(chain), "--stable-top", "2"],
        "check, when it is found": ["check", chain.reference("fit-surrogate")],
        "render, of a check": ["render", chain.reference("check"), "--top", "3"],
        "verify": ["verify", predictions],
        "export": ["export", predictions, "--to", tmp_path / "out.h5"],
    }


NAMES = [
    "preprocess",
    "describe",
    "segment",
    "perturb",
    "fit-surrogate",
    "render",
    "predict, when it is found",
    "finetune, when it is found",
    "status",
    "show",
    "verify",
    "export",
]
NAMES += ["show --png", "show --format", "contrast", "compare", "consensus"]
NAMES += ["check, when it is found", "render, of a check"]


@pytest.mark.parametrize("name", NAMES)
def test_these_run_without_tensorflow(name, chain, faces, tmp_path):
    words = commands_without_network(chain, faces, tmp_path)[name]
    packages, done = imported(
        [sys.executable, "-X", "importtime", "-m", "facelime_cli", *map(str, words), "--debug"], chain.facelime.store
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert packages & NETWORKS == set()
    assert "facelime_cli" in packages


def test_the_test_above_can_fail_too(chain):
    words = [
        "predict",
        chain.facelime.artifact("perturb", chain["segment"].id, "--samples", 3, "--seed", 4).id,
        "--model",
        "small",
    ]
    packages, done = imported(
        [sys.executable, "-X", "importtime", "-m", "facelime_cli", *words, "--debug"], chain.facelime.store
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert packages & NETWORKS >= {"tensorflow", "keras"}
