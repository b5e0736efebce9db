"""Every subcommand: one module each, and a light index of them for `facelime --help`.

The index repeats the first line of each module's docstring, so that the list needs none of these modules. A test
compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facelime_cli.engine import Command, Stage


@dataclass(frozen=True)
class Listed:
    """A subcommand as `facelime --help` lists it."""

    name: str
    heading: str
    summary: str

    @property
    def module(self) -> str:
        """The name of its module in this folder."""
        return self.name.replace("-", "_").replace(" ", "_")

    def load(self) -> Stage | Command:
        """Return the subcommand; its module is imported now."""
        module = import_module(f"{__name__}.{self.module}")
        found: Stage | Command = module.STAGE if hasattr(module, "STAGE") else module.COMMAND
        return found


def _listed(heading: str, **summaries: str) -> list[Listed]:
    return [Listed(name.replace("_", "-"), heading, summary) for name, summary in summaries.items()]


INDEX = (
    *_listed(
        "First steps",
        demo="Run everything on drawn faces: a first report in a minute, without data or a download.",
        explain="Explain pictures in one go: several views, their consensus, the check by the model, and the report.",
    ),
    *_listed(
        "Data",
        preprocess="Read pictures into a dataset: upright RGB at one size, with labels, patients and splits.",
        describe="Describe a dataset: its classes, the columns of its table, sample pictures, and what could leak.",
        list="List the ids of a dataset's pictures, one in each line: all, or those that the options choose.",
        pseudonyms="Say which file each pseudonym stands for, with the user's key.",
    ),
    *_listed(
        "Network",
        finetune="Train a network on a dataset: a pretrained one with a new head, or one from nothing.",
        import_model="Bring a model from outside into the store, with its input scaling and its class names.",
        take_output="Make a model of one output of a network that learned several labels, see `finetune --labels`.",
        evaluate="Measure a model on labelled pictures: figures with intervals, curves, calibration, subgroups "
        "and worst mistakes.",
        compare_models="Compare models on the same pictures: differences with intervals, and the pictures that only "
        "one of two gets right.",
        activations="Show what a network's layers answer to a picture: their feature maps, tiled, one PNG file a "
        "layer.",
    ),
    *_listed(
        "LIME, stage by stage",
        segment="Divide each picture into segments.",
        perturb="Decide which segments each perturbed picture keeps, and what stands where one is switched off.",
        predict="Ask the model about every perturbed picture.",
        fit_surrogate="Fit a linear surrogate to the predictions: one coefficient per segment and class, "
        "with its interval.",
        consensus="Join several views of the same pictures into one explanation: coefficients, intervals and votes.",
        check="Ask the model whether an explanation is true: what it loses without the strongest regions, and without "
        "others.",
        render="Write a report: one page that opens from disk, with the figures of every segment and a table "
        "of coefficients.",
    ),
    *_listed(
        "Other explanations",
        gradcam="Explain by gradients (Grad-CAM): where a convolution's maps speak for a class, pooled on segments.",
        occlusion="Explain by switching off one segment at a time: how far the model's probability falls.",
        import_maps="Bring maps from elsewhere: pool PNG or NumPy files on segments, so that they can be checked.",
        contrast="Explain why one class rather than another, from the same stored predictions.",
    ),
    *_listed(
        "Comparing explanations",
        compare="Compare explanations of the same pictures: how far their strongest segments, ranks and signs agree.",
        stability="Explain the same pictures again with other seeds, and say how far the explanations agree.",
        sensitivity="Explain the same pictures with other segments and fills, and say what holds whatever you choose.",
    ),
    *_listed(
        "Pipelines",
        gate="Say whether explanations and a model are good enough, for pipelines: exit with 0 where every condition "
        "holds.",
    ),
    Listed(
        "jobs slurm",
        "Many machines",
        "Write job scripts for Slurm: one for each step from segments to the report, and go.sh, which submits them.",
    ),
    Listed(
        "jobs status",
        "Many machines",
        "Show how far a pipeline under Slurm is: for each step, what is done, runs, waits or has failed.",
    ),
    Listed(
        "jobs local",
        "Many machines",
        "Write a script that runs a pipeline on one machine with several graphics cards: one process for each.",
    ),
    Listed(
        "jobs snakemake",
        "Many machines",
        "Write a workflow of Snakemake over the commands of a pipeline, with profiles for this machine and for Slurm.",
    ),
    *_listed(
        "Store",
        status="List the artifacts in the store: how far they are, how large, and how old.",
        show="Show one artifact: what made it, from what, and what its arrays hold; or draw it.",
        diff="Say what differs between two artifacts of a kind: parameters, inputs, versions and results.",
        log="Say how an artifact was made: when, by which processes, on which machine, and how fast.",
        again="Make an artifact again with something changed, such as --set samples=3000.",
        rename="Give an artifact another name; its id and all that was made from it stay.",
        export="Write an artifact into a file to hand over, or its maps into a folder for other viewers.",
        verify="Recompute every digest of one artifact, or of all, and name what differs.",
        seal="Seal an artifact whose units are all done, when the process that did the last one could not.",
        repair="Mend what `verify` finds broken in an artifact.",
        remove="Delete an artifact, after a question.",
        prune="List artifacts that are old, superseded or unused, with their sizes, and remove them with --yes.",
        trust="List, add or remove the models whose code may run here: Lambda layers, SavedModels, Python functions.",
        config="Show the defaults of this folder: store, model, runtime and preset, and where each value comes from.",
        completion="Print the script with which a shell completes commands, options, artifacts, classes and pictures "
        "at the Tab key.",
        clean="List what killed commands left in the store, and remove it with --yes.",
    ),
)
"""Every subcommand, in the order and under the headings of `facelime --help`."""
