"""What `jobs snakemake` writes: as text, and run by Snakemake itself."""

import ast
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from types import SimpleNamespace

import pytest

from facelime_cli.jobs.snakemake import Cluster, Rule, files
from facelime_cli.store.references import Store
from tests.jobs import one_node
from tests.support import Facelime

PROGRAM = (sys.executable, "-m", "facelime_cli")
CLUSTER = Cluster(partition="gpu-a100", account=None, minutes=90, megabytes=8000, gres="gpu:1")
SHARDS = 4
UNIT = ("--unit", "10")
"""40 pictures in four units: a shard each."""
STEPS = (
    ("segments", "segment forty --method slic --segments 9", (), False),
    ("masks", "perturb segments/run --samples 40 --fill blur", ("segments",), False),
    ("predictions", "predict masks/run --model small --batch-size 16", ("masks",), True),
    ("surrogates", "fit-surrogate predictions/run", ("predictions",), False),
    ("reports", "render surrogates/run", ("surrogates",), False),
)


def rules(store: Path, shards: int = SHARDS) -> list[Rule]:
    """Return the rules of the usual stages on the store of the fixture `many`."""
    return [
        Rule(
            name=kind,
            command=(*words.split(), "--name", "run", *(UNIT if shards > 1 else ())),
            reference=f"{kind}/run",
            program=PROGRAM,
            store=("--store", str(store)),
            after=after,
            shards=shards,
            threads=1,
            device=device,
        )
        for kind, words, after, device in STEPS
    ]


def shells(snakefile: str) -> dict[str, str]:
    """Return the shell command of each rule, as Snakemake reads it."""
    found = {}
    for name, body in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", snakefile, re.MULTILINE | re.DOTALL):
        _, _, literal = body.partition("    shell:\n")
        if literal:
            found[name] = ast.literal_eval(f"({literal})")
    return found


def test_every_word_reaches_the_shell_as_it_was(tmp_path):
    odd = tmp_path / "a {store} of 'mine' \"twice\" $HOME \\ é"
    for name, text in shells(files("run", rules(odd), CLUSTER)["Snakefile"]).items():
        words = shlex.split(text.format(wildcards=SimpleNamespace(shard=3), log="LOG"))
        assert words[0] == "exec"
        assert words[-3:] == [">>", "LOG", "2>&1"]
        assert words[words.index("--store") + 1] == str(odd)
        if name.endswith("_shard"):
            assert words[-5:-3] == ["--shard", f"3/{SHARDS}"]


def test_a_step_in_shards_is_laid_out_once_and_sealed(tmp_path):
    found = shells(files("run", rules(tmp_path), CLUSTER)["Snakefile"])
    assert set(found) == {f"{kind}{end}" for kind, *_ in STEPS for end in ("_begin", "_shard", "")}
    assert "--lay-out" in found["predictions_begin"]
    assert " seal predictions/run " in found["predictions"]


def test_a_step_in_one_go_is_one_rule(tmp_path):
    found = shells(files("run", rules(tmp_path, shards=1), CLUSTER)["Snakefile"])
    assert set(found) == {kind for kind, *_ in STEPS}
    assert not any("--shard" in text or "--lay-out" in text for text in found.values())


def test_every_mark_that_is_waited_for_is_made(tmp_path):
    text = files("run", rules(tmp_path), CLUSTER)["Snakefile"]
    made = set(re.findall(r'touch\("(done/[^"]*)"\)', text))
    waited = set(re.findall(r'^        "(done/[^"]*)",$', text, re.MULTILINE))
    assert waited <= made
    assert "done/reports" in waited


def test_the_same_twice_gives_the_same_files(tmp_path):
    assert files("run", rules(tmp_path), CLUSTER) == files("run", rules(tmp_path), CLUSTER)


def test_only_what_asks_the_model_asks_for_a_card(tmp_path):
    made = files("run", rules(tmp_path), CLUSTER)
    _, _, asked = made["profiles/slurm/config.yaml"].partition("set-resources:\n")
    assert re.findall(r"^  (\w+):$", asked, re.MULTILINE) == ["predictions_begin", "predictions_shard"]
    plain = files("run", rules(tmp_path), Cluster(None, None, 90, 0, None))["profiles/slurm/config.yaml"]
    assert "set-resources" not in plain
    assert "slurm_partition" not in plain


@pytest.fixture(scope="module")
def snakemake(tmp_path_factory):
    """Snakemake in a virtual environment of its own, or the one that FACELIME_SNAKEMAKE names."""
    there = os.environ.get("FACELIME_SNAKEMAKE")
    if there:
        return there
    place = tmp_path_factory.mktemp("snakemake")
    venv.create(place, with_pip=True)
    words = [
        place / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "snakemake",
        "snakemake-executor-plugin-slurm",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"Snakemake cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")
    return str(place / "bin" / "snakemake")


def written(folder: Path, store: Path, cluster: Cluster = CLUSTER) -> Path:
    for path, text in files("run", rules(store), cluster).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def marks(folder: Path) -> dict[str, int]:
    """Return when each mark was made, by its path."""
    place = folder / "done"
    return {str(each.relative_to(place)): each.stat().st_mtime_ns for each in place.rglob("*") if each.is_file()}


def contents(store: Path) -> dict[str, str]:
    """Return the digest of what each step has made."""
    return {kind: Store(store).resolve(f"{kind}/run", (kind,)).require_complete().content for kind, *_ in STEPS[:-1]}


def in_one_process(run: Facelime) -> dict[str, str]:
    for rule in rules(run.store, shards=1):
        run.json(*rule.command)
    return contents(run.store)


@pytest.mark.long
def test_a_run_that_is_stopped_goes_on_with_what_is_missing(tmp_path, many, snakemake):
    shutil.copytree(many.store, tmp_path / "store")
    shutil.copytree(many.store, tmp_path / "alone")
    folder = written(tmp_path / "jobs", tmp_path / "store")
    words = [snakemake, "--profile", "profiles/local", "--cores", "2"]
    with (tmp_path / "log").open("w") as log:
        stopped = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + 900
        while not any(each.startswith("predictions.shards") for each in marks(folder)):
            assert stopped.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.2)
        os.killpg(stopped.pid, signal.SIGTERM)
        assert stopped.wait(120) != 0
    before = marks(folder)
    assert "predictions" not in before
    again = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    after = marks(folder)
    # What was done is not run again.
    assert {name: after[name] for name in before} == before
    assert contents(tmp_path / "store") == in_one_process(Facelime(tmp_path / "alone"))
    third = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert third.returncode == 0
    assert marks(folder) == after


@pytest.fixture(scope="module")
def node():
    """The environment of a real Slurm of one node."""
    absent = one_node.absent()
    if absent:
        pytest.skip(f"no {', '.join(absent)} here: install slurmctld, slurmd, slurm-client and munge of Debian")
    # pytest's own folders have paths that are too long for a socket.
    place = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        with one_node.slurm(place / "node") as environment:
            yield environment
    finally:
        shutil.rmtree(place)


def running(environment, rule: str) -> dict[str, str]:
    """Return the running jobs of a rule: the number of each, and what tells its shard."""
    words = ["squeue", "--noheader", "--states=RUNNING", "--format=%i %k"]
    text = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    return {number: said for number, _, said in (line.partition(" ") for line in text.splitlines()) if rule in said}


@pytest.mark.long
def test_a_cancelled_and_a_stopped_job_of_slurm_are_sent_again(tmp_path, many, snakemake, node):
    shutil.copytree(many.store, tmp_path / "store")
    shutil.copytree(many.store, tmp_path / "alone")
    folder = written(tmp_path / "jobs", tmp_path / "store", Cluster("main", None, 30, 0, None))
    words = [snakemake, "--profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "2"]
    with (tmp_path / "log").open("w") as log:
        run = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log, env=node, start_new_session=True)
        ended: dict[str, str] = {}
        # The first is cancelled. The next, of another shard, gets what Slurm sends before a time limit.
        for cause in ((), ("--signal=TERM",)):
            number, said = wait_for_job(run, node, ended, tmp_path / "log")
            words = ["scancel", *cause, number]
            subprocess.run(words, env=node, check=True)
            ended[number] = said
        assert run.wait(1500) == 0, (tmp_path / "log").read_text()
    assert contents(tmp_path / "store") == in_one_process(Facelime(tmp_path / "alone"))
    log = (tmp_path / "log").read_text()
    assert log.count("Trying to restart job") == len(ended), log


def wait_for_job(run, environment, ended, log) -> tuple[str, str]:
    """Return a running job that does a shard of the predictions, of no shard of those that were ended."""
    until = time.monotonic() + 1500
    while True:
        assert run.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        for number, said in running(environment, "predictions_shard").items():
            if said not in ended.values():
                return number, said
        time.sleep(0.3)
