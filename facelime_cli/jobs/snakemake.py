"""What Snakemake reads: a Snakefile over the commands of a pipeline, and a profile for each place where it runs.

Snakemake is no part of facelime. Nothing here imports it.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jinja2 import Environment

WIDEST = 110
"""Letters of a line of a command, before its indentation."""
MOST_JOBS = 1000
"""Jobs that Snakemake hands to Slurm at a time."""
INDENT = " " * 8


@dataclass(frozen=True)
class Rule:
    """One step of a pipeline as Snakemake sees it.

    Attributes
    ----------
    name : str
        An identifier, also the name of its mark in `done/`.
    command : tuple of str
        The words that do all of it.
    reference : str
        What it makes, by kind and name.
    program : tuple of str
        The words that start facelime.
    store : tuple of str
        The words that name the store.
    after : tuple of str
        Names of the rules before it.
    shards : int
        1 where it is done in one go.
    threads : int
        Cores of each shard.
    device : bool
        Whether it asks the model.
    """

    name: str
    command: tuple[str, ...]
    reference: str
    program: tuple[str, ...]
    store: tuple[str, ...]
    after: tuple[str, ...]
    shards: int
    threads: int
    device: bool

    @property
    def whole(self) -> list[str]:
        """The words that do all of it."""
        return [*self.program, *self.command, *self.store]

    @property
    def lay_out(self) -> list[str]:
        """The words that only begin it."""
        return [*self.whole, "--lay-out"]

    @property
    def shard(self) -> list[str]:
        """The words that do one shard, up to the shard's number."""
        return [*self.whole, "--shard"]

    @property
    def seal(self) -> list[str]:
        """The words that complete it where the last shard could not."""
        return [*self.program, "seal", self.reference, *self.store]


@dataclass(frozen=True)
class Cluster:
    """What a job of Slurm asks for.

    Attributes
    ----------
    partition, account : str, optional
        None leaves it to the cluster.
    minutes : int
        Time limit of each job.
    megabytes : int
        Memory of each job; 0 leaves it to the cluster.
    gres : str, optional
        What a rule that asks the model takes, such as gpu:1.
    """

    partition: str | None
    account: str | None
    minutes: int
    megabytes: int
    gres: str | None


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """Return an identifier of Snakemake for each name; no two are the same.

    Examples
    --------
    >>> identifiers(["predict-a.b", "predict-a-b", "2nd"])
    {'predict-a.b': 'predict_a_b', 'predict-a-b': 'predict_a_b_2', '2nd': 'step_2nd'}
    """
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII)
        plain = plain if plain[:1].isalpha() else f"step_{plain}"
        taken = set(found.values())
        number, chosen = 1, plain
        while chosen in taken:
            number += 1
            chosen = f"{plain}_{number}"
        found[name] = chosen
    return found


def files(run: str, rules: Sequence[Rule], cluster: Cluster) -> dict[str, str]:
    """Return the files of a folder in which Snakemake runs a pipeline, by their path in it.

    Parameters
    ----------
    run : str
        What the run is called.
    rules : sequence of Rule
    cluster : Cluster
        What the profile for Slurm asks for.

    Returns
    -------
    dict
        The same text for the same arguments.
    """
    before = {name for rule in rules for name in rule.after}
    ends = [rule.name for rule in rules if rule.name not in before]
    devices = [name for rule in rules if rule.device and cluster.gres for name in _jobs(rule)]
    jobs = min(sum(rule.shards for rule in rules), MOST_JOBS)
    return {
        "Snakefile": _render("Snakefile.j2", run=run, rules=rules, ends=ends),
        "profiles/local/config.yaml": _render("local.yaml.j2"),
        "profiles/slurm/config.yaml": _render("slurm.yaml.j2", jobs=jobs, devices=devices, **vars(cluster)),
    }


def _jobs(rule: Rule) -> list[str]:
    return [rule.name] if rule.shards == 1 else [f"{rule.name}_begin", f"{rule.name}_shard"]


def _render(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(**values)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # What comes from outside goes through `shell` or `text`: there is no HTML here to escape.
    found = Environment(
        loader=PackageLoader("facelime_cli.jobs"),
        autoescape=False,  # noqa: S701 - as above
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["shell"] = shell
    found.filters["text"] = _text
    return found


def shell(words: Sequence[str], wildcard: str = "") -> str:
    """Return the lines of a rule's shell command.

    `exec` lets a signal reach facelime itself. What it says goes behind what an earlier try has said.

    Parameters
    ----------
    words : sequence of str
    wildcard : str
        What Snakemake fills in behind the words, and what follows it.
    """
    parts = [_braces(shlex.quote(word)) for word in words]
    lines, line = [], "exec"
    for part in [*parts, *([wildcard] if wildcard else [])]:
        if len(line) + len(part) > WIDEST:
            lines.append(line)
            line = ""
        line += f" {part}"
    return "\n".join(INDENT + json.dumps(each, ensure_ascii=False) for each in [*lines, line, " >> {log} 2>&1"])


def _braces(text: str) -> str:
    # Snakemake fills in what stands in braces.
    return text.replace("{", "{{").replace("}", "}}")


def _text(text: str) -> str:
    # Snakemake reads a resource as an expression of Python: the quotes inside make it a text.
    return json.dumps(repr(text), ensure_ascii=False)
