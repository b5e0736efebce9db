"""Write a workflow of Snakemake over the commands of a pipeline, with profiles for this machine and for Slurm.

Segments and masks are made once. Each model has predictions, surrogates, check and report of its own. The same options
write the same files. Run `snakemake --profile profiles/local` or `snakemake --profile profiles/slurm` in the folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facelime_cli.console import Answer
from facelime_cli.engine import Command
from facelime_cli.jobs import forecast
from facelime_cli.jobs.cluster import OPTIONS, check_folder, checked_gres, megabytes, minutes, plain, write
from facelime_cli.jobs.dividing import divided
from facelime_cli.jobs.pipeline import params_with, planned
from facelime_cli.jobs.snakemake import Work, files

if TYPE_CHECKING:
    from facelime_cli.engine import Context

Params: Any = params_with(OPTIONS)


def run(params: Any, context: Context) -> Answer:
    """Write the files of a pipeline."""
    check_folder(params.to, context)
    given = {"threads": params.cpus, "unit": params.unit, "minutes": minutes(params.time)}
    given |= {"partition": plain("--partition", params.partition), "account": plain("--account", params.account)}
    given |= {"megabytes": megabytes(params.memory), "gres": checked_gres(params.gres)}
    pipeline = planned(params, context)
    # Nothing is loaded only to write files: any rate does where none counts.
    works = forecast.works_of(pipeline, context, rate=1.0, unit=params.unit)
    how = divided(pipeline, works, params.shards, known=False)
    made = files(pipeline, Work(shards=how.shards, **given))
    write(params.to, made, force=params.force)
    steps = [{"name": each.name, "makes": each.output, "shards": how.shards[each.name]} for each in pipeline.steps]
    value = {"run": pipeline.run, "folder": str(params.to.absolute()), "files": sorted(made), "steps": steps}
    return Answer({**value, "doubts": how.doubts}, [str(params.to / "Snakefile")], said=how.doubts)


COMMAND = Command("jobs snakemake", Params, run, __doc__ or "")
