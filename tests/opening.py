"""Counting what is asked of a file system: on a shared one, every opening and every look is a message to its server."""

import os
import sys
from collections import Counter
from contextlib import contextmanager

LOOKS = ("stat", "lstat", "fsync")
WATCHED = {"open": "opens", "os.listdir": "listings", "os.scandir": "listings"}
_counting: list[tuple[str, Counter]] = []


def _heard(event, arguments):
    if _counting and event in WATCHED and isinstance(arguments[0], str | os.PathLike):
        store, counted = _counting[-1]
        path = os.fspath(arguments[0])
        if isinstance(path, str) and path.startswith(store):
            counted[WATCHED[event]] += 1
            if event == "open" and "/units/" in path and path.endswith(".json") and "/." not in path:
                counted["records"] += 1


@contextmanager
def counted(store, monkeypatch):
    """Yield a counter of `opens`, `listings`, `records` (opened), `stat`, `lstat` and `fsync` inside a store."""
    if _heard not in _hooks:
        sys.addaudithook(_heard)
        _hooks.append(_heard)
    found = Counter()

    def counting(name):
        look = getattr(os, name)

        def call(target, *more, **named):
            if name == "fsync" or str(target).startswith(str(store)):
                found[name] += 1
            return look(target, *more, **named)

        return call

    with monkeypatch.context() as patch:
        for name in LOOKS:
            patch.setattr(os, name, counting(name))
        _counting.append((str(store), found))
        try:
            yield found
        finally:
            _counting.pop()


_hooks: list = []
"""An audit hook cannot be taken back, so that it is given once."""
