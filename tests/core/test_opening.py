"""Only regular files are opened: nothing waits for a pipe, a device or a socket."""

import os
import socket

import pytest

from facelime_cli.core.dicom import patient_of
from facelime_cli.core.images import UnreadableError, decode, decode_mask
from facelime_cli.core.label_files import saliency
from facelime_cli.core.opening import NotRegularError, opened
from facelime_cli.errors import FacelimeError
from facelime_cli.sources import Entry, find
from facelime_cli.store import digests
from facelime_cli.tables import sheet


@pytest.fixture(params=["pipe", "folder", "socket", "device", "link to a device"])
def other(request, tmp_path, monkeypatch):
    """A path that is no regular file, called like a picture."""
    path = tmp_path / "x.png"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "socket":
        # The name of a socket must be short.
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("x.png")
    else:
        path.symlink_to("/dev/zero" if request.param == "device" else "/dev/tty")
    return path


def test_nothing_else_is_opened(other):
    with pytest.raises(NotRegularError, match="not a regular file"):
        opened(other)


def test_whatever_reads_a_file_refuses_it(other):
    for read in (decode, decode_mask):
        with pytest.raises(UnreadableError, match="not a regular file"):
            read(other)
    with pytest.raises(OSError, match="not a regular file"):
        digests.of_file(other)
    for read in (lambda path: sheet(path, ()), saliency):
        with pytest.raises(FacelimeError, match="not a regular file"):
            read(other)
    for suffix, read in ((".npy", saliency), (".npz", lambda path: find([path])), (".dcm", decode)):
        renamed = other.rename(other.with_suffix(suffix))
        with pytest.raises(FacelimeError, match="not a regular file"):
            read(renamed)
        other = renamed
    assert patient_of(other) is None


def test_a_regular_file_behind_a_link_is_opened(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b").symlink_to("a")
    with opened(tmp_path / "b") as stream:
        assert stream.read() == b"content"
    assert find([tmp_path / "b"]) == [Entry("b", tmp_path / "b")]
