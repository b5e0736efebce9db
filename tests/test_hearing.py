"""What libraries say: heard once by who listens, kept without names and folders, and never on the terminal."""

import logging
import warnings

import pytest

from facelime_cli import hearing
from facelime_cli.workers import Workers

EIGHT = list(range(8))


def warn_of(number):
    warnings.warn(f"number {number % 2}", UserWarning, stacklevel=1)
    logging.getLogger("loud").error("seen %d", number % 2)
    return number


def test_a_listener_hears_each_text_once(capsys):
    said = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with hearing.heard_by(lambda *heard: said.append(heard)):
            assert [warn_of(number) for number in EIGHT] == EIGHT
    assert sorted(said) == [
        ("loud", "seen 0"),
        ("loud", "seen 1"),
        ("test_hearing", "UserWarning: number 0"),
        ("test_hearing", "UserWarning: number 1"),
    ]
    assert capsys.readouterr().err == ""


def test_without_a_listener_nothing_is_left_behind():
    handlers, show = list(logging.getLogger().handlers), warnings.showwarning
    with hearing.heard_by(None):
        warn_of(0)
    assert (logging.getLogger().handlers, warnings.showwarning) == (handlers, show)


def test_what_is_said_in_a_worker_process_is_heard_here(capfd):
    said = []
    with hearing.heard_by(lambda *heard: said.append(heard)), Workers(2) as workers:
        assert list(workers.map(warn_of, EIGHT)) == EIGHT
    assert ("loud", "seen 1") in said
    assert ("test_hearing", "UserWarning: number 1") in said
    assert capfd.readouterr().err == ""


def test_a_library_that_says_something_new_of_every_picture_fills_no_log():
    said = []
    with hearing.heard_by(lambda *heard: said.append(heard)):
        for number in range(10 * hearing.MOST_KEPT):
            logging.getLogger("chatty").warning("picture %d", number)
    assert len(said) == hearing.MOST_KEPT


def test_a_log_that_cannot_be_written_and_a_wrong_format_stop_no_work():
    def full(*_):
        raise OSError(28, "no space left on device")

    with hearing.heard_by(full):
        logging.getLogger("loud").warning("a text")
    said = []
    wrong = logging.LogRecord("loud", logging.WARNING, "", 1, "%d of %d", ("one",), None)
    hearing.Listener(lambda *heard: said.append(heard)).emit(wrong)
    assert said == [("loud", "%d of %d")]


@pytest.mark.parametrize(
    ("library", "text", "kept"),
    [
        ("keras", "cannot read '/home/jane/net.h5'", "cannot read '…'"),
        ("keras", "in /home/jane/net.h5: old", "in net.h5: old"),
        ("keras", 'the layer "Doe^Jane" is odd\nand more', "the layer '…' is odd"),
        ("pydicom.valuerep", "Invalid value for VR UI: 1.2.3.4", "a text that may quote a picture"),
        ("facelime_cli", "pydicom says Doe^Jane", "a text that may quote a picture"),
        ("PIL", "Corrupt EXIF data of Jane", "a text that may quote a picture"),
        ("loud", "x" * 1000, "x" * hearing.FIRST_LETTERS),
    ],
)
def test_a_log_keeps_no_name_and_no_folder(library, text, kept):
    assert hearing.withheld(library, text) == kept
