"""What `jobs slurm` and `jobs local` write, as text and as Bash reads it; `go.sh` runs against a queue of our own."""

import json
import os
import re
import shlex
import subprocess
from dataclasses import replace

import pytest

from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.jobs import slurm
from facelime_cli.jobs.dividing import divided, jobs_of
from facelime_cli.jobs.forecast import Speed, Work
from facelime_cli.jobs.pipeline import Pipeline, Step
from facelime_cli.jobs.slurm import Asked

BASH = "/bin/bash"
SHARDS = 10
CHAIN = (
    Step("segment", "segment", ("segment", "d", "--name", "r"), "segments/r", (), takes_workers=True),
    Step("perturb", "perturb", ("perturb", "segments/r"), "masks/r", ("segment",), takes_workers=True),
    Step("predict-n", "predict", ("predict", "masks/r"), "predictions/r-n", ("perturb",), asks_model=True),
    Step("fit-surrogate-n", "fit-surrogate", ("fit-surrogate", "predictions/r-n"), "surrogates/r-n", ("predict-n",)),
    Step("render-n", "render", ("render", "surrogates/r-n"), "reports/r-n", ("fit-surrogate-n",)),
)
PIPELINE = Pipeline("r-1a2b3c", "/the/store", "datasets/d", ("models/n",), 1000, (48, 48), 100, CHAIN)
COUNTS = {each.name: SHARDS if each.asks_model else 1 for each in CHAIN}
ASKED = Asked(minutes=60, cpus=4, unit=20, partition="gpu", cpu_partition="cpu", gres="gpu:1", memory="8000M")
PROGRAMS = {
    "scontrol": "echo 'MaxArraySize            = 5'",
    "squeue": "cat queue 2>/dev/null || true",
    "scancel": 'echo "$@" >> cancelled',
    # Numbers from 100 on.
    "sbatch": 'n=$(($(wc -l < sent) + 100)); echo "$@" >> sent; echo "$n;cluster"',
    # A step that has been done has a file.
    "facelime": 'case " $* " in *" --missing "*) cat "missing.$1" 2>/dev/null || true;;'
    ' *" --lay-out "*) echo "$1" >> named;; *) exit 9;; esac',
}
"""What `go.sh` calls. Slurm itself runs the scripts in test_slurm_runs.py; here it can have any queue and limit."""


def written(folder, pipeline=PIPELINE, counts=COUNTS, asked=ASKED):
    made = slurm.files(pipeline, jobs_of(pipeline, counts), asked, folder)
    folder.mkdir(exist_ok=True)
    for name, text in made.items():
        (folder / name).write_text(text)
    return made


@pytest.fixture
def go(tmp_path):
    """Run `go.sh` with some shards missing by stage and some lines of a queue; returns what it sends and says."""
    folder, programs = tmp_path / "jobs", tmp_path / "bin"
    written(folder)
    programs.mkdir()
    for name, body in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (programs / name).chmod(0o755)

    def run(missing, queue=()):
        for name in ("sent", "cancelled"):
            (folder / name).write_text("")
        for stage, text in missing.items():
            (folder / f"missing.{stage}").write_text(text)
        (folder / "queue").write_text("".join(f"{line}\n" for line in queue))
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [BASH, folder / "go.sh"], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return (folder / "sent").read_text().splitlines(), done.stdout.splitlines(), (folder / "cancelled").read_text()

    return run


ALL = dict.fromkeys(("segment", "perturb", "fit-surrogate", "render"), "1") | {"predict": "1,2,3,4,5,6,7,8,9,10"}
NONE = dict.fromkeys(ALL, "")


def option(line, name):
    match = re.search(rf"--{name}=(\S+)", line)
    return match[1] if match else None


def test_the_first_time_everything_is_sent_in_order(go):
    sent, said, cancelled = go(ALL)
    assert cancelled == ""
    scripts = [shlex.split(each)[-1] for each in sent]
    assert scripts == [
        "./segment-and-perturb.sh",
        # The first short job, then three parts: MaxArraySize is 5, so that 4 is the largest number.
        *["./predict-n.sh"] * 4,
        "./fit-surrogate-n-and-render-n.sh",
    ]
    assert [option(each, "array") for each in sent] == [None, "0", "1-4", "1-4", "1-2", None]
    assert [option(each, "export") for each in sent[2:5]] == ["ALL,OFFSET=0", "ALL,OFFSET=4", "ALL,OFFSET=8"]
    needs = [option(each, "dependency") for each in sent]
    assert needs == [None, "afterok:100", *["afterok:101"] * 3, "afterok:102:103:104"]
    assert all("--kill-on-invalid-dep=yes" in each for each in sent)
    assert said[1] == "predict-n: shards 1-10 of 10, job 102 103 104"


def test_only_what_is_missing_is_sent_again_with_what_hung_on_it(go):
    sent, said, _ = go(NONE | {"predict": "3,7,8", "fit-surrogate": "1"})
    assert [option(each, "array") for each in sent] == ["3", "3-4", None]
    assert option(sent[0], "dependency") is None
    assert option(sent[-1], "dependency") == "afterok:100:101"
    assert said[0] == "segment-and-perturb: done"
    assert said[1] == "predict-n: shards 3,7-8 of 10, job 100 101"


def test_what_is_done_gets_the_name_of_this_run(go, tmp_path):
    """Another run may have made it, under its own name."""
    go({**NONE, "predict": "2"})
    # What is not done gets its name from its job.
    assert (tmp_path / "jobs" / "named").read_text().split() == ["segment", "perturb"]


def test_nothing_is_sent_when_all_is_done(go):
    sent, said, _ = go(NONE)
    assert sent == []
    assert all(each.endswith(": done") for each in said)


def test_what_is_in_the_queue_is_waited_for_and_not_sent_twice(go):
    queue = [
        "r-1a2b3c.predict-n.10+0 50_3 3 RUNNING None",
        "r-1a2b3c.predict-n.10+4 51_3 3 PENDING Resources",
        # Another run, and a task that has ended.
        "r-ffffff.predict-n.10+4 52_4 4 RUNNING None",
        "r-1a2b3c.predict-n.10+4 51_4 4 COMPLETING None",
        "r-1a2b3c.fit-surrogate-n-and-render-n.1+0 60 N/A PENDING Dependency",
    ]
    sent, said, cancelled = go(NONE | {"predict": "3,7", "fit-surrogate": "1"}, queue)
    assert (sent, cancelled) == ([], "")
    assert said[1:] == ["predict-n: in the queue", "fit-surrogate-n-and-render-n: in the queue"]
    # With a shard more, what waits for the others alone would begin too early.
    sent, said, cancelled = go(NONE | {"predict": "3,7,8", "fit-surrogate": "1"}, queue)
    assert [option(each, "array") for each in sent] == ["4", None]
    assert option(sent[1], "dependency") == "afterok:50_3:51_3:100"
    assert cancelled.split() == ["--state=PENDING", "60"]


def test_what_can_never_run_is_withdrawn_and_sent_again(go):
    queue = ["r-1a2b3c.fit-surrogate-n-and-render-n.1+0 60 N/A PENDING DependencyNeverSatisfied"]
    sent, _, cancelled = go(NONE | {"predict": "2", "fit-surrogate": "1"}, queue)
    assert cancelled.split() == ["60"]
    assert [option(each, "dependency") for each in sent] == [None, "afterok:100"]


def test_a_failing_question_submits_nothing_behind_it(go, tmp_path):
    (tmp_path / "bin" / "facelime").write_text("#!/bin/bash\necho 'error: broken' >&2\nexit 1\n")
    with pytest.raises(AssertionError, match="broken"):
        go(NONE)
    assert (tmp_path / "jobs" / "sent").read_text() == ""


def test_each_script_says_what_it_asks_for(tmp_path):
    made = written(tmp_path / "jobs")
    common = ["--cpus-per-task=4", "--mem=8000M", "--time=1:00:00", "--signal=B:TERM@120", "--requeue"]
    for name in ("predict-n.sh", "segment-and-perturb.sh", "fit-surrogate-n-and-render-n.sh"):
        asked = re.findall(r"^#SBATCH (\S+)$", made[name], re.MULTILINE)
        assert {*common, "--open-mode=append"} <= set(asked)
        on_gpu = name == "predict-n.sh"
        assert ("--gres=gpu:1" in asked) is on_gpu
        assert f"--partition={'gpu' if on_gpu else 'cpu'}" in asked
    assert 'exec facelime predict masks/r --unit 20 --shard "$((SLURM_ARRAY_TASK_ID' in made["predict-n.sh"]
    assert 'run facelime perturb segments/r --unit 20 --workers "$threads"' in made["segment-and-perturb.sh"]
    assert "export FACELIME_STORE=/the/store\n" in made["env.sh"]
    # A job that is shorter than eight minutes is told in its last quarter.
    short = slurm.files(PIPELINE, jobs_of(PIPELINE, COUNTS), replace(ASKED, minutes=2), tmp_path)
    assert "--signal=B:TERM@30" in short["predict-n.sh"]


def test_odd_paths_reach_the_shell_and_slurm_as_they_are(tmp_path):
    odd = tmp_path / "a 'b' \"c\" $HOME %j"
    made = written(odd, replace(PIPELINE, store=str(odd / "store")))
    for name in made:
        if name.endswith(".sh"):
            subprocess.run([BASH, "-n", odd / name], check=True)
    read = subprocess.run(
        [BASH, "-c", f'source {shlex.quote(str(odd / "env.sh"))}; echo "$FACELIME_STORE"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert read.stdout == f"{odd / 'store'}\n"
    line = next(each for each in made["predict-n.sh"].splitlines() if "--output" in each)
    assert "%%j" in line
    assert line.endswith("/logs/predict-n-%a.out")


def test_the_same_gives_the_same_files_and_can_be_read(tmp_path):
    assert written(tmp_path / "jobs") == written(tmp_path / "jobs")
    pipeline, jobs = slurm.read(tmp_path / "jobs")
    assert pipeline == PIPELINE
    assert [(each.name, each.shards) for each in jobs] == [
        ("segment-and-perturb", 1),
        ("predict-n", SHARDS),
        ("fit-surrogate-n-and-render-n", 1),
    ]
    with pytest.raises(NotFoundError, match="jobs slurm"):
        slurm.read(tmp_path)
    for wrong in ("", "[]", "{}", json.dumps({"pipeline": PIPELINE.json(), "jobs": [{"name": "x"}]})):
        (tmp_path / "jobs" / slurm.ABOUT).write_text(wrong)
        with pytest.raises(FacelimeError, match="--force"):
            slurm.read(tmp_path / "jobs")


def work(**changes):
    usual = {"pictures": 2000, "samples": 1000, "classes": 2, "segments": 50, "sides": (64, 64)}
    return Work(**{**usual, "speed": Speed(1000.0, 8.0), "stages": [each.stage for each in CHAIN], **changes})


def test_shards_are_chosen_by_units_and_by_what_a_start_costs():
    how = divided(PIPELINE, [work()], None, known=True)
    # 2,000 s of evaluations: 26 tasks of 77 s, of which 8.3 are the start.
    assert how.shards["predict-n"] == 26
    assert how.shards["segment"] == 2
    assert how.doubts == []
    many = divided(PIPELINE, [work()], 60, known=True)
    assert many.shards["predict-n"] == 60
    assert "26 shards" in many.doubts[0]
    idle = divided(PIPELINE, [work(pictures=300)], 64, known=False)
    assert idle.shards["predict-n"] == 10
    said = "64 shards were asked for, and no step has more than 10: 300 pictures are 10 units"
    assert idle.doubts == [f"{said}; a smaller --unit makes more."]


def test_one_machine_runs_one_process_for_each_device(tmp_path):
    folder = tmp_path / "local"
    folder.mkdir()
    made = slurm.local(PIPELINE, {**COUNTS, "predict-n": 3}, 2, 20)
    (folder / "local.sh").write_text(made["local.sh"].replace("/the/store", str(folder)))
    (folder / "facelime").write_text(
        '#!/bin/bash\necho "${CUDA_VISIBLE_DEVICES:-all} $*" >> "$FACELIME_STORE/calls"\n'
        'case " $* " in\n*" --missing "*) echo 1,3 ;;\n'
        # The two run at the same time: a card that is free again would be given twice.
        '*" --shard "*) until [ "$(grep -c -e --shard "$FACELIME_STORE/calls")" -ge 2 ]; do sleep 0.1; done ;;\nesac\n'
    )
    (folder / "facelime").chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([BASH, folder / "local.sh"], env={**os.environ, "PATH": path}, check=True, timeout=60)
    calls = (folder / "calls").read_text().splitlines()
    assert [each for each in calls if "--lay-out" in each] == ["all predict masks/r --unit 20 --lay-out"]
    shards = sorted(each for each in calls if "--shard" in each)
    assert [each.split()[-1] for each in sorted(shards, key=lambda each: each.split()[-1])] == ["1/3", "3/3"]
    assert {each.split()[0] for each in shards} == {"0", "1"}
    assert calls[-1].startswith("all render")
