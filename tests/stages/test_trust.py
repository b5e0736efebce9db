"""The command that lists, adds and removes what may run."""

import pytest

from facelime_cli import trust
from facelime_cli.models import backend

FUNCTION = "def classify(pictures):\n    return pictures[..., :2].mean(axis=(1, 2)) * 0 + 0.5\n"


@pytest.fixture
def run(facelime, tmp_path, monkeypatch):
    """A store with a function and a network without code, copied to a user who trusts nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half.py").write_text(FUNCTION)
    facelime.json("import-model", "half:classify", "--classes", "a,b", "--size", 16, "--name", "half")
    keras = backend.keras()
    inputs = keras.Input((16, 16, 3))
    net = keras.Model(
        inputs, keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(inputs))
    )
    net.save(tmp_path / "plain.keras")
    facelime.json("import-model", tmp_path / "plain.keras", "--classes", "a,b", "--scaling", "0..1", "--name", "plain")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    return facelime


def test_adds_lists_and_removes(run, tmp_path):
    assert run.json("trust", "list") == {"file": str(tmp_path / "another/facelime/trust.json"), "trusted": []}
    assert "you trust no model" in run("trust", "list").stdout
    added = run.json("trust", "add", "half", "--yes")
    (entry,) = run.json("trust", "list")["trusted"]
    assert (entry["digest"], entry["kind"], entry["name"]) == (added["digest"], "function", added["trusted"])
    assert entry["digest"][:12] in run("trust", "list").stdout
    again = run("trust", "add", "half")  # nothing is asked twice
    assert again.exit_code == 0
    assert str(tmp_path / "half.py") in again.stdout
    assert run.json("trust", "remove", "half")["removed"] == added["digest"]
    assert run.json("trust", "list")["trusted"] == []


def test_removes_by_the_first_digits_of_a_digest_without_the_model(run):
    digest = run.json("trust", "add", "half", "--yes")["digest"]
    run.json("remove", "models/half", "--yes")
    assert "no digest" in run.fails("trust", "remove", digest[:8])
    assert run.json("trust", "remove", digest[:12])["removed"] == digest
    assert trust.entries() == []


def test_asks_first(run):
    said = run.fails("trust", "add", "half", stdin="y\n")
    assert "half:classify" in said
    assert "give --yes" in said
    assert trust.entries() == []


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["add", "plain", "--yes"], "carries no code", 1),
        (["add", "nothing"], "nothing", 1),
        (["add"], "needs a model", 2),
        (["list", "half"], "leave half out", 2),
        (["remove", "half"], "you do not trust models/half", 1),
        (["remove", "plain"], "you do not trust models/plain", 1),
        (["remove", "f" * 64], "no digest", 1),
    ],
)
def test_what_makes_no_sense_is_one_sentence(run, words, said, code):
    assert said in run.fails("trust", *words, code=code)
    assert trust.entries() == []


def test_what_facelime_made_itself_is_not_listed(run):
    trust.add("converted", "a" * 64, "models/plain")
    assert run.json("trust", "list")["trusted"] == []
