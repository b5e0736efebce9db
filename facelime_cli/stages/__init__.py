"""Every subcommand, in the order of `facelime --help`. Modules here stay light: heavy imports happen inside functions."""

from facelime_cli.stages import (
    demo,
    explain,
    export,
    finetune,
    fit_surrogate,
    import_model,
    perturb,
    predict,
    preprocess,
    remove,
    render,
    repair,
    segment,
    show,
    status,
    verify,
)

COMMANDS = (
    preprocess.STAGE,
    finetune.STAGE,
    import_model.STAGE,
    segment.STAGE,
    perturb.STAGE,
    predict.STAGE,
    fit_surrogate.STAGE,
    render.STAGE,
    explain.COMMAND,
    demo.COMMAND,
    status.COMMAND,
    show.COMMAND,
    verify.COMMAND,
    repair.COMMAND,
    export.COMMAND,
    remove.COMMAND,
)
