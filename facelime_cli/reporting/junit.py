"""Conditions as JUnit XML, which servers for continuous integration show as tests."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from facelime_cli.core.opening import opened
from facelime_cli.errors import FacelimeError
from facelime_cli.plain import shown
from facelime_cli.store import files, temporary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from facelime_cli.reporting.gates import Outcome

SUITE = "facelime gate"
CASE = "facelime.gate"
HEAD_BYTES = 4096
ROOTS = (b"<testsuite", b"<testsuites")
"""How a report of tests begins, behind XML's own first line."""


def document(outcomes: Sequence[Outcome], properties: Mapping[str, str]) -> bytes:
    """Return conditions as a JUnit file: a test for each, which fails where the condition does not hold.

    It names no picture, since a server may show it to many people.

    Parameters
    ----------
    outcomes : sequence of Outcome
    properties : mapping
        What was judged, by name.

    Returns
    -------
    bytes
        UTF-8.
    """
    counts = {"tests": str(len(outcomes)), "failures": str(sum(not each.holds for each in outcomes)), "errors": "0"}
    root = ET.Element("testsuites", {"name": SUITE, **counts})
    suite = ET.SubElement(root, "testsuite", {"name": SUITE, **counts, "skipped": "0", "time": "0"})
    told = ET.SubElement(suite, "properties")
    for name, value in properties.items():
        ET.SubElement(told, "property", {"name": name, "value": shown(value)})
    for each in outcomes:
        name = shown(f"{each.name} {each.condition.words}")
        case = ET.SubElement(suite, "testcase", {"classname": CASE, "name": name, "time": "0"})
        said = shown(f"{each.name} is {each.value:.3f} ({', '.join(filter(None, (each.of, each.note)))})")
        if each.holds:
            ET.SubElement(case, "system-out").text = said
        else:
            message = f"{said}, and should be {each.condition.words}"
            ET.SubElement(case, "failure", {"type": "condition", "message": message}).text = message
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def check_place(path: Path) -> None:
    """Raise where a report of tests may not be written; an earlier one is replaced, as test runners do.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FacelimeError
        When something else is there, or there is no such folder.
    """
    if not path.absolute().parent.is_dir():
        raise FacelimeError(f"there is no folder {path.absolute().parent}; make it, or choose another --junit.")
    if path.is_dir():
        raise FacelimeError(f"--junit {path} is a folder; name a file.")
    if not path.exists():
        return
    with opened(path) as stream:
        begun = stream.read(HEAD_BYTES)
    if begun.strip() and not any(root in begun for root in ROOTS):
        raise FacelimeError(f"{path} exists already and is no report of tests; choose another --junit.")


def write(path: Path, content: bytes) -> None:
    """Write a report of tests whole.

    Parameters
    ----------
    path : Path
        See `check_place`.
    content : bytes
    """
    temporary.sweep([path.absolute().parent], path.name)
    files.write_whole(path.absolute(), content)
