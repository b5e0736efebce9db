"""Whatever stands for an option: a result or one sentence, never a surprise, and nothing unfinished afterwards."""

import os
import shutil
from dataclasses import fields

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from typer.models import ArgumentInfo, ParameterInfo

from facelime_cli.options import Choice, hints, marker
from facelime_cli.stages import INDEX
from facelime_cli.store.manifests import MANIFEST
from facelime_cli.store.references import Store
from tests.support import FewRounds, words_of

pytestmark = pytest.mark.long

EXAMPLES = int(os.environ.get("FACELIME_EXAMPLES", "25"))
"""Values drawn for each option."""
COSTLY = {
    "samples": (2, 200),
    "max_samples": (2, 200),
    "epochs": (1, 2),
    "fine_tune_epochs": (0, 1),
    "steps_per_epoch": (0, 2),
    "bootstrap": (100, 200),
    "sets": (19, 30),
    "repeats": (1, 1),
    "stored": (2, 3),
    "faces": (100, 99),
    "workers": (1, 1),
    "size": (16, 64),
    "kernel_size": (1, 4),
    "batch_size": (1, 64),
    "donor": (1, 3),
    "donors": (1, 2),
    "segments": (2, 40),
    "sheet": (1, 4),
}
"""What a legitimate value of an option is bounded to, so that it takes no hours."""
WRITES_FILES = {"to", "png", "draw", "junit"}
"""Options that name a file to write: their values stay below the test's own folder."""
HUGE_INTS = [-1, 0, 2**31, 2**63, -(2**63) - 1, 2**70, 10**400]
ODD_TEXTS = [
    "-",
    "--",
    "=1+1",
    ",",
    ",,",
    '"',
    '"a,"b',
    "a=b=c",
    "all",
    "none",
    "auto",
    "1/2",
    "48x32",
    "0x10",
    "75x",
    "9" * 5000,
    "²",
    "\x1b[31m",
    "a\nb",
    "\u202e",
    "\udcff",
    "..",
    "~",
    "@",
    "@/",
    "image:",
    "1e400",
    "nan",
    "-0",
    "*",
    "%s{0}",
    "x" * 300,
]

NO_NUMBERS = [each for each in ODD_TEXTS if not each.strip("-").isdigit()] + ["9" * 5000]
PASSED_ON = {"segment", "perturb", "predict", "fit-surrogate", "check", "render"}
"""What `explain` hands its options to; they are tried there."""
WHOLE = {("demo", "seed"), ("demo", "draw")}
"""Options whose every value runs a whole demonstration."""


def ints(name, declared):
    least, most = declared.min, declared.max
    wild = st.one_of(st.sampled_from(HUGE_INTS), st.integers())
    if name not in COSTLY:
        return wild.map(str)
    low, high = COSTLY[name]
    # Beyond the bounds of the option everything is refused at once; between, only what is quick.
    refused = [each for each in HUGE_INTS if (least is not None and each < least) or (most is not None and each > most)]
    quick = [st.integers(low, high)] if low <= high else []
    return st.one_of(*quick, st.sampled_from(refused)).map(str)


def floats(name):
    if name in COSTLY:
        return st.one_of(st.floats(*COSTLY[name]), st.sampled_from([-1.0, 0.0, 1e308, float("inf")])).map(str)
    return st.one_of(st.floats(), st.sampled_from([1e308, 1e-308, -0.0, 5e-324, 1e9])).map(repr)


def texts():
    plain = st.text(st.characters(exclude_characters="\0"), max_size=20)
    numbers = st.lists(st.one_of(st.integers(-2, 5000), st.floats()), min_size=1, max_size=3)
    lists = numbers.map(lambda found: ",".join(map(str, found)))
    return st.one_of(plain, st.sampled_from(ODD_TEXTS), lists)


def values(name, kind, extras, place):
    """Return what may be typed for an option."""
    declared, choice = marker(extras, ParameterInfo), marker(extras, Choice)
    if choice is not None:
        return st.one_of(st.sampled_from(choice.values), texts())
    kinds = str(kind)
    # A text of digits would be a number, and might be a costly one.
    if "int" in kinds:
        return st.one_of(ints(name, declared), st.sampled_from(NO_NUMBERS))
    if "float" in kinds:
        return st.one_of(floats(name), st.sampled_from(NO_NUMBERS))
    if name in COSTLY:
        return st.one_of(st.integers(*COSTLY[name]).map(str), st.sampled_from(NO_NUMBERS))
    if name in WRITES_FILES:
        safe = texts().map(lambda text: text.replace("/", "_").strip(".") or "x")
        return safe.map(lambda text: f"{place}/{text}")
    return texts()


def options():
    """Return every option of every command with what is known of it."""
    found = []
    passed_on = {each.name for listed in INDEX if listed.name in PASSED_ON for each in fields(listed.load().params)}
    known_to = {listed.name: {each.name for each in fields(listed.load().params)} for listed in INDEX}
    for listed in INDEX:
        known = hints(listed.load().params)
        for name, (kind, extras) in known.items():
            an_argument = isinstance(marker(extras, ParameterInfo), ArgumentInfo)
            elsewhere = listed.name == "explain" and name in passed_on
            # A pipeline is made of what `explain` has too.
            elsewhere |= listed.name.startswith("jobs ") and name in known_to["explain"]
            if (
                not an_argument
                and not elsewhere
                and kind not in {bool, bool | None}
                and (listed.name, name) not in WHOLE
            ):
                found.append((listed.name, name))
    return found


def option_word(declared, name):
    """Return how an option is typed: its own word, or its name."""
    own = [word for word in (declared.param_decls or ()) if word.startswith("--")]
    return own[0].partition("/")[0] if own else f"--{name.replace('_', '-')}"


def command_words(command, chain, faces, tmp_path):
    """Return words with which a command answers, quickly."""
    explained = chain.reference("fit-surrogate")
    explained_by = ("--dataset", "faces", "--model", "small")
    more = {
        "demo": ["demo"],
        "pseudonyms": ["pseudonyms", faces],
        "trust": ["trust", "list"],
        "clean": ["clean"],
        "list": ["list", "faces"],
        "explain": ["explain", "faces", "--model", "small", "--first", "1", "--method", "slic", "--samples", "20"],
        "import-model": ["import-model", tmp_path / "no.keras"],
        "compare-models": ["compare-models", "small", "small", "--bootstrap", "100"],
        "activations": ["activations", "small", next(faces.rglob("*.png")), "--to", tmp_path / "maps.png"],
        "stability": ["stability", explained, "--stored", "2"],
        "sensitivity": ["sensitivity", explained],
        "take-output": ["take-output", "small", "--output", "class"],
        "show": ["show", explained],
        "finetune": ["finetune", "faces", "--backbone", "cnn-small", "--epochs", "1", "--steps-per-epoch", "1"],
        "predict": ["predict", chain.reference("perturb"), "--model", "small"],
        # With --rate nothing is measured.
        "jobs slurm": ["jobs", "slurm", *explained_by, "--force", "--rate", "100", "--to", tmp_path / "slurm"],
        "jobs local": ["jobs", "local", *explained_by, "--force", "--devices", "2", "--to", tmp_path / "local"],
        "jobs status": ["jobs", "status", tmp_path],
        "jobs snakemake": ["jobs", "snakemake", "--dataset", "faces", "--model", "small", "--to", tmp_path / "jobs"],
        "gate": ["gate", explained, "--inside", "lungs", ">=0"],
        "export": ["export", explained, "--to", tmp_path / "out.csv"],
        "status": ["status"],
        "prune": ["prune", "--unused"],
        "rename": ["rename", "faces", "faces"],
        "again": ["again", explained],
    }
    return more[command] if command in more else words_of(command, chain, faces)


def without(words, option):
    """Return words without an option and its value."""
    words = [str(word) for word in words]
    if option in words:
        place = words.index(option)
        del words[place : place + 2]
        # An option may have two values.
        while words[place : place + 1] and not words[place].startswith("-"):
            del words[place]
    return words


def unfinished(store):
    """Return the artifacts of a store that have no manifest."""
    return {path for kind in store.iterdir() if kind.is_dir() for path in kind.glob("[!.]*") if path.is_dir()} - {
        path.parent for path in store.glob(f"*/*/{MANIFEST}")
    }


def check_answered_or_refused(run, words):
    before = unfinished(run.store)
    result = run(*words)
    assert result.exit_code in {0, 1, 2, 75}, result.exception
    assert "Traceback" not in result.stderr
    assert "error: unexpected" not in result.stderr, result.stderr
    if result.exit_code in {1, 2}:
        assert result.stdout == ""
        assert sum(line.lower().startswith("error: ") for line in result.stderr.splitlines()) == 1, result.stderr
        assert unfinished(run.store) == before


@pytest.fixture(scope="module")
def place(chain, tmp_path_factory):
    """A copy of the chain's store, whose artifacts this file alone makes."""
    folder = tmp_path_factory.mktemp("any")
    shutil.copytree(chain.made_in, folder / "store")
    return folder


@pytest.mark.parametrize(("command", "name"), options())
def test_any_value_is_answered_or_refused(chain, faces, place, command, name, monkeypatch):
    monkeypatch.chdir(place)
    run = FewRounds(place / "store")
    kind, extras = hints(next(each for each in INDEX if each.name == command).load().params)[name]
    option = option_word(marker(extras, ParameterInfo), name)
    words = without(command_words(command, chain, faces, place), option)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(values(name, kind, extras, place))
    def try_one(value):
        note(f"facelime {' '.join(words)} {option}={value!r}")
        check_answered_or_refused(run, [*words, f"{option}={value}"])

    try_one()


def test_the_test_above_can_fail(chain, place, monkeypatch):
    run = FewRounds(place / "store")
    check_answered_or_refused(run, ["show", chain.reference("fit-surrogate")])
    check_answered_or_refused(run, ["show", "nobody"])

    def surprised(*_):
        raise RuntimeError("a surprise")

    monkeypatch.setattr(Store, "resolve", surprised)
    with pytest.raises(AssertionError):
        check_answered_or_refused(run, ["show", chain.reference("fit-surrogate")])
