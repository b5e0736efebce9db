"""What shells offer at the Tab key: tried in bash, zsh and fish themselves, with the store of every stage."""

import json
import os
import pty
import re
import resource
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facelime_cli import completing
from facelime_cli.__main__ import COMPLETE
from facelime_cli.completing import Line, offered, split, unquoted
from facelime_cli.stages import INDEX
from facelime_cli.store.kinds import KINDS
from facelime_cli.store.references import Store

ROOT = Path(__file__).parent.parent
NAMES = ["Lung Opacity", "it's $HOME", "a,b", "normal"]
"""Classes whose names a shell would read otherwise."""
EXPLAIN = ("explain", "x", "--model", "net", "--check-classes")
MANY = 500
MOST_SECONDS = 0.15
PATIENCE = 60.0


@pytest.fixture(autouse=True)
def _without_settings(monkeypatch, tmp_path):
    for name in ("STORE", "MODEL", "RUNTIME", "PRESET"):
        monkeypatch.delenv(f"FACELIME_{name}", raising=False)
    monkeypatch.chdir(tmp_path)


def words(*typed, store):
    """Return the words that are offered behind others; the last one is at the cursor."""
    command, *before, current = typed
    return [each.word for each in offered([command, "--store", str(store), *before], current)[0]]


def lay(store, kind, name, classes=None, inputs=(), arrays=()):
    """Write what completion reads of an artifact: no artifact that a command would take."""
    folder = store / kind / f"{name}-0123abcd"
    (folder / "names").mkdir(parents=True)
    (folder / "names" / name).touch()
    layout = {
        "facts": {} if classes is None else {"classes": classes},
        "inputs": {str(place): {"kind": each[0], "id": f"{each[1]}-0123abcd"} for place, each in enumerate(inputs)},
        "arrays": {name: {} for name in arrays},
    }
    (folder / "layout.json").write_text(json.dumps(layout))
    return folder


def test_commands_and_options_are_offered():
    assert [each.word for each in offered([], "pre")[0]] == ["preprocess", "predict"]
    assert {each.name.split()[0] for each in INDEX} <= {each.word for each in offered([], "")[0]}
    assert [each.word for each in offered(["jobs"], "s")[0]] == ["slurm", "status", "snakemake"]
    assert [each.word for each in offered(["segment"], "--min")[0]] == ["--min-size"]
    # One that was given is not offered again.
    assert offered(["segment", "--min-size", "3"], "--min")[0] == []
    assert [each.word for each in offered(["segment", "x", "--method"], "s")[0]] == ["slic"]
    assert [each.word for each in offered(["segment", "x"], "--method=s")[0]] == ["--method=slic"]
    assert offered(["nothing"], "") == ([], False)


def test_artifacts_are_offered_by_kind_with_names_before_ids(chain):
    store = chain.facelime.store
    faces, small = chain["preprocess"].id, chain["finetune"].id
    assert words("segment", "faces", store=store) == ["faces", faces]
    # Every name stands before every id. Other tests of this process may have left more in the store.
    datasets = Store(store).artifacts(["datasets"])
    for begun, of_kind in (("fa", ""), ("datasets/", "datasets/")):
        found = words("show" if of_kind else "segment", begun, store=store)
        ids = {of_kind + each.id for each in datasets if (of_kind + each.id).startswith(begun)}
        named = {of_kind + each.name for each in datasets if each.name and (of_kind + each.name).startswith(begun)}
        assert (set(found[: -len(ids)]), set(found[-len(ids) :])) == (named, ids)
    assert words("predict", "x", "--model", "sm", store=store)[0] == "small"
    assert small in words("predict", "x", "--model", "", store=store)
    assert faces not in words("predict", "x", "--model", "", store=store)
    for kind in KINDS:
        known = {each.id for each in Store(store).artifacts([kind])}
        assert known <= set(words("show", "", store=store))
    # Every artifact of several.
    assert set(words("compare", chain["fit-surrogate"].id, "", store=store)) >= {chain["gradcam"].id}
    assert offered(["explain"], "")[1]
    assert not offered(["segment"], "")[1]


def test_classes_are_those_of_what_the_line_refers_to(chain):
    store, surrogates = chain.facelime.store, chain["fit-surrogate"].id
    assert words("contrast", surrogates, "--class", "", store=store) == ["normal", "rosacea"]
    assert words("render", surrogates, "--classes", "normal,", store=store) == ["normal,rosacea"]
    assert words("explain", "somewhere", "--model", "small", "--classes", "ro", store=store) == ["rosacea"]
    assert words("contrast", "nothing", "--class", "", store=store) == []


def test_pictures_are_those_of_the_dataset_and_are_read_from_its_array_once(chain, tmp_path):
    store = tmp_path / "store"
    chain.copy(store)
    ids = chain["preprocess"].texts("id")
    first = words("segment", "faces", "--images", "", store=store)
    assert first == ids
    (kept,) = (store / "datasets").glob(f"*/kept/*/{completing.IDS}")
    assert kept.read_text().splitlines() == ids
    kept.write_text("from-the-text\n")
    assert words("segment", "faces", "--images", "", store=store) == ["from-the-text"]
    # Those of the artifact itself, not of all the dataset; the pictures of a model are other ones.
    own = words("show", chain["segment"].id, "--images", "", store=store)
    assert own == chain["segment"].texts("id")
    assert words("explain", "faces", "--model", "small", "--images", "from", store=store) == ["from-the-text"]
    assert words("segment", "faces", "--images", f"{ids[0]},from", store=store) == [f"{ids[0]},from-the-text"]
    # What is kept is no part of the content.
    assert subprocess.run(
        [sys.executable, "-m", "facelime_cli", "verify", "--store", store], check=False, capture_output=True
    ).stdout.endswith(b"every digest holds.\n")


def test_a_store_that_cannot_be_written_is_read_all_the_same(chain, tmp_path, monkeypatch):
    store = tmp_path / "store"
    chain.copy(store)

    def refuse(*_):
        raise OSError

    monkeypatch.setattr("facelime_cli.completing._write", refuse)
    assert words("segment", "faces", "--images", "", store=store) == chain["preprocess"].texts("id")


def test_the_store_is_the_one_that_the_command_would_use(tmp_path, monkeypatch):
    for place in ("artifacts", "of-file", "of-variable", "of-option"):
        lay(tmp_path / place, "datasets", place)
    assert offered(["segment"], "")[0][0].word == "artifacts"
    (tmp_path / "facelime.toml").write_text('store = "of-file"\n')
    assert offered(["segment"], "")[0][0].word == "of-file"
    monkeypatch.setenv("FACELIME_STORE", "of-variable")
    assert offered(["segment"], "")[0][0].word == "of-variable"
    assert offered(["segment", "--store", "of-option"], "")[0][0].word == "of-option"
    assert offered(["segment", "--store=of-option"], "")[0][0].word == "of-option"
    monkeypatch.delenv("FACELIME_STORE")
    (tmp_path / "facelime.toml").write_text("store = \n")
    assert offered(["segment"], "")[0][0].word == "artifacts"


def test_the_model_of_the_settings_gives_classes(tmp_path):
    lay(tmp_path / "artifacts", "models", "net", classes=["a", "b"])
    assert offered(["explain", "x", "--classes"], "")[0] == []
    (tmp_path / "facelime.toml").write_text('model = "net"\n')
    assert [each.word for each in offered(["explain", "x", "--classes"], "")[0]] == ["a", "b"]


def test_a_damaged_or_hostile_store_offers_what_is_left(tmp_path):
    store = tmp_path / "store"
    outside = tmp_path / "outside" / "datasets" / "x-0123abcd"
    outside.mkdir(parents=True)
    (outside / "layout.json").write_text(json.dumps({"facts": {"classes": ["secret"]}}))
    folder = lay(store, "surrogates", "s")
    layout = {
        "inputs": {"a": {"kind": "../../outside/datasets", "id": "x-0123abcd"}, "b": {"kind": "masks", "id": ".."}}
    }
    (folder / "layout.json").write_text(json.dumps(layout))
    (store / "surrogates" / "odd\x1b[31m-0123abcd" / "names").mkdir(parents=True)
    lay(store, "surrogates", "broken").joinpath("layout.json").write_text("[")
    # One that was made from itself.
    lay(store, "surrogates", "round", inputs=[("surrogates", "round")])
    assert words("contrast", "", store=store) == [
        *("broken", "round", "s"),
        *("broken-0123abcd", "round-0123abcd", "s-0123abcd"),
    ]
    for each in ("s", "broken", "round"):
        assert words("contrast", each, "--class", "", store=store) == []


def test_a_name_means_its_newest_artifact(tmp_path):
    store = tmp_path / "store"
    for name, classes in (("one", ["old"]), ("two", ["new"])):
        folder = lay(store, "models", name, classes=classes)
        (folder / "names" / "both").touch()
        (folder / "manifest.json").touch()
        os.utime(folder / "manifest.json", (len(classes[0]), {"old": 1, "new": 2}[classes[0]]))
    assert words("explain", "x", "--model", "both", "--classes", "", store=store) == ["new"]


def test_options_of_the_line_are_told_from_arguments():
    entry = json.loads((ROOT / "facelime_cli" / completing.TABLE).read_text())["commands"]["segment"]
    line = Line.of(entry, ["--json", "faces", "--method", "slic", "--size=3", "--images"])
    assert line.given == {0: ["faces"], "--method": ["slic"], "--size": ["3"]}
    assert line.expects == {"names": "pictures", "list": True}


def test_words_are_told_apart_as_a_shell_does():
    for text in ("facelime show 'a b' ", 'facelime "a \\" b" c', "facelime a\\ b --x='c d' ", "facelime  \t a"):
        found, current = split(text)
        assert [*found, *([unquoted(current)] if current else [])] == shlex.split(text)
    assert split('facelime show "lung o') == (["facelime", "show"], '"lung o')


# Speed


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    store = tmp_path_factory.mktemp("full") / "store"
    for number in range(MANY):
        lay(store, KINDS[number % len(KINDS)], f"thing-{number:03d}", classes=NAMES)
    return store


def test_a_tab_in_a_store_of_five_hundred_artifacts_takes_little(full):
    """By the processor's time, since other work on the machine must not count; the best of some counts."""
    best = {}
    for line in (
        "facelime show ",
        "facelime predict x --model thing-00",
        "facelime render surrogates/thing-006 --classes ",
    ):
        took = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(
                [sys.executable, "-m", "facelime_cli", line, " =:"],
                env={**os.environ, COMPLETE: "bash", "FACELIME_STORE": str(full), "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=True,
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            assert len(done.stdout.splitlines()) > 1
        best[line] = min(took)
    assert max(best.values()) < MOST_SECONDS, best


def test_a_tab_loads_nothing_heavy(full):
    env = {**os.environ, COMPLETE: "fish", "FACELIME_STORE": str(full), "PYTHONPATH": str(ROOT)}
    start = [sys.executable, "-X", "importtime", "-m", "facelime_cli"]
    done = subprocess.run([*start, "predict", "x", "--model", ""], env=env, capture_output=True, text=True, check=True)
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "import time:" in line}
    assert "facelime_cli" in loaded
    assert loaded & {"typer", "rich", "numpy", "zarr", "tensorflow", "click"} == set()


def test_the_test_above_can_fail():
    start = [sys.executable, "-X", "importtime", "-m", "facelime_cli", "segment", "--help"]
    done = subprocess.run(start, capture_output=True, text=True, check=True)
    assert "typer" in done.stderr


# The shells themselves


@pytest.fixture
def home(tmp_path, full):
    """A folder with the program, and a store whose classes have hard names."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "facelime"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m facelime_cli "$@"\n')
    program.chmod(0o755)
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run(
            [program, "completion", shell], env=environment(tmp_path), capture_output=True, text=True, check=True
        )
        (tmp_path / f"script.{shell}").write_text(done.stdout)
    lay(tmp_path / "artifacts", "datasets", "faces")
    lay(tmp_path / "artifacts", "models", "net", classes=NAMES)
    lay(tmp_path / "artifacts", "models", "another", classes=["x"])
    (tmp_path / "pictures of today").mkdir()
    assert full.exists()
    return tmp_path


def environment(home):
    kept = {name: each for name, each in os.environ.items() if not name.startswith(("FACELIME_", "BASH"))}
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    return {
        **kept,
        "PATH": path,
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "TERM": "dumb",
        "PS1": "$ ",
        "LC_ALL": "C.UTF-8",
    }


SHELLS = {
    "bash": (["--norc", "--noprofile", "-i"], "bind 'set enable-bracketed-paste off'; source ./script.bash"),
    "zsh": (
        ["-f", "-i"],
        "PS1='$ '; unsetopt zle_bracketed_paste 2>/dev/null; autoload -Uz compinit; compinit -u; source ./script.zsh",
    ),
}


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, shell, home):
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not installed")
        arguments, begin = SHELLS[shell]
        self.leader, follower = pty.openpty()
        self.process = subprocess.Popen(
            [shell, *arguments],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            cwd=home,
            env=environment(home),
            start_new_session=True,
        )
        os.close(follower)
        self.send(f"{begin}; echo rea''dy\r")
        self.until("ready")

    def send(self, text):
        os.write(self.leader, text.encode())

    def until(self, end):
        """Return what is shown until some text is there."""
        found, begun = "", time.monotonic()
        while end not in found:
            assert time.monotonic() - begun < PATIENCE, found
            if select.select([self.leader], [], [], 0.2)[0]:
                found += os.read(self.leader, 65536).decode(errors="replace")
        return found

    def completed(self, typed):
        """Return the words of a line behind the program, after a Tab at its end, as a command would get them."""
        self.send(f"{typed}\t")
        # The line is edited only after the answer: its begin becomes a command that prints its words.
        time.sleep(1.5)
        self.send("\x01show_words \x05; echo do''ne\r")
        shown = self.until("done")
        return re.findall(r"<([^<>]*)>", shown)[1:]

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.leader)


@pytest.fixture
def terminal(home):
    opened = []

    def begin(shell):
        made = Terminal(shell, home)
        opened.append(made)
        made.send("show_words() { printf '<%s>' \"$@\"; }; echo se''t\r")
        made.until("set")
        return made

    yield begin
    for each in opened:
        each.close()


@pytest.mark.long
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("facelime prep", ["preprocess"]),
        ("facelime segment fac", ["segment", "faces"]),
        ("facelime predict x --model ne", ["predict", "x", "--model", "net"]),
        ("facelime predict x --model=ano", ["predict", "x", "--model=another"]),
        ("facelime explain pic", ["explain", "pictures of today/"]),
        ("facelime explain x --model net --check-classes Lu", [*EXPLAIN, "Lung Opacity"]),
        ("facelime explain x --model net --check-classes 'Lu", [*EXPLAIN, "Lung Opacity"]),
        ("facelime explain x --model net --check-classes normal,Lu", [*EXPLAIN, "normal,Lung Opacity"]),
        ("facelime explain x --model net --check-classes it", [*EXPLAIN, "it's $HOME"]),
    ],
)
def test_a_shell_completes_a_line(terminal, shell, typed, expected):
    found = terminal(shell).completed(typed)
    # A folder may stand with its slash or without.
    assert [each.rstrip("/") for each in found] == [each.rstrip("/") for each in expected]


@pytest.mark.long
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("facelime prep", ["preprocess"]),
        ("facelime segment fac", ["faces", "faces-0123abcd"]),
        ("facelime predict x --model ne", ["net", "net-0123abcd"]),
        ("facelime predict x --model=ano", ["--model=another", "--model=another-0123abcd"]),
        ("facelime explain pic", ["pictures of today/"]),
        ("facelime explain x --model net --check-classes Lu", ["Lung Opacity"]),
        ("facelime explain x --model net --check-classes 'Lu", ["Lung Opacity"]),
        ("facelime explain x --model net --check-classes normal,Lu", ["normal,Lung Opacity"]),
        ("facelime explain x --model net --check-classes it", ["it's $HOME"]),
    ],
)
def test_fish_completes_a_line(home, typed, expected):
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    asked = f"source script.fish; complete -C {shlex.quote(typed)}"
    done = subprocess.run(
        [shutil.which("fish"), "--no-config", "-c", asked],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    found = [re.sub(r"\\(.)", r"\1", line.partition("\t")[0]) for line in done.stdout.splitlines()]
    assert found == expected, done.stderr


def test_every_script_is_one_that_its_shell_can_read(home):
    for shell, check in {"bash": "-n", "zsh": "-n", "fish": "-n"}.items():
        if shutil.which(shell) is not None:
            done = subprocess.run(
                [shell, check, home / f"script.{shell}"],
                capture_output=True,
                text=True,
                check=False,
                env=environment(home),
            )
            assert (done.returncode, done.stderr) == (0, "")


def test_the_shell_of_the_user_is_the_default(home):
    def script(shell, *words):
        env = {**environment(home), "SHELL": shell}
        start = [sys.executable, "-m", "facelime_cli", "completion"]
        return subprocess.run([*start, *words], env=env, capture_output=True, text=True, check=False)

    assert script("/usr/bin/zsh").stdout == (home / "script.zsh").read_text()
    refused = script("/bin/csh")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "$SHELL is '/bin/csh'" in refused.stderr


def test_the_script_of_an_earlier_version_gets_no_words():
    """It would evaluate what it gets."""
    env = {**os.environ, COMPLETE: "complete_zsh", "_TYPER_COMPLETE_ARGS": "facelime prep", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "facelime_cli"], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
