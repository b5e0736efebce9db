"""Status: how far every artifact of a store is."""

import json
import os
import shutil
import subprocess
import time

import pytest

from facelime_cli.errors import CommandLineError
from facelime_cli.filters import Filters
from facelime_cli.stages import status
from facelime_cli.store.references import Store
from tests.store.making import complete, create, fill, made_from
from tests.support import Facelime


def test_status_tells_how_far(chain):
    shown = chain.facelime.json("status")["artifacts"]
    assert {each["kind"] for each in shown} >= {
        "datasets",
        "models",
        "segments",
        "masks",
        "predictions",
        "surrogates",
        "reports",
    }
    one = next(each for each in shown if each["artifact"] == chain["predict"].id)
    assert (one["complete"], one["state"]) == (True, "complete")
    assert one["bytes"] > 1000
    assert chain["predict"].id in chain.facelime("status").stdout


def test_status_of_an_empty_store(facelime):
    assert "nothing in" in facelime("status").stdout
    assert facelime.json("status")["artifacts"] == []


@pytest.fixture
def family(tmp_path):
    """Segments, two masks of them, predictions from one of the masks and a model, and a report of these."""
    store = Store(tmp_path / "store")
    found = {"segments": complete(store, "parts", kind="segments"), "models": complete(store, "net", kind="models")}
    found["other"] = create(store, "other", 1, kind="masks", inputs=made_from(found["segments"]))
    fill(found["other"], [0])
    found["masks"] = complete(store, "chances", kind="masks", inputs=made_from(found["segments"]))
    found["predictions"] = complete(store, "answers", inputs=made_from(found["masks"], found["models"]))
    found["reports"] = complete(store, "page", kind="reports", inputs=made_from(found["predictions"]))
    return Facelime(tmp_path / "store"), found


def named(run, *words):
    return {each["artifact"].rpartition("-")[0] for each in run.json("status", *words)["artifacts"]}


def test_totals_count_what_is_listed(family):
    run, found = family
    told = run.json("status")
    assert (told["count"], told["unfinished"], told["damaged"]) == (6, 1, 0)
    assert told["bytes"] == sum(each.n_bytes for each in found.values())
    first = run("status").stdout.splitlines()[0]
    assert first.startswith(f"{run.store}: 6 artifacts, ")
    assert first.endswith(", 1 unfinished")
    assert run("status", "--kind", "models").stdout.startswith(f"{run.store}: 1 of 6 artifacts, ")


def test_filters_choose_by_kind_name_and_state(family):
    run, found = family
    assert named(run, "--kind", "models,masks") == {"net", "other", "chances"}
    assert named(run, "--named", "*e*", "--kind", "predictions,reports,models") == {"net", "answers", "page"}
    Store(run.store).name(found["models"], "résumé")
    assert named(run, "--named", "résum?") == {"net"}
    assert named(run, "--named", found["masks"].id) == {"chances"}
    assert named(run, "--state", "unfinished") == {"other"}
    assert named(run, "--state", "worked-on") == set()
    (found["models"].path / "manifest.json").write_text("{")
    assert named(run, "--state", "damaged") == {"net"}
    assert named(run, "--state", "complete") == {"parts", "chances", "answers", "page"}
    said = run("status").stdout
    assert "1 unfinished, 1 damaged" in said
    assert f"models/{found['models'].id}" in said[said.index("why") :]


def test_what_a_live_process_works_on_is_told(family):
    run, found = family
    with found["other"].work_on(1, print) as unit:
        assert named(run, "--state", "worked-on") == named(run, "--state", "unfinished") == {"other"}
        assert not unit.finished


def test_filters_choose_by_age(family, monkeypatch):
    """Ages are of what manifests tell, not of files: a copied store keeps them."""
    run, found = family
    now = time.time()
    assert named(run, "--older-than", "1h") == set()
    assert len(named(run, "--newer-than", "1h")) == 6
    monkeypatch.setattr(
        "facelime_cli.filters.time", type("Clock", (), {"time": lambda: now + 3 * 86400, "strptime": time.strptime})
    )
    assert len(named(run, "--older-than", "2d")) == 6
    assert named(run, "--newer-than", "2d") == named(run, "--older-than", "4d") == set()
    (found["models"].path / "manifest.json").write_text("{")
    os.utime(found["models"].path, (now + 3 * 86400, now + 3 * 86400))
    assert named(run, "--newer-than", "2d") == {"net"}


def test_a_filter_that_is_none_is_refused(family):
    run, _ = family
    assert "no kind of artifact" in run.fails("status", "--kind", "modles", code=2)
    assert "--older-than 'long' should be a time such as 30d" in run.fails("status", "--older-than", "long", code=2)
    with pytest.raises(CommandLineError):
        Filters(newer_than="30 fortnights").chooser()


def tree(run, *words):
    """Return the lines of the tree without the sizes in front."""
    lines = run("status", "--tree", *words).stdout.splitlines()[1:]
    first = min(lines[0].index(kind) for kind in ("models/", "segments/") if kind in lines[0])
    return [line[first:].rstrip() for line in lines]


def test_the_tree_shows_each_below_what_it_was_made_from(family):
    run, found = family
    ids = {name: each.reference for name, each in found.items()}
    assert tree(run) == [
        ids["models"],
        ids["segments"],
        f"├{ids['masks']}",
        f"│└{ids['predictions']}",
        f"│ │ + {ids['models']}",
        f"│ └{ids['reports']}",
        f"└{ids['other']}  (1 of 3 units)",
    ]
    assert tree(run, "--kind", "predictions") == [
        ids["models"],
        ids["segments"],
        f"└{ids['masks']}",
        f" └{ids['predictions']}",
        f"    + {ids['models']}",
    ]


def test_json_tells_what_each_was_made_from(family):
    run, found = family
    told = {each["artifact"]: each["made_from"] for each in run.json("status")["artifacts"]}
    assert told[found["predictions"].id] == [found["masks"].reference, found["models"].reference]
    assert told[found["segments"].id] == []


def test_the_tree_names_what_is_gone_and_ends_in_a_circle(family):
    run, found = family
    shutil.rmtree(found["models"].path)
    said = run("status", "--tree").stdout
    assert f"+ {found['models'].reference}, which is gone" in said
    # A layout that is changed so is damaged, and says nothing of what it was made from.
    layout = json.loads((found["segments"].path / "layout.json").read_text())
    layout["inputs"] = made_from(found["reports"])
    (found["segments"].path / "layout.json").write_text(json.dumps(layout))
    assert found["segments"].reference in run("status", "--tree").stdout


def test_the_listing_fits_80_columns(family):
    run, _ = family
    store = Store(run.store)
    long = complete(store, "x" * 90, 5, kind="evaluations")
    complete(store, "demo-faces-slic-demo-cnn-consensus-check", 6, kind="evaluations")
    said = run("status").stdout.splitlines()
    assert max(len(line) for line in said[1:] if long.id not in line) <= 80
    # An id is never broken: it stands alone where it is too long.
    place = said.index(f"  {long.id}")
    assert said[place + 1].split()[0] == "complete"


def test_other_names_are_told(family):
    run, found = family
    Store(run.store).name(found["models"], "best")
    assert run("status", "--kind", "models").stdout.splitlines()[-2:] == ["    called best", "    called net"]


def test_watching_ends_where_nobody_works(chain):
    # As JSON, since an age changes from one look to the next.
    watched, listed = chain.facelime("status", "--watch", "--json"), chain.facelime("status", "--json")
    assert (watched.exit_code, watched.stdout, watched.stderr) == (0, listed.stdout, "")


def test_watching_shows_how_far_each_artifact_is(many, monkeypatch):
    """Somebody works on masks of two units: the first is done at the second look, the other at the third."""
    monkeypatch.setattr(status, "LOOK_SECONDS", 0.01)
    words = ["perturb", "parts", "--samples", 11, "--name", "watched"]
    assert many(*words, "--shard", "1/2").exit_code == 0
    (artifact,) = [each for each in Store(many.store).artifacts(["masks"]) if "watched" in each.names]
    looks = iter(["works", "works", "works", "works", ""])

    def busy(path):
        said = next(looks) if path == artifact.path else ""
        if path == artifact.path and said and next(counted) == 2:
            assert many(*words, "--shard", "2/2").exit_code == 0
        return said

    counted = iter(range(9))
    monkeypatch.setattr(status, "why_busy", busy)
    said = many("status", "--watch")
    assert said.exit_code == 0, said.stderr
    lines = [line for line in said.stderr.splitlines() if line.startswith(f"masks/{artifact.id}: ")]
    assert lines[0] == f"masks/{artifact.id}: 1 of 2 units (50 %), 0 in work"
    assert lines[-1] == f"masks/{artifact.id}: complete"


@pytest.mark.long
def test_watching_a_real_process(many, command):
    """A process that works is seen, with its claim, until it has ended."""
    words = ["predict", many.artifact("perturb", "parts", "--samples", 60, "--name", "looked-at").id]
    environment = {**os.environ, "FACELIME_STORE": str(many.store)}
    process = subprocess.Popen([*command, *words, "--model", "small", "--quiet"], env=environment)
    try:
        until = time.monotonic() + 120
        while not list((many.store / "predictions").glob("looked-at*/claims/.at-work*")) and time.monotonic() < until:
            time.sleep(0.05)
        watching = subprocess.run(
            [*command, "status", "--watch"], env=environment, capture_output=True, text=True, check=True, timeout=300
        )
    finally:
        process.wait(300)
    assert "predictions/looked-at-small-" in watching.stderr
    assert " of 2 units" in watching.stderr
    assert watching.stderr.splitlines()[-1].endswith(": complete")
