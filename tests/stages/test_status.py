"""Status: how far every artifact of a store is."""

import os
import subprocess
import time

import pytest

from facelime_cli.stages import status
from facelime_cli.store.references import Store


def test_status_tells_how_far(chain):
    shown = chain.facelime.json("status")["artifacts"]
    assert {each["kind"] for each in shown} >= {
        "datasets",
        "models",
        "segments",
        "masks",
        "predictions",
        "surrogates",
        "reports",
    }
    one = next(each for each in shown if each["artifact"] == chain["predict"].id)
    assert (one["complete"], one["state"]) == (True, "complete")
    assert one["bytes"] > 1000
    assert chain["predict"].id in chain.facelime("status").stdout


def test_status_of_an_empty_store(facelime):
    assert "nothing in" in facelime("status").stdout
    assert facelime.json("status")["artifacts"] == []


def test_watching_ends_where_nobody_works(chain):
    watched, listed = chain.facelime("status", "--watch"), chain.facelime("status")
    assert (watched.exit_code, watched.stdout, watched.stderr) == (0, listed.stdout, "")


def test_watching_shows_how_far_each_artifact_is(many, monkeypatch):
    """Somebody works on masks of two units: the first is done at the second look, the other at the third."""
    monkeypatch.setattr(status, "LOOK_SECONDS", 0.01)
    words = ["perturb", "parts", "--samples", 11, "--name", "watched"]
    assert many(*words, "--shard", "1/2").exit_code == 0
    (artifact,) = [each for each in Store(many.store).artifacts(["masks"]) if "watched" in each.names]
    looks = iter(["works", "works", "works", "works", ""])

    def busy(path):
        said = next(looks) if path == artifact.path else ""
        if path == artifact.path and said and next(counted) == 2:
            assert many(*words, "--shard", "2/2").exit_code == 0
        return said

    counted = iter(range(9))
    monkeypatch.setattr(status, "why_busy", busy)
    said = many("status", "--watch")
    assert said.exit_code == 0, said.stderr
    lines = [line for line in said.stderr.splitlines() if line.startswith(f"masks/{artifact.id}: ")]
    assert lines[0] == f"masks/{artifact.id}: 1 of 2 units (50 %), 0 in work"
    assert lines[-1] == f"masks/{artifact.id}: complete"


@pytest.mark.long
def test_watching_a_real_process(many, command):
    """A process that works is seen, with its claim, until it has ended."""
    words = ["predict", many.artifact("perturb", "parts", "--samples", 60, "--name", "looked-at").id]
    environment = {**os.environ, "FACELIME_STORE": str(many.store)}
    process = subprocess.Popen([*command, *words, "--model", "small", "--quiet"], env=environment)
    try:
        until = time.monotonic() + 120
        while not list((many.store / "predictions").glob("looked-at*/claims/.at-work*")) and time.monotonic() < until:
            time.sleep(0.05)
        watching = subprocess.run(
            [*command, "status", "--watch"], env=environment, capture_output=True, text=True, check=True, timeout=300
        )
    finally:
        process.wait(300)
    assert "predictions/looked-at-small-" in watching.stderr
    assert " of 2 units" in watching.stderr
    assert watching.stderr.splitlines()[-1].endswith(": complete")
