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

from facelime_cli.jobs import templating

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jinja2 import Environment

    from facelime_cli.jobs.pipeline import Pipeline, Step

WIDEST = 110
"""Letters of a line of a command, before its indentation."""
MOST_JOBS = 1000
"""Jobs that Snakemake hands to Slurm at a time."""
INDENT = " " * 8
IN_SHARD = "--shard {wildcards.shard}/"
WITH_WORKERS = "--workers {threads}"
"""What Snakemake fills in: the shard's number, and the cores that a rule has got."""


@dataclass(frozen=True)
class Work:
    """How the steps are divided, and what a job of Slurm asks for.

    Attributes
    ----------
    shards : mapping
        Number of shards of each step, by its name; a step that it does not name is done in one go.
    threads : int
        Cores of each job.
    unit : int, optional
        Pictures of a unit; None leaves it to the stage.
    partition, account : str, optional
        None leaves it to the cluster.
    minutes : int
        Time limit of each job.
    megabytes : int
        Memory of each job; 0 leaves it to the cluster.
    gres : str, optional
        What a step that asks the model takes, such as gpu:1.
    """

    shards: Mapping[str, int]
    threads: int
    unit: int | None
    partition: str | None
    account: str | None
    minutes: int
    megabytes: int
    gres: str | None


@dataclass(frozen=True)
class Rule:
    """One step as Snakemake knows it: its rules, and the lines of their shell commands.

    Attributes
    ----------
    name : str
        An identifier, also the name of its mark in `done/`.
    step : Step
    after : tuple of str
        Names of the rules before it.
    work : Work
    """

    name: str
    step: Step
    after: tuple[str, ...]
    work: Work

    @property
    def shards(self) -> int:
        """Number of its shards; 1 where it is done in one go."""
        return self.work.shards.get(self.step.name, 1) if self.step.sharded else 1

    @property
    def jobs(self) -> list[str]:
        """Names of its rules that do the work of the stage."""
        return [self.name] if self.shards == 1 else [f"{self.name}_begin", f"{self.name}_shard"]

    @property
    def lay_out(self) -> str:
        """What only begins it."""
        return shell(self._words("--lay-out"), *self._workers)

    @property
    def shard(self) -> str:
        """What does one shard."""
        return shell(self._words(), *self._workers, f"{IN_SHARD}{self.shards}")

    @property
    def whole(self) -> str:
        """What does all of it."""
        return shell(self._words(), *self._workers)

    @property
    def seal(self) -> str:
        """What completes it where the last shard could not."""
        return shell(["facelime", "seal", self.step.output])

    def _words(self, *more: str) -> list[str]:
        unit = ["--unit", str(self.work.unit)] if self.work.unit is not None and self.step.sharded else []
        return ["facelime", *self.step.words, *unit, *more]

    @property
    def _workers(self) -> list[str]:
        return [WITH_WORKERS] if self.step.takes_workers else []


def files(pipeline: Pipeline, work: Work) -> dict[str, str]:
    """Return the files of a folder in which Snakemake runs a pipeline, by their path in it.

    Parameters
    ----------
    pipeline : Pipeline
    work : Work

    Returns
    -------
    dict
        The same text for the same arguments.
    """
    names = identifiers(each.name for each in pipeline.steps)
    rules = [Rule(names[each.name], each, tuple(names[one] for one in each.after), work) for each in pipeline.steps]
    before = {name for rule in rules for name in rule.after}
    ends = [rule.name for rule in rules if rule.name not in before]
    devices = [name for rule in rules if rule.step.asks_model and work.gres for name in rule.jobs]
    jobs = min(sum(rule.shards for rule in rules), MOST_JOBS)
    return {
        "Snakefile": _render("Snakefile.j2", pipeline=pipeline, rules=rules, ends=ends, threads=work.threads),
        "profiles/local/config.yaml": _render("local.yaml.j2"),
        "profiles/slurm/config.yaml": _render("slurm.yaml.j2", work=work, jobs=jobs, devices=devices),
    }


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """Return an identifier of Snakemake for each name; no two are the same.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    dict

    Examples
    --------
    >>> identifiers(["predict-a.b", "predict-a-b", "2nd"])
    {'predict-a.b': 'predict_a_b', 'predict-a-b': 'predict_a_b_2', '2nd': 'step_2nd'}
    """
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII)
        plain = plain if plain[:1].isalpha() else f"step_{plain}"
        number, chosen = 1, plain
        while chosen in found.values():
            number += 1
            chosen = f"{plain}_{number}"
        found[name] = chosen
    return found


def shell(words: Sequence[str], *filled: str) -> str:
    """Return the lines of a rule's shell command.

    `exec` lets a signal reach facelime itself. What it says stands behind what an earlier try has said.

    Parameters
    ----------
    words : sequence of str
    *filled : str
        What stands behind the words, with what Snakemake fills in.
    """
    lines, line = [], "exec"
    for part in [*(_braces(shlex.quote(word)) for word in words), *filled]:
        if len(line) + len(part) > WIDEST:
            lines.append(line)
            line = ""
        line += f" {part}"
    return "\n".join(INDENT + _literal(each) for each in [*lines, line, " >> {log} 2>&1"])


def _braces(text: str) -> str:
    # Snakemake fills in what stands in braces.
    return text.replace("{", "{{").replace("}", "}}")


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _resource(text: str) -> str:
    # Snakemake reads a resource as an expression of Python: the quotes inside make it a text.
    return _literal(repr(text))


@cache
def _templates() -> Environment:
    return templating.environment({"literal": _literal, "resource": _resource})


def _render(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(**values)
