"""Again: the same commands with something changed, and the commands that made an artifact, to paste."""

import os
import re
import shlex
import subprocess

import pytest

from facelime_cli.stages import again
from facelime_cli.store.presence import AT_WORK, CLAIMS
from facelime_cli.store.references import Store
from tests.support import CHAIN

FIRST = {"render", "check", "consensus"}
"""Stages whose lineages have nearly all others; the rest are for long runs."""
EVERY = [name if name in FIRST else pytest.param(name, marks=pytest.mark.long) for name in CHAIN]
REPEATABLE = [
    name if name in FIRST else pytest.param(name, marks=pytest.mark.long)
    for name in CHAIN
    if name not in {"preprocess", "import-maps"}
]


def commands_of(run, reference):
    """Return the commands that made an artifact as lists of words, with what each is kept in."""
    found = []
    for line in run("show", reference, "--command").stdout.splitlines():
        kept = re.fullmatch(r"(\w+)=\$\((.*)\)", line)
        name, words = (kept[1], kept[2]) if kept else (None, line)
        found.append((name, shlex.split(words)))
    return found


@pytest.mark.parametrize("stage", EVERY)
def test_pasted_commands_find_what_they_made(stage, chain, faces):
    """Every command but those that read files, whose place must be put in, is run as it is told."""
    known, outside = {}, {"SOURCE": str(faces), "MAPS": str(chain.maps)}
    for name, words in commands_of(chain.facelime, chain.reference(stage)):
        assert words[0] == "facelime"
        given = [known.get(word.removeprefix("$"), outside.get(word, word)) for word in words[1:]]
        answer = chain.facelime.json(*given)
        assert answer["reused"], given
        known[name] = answer["artifact"]
    assert answer["artifact"] == chain[stage].id


@pytest.mark.long
def test_pasted_commands_run_in_a_shell(chain, command, faces, tmp_path):
    script = chain.facelime("show", chain.reference("render"), "--command").stdout.replace("SOURCE", str(faces))
    (tmp_path / "facelime").write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    (tmp_path / "facelime").chmod(0o700)
    environment = {
        **os.environ,
        "FACELIME_STORE": str(chain.facelime.store),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    done = subprocess.run(["/bin/sh", "-e"], input=script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == chain["render"].id


def test_files_from_outside_are_named(chain):
    shown = chain.facelime("show", "datasets/faces", "--command")
    assert "SOURCE: put in their place" in shown.stderr
    assert chain.facelime.json("show", "datasets/faces", "--command")["files"] == ["SOURCE"]


@pytest.mark.parametrize("stage", REPEATABLE)
def test_without_a_change_it_is_the_same(stage, chain):
    answer = chain.facelime.json("again", chain.reference(stage))
    assert (answer["artifact"], answer["reused"], answer["made"]) == (chain[stage].id, True, [])


def test_an_option_of_its_own_command_is_changed(chain):
    words = ["again", chain.reference("fit-surrogate"), "--set", "kernel-width=0.5", "--set", "alpha=2"]
    answer = chain.facelime.json(*words, "--name", "wider")
    made = Store(chain.facelime.store).stored("surrogates", answer["artifact"])
    by_hand = chain.facelime.artifact("fit-surrogate", chain["predict"].id, "--kernel-width", 0.5, "--alpha", 2)
    assert made.reference == by_hand.reference
    assert made.names == ["wider"]


def test_an_option_of_a_command_before_is_changed_there(chain):
    """The report with more samples: masks, predictions and surrogates are made again, and then the report."""
    # With a seed of its own: other tests on this store would find these answers.
    changes = ["--set", "perturb.samples=96", "--set", "perturb.seed=11"]
    said = chain.facelime("again", chain.reference("render"), "--set", "samples=96", *changes[2:])
    assert said.exit_code == 0, said.stderr
    made = Store(chain.facelime.store).stored("reports", said.stdout.strip())
    masks = made.input("masks")
    assert masks.parameters["samples"] == 96
    assert masks.parameters | {"samples": 90, "seed": 0} == chain["perturb"].parameters
    assert made.input("segments").reference == chain["segment"].reference
    lines = [line.split()[1] for line in said.stderr.splitlines() if line.startswith("facelime ")]
    assert lines == ["perturb", "predict", "fit-surrogate", "render"]
    told = chain.facelime.json("again", chain.reference("render"), *changes)
    assert told["artifact"] == made.id


@pytest.mark.long
def test_every_view_is_changed(chain):
    """A consensus was made from two views: their masks lie at one distance, and both are made again."""
    answer = chain.facelime.json("again", chain.reference("consensus"), "--set", "perturb.seed=5")
    made = Store(chain.facelime.store).stored("surrogates", answer["artifact"])
    views = [each for each in made.parents() if each.kind == "surrogates"]
    assert len(views) == 2
    assert [each.input("masks").parameters["seed"] for each in views] == [5, 5]


@pytest.mark.long
def test_a_switch_takes_yes_and_no_and_nothing_is_the_default(chain):
    reference = chain.reference("fit-surrogate")
    made = chain.facelime.artifact("again", reference, "--set", "kernel-width=0.5")
    assert (
        chain.facelime.json("again", made.reference, "--set", "kernel-width=")["artifact"] == chain["fit-surrogate"].id
    )
    for value, code in (("maybe", 2), ("no", 0)):
        done = chain.facelime("again", "models/small", "--set", f"oversample={value}")
        assert done.exit_code == code, done.stderr


def test_what_is_wrong_is_said_before_anything_is_made(chain):
    before = len(list(chain.facelime.store.glob("*/*")))
    error = chain.facelime.fails("again", chain.reference("render"), "--set", "samples=97", "--set", "top=x", code=2)
    assert "`facelime render`" in error
    assert len(list(chain.facelime.store.glob("*/*"))) == before


def test_what_a_command_of_several_stages_comes_back_to_is_in_use(chain, monkeypatch):
    """Until it ends, others see that this process uses what its stages have made or found."""
    execute, seen = again.execute, {}

    def looking(*given):
        result = execute(*given)
        seen[result.artifact.path] = marks(result.artifact.path)
        return result

    monkeypatch.setattr(again, "execute", looking)
    chain.facelime.json("again", chain.reference("render"), "--set", "perturb.samples=90")
    assert [path.parent.name for path in seen] == ["masks", "predictions", "surrogates", "reports"]
    assert [len(each) for each in seen.values()] == [1, 1, 1, 1]
    assert [marks(path) for path in seen] == [[], [], [], []]


def marks(folder):
    return list((folder / CLAIMS).glob(f".{AT_WORK}*"))
