"""`go.sh` on a real Slurm whose arrays are short. A program stands for facelime, and fails when told."""

import os
import shlex
import subprocess
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.jobs import one_node
from tests.jobs.test_slurm import ASKED, BASH, CHAIN, SHARDS, written

pytestmark = pytest.mark.long

PATIENCE = 600
LONGEST_ARRAY = "MaxArraySize=4\n"
"""The largest number of a task is 3."""
BEFORE = {later.stage: step.stage for step, later in pairwise(CHAIN)}
PROGRAM = """#!/bin/bash
# STAGE.done.I: shard I is done. STAGE.n: how many there are, once it is laid out. STAGE.fails.I: it fails, once.
# STAGE.waits.I: it runs until that file is gone.
cd STATE || exit 9
stage=$1 shard=1 shards=1 mode=run
while [ $# -gt 0 ]; do
    case $1 in
    --missing) mode=missing shards=$2 ;;
    --shard) shard=${2%/*} shards=${2#*/} ;;
    --lay-out) mode=lay-out ;;
    esac
    shift
done
done_of() { find . -name "$1.done.*" | wc -l; }
before=$(awk -v stage="$stage" '$1 == stage { print $2 }' before)
if [ -n "$before" ] && [ "$(done_of "$before")" != "$(cat "$before.n" 2>/dev/null)" ]; then
    echo "error: $before is not complete" >&2
    exit 1
fi
case $mode in
missing)
    for each in $(seq "$shards"); do [ -e "$stage.done.$each" ] || echo "$each"; done | paste -sd,
    ;;
lay-out)
    [ -e "$stage.n" ] || echo ALL > "$stage.n"
    ;;
run)
    [ -e "$stage.n" ] || { [ "$shards" -eq 1 ] && echo 1 > "$stage.n"; } || exit 3
    echo run >> "$stage.runs.$shard"
    if [ -e "$stage.fails.$shard" ]; then rm "$stage.fails.$shard"; exit 75; fi
    while [ -e "$stage.waits.$shard" ]; do sleep 0.2; done
    touch "$stage.done.$shard"
    ;;
esac
"""


class Runs:
    """A folder of job scripts, what its program does, and the queue."""

    def __init__(self, place: Path, environment):
        self.state, self.folder = place / "state", place / "jobs"
        program = place / "bin" / "facelime"
        for each in (self.state, program.parent):
            each.mkdir()
        program.write_text(PROGRAM.replace("STATE", shlex.quote(str(self.state))).replace("ALL", str(SHARDS)))
        program.chmod(0o755)
        (self.state / "before").write_text("".join(f"{stage} {each}\n" for stage, each in BEFORE.items()))
        self.environment = {**environment, "PATH": f"{program.parent}{os.pathsep}{environment['PATH']}"}
        written(self.folder, asked=replace(ASKED, cpus=1, partition=None, cpu_partition=None, gres=None, memory=None))

    def tell(self, *names):
        for name in names:
            (self.state / name).touch()

    def call(self, *words):
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout.splitlines()

    def go(self):
        """Return what `go.sh` says of each job, without the numbers that Slurm gives."""
        said = (line.partition(": ") for line in self.call(BASH, str(self.folder / "go.sh")))
        return [what.partition(", job")[0] if "shards" in what else what.split()[0] for _, _, what in said]

    def queue(self):
        return self.call("squeue", "--noheader", "--array", "--format=%j %T")

    def wait(self, condition):
        until = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < until, self.queue()
            time.sleep(0.3)

    def runs(self, stage):
        """Return how often each shard of a stage has begun."""
        files = self.state.glob(f"{stage}.runs.*")
        return {int(each.suffix[1:]): len(each.read_text().splitlines()) for each in files}


@pytest.fixture
def runs(tmp_path):
    with one_node.running(more=LONGEST_ARRAY) as (_, environment):
        yield Runs(tmp_path, environment)


def test_a_failed_task_is_sent_again_while_others_of_its_parts_run(runs):
    runs.tell("predict.fails.3", "predict.fails.10", "predict.waits.5")
    assert runs.go() == ["job", f"shards 1-{SHARDS} of {SHARDS}", "job"]
    runs.wait(lambda: runs.queue() == [f"r-1a2b3c.predict-n.{SHARDS}+3 RUNNING"])
    # Two have failed, and Slurm has cancelled what waited for them. One still runs: it is waited for, not sent again.
    assert runs.go() == ["done", f"shards 3,10 of {SHARDS}", "job"]
    assert runs.go() == ["done", "in", "in"]
    runs.wait(lambda: len(runs.queue()) == 2)
    assert runs.runs("fit-surrogate") == {}
    (runs.state / "predict.waits.5").unlink()
    runs.wait(lambda: not runs.queue())
    assert runs.go() == ["done"] * 3
    assert runs.runs("predict") == {**dict.fromkeys(range(1, SHARDS + 1), 1), 3: 2, 10: 2}
    assert runs.runs("render") == {1: 1}
    # Parts number their tasks alike, and their logs are not mixed.
    logs = {each.name for each in (runs.folder / "logs").glob("predict-n-*")}
    assert {"predict-n-3.out", "predict-n-3+3.out", "predict-n-9+1.out"} <= logs
    assert len(logs) == SHARDS + 1


def test_a_job_that_is_not_laid_out_is_begun_again(runs):
    runs.tell("perturb.fails.1")
    runs.go()
    runs.wait(lambda: not runs.queue())
    assert runs.runs("predict") == {}
    assert runs.go() == ["job", f"shards 1-{SHARDS} of {SHARDS}", "job"]
    runs.wait(lambda: not runs.queue())
    assert runs.go() == ["done"] * 3
    assert runs.runs("segment") == {1: 2}
