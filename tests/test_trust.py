"""The file of what a user trusts: whole, private, and never believed where others could have written it."""

import os
import stat
import subprocess
import sys

import pytest

from facelime_cli import machine, trust
from facelime_cli.errors import BrokenError, FacelimeError

ONE, TWO = "1" * 64, "2" * 64
ADD_MANY = """
import sys
from facelime_cli import trust
for number in range(20):
    trust.add("keras", f"{int(sys.argv[1]) + number:064x}", "models/many")
"""


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A user who trusts nothing yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "facelime"


def test_keeps_content_and_kind_until_it_is_removed(state):
    assert trust.entries() == []
    assert not state.exists()
    trust.add("keras", ONE, "models/a")
    trust.add("keras", ONE, "models/again")
    trust.add("function", TWO, "models/b")
    assert [(each.digest, each.name) for each in trust.entries()] == [(ONE, "models/a"), (TWO, "models/b")]
    assert trust.is_trusted("keras", ONE)
    assert not trust.is_trusted("function", ONE)
    trust.remove(ONE)
    assert not trust.is_trusted("keras", ONE)
    assert trust.is_trusted("function", TWO)


def test_is_private_whatever_the_umask(state):
    before = os.umask(0)
    try:
        trust.add("keras", ONE, "models/a")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (state, state / trust.FILE, state / trust.LOCK)}
    assert modes == {"facelime": 0o700, trust.FILE: 0o600, trust.LOCK: 0o600}


def test_two_processes_at_once_lose_no_entry(state):
    started = [subprocess.Popen([sys.executable, "-c", ADD_MANY, str(first)]) for first in (0, 1000)]
    assert [process.wait() for process in started] == [0, 0]
    assert {int(each.digest, 16) for each in trust.entries()} == {*range(20), *range(1000, 1020)}
    assert sorted(path.name for path in state.iterdir()) == [trust.FILE, trust.LOCK]


def test_stands_in_the_home_folder_where_nothing_else_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME")
    assert machine.state_folder() == tmp_path / ".local/state/facelime"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert machine.state_folder() == tmp_path / ".local/state/facelime"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"schema": 1}',
        b'{"schema": 2, "trusted": []}',
        b'{"schema": 1, "trusted": {}}',
        b'{"schema": 1, "trusted": [3]}',
        b'{"schema": 1, "trusted": [{"digest": "x", "kind": "keras", "name": "a", "added": "b"}]}',
        b'{"schema": 1, "trusted": [{"digest": 3, "kind": "keras", "name": "a", "added": "b"}]}',
        b'{"schema": 1, "trusted": [{"digest": "x"}]}',
    ],
    ids=lambda content: repr(content[:30]),
)
def test_a_damaged_file_is_named_and_never_trust(state, content):
    trust.add("keras", ONE, "models/a")
    (state / trust.FILE).write_bytes(content)
    with pytest.raises(BrokenError, match=r"trust\.json is damaged, so nothing in it counts as trusted; move it away"):
        trust.is_trusted("keras", ONE)
    # Nor is it written over: it may be somebody's only list.
    with pytest.raises(BrokenError):
        trust.add("keras", TWO, "models/b")
    assert (state / trust.FILE).read_bytes() == content


@pytest.mark.parametrize("name", ["", trust.FILE])
def test_what_others_can_write_is_never_trust(state, name):
    trust.add("keras", ONE, "models/a")
    (state / name).chmod(0o777)
    with pytest.raises(BrokenError, match="is not yours alone, so nothing in it counts as trusted"):
        trust.is_trusted("keras", ONE)
    (state / name).chmod(0o700)
    assert trust.is_trusted("keras", ONE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_the_file_of_another_user_is_never_trust(state):
    trust.add("keras", ONE, "models/a")
    os.chown(state / trust.FILE, 12345, 12345)
    with pytest.raises(BrokenError, match="is not yours alone"):
        trust.is_trusted("keras", ONE)


def test_a_named_pipe_is_not_waited_for(state):
    trust.add("keras", ONE, "models/a")
    (state / trust.FILE).unlink()
    os.mkfifo(state / trust.FILE, 0o600)
    with pytest.raises(BrokenError, match="is damaged"):
        trust.is_trusted("keras", ONE)


def test_a_folder_that_cannot_be_made_is_one_sentence(state):
    state.parent.write_text("a file")
    with pytest.raises(FacelimeError, match=r"which cannot be used .*; make it a folder of yours"):
        trust.add("keras", ONE, "models/a")


def test_the_tests_never_touch_the_users_own_file():
    said = "from facelime_cli import machine; print(machine.state_folder())"
    found = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f"{os.environ['FACELIME_TEST_STATE']}/facelime" == str(machine.state_folder())
    assert "facelime-state-" in str(machine.state_folder())
