"""Conditions on the columns of a table, such as `age > 60 and sex == 'female'`: they are read, never run as code.

A cell that says nothing makes a comparison neither true nor false (the logic of three values, Kleene 1938). So a
picture whose age is unknown fits neither `age > 60` nor `not age > 60`; `age is empty` finds it.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Truth = NDArray[np.int8]
    Columns = Mapping[str, NDArray[Any]]

TRUE, UNKNOWN, FALSE = 1, 0, -1
"""What a condition says of a picture. In this order `and` is the least of two, and `or` the largest."""
LONGEST = 10_000
"""Letters of a text that is read."""
DEEPEST = 50
"""Conditions within one another: each of them calls the next."""
COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
TOKEN = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))"
    r"|'(?P<single>[^']*)'"
    r'|"(?P<double>[^"]*)"'
    r"|\[(?P<bracketed>[^\]]*)\]"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<sign>==|!=|<=|>=|<|>|\(|\)|,))"
)
END = "end"
RESERVED = frozenset({"and", "or", "not", "in", "is", "empty"})
NUMBERS, TEXTS = "numbers", "texts"


class ExpressionError(Exception):
    """A text that is no condition, or one that its columns do not fit: the text says what is wrong with it."""


@dataclass(frozen=True)
class Token:
    """A word of a condition.

    Attributes
    ----------
    kind : str
        `number`, `text`, `name`, `word` for one of `RESERVED`, `sign`, or `end`.
    value : str
    """

    kind: str
    value: str


@dataclass(frozen=True)
class Column:
    """A column, by its name."""

    name: str

    def of(self, columns: Columns) -> NDArray[Any]:
        """Return its cells."""
        return columns[self.name]

    def kind(self, columns: Columns) -> str:
        """Return whether it holds numbers or texts."""
        return NUMBERS if columns[self.name].dtype.kind in "fiu" else TEXTS

    def known(self, columns: Columns) -> NDArray[np.bool_]:
        """Return which of its cells say something."""
        cells = self.of(columns)
        return np.isfinite(cells) if self.kind(columns) == NUMBERS else np.asarray(cells != "", bool)

    @property
    def shown(self) -> str:
        """Its name, as a message has it."""
        return self.name


@dataclass(frozen=True)
class Constant:
    """A number or a text."""

    value: float | str

    def of(self, _columns: Columns) -> float | str:
        """Return its value."""
        return self.value

    def kind(self, _columns: Columns) -> str:
        """Return whether it is a number or a text."""
        return NUMBERS if isinstance(self.value, float) else TEXTS

    def known(self, _columns: Columns) -> bool:
        """Return that it always says something."""
        return True

    @property
    def shown(self) -> str:
        """Its value, as a message has it."""
        return f"{self.value:g}" if isinstance(self.value, float) else repr(self.value)


Term = Column | Constant


@dataclass(frozen=True)
class Comparison:
    """Two terms with a sign between them."""

    left: Term
    sign: str
    right: Term

    def truth(self, columns: Columns) -> Truth:
        """Return whether it is so: (N,) int8, of `TRUE`, `UNKNOWN` and `FALSE`."""
        left, right = self.left.kind(columns), self.right.kind(columns)
        if left != right:
            raise ExpressionError(f"{self.left.shown} is of {left}, and {self.right.shown} of {right}")
        so = COMPARED[self.sign](self.left.of(columns), self.right.of(columns))
        known = self.left.known(columns) & self.right.known(columns)
        return np.where(known, np.where(np.asarray(so, bool), TRUE, FALSE), UNKNOWN).astype(np.int8)


@dataclass(frozen=True)
class Empty:
    """Whether a cell says nothing."""

    column: Column

    def truth(self, columns: Columns) -> Truth:
        """Return whether it is so; it is never unknown."""
        return np.where(self.column.known(columns), FALSE, TRUE).astype(np.int8)


@dataclass(frozen=True)
class Not:
    """The contrary of a condition."""

    inner: Condition

    def truth(self, columns: Columns) -> Truth:
        """Return whether it is so; what is unknown stays unknown."""
        return np.asarray(np.negative(self.inner.truth(columns)), np.int8)


@dataclass(frozen=True)
class Joined:
    """Several conditions, all of which are true, or one at least."""

    parts: tuple[Condition, ...]
    every: bool

    def truth(self, columns: Columns) -> Truth:
        """Return whether it is so."""
        found = [each.truth(columns) for each in self.parts]
        together = np.minimum if self.every else np.maximum
        return np.asarray(together.reduce(found), np.int8)


Condition = Comparison | Empty | Not | Joined


@dataclass(frozen=True)
class Expression:
    """A condition on the columns of a table.

    Attributes
    ----------
    condition : Condition
    columns : tuple of str
        The names of the columns that it reads, each once.
    """

    condition: Condition
    columns: tuple[str, ...]

    def holds(self, columns: Columns) -> NDArray[np.bool_]:
        """Return of which pictures the condition is true.

        Parameters
        ----------
        columns : mapping
            From each name in `columns` to (N,) floats, NaN for an empty cell, or (N,) texts.

        Returns
        -------
        (N,) bool array

        Raises
        ------
        ExpressionError
            Where numbers are compared with texts.
        """
        return np.asarray(self.condition.truth(columns) == TRUE)


def parse(text: str) -> Expression:
    """Return a condition as it is typed.

    Columns stand by their names; a name with other characters than letters, digits and `_` stands in square brackets.
    Texts stand in quotes. There are ==, !=, <, <=, >, >=, `in (…)`, `is empty`, `not`, `and`, `or` and parentheses.

    Parameters
    ----------
    text : str

    Returns
    -------
    Expression

    Raises
    ------
    ExpressionError

    Examples
    --------
    >>> table = {"age": np.array([70.0, 50, np.nan]), "sex": np.array(["f", "f", ""], dtype=object)}
    >>> parse("age > 60 and sex == 'f'").holds(table).tolist()
    [True, False, False]
    >>> parse("not age > 60").holds(table).tolist()
    [False, True, False]
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"it has {len(text)} letters, and at most {LONGEST} are read")
    reader = _Reader(_tokens(text))
    condition = reader.either(0)
    if reader.next.kind != END:
        reader.refuse("`and`, `or` or the end")
    return Expression(condition, tuple(dict.fromkeys(reader.columns)))


def _tokens(text: str) -> list[Token]:
    """Return the words of a condition, and its end."""
    found, place, length = [], 0, len(text.rstrip())
    while place < length:
        match = TOKEN.match(text, place)
        if match is None:
            rest = text[place:].strip()
            if rest.startswith("="):
                raise ExpressionError("a comparison is written ==, not =")
            if rest[0] in "'\"[":
                raise ExpressionError(f"what {rest[0]} opens is not closed")
            raise ExpressionError(f"{rest[:20]!r} cannot be read")
        found.append(_token(match))
        place = match.end()
    return [*found, Token(END, "")]


def _token(match: re.Match[str]) -> Token:
    kind, value = str(match.lastgroup), match[str(match.lastgroup)]
    if kind in {"single", "double"}:
        return Token("text", value)
    if kind == "word" and value.lower() in RESERVED:
        return Token("word", value.lower())
    return Token("name" if kind in {"word", "bracketed"} else kind, value)


class _Reader:
    """Reads a condition word by word, each method one rule of its grammar."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens, self._place = tokens, 0
        self.columns: list[str] = []

    @property
    def next(self) -> Token:
        """The word that is read next."""
        return self._tokens[self._place]

    def refuse(self, wanted: str) -> NoReturn:
        """Raise for the word that is read next."""
        found = "it ends" if self.next.kind == END else f"{self.next.value!r} stands"
        raise ExpressionError(f"{found} where {wanted} should be")

    def takes(self, *words: str) -> bool:
        """Return whether the next words are these, which are read then."""
        ahead = self._tokens[self._place : self._place + len(words)]
        if [each.value for each in ahead if each.kind in {"word", "sign"}] != list(words):
            return False
        self._place += len(words)
        return True

    def _needs(self, word: str) -> None:
        if not self.takes(word):
            self.refuse(word)

    def either(self, depth: int) -> Condition:
        """Read conditions with `or` between them."""
        if depth > DEEPEST:
            raise ExpressionError(f"more than {DEEPEST} conditions stand within one another")
        parts = [self._all(depth)]
        while self.takes("or"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Joined(tuple(parts), every=False)

    def _all(self, depth: int) -> Condition:
        parts = [self._one(depth)]
        while self.takes("and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Joined(tuple(parts), every=True)

    def _one(self, depth: int) -> Condition:
        if depth > DEEPEST:
            raise ExpressionError(f"more than {DEEPEST} conditions stand within one another")
        if self.takes("not"):
            return Not(self._one(depth + 1))
        if self.takes("("):
            inner = self.either(depth + 1)
            self._needs(")")
            return inner
        return self._about(self._term())

    def _about(self, left: Term) -> Condition:
        """Read what is said of a term."""
        if isinstance(left, Column):
            for words, is_so in ((("is", "empty"), True), (("is", "not", "empty"), False)):
                if self.takes(*words):
                    return Empty(left) if is_so else Not(Empty(left))
            if self.takes("in"):
                return self._among(left)
            if self.takes("not", "in"):
                return Not(self._among(left))
        compared: list[Condition] = []
        while self.next.kind == "sign" and self.next.value in COMPARED:
            sign = self.next.value
            self._place += 1
            right = self._term()
            if not isinstance(left, Column) and not isinstance(right, Column):
                raise ExpressionError(f"{left.shown} {sign} {right.shown} names no column")
            compared.append(Comparison(left, sign, right))
            left = right
        if not compared:
            self.refuse("a comparison such as == or >")
        return compared[0] if len(compared) == 1 else Joined(tuple(compared), every=True)

    def _among(self, column: Column) -> Condition:
        self._needs("(")
        parts: list[Condition] = [Comparison(column, "==", self._term())]
        while self.takes(","):
            parts.append(Comparison(column, "==", self._term()))
        self._needs(")")
        return Joined(tuple(parts), every=False)

    def _term(self) -> Term:
        token = self.next
        if token.kind not in {"number", "text", "name"}:
            self.refuse("a column, a number or a text in quotes")
        self._place += 1
        if token.kind == "name":
            self.columns.append(token.value)
            return Column(token.value)
        return Constant(float(token.value) if token.kind == "number" else token.value)
