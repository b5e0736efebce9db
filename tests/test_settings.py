"""Defaults of a project: a file, variables of the environment, and where each value comes from."""

import os
import subprocess
import sys

import pytest

from facelime_cli import settings
from facelime_cli.errors import FacelimeError
from facelime_cli.store.references import Store
from tests.support import Facelime


@pytest.fixture(name="project")
def _project(chain, tmp_path, monkeypatch):
    """A working folder whose settings name the chain's store and model."""
    for name in settings.SETTINGS:
        monkeypatch.delenv(settings.variable(name), raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facelime.toml").write_text(f'store = "{chain.facelime.store}"\nmodel = "small"\n')
    return tmp_path


class Here(Facelime):
    """Runs commands without --store."""

    def __call__(self, *words, stdin=None):
        from typer.testing import CliRunner

        from facelime_cli.cli import app

        return CliRunner().invoke(app, [*map(str, words)], input=stdin)


@pytest.mark.usefixtures("project")
def test_the_file_stands_in_for_what_is_not_given_and_is_said_once(chain):
    run = Here(None)
    done = run("predict", chain["perturb"].id)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{chain['predict'].id}\n"
    assert done.stderr.count("facelime.toml") == 1
    assert f"facelime.toml sets store {chain.facelime.store}, model small." in done.stderr
    assert "facelime.toml" not in run("predict", chain["perturb"].id, "--quiet").stderr
    # Only what the command has used is said.
    told = run("verify", chain["perturb"].reference, "--store", chain.facelime.store)
    assert told.exit_code == 0
    assert "facelime.toml" not in told.stderr


@pytest.mark.usefixtures("project")
def test_an_option_comes_before_a_variable_and_a_variable_before_the_file(chain, monkeypatch):
    run = Here(None)
    monkeypatch.setenv("FACELIME_MODEL", "of-the-variable")
    assert "of-the-variable" in run.fails("predict", chain["perturb"].id)
    assert run("predict", chain["perturb"].id, "--model", "small").exit_code == 0
    monkeypatch.setenv("FACELIME_MODEL", "")
    assert run("predict", chain["perturb"].id).exit_code == 0


def test_a_model_is_set_only_where_a_command_needs_one(chain, project):
    """`check` and `gradcam` ask the model of what they read."""
    (project / "facelime.toml").write_text(f'store = "{chain.facelime.store}"\nmodel = "missing"\n')
    run = Here(None)
    done = run("check", chain.reference("fit-surrogate"))
    assert done.stdout == f"{chain['check'].id}\n", done.stderr
    assert "missing" in run.fails("predict", chain["perturb"].id)


def test_a_preset_is_set_only_where_a_command_has_it(chain, project):
    (project / "facelime.toml").write_text(f'store = "{chain.facelime.store}"\npreset = "face"\n')
    run = Here(None)
    assert run.json("perturb", chain["segment"].id, "--samples", 90)["artifact"] == chain["perturb"].id
    segments = run("segment", "faces", "--first", 2, "--name", "preset")
    assert "preset face" in segments.stderr
    found = Store(chain.facelime.store).resolve(segments.stdout.strip()).parameters
    assert (found["compactness"], found["sigma"]) == (20.0, 1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("store = artifacts", "is no TOML"),
        ("\xff\xfe", "is no TOML"),
        ('stores = "a"', "sets 'stores', which is no setting"),
        ("store = 3", "sets store to 3; give it a text"),
        ('store = ""', "sets store to ''"),
        ('[store]\na = "b"', "give it a text"),
        ('preset = "faces"', "sets preset to 'faces', which there is not; choose one of face"),
        ('runtime = "fast"', "sets runtime to 'fast', which there is not; choose one of keras"),
        ("x" * 70_000, "too long"),
        ("a=" + "[" * 20_000, "is no TOML"),
    ],
)
def test_a_wrong_file_is_refused_in_a_sentence(project, text, words):
    (project / "facelime.toml").write_bytes(text.encode("latin-1"))
    run = Here(None)
    assert words in run.fails("status")
    # Help is there all the same.
    assert run("status", "--help").exit_code == 0


def test_what_is_no_file_is_neither_read_nor_waited_for(project):
    (project / "facelime.toml").unlink()
    os.mkfifo(project / "facelime.toml")
    assert "a named pipe" in Here(None).fails("status")


@pytest.mark.usefixtures("project")
def test_a_wrong_variable_is_named(monkeypatch):
    monkeypatch.setenv("FACELIME_PRESET", "faces")
    assert "FACELIME_PRESET sets preset to 'faces'" in Here(None).fails("status")


def test_the_nearest_file_above_the_working_folder_counts_and_its_store_stands_beside_it(project, monkeypatch):
    (project / "facelime.toml").write_text('store = "kept"\n')
    deep = project / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert settings.read()["store"].value == str(project / "kept")
    (deep / "facelime.toml").write_text('store = "own"\n')
    assert settings.read() == {"store": settings.Setting("own", "facelime.toml", from_file=True)}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
def test_a_file_of_another_user_above_the_working_folder_does_not_count(project, monkeypatch):
    (project / "inside").mkdir()
    os.chown(project / "facelime.toml", 54321, -1)
    assert "store" in settings.read()
    monkeypatch.chdir(project / "inside")
    assert settings.read() == {}


def test_config_says_where_each_value_comes_from(chain, project, monkeypatch):
    run = Here(None)
    monkeypatch.setenv("FACELIME_RUNTIME", "keras")
    found = run.json("config")
    assert found["file"] == str(project / "facelime.toml")
    assert found["settings"] == {
        "store": {"value": str(chain.facelime.store), "from": "facelime.toml"},
        "model": {"value": "small", "from": "facelime.toml"},
        "runtime": {"value": "keras", "from": "FACELIME_RUNTIME"},
        "preset": {"value": None, "from": "default"},
    }
    shown = run("config").stdout
    assert all(word in shown for word in ("comes from", "FACELIME_RUNTIME", "facelime.toml", "small"))
    assert run.json("config", "--store", "other")["settings"]["store"] == {"value": "other", "from": "--store"}
    monkeypatch.setenv("FACELIME_STORE", "third")
    assert run.json("config")["settings"]["store"] == {"value": "third", "from": "FACELIME_STORE"}
    (project / "facelime.toml").unlink()
    monkeypatch.delenv("FACELIME_STORE")
    assert run.json("config")["settings"]["store"] == {"value": "artifacts", "from": "default"}
    assert not (project / "artifacts").exists()


def test_python_takes_the_same_defaults(chain, project, capsys):
    import facelime_cli.api as fl

    assert fl.predict(chain["perturb"].id).reference == chain.reference("predict")
    told = capsys.readouterr().err
    assert f"sets store {chain.facelime.store}" in told
    assert "sets model small" in told
    (project / "facelime.toml").write_text("store = 1")
    with pytest.raises(FacelimeError, match="give it a text"):
        fl.artifact("small")


def test_a_working_folder_that_is_gone_has_no_settings(tmp_path):
    code = "import os, sys; os.rmdir(os.getcwd()); from facelime_cli import settings; sys.exit(len(settings.read()))"
    gone = tmp_path / "gone"
    gone.mkdir()
    kept = {name: each for name, each in os.environ.items() if not name.startswith("FACELIME_")}
    assert subprocess.run([sys.executable, "-c", code], cwd=gone, env=kept, check=False).returncode == 0
