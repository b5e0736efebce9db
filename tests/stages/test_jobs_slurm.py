"""`jobs slurm`, `jobs status` and `jobs local` on a real store: what they write, refuse and show."""

import os
import shutil

import pytest

from facelime_cli.jobs.standing import tasks_in
from tests.support import Facelime

WORDS = ("--dataset", "faces", "--model", "small", "--method", "slic", "--segments", 12, "--split", "test", "--seed", 8)
SLURM = ("jobs", "slurm", *WORDS, "--samples", 20, "--unit", 2)


@pytest.fixture
def run(chain, tmp_path):
    shutil.copytree(chain.facelime.store, tmp_path / "store")
    return Facelime(tmp_path / "store")


def files_of(folder):
    return {each.name: (each.read_text(), each.stat().st_mtime_ns) for each in folder.iterdir()}


def squeue(monkeypatch, place, text):
    """Put a `squeue` that answers with a text in front of the path."""
    place.mkdir(exist_ok=True)
    (place / "squeue").write_text(f"#!/bin/sh\ncat <<'E'\n{text}\nE\n")
    (place / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")


def test_the_same_options_write_the_same_files_and_leave_the_store_alone(run, tmp_path):
    before = {each for each in run.store.rglob("*") if ".ids" not in each.parts}
    answer = run.json(*SLURM, "--shards", 3, "--to", tmp_path / "jobs")
    made = files_of(tmp_path / "jobs")
    assert sorted(made) == answer["files"]
    assert run.json(*SLURM, "--shards", 3, "--to", tmp_path / "jobs") == answer
    assert files_of(tmp_path / "jobs") == made
    assert os.access(tmp_path / "jobs" / "go.sh", os.X_OK)
    assert {each for each in run.store.rglob("*") if ".ids" not in each.parts} == before
    # What is there already is replaced only with --force.
    said = run.fails(*SLURM, "--shards", 2, "--to", tmp_path / "jobs")
    assert "--force" in said
    assert files_of(tmp_path / "jobs") == made
    run.json(*SLURM, "--shards", 2, "--force", "--to", tmp_path / "jobs")
    assert files_of(tmp_path / "jobs") != made


def test_a_forecast_writes_nothing_and_a_wall_time_chooses_the_shards(run, tmp_path):
    answer = run.json(*SLURM, "--forecast", "--rate", 100, "--shards", 2, "--to", tmp_path / "jobs")
    assert answer["gpu_hours"] > 0
    assert not (tmp_path / "jobs").exists()
    slow = run.json(*SLURM, "--within", "5:00:00", "--rate", 100, "--to", tmp_path / "slow")
    assert {each["shards"] for each in slow["steps"]} == {1}


def test_too_many_shards_are_warned_about(run, tmp_path):
    answer = run.json(*SLURM, "--shards", 64, "--rate", 1000, "--to", tmp_path / "jobs")
    assert any("no step has more than" in each for each in answer["doubts"])
    assert any(each.startswith("predict: ") and "is its start" in each for each in answer["doubts"])


def test_a_cluster_that_is_not_there_is_one_sentence(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (tmp_path / "empty").mkdir()
    said = run.fails(*SLURM, "--submit", "--setup", f"PATH={tmp_path / 'empty'}", "--to", tmp_path / "jobs")
    assert "could not submit everything" in said
    assert "is not on the PATH" in said
    assert (tmp_path / "jobs" / "go.sh").exists()


def test_status_tells_what_is_done_runs_waits_and_has_failed(run, tmp_path, monkeypatch):
    answer = run.json(*SLURM, "--shards", 3, "--to", tmp_path / "jobs")
    segment, perturb, predict = (each["name"] for each in answer["steps"][:3])
    names = {each["name"]: each["makes"].partition("/")[2] for each in answer["steps"]}
    run.json("segment", "faces", *WORDS[4:-2], "--name", names[segment], "--unit", 2)
    run.json(
        "perturb", f"segments/{names[segment]}", "--seed", 8, "--samples", 20, "--name", names[perturb], "--unit", 2
    )
    words = ("predict", f"masks/{names[perturb]}", "--model", "small", "--name", names[predict], "--unit", 2)
    run.json(*words, "--shard", "2/3")
    # A task that was begun and ended: its log is there.
    log = run.store / "predictions"
    artifact = next(each for each in log.iterdir() if (each / "logs" / "2of3.jsonl").exists())
    (artifact / "logs" / "3of3.jsonl").write_text("")
    squeue(monkeypatch, tmp_path / "bin", f"{answer['run']}.{predict}.3+0 1 RUNNING None")
    found = run.json("jobs", "status", tmp_path / "jobs")
    by_step = {each["step"]: each for each in found["steps"]}
    assert found["queue"] is True
    assert by_step[segment]["complete"]
    assert by_step[predict]["units_done"] > 0
    assert (by_step[predict]["running"], by_step[predict]["waiting"], by_step[predict]["failed"]) == (1, 0, [3])
    assert by_step[answer["steps"][3]["name"]]["units"] is None
    shown = run("jobs", "status", tmp_path / "jobs")
    assert "2 of 6 steps complete" in shown.stdout
    assert "go.sh sends again" in shown.stdout


def test_status_without_a_queue_says_so(run, tmp_path, monkeypatch):
    run.json(*SLURM, "--to", tmp_path / "jobs")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = run.json("jobs", "status", tmp_path / "jobs")
    assert found["queue"] is False
    assert {each["running"] for each in found["steps"]} == {None}
    assert "not known" in run("jobs", "status", tmp_path / "jobs").stderr


def test_lines_of_squeue_that_are_not_of_a_run_are_passed_over():
    lines = [
        "",
        "x",
        "a+b 1 RUNNING None",
        "run.p.9+4 3 PENDING Resources",
        "run.p.9+4 2 PENDING DependencyNeverSatisfied",
    ]
    assert tasks_in(lines) == {"run.p.9": {7: "PENDING"}}


def test_one_machine_gets_a_script(run, tmp_path):
    answer = run.json("jobs", "local", *WORDS, "--samples", 20, "--unit", 2, "--devices", 2, "--to", tmp_path / "local")
    text = (tmp_path / "local" / "local.sh").read_text()
    assert answer["script"] == str(tmp_path / "local" / "local.sh")
    assert "xargs -P 2" in text
    assert text.count("--process-slot-var=CUDA_VISIBLE_DEVICES") == 2
