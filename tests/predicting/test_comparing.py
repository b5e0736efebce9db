"""How far a runtime is from the reference is measured once, by this user, and held against every tolerance."""

import json
import shutil

import pytest

from facelime_cli import machine, trust
from facelime_cli.answering import runtimes
from facelime_cli.store import digests
from facelime_cli.store.references import Store
from tests.support import Facelime

BFLOAT16 = ("--precision", "bfloat16", "--batch-size", 8)
BEFORE = "(measured before)"


@pytest.fixture
def run(chain, tmp_path, monkeypatch):
    """A store of its own with segments and a model, of which nothing is measured yet."""
    for kind in ("datasets", "models", "segments"):
        shutil.copytree(chain.facelime.store / kind, tmp_path / "store" / kind)
    shutil.rmtree(tmp_path / "store" / "models" / chain["finetune"].id / "kept", ignore_errors=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = Facelime(tmp_path / "store")
    found.segments = chain["segment"].id
    return found


@pytest.fixture
def loaded(monkeypatch):
    """The precisions in which models were loaded."""
    load, found = runtimes.load, []

    def noted(model, how, **rest):
        found.append(how.precision)
        return load(model, how, **rest)

    monkeypatch.setattr(runtimes, "load", noted)
    return found


def asked(run, seed, *more, samples=6):
    """Ask the model about new masks."""
    masks = run.artifact("perturb", run.segments, "--samples", samples, "--seed", seed)
    result = run("predict", masks.id, "--model", "small", *BFLOAT16, *more)
    assert result.exit_code == 0, result.stderr
    return Store(run.store).resolve(result.stdout.strip(), ("predictions",)), " ".join(result.stderr.split())


def kept(run):
    """Return the file of the only difference in a store."""
    (path,) = run.store.glob("models/*/kept/*/difference.json")
    return path


def test_it_is_measured_once(run, loaded):
    first, said = asked(run, 31)
    assert BEFORE not in said
    assert loaded == ["bfloat16", "float32"]
    loaded.clear()
    second, said = asked(run, 32)
    assert loaded == ["bfloat16"]
    assert f"differs from keras in float32 by {first.facts['difference']:.2g} at most" in said
    assert BEFORE in said
    assert second.facts["difference"] == first.facts["difference"] > 0


def test_the_tolerance_is_held_against_what_is_kept(run, loaded):
    asked(run, 33)
    masks = run.artifact("perturb", run.segments, "--samples", 6, "--seed", 34)
    loaded.clear()
    said = run.fails("predict", masks.id, "--model", "small", *BFLOAT16, "--tolerance", 0)
    assert "more than --tolerance 0" in said
    assert loaded == ["bfloat16"]
    assert len(Store(run.store).artifacts(("predictions",))) == 1


@pytest.mark.long
def test_fewer_pictures_than_a_later_run_can_give_are_not_enough(run, loaded):
    asked(run, 35, samples=2)
    assert json.loads(kept(run).read_text())["pictures"] == 6
    loaded.clear()
    asked(run, 36)
    assert loaded == ["bfloat16", "float32"]
    assert json.loads(kept(run).read_text())["pictures"] == 8


@pytest.mark.long
def test_a_number_from_elsewhere_is_measured_again(run, tmp_path, monkeypatch):
    asked(run, 37)
    path = kept(run)
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "largest": 0.0}))
    digests.seal(path.parent)  # as whoever can write the one can write the other
    again, said = asked(run, 38)
    assert BEFORE not in said
    assert again.facts["difference"] > 0
    assert json.loads(path.read_text())["largest"] == again.facts["difference"]
    # Another user of the same store has measured nothing.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    assert BEFORE not in asked(run, 39)[1]


def test_a_plan_keeps_nothing(run):
    masks = run.artifact("perturb", run.segments, "--samples", 6, "--seed", 40)
    assert run.json("predict", masks.id, "--model", "small", *BFLOAT16, "--dry-run")["difference"] > 0
    assert not list(run.store.glob("models/*/kept/*"))
    assert not machine.state_folder().exists()


@pytest.mark.long
def test_where_nothing_of_the_users_can_be_written_it_is_measured_each_time(run, tmp_path, loaded):
    (tmp_path / "state").write_text("a file in the place of a folder")
    asked(run, 41)
    loaded.clear()
    assert BEFORE not in asked(run, 42)[1]
    assert loaded == ["bfloat16", "float32"]


def test_it_is_nothing_to_decide_about(run):
    asked(run, 43)
    # Graphs that are kept are entries too.
    assert {each.kind for each in trust.entries()} >= {"compared"}
    assert run.json("trust", "list")["trusted"] == []


@pytest.mark.long
def test_what_predicts_and_checks_loads_each_model_once(run, loaded):
    words = ["--first", 1, "--samples", 40, "--model", "small", *BFLOAT16]
    run.json("explain", "faces", *words)
    assert len(Store(run.store).artifacts(("checks",))) == 1
    assert loaded == ["bfloat16", "float32"]
