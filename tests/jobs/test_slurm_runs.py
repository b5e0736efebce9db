"""The written scripts on a real Slurm of one node: tasks are cancelled, requeued and run into their time limit."""

import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facelime_cli.errors import NotFoundError
from facelime_cli.jobs import slurm
from facelime_cli.store.references import Store
from tests.jobs import one_node
from tests.support import Facelime, write_faces

PICTURES, UNIT, SHARDS = 200, 25, 8
HANGS = 5
"""The shard whose first task does nothing and hears nothing, as on a node that hangs."""
PATIENCE = 1800
WORDS = ("--dataset", "pictures", "--model", "small", "--method", "slic", "--segments", "9", "--samples", "1000")
CHECKS = ("--sets", "19")


@pytest.fixture(scope="module")
def node():
    """The environment of a real Slurm of one node, in which `facelime` is on the path."""
    with one_node.running() as (place, environment):
        program = place / "bin" / "facelime"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m facelime_cli "$@"\n')
        program.chmod(0o755)
        root = str(Path(__file__).parents[2])
        yield {**environment, "PATH": f"{program.parent}:{environment['PATH']}", "PYTHONPATH": root}


class Cluster:
    """What a person does on a login node."""

    def __init__(self, environment, folder: Path):
        self.environment, self.folder = environment, folder
        self.pipeline, self.jobs = slurm.read(folder)

    def call(self, *words) -> str:
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def go(self) -> list[str]:
        return self.call("bash", str(self.folder / "go.sh")).splitlines()

    def tasks(self, name: str = "") -> dict[str, str]:
        """Return state and number of the tasks in the queue whose job's name has a word, by their id."""
        lines = self.call("squeue", "--noheader", "--array", "--format=%i %T %K %j").splitlines()
        found = {}
        for line in lines:
            number, state, index, job = line.split()
            if name in job and not job.endswith(".begin+0"):
                found[number] = (state, index)
        return found

    def wait(self, condition):
        until = time.monotonic() + PATIENCE
        while True:
            found = condition()
            if found:
                return found
            assert time.monotonic() < until, (self.tasks(), self.logs())
            time.sleep(0.3)

    def wait_until_empty(self):
        self.wait(lambda: not self.tasks() and not self.call("squeue", "--noheader"))

    def logs(self) -> str:
        return "\n".join(f"{each.name}: {each.read_text()[-600:]}" for each in sorted(self.folder.glob("logs/*")))

    def at_work(self, besides) -> tuple[str, str] | None:
        """Return id and shard of a task of the predictions in which facelime has begun, and is not done."""
        store = Store(Path(self.pipeline.store))
        try:
            artifact = store.resolve(self.pipeline.step("predict-small").output)
        except NotFoundError:
            return None
        for number, (state, index) in self.tasks(".predict-small.").items():
            begun = artifact.file(f"logs/{index}of{SHARDS}.jsonl").exists()
            if state == "RUNNING" and begun and int(index) not in besides and index not in besides:
                return number, index
        return None

    def made(self) -> dict[str, str]:
        """Return the digest of what each step has made; a report holds the time."""
        store = Store(Path(self.pipeline.store))
        return {
            each.name: store.resolve(each.output).require_complete().content
            for each in self.pipeline.steps
            if each.stage != "render"
        }


@pytest.fixture(scope="module")
def cluster(node, tmp_path_factory):
    place = tmp_path_factory.mktemp("cluster")
    run = Facelime(place / "store")
    run.json("preprocess", write_faces(place / "faces", PICTURES), "--name", "pictures", "--size", 32)
    run.json("finetune", "pictures", "--backbone", "cnn-small", "--epochs", 1, "--name", "small")
    shutil.copytree(run.store, place / "alone")
    hangs = (
        f"[[ ${{SLURM_JOB_NAME:-}} != *.predict-small.{SHARDS}+* || $SLURM_ARRAY_TASK_ID != {HANGS} || -e hung ]] || "
        "{ touch hung; trap '' TERM; while :; do sleep 1; done; }"
    )
    options = ("--shards", SHARDS, "--unit", UNIT, "--cpus", 1, "--setup", hangs, "--time", "0:30:00")
    answer = run.json("jobs", "slurm", *WORDS, *CHECKS, *options, "--to", place / "jobs")
    assert {each["name"]: each["shards"] for each in answer["steps"]}["predict-small"] == SHARDS
    return Cluster(node, place / "jobs"), Facelime(place / "alone")


@pytest.mark.long
def test_only_what_is_missing_runs_again_and_the_result_is_that_of_one_process(cluster):
    here, alone = cluster
    said = here.go()
    assert len(said) == len(here.jobs)
    # Nothing is sent twice while it is in the queue.
    before = set(here.tasks())
    assert all(line.endswith((": in the queue", ": done")) for line in here.go()), said
    assert set(here.tasks()) <= before
    cancelled, first = here.wait(lambda: here.at_work({HANGS}))
    here.call("scancel", cancelled)
    requeued, second = here.wait(lambda: here.at_work({HANGS, first}))
    here.call("scontrol", "requeue", requeued)
    hanging = here.wait(
        lambda: [n for n, (state, i) in here.tasks(".predict-small.").items() if i == str(HANGS) and state == "RUNNING"]
    )
    here.call("scontrol", "update", f"JobId={hanging[0]}", "TimeLimit=1")
    here.wait_until_empty()
    # What waited for them was cancelled by Slurm, and the requeued task went on by itself.
    lost = sorted([int(first), HANGS])
    store = Store(Path(here.pipeline.store))
    assert store.resolve(here.pipeline.step("predict-small").output).missing_shards(SHARDS) == lost, here.logs()
    status = json.loads(here.call("facelime", "jobs", "status", str(here.folder), "--json"))
    by_step = {each["step"]: each for each in status["steps"]}
    assert status["queue"] is True
    assert by_step["predict-small"]["failed"] == [int(first)]
    assert by_step["predict-small"]["units_done"] >= SHARDS - len(lost)
    assert by_step["fit-surrogate-small"]["units"] is None
    assert int(second) not in lost
    said = here.go()
    words = [line.split(", job")[0] for line in said if line.startswith("predict-small")]
    numbers = f"{lost[0]}-{lost[1]}" if lost[1] == lost[0] + 1 else f"{lost[0]},{lost[1]}"
    assert words == [f"predict-small: shards {numbers} of {SHARDS}"]
    here.wait_until_empty()
    assert here.go() == [f"{each.name}: done" for each in here.jobs], here.logs()
    assert here.tasks() == {}
    for step in here.pipeline.steps:
        alone.json(*step.words)
    inside = Cluster(here.environment, here.folder).made()
    store = Store(alone.store)
    assert inside == {name: store.resolve(here.pipeline.step(name).output).content for name in inside}
