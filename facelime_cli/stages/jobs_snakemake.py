"""Write a workflow of Snakemake over the commands of a pipeline, with profiles for this machine and for Slurm.

Segments and masks are made once. Each model has predictions, surrogates, check and report of its own. The same options
write the same files. Run `snakemake --profile profiles/local` or `snakemake --profile profiles/slurm` in the folder.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from facelime_cli.console import Answer
from facelime_cli.engine import Command
from facelime_cli.jobs.cluster import OPTIONS, check_folder, checked_gres, megabytes, minutes, plain, write
from facelime_cli.jobs.pipeline import params_with, planned
from facelime_cli.jobs.snakemake import Work, files
from facelime_cli.store.arrays import UNIT_PICTURES

if TYPE_CHECKING:
    from facelime_cli.engine import Context
    from facelime_cli.jobs.pipeline import Pipeline

Params: Any = params_with(OPTIONS)


def run(params: Any, context: Context) -> Answer:
    """Write the files of a pipeline."""
    check_folder(params.to, context)
    given = {"threads": params.cpus, "unit": params.unit, "minutes": minutes(params.time)}
    given |= {"partition": plain("--partition", params.partition), "account": plain("--account", params.account)}
    given |= {"megabytes": megabytes(params.memory), "gres": checked_gres(params.gres)}
    pipeline = planned(params, context)
    work = Work(shards=divided(pipeline, params.shards, params.unit), **given)
    if max(work.shards.values()) < params.shards:
        context.console.note(
            f"{pipeline.n_pictures} pictures have {max(work.shards.values())} units, so that there are no more shards; "
            "--unit N with fewer pictures makes more."
        )
    made = files(pipeline, work)
    write(params.to, made, force=params.force)
    steps = [
        {"name": each.name, "makes": each.output, "shards": work.shards.get(each.name, 1)} for each in pipeline.steps
    ]
    value = {"run": pipeline.run, "folder": str(params.to.absolute()), "files": sorted(made), "steps": steps}
    return Answer(value, [str(params.to / "Snakefile")])


def divided(pipeline: Pipeline, most: int, unit: int | None) -> dict[str, int]:
    """Return the number of shards of each step that has shards: no more than it has units.

    Parameters
    ----------
    pipeline : Pipeline
    most : int
        Shards that are wanted.
    unit : int, optional
        Pictures of a unit.

    Returns
    -------
    dict
    """
    # Large pictures have smaller units: there could be more shards than this.
    units = math.ceil(pipeline.n_pictures / (unit or UNIT_PICTURES))
    return {each.name: max(1, min(most, units)) for each in pipeline.steps if each.sharded}


COMMAND = Command("jobs snakemake", Params, run, __doc__ or "")
