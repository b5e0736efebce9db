"""What `jobs snakemake` writes: as text, and run by Snakemake itself."""

import ast
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import venv
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from facelime_cli.jobs.pipeline import Pipeline, Step
from facelime_cli.jobs.snakemake import Work, files
from facelime_cli.store.references import Store
from tests.jobs import one_node
from tests.support import Facelime

SHARDS = 4
UNIT = 10
"""40 pictures in four units: a shard each."""
STEPS = (
    Step("segment", "segment", ("segment", "forty", "--method", "slic", "--segments", "9"), "segments/run"),
    Step("perturb", "perturb", ("perturb", "segments/run", "--samples", "40"), "masks/run", takes_workers=True),
    Step("predict-net", "predict", ("predict", "masks/run", "--model", "small"), "predictions/run", asks_model=True),
    Step("fit-surrogate-net", "fit-surrogate", ("fit-surrogate", "predictions/run"), "surrogates/run"),
    Step("render-net", "render", ("render", "surrogates/run"), "reports/run"),
)
"""Each reads what the one before it makes, on the store of the fixture `many`."""
IDENTIFIERS = ["segment", "perturb", "predict_net", "fit_surrogate_net", "render_net"]


def pipeline(store: Path) -> Pipeline:
    steps = [
        replace(step, words=(*step.words, "--name", "run"), after=tuple(each.name for each in STEPS[place - 1 : place]))
        for place, step in enumerate(STEPS)
    ]
    return Pipeline("run", str(store), "datasets/forty", ("models/small",), 40, (48, 48), 40, tuple(steps))


def work(shards: int = SHARDS, **changes) -> Work:
    """Return how the steps are divided; on a cluster with cards, unless something else is given."""
    usual = {"threads": 2, "unit": UNIT, "partition": "gpu-a100", "account": None, "minutes": 90}
    usual |= {"megabytes": 8000, "gres": "gpu:1"}
    return Work(shards=dict.fromkeys((step.name for step in STEPS), shards), **{**usual, **changes})


def shells(snakefile: str) -> dict[str, str]:
    """Return the shell command of each rule, as Snakemake reads it."""
    found = {}
    for name, body in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", snakefile, re.MULTILINE | re.DOTALL):
        _, _, literal = body.partition("    shell:\n")
        if literal:
            found[name] = ast.literal_eval(f"({literal})")
    return found


def test_every_word_reaches_the_shell_as_it_was(tmp_path):
    odd = "a {store} of 'mine' \"twice\" $HOME \\ é"
    words = ("perturb", "segments/run", "--fill", f"image:{odd}" * 3)
    asked = replace(pipeline(tmp_path), steps=(Step("odd", "perturb", words, "masks/run", takes_workers=True),))
    for shards, name in ((1, "odd"), (SHARDS, "odd_shard")):
        text = shells(files(asked, replace(work(), shards={"odd": shards}))["Snakefile"])[name]
        got = shlex.split(text.format(wildcards=SimpleNamespace(shard=3), threads=2, log="LOG"))
        shard = ["--shard", f"3/{SHARDS}"] if shards > 1 else []
        more = ["--unit", str(UNIT), "--workers", "2", *shard, ">>", "LOG", "2>&1"]
        assert got == ["exec", "facelime", *words, *more]


def test_the_store_is_named_once(tmp_path):
    odd = tmp_path / "a 'store' \"of\" {mine}"
    line = next(
        each for each in files(pipeline(odd), work())["Snakefile"].splitlines() if each.startswith("os.environ")
    )
    assert ast.literal_eval(line.partition(" = ")[2]) == str(odd)


def test_a_step_in_shards_is_laid_out_once_and_sealed(tmp_path):
    found = shells(files(pipeline(tmp_path), work())["Snakefile"])
    assert set(found) == {f"{name}{end}" for name in IDENTIFIERS for end in ("_begin", "_shard", "")}
    assert "--lay-out" in found["predict_net_begin"]
    assert "--lay-out" not in found["predict_net_shard"]
    assert found["predict_net"].startswith("exec facelime seal predictions/run ")


def test_a_step_in_one_go_is_one_rule(tmp_path):
    found = shells(files(pipeline(tmp_path), work(shards=1))["Snakefile"])
    assert set(found) == set(IDENTIFIERS)
    assert not any("--shard" in text or "--lay-out" in text for text in found.values())


def test_every_mark_that_is_waited_for_is_made(tmp_path):
    text = files(pipeline(tmp_path), work())["Snakefile"]
    made = set(re.findall(r'touch\("(done/[^"]*)"\)', text))
    waited = set(re.findall(r'^        "(done/[^"]*)",$', text, re.MULTILINE))
    assert waited <= made
    assert "done/render_net" in waited


def test_the_chains_of_two_models_share_what_is_before_them(tmp_path):
    shared = pipeline(tmp_path)
    other = [replace(step, name=f"{step.name}.2") for step in shared.steps[2:]]
    other = [
        replace(step, after=(before,))
        for step, before in zip(other, ("perturb", "predict-net.2", "fit-surrogate-net.2"), strict=True)
    ]
    text = files(replace(shared, steps=(*shared.steps, *other)), work(shards=1))["Snakefile"]
    assert set(shells(text)) == {*IDENTIFIERS, *(f"{name}_2" for name in IDENTIFIERS[2:])}
    assert '    input:\n        "done/render_net",\n        "done/render_net_2",\n' in text
    assert text.count('    input:\n        "done/perturb",\n') == 2


def test_the_same_twice_gives_the_same_files(tmp_path):
    assert files(pipeline(tmp_path), work()) == files(pipeline(tmp_path), work())


def test_only_what_asks_the_model_asks_for_a_card(tmp_path):
    made = files(pipeline(tmp_path), work())
    _, _, asked = made["profiles/slurm/config.yaml"].partition("set-resources:\n")
    assert re.findall(r"^  (\w+):$", asked, re.MULTILINE) == ["predict_net_begin", "predict_net_shard"]
    plain = files(pipeline(tmp_path), work(partition=None, gres=None))["profiles/slurm/config.yaml"]
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


def written(folder: Path, store: Path, **changes) -> Path:
    for path, text in files(pipeline(store), work(**changes)).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def with_facelime(environment=os.environ) -> dict[str, str]:
    """Return an environment in which `facelime` is the program that is tested."""
    here = Path(__file__).resolve().parents[2]
    found = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}", "PYTHONPATH": str(here)}
    return {**environment, **found}


def marks(folder: Path) -> dict[str, int]:
    """Return when each mark was made, by its path."""
    place = folder / "done"
    return {str(each.relative_to(place)): each.stat().st_mtime_ns for each in place.rglob("*") if each.is_file()}


def contents(store: Path) -> dict[str, str]:
    """Return the digest of what each step has made; a report holds the time."""
    made = [step.output for step in STEPS[:-1]]
    return {each: Store(store).resolve(each).require_complete().content for each in made}


def in_one_process(run: Facelime) -> dict[str, str]:
    for step in pipeline(run.store).steps:
        run.json(*step.words)
    return contents(run.store)


@pytest.mark.long
def test_a_run_that_is_stopped_goes_on_with_what_is_missing(tmp_path, many, snakemake):
    shutil.copytree(many.store, tmp_path / "store")
    shutil.copytree(many.store, tmp_path / "alone")
    folder = written(tmp_path / "jobs", tmp_path / "store")
    words = [snakemake, "--profile", "profiles/local", "--cores", "2"]
    with (tmp_path / "log").open("w") as log:
        stopped = subprocess.Popen(
            words, cwd=folder, stdout=log, stderr=log, env=with_facelime(), start_new_session=True
        )
        until = time.monotonic() + 900
        while not any(each.startswith("predict_net.shards") for each in marks(folder)):
            assert stopped.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.2)
        # As Ctrl-C does.
        os.killpg(stopped.pid, signal.SIGINT)
        assert stopped.wait(120) != 0
    before = marks(folder)
    assert "predict_net" not in before
    again = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=with_facelime(), check=False)
    assert again.returncode == 0, again.stderr
    after = marks(folder)
    # What was done is not run again.
    assert {name: after[name] for name in before} == before
    assert contents(tmp_path / "store") == in_one_process(Facelime(tmp_path / "alone"))
    third = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=with_facelime(), check=False)
    assert third.returncode == 0
    assert marks(folder) == after


@pytest.fixture(scope="module")
def node():
    """The environment of a real Slurm of one node."""
    with one_node.running() as (_, environment):
        yield environment


def running(environment, rule: str) -> dict[str, str]:
    """Return the running jobs of a rule: the number of each, and what tells its shard."""
    words = ["squeue", "--noheader", "--states=RUNNING", "--format=%i %k"]
    text = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    return {number: said for number, _, said in (line.partition(" ") for line in text.splitlines()) if rule in said}


@pytest.mark.long
def test_cancelled_jobs_of_slurm_are_sent_again(tmp_path, many, snakemake, node):
    shutil.copytree(many.store, tmp_path / "store")
    shutil.copytree(many.store, tmp_path / "alone")
    folder = written(tmp_path / "jobs", tmp_path / "store", partition="main", minutes=30, megabytes=0, gres=None)
    words = [snakemake, "--profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "2"]
    with (tmp_path / "log").open("w") as log:
        run = subprocess.Popen(
            words, cwd=folder, stdout=log, stderr=log, env=with_facelime(node), start_new_session=True
        )
        ended: dict[str, str] = {}
        for _ in range(2):
            number, said = wait_for_job(run, node, ended, tmp_path / "log")
            end = ["scancel", number]
            subprocess.run(end, env=node, check=True)
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
        for number, said in running(environment, "predict_net_shard").items():
            if said not in ended.values():
                return number, said
        time.sleep(0.3)
