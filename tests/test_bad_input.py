"""Bad input of every command: one sentence, the right exit code, nothing on stdout, and a store that is as it was."""

import os
import re
from pathlib import Path

import pytest

from facelime_cli.stages import INDEX

HUGE, LONG = str(2**70), "9" * 5000
OUT_OF_RANGE = "is not in the range"
VALUE = ("--output-kind", "value", "--size", "48", "--names", "age")
JOBS = ("jobs", "snakemake")
SNAKE = (*JOBS, "--dataset", "faces", "--model", "small")
SLURM = ("jobs", "slurm", "--dataset", "faces", "--model", "small")
LOCAL = ("jobs", "local", "--dataset", "faces", "--model", "small")
"""Words in braces stand for what the store holds, see `named`."""

BAD = [
    # What every command has
    (["status", "--store", ""], "--store is empty", 2),
    (["status", "--store="], "--store is empty", 2),
    (["status", "--store", "{file}"], "is no folder", 1),
    (["verify", "--store", "{file}/below"], "is no folder", 1),
    (["nothing"], "No such command", 2),
    # Around the store
    (["status", "--kind", "modles"], "no kind of artifact", 2),
    (["status", "--kind", "models,,"], "'' is no kind", 2),
    (["status", "--older-than", "soon"], "--older-than 'soon' should be a time", 2),
    (["status", "--newer-than", LONG], "should be a time such as 30d", 2),
    (["status", "--state", "new"], "--state", 2),
    (["diff", "faces", "nobody"], "nothing called", 1),
    (["diff", "faces", "small"], "name two artifacts of one kind", 1),
    (["diff", "faces"], "Missing argument", 2),
    (["log", "nobody"], "nothing called", 1),
    (["rename", "faces", "a/b"], "cannot be a name; change NEW", 1),
    (["rename", "faces", ""], "cannot be a name; change NEW", 1),
    (["rename", "faces", "x", "--old", "nobody"], "is not called 'nobody'", 1),
    (["rename", "nobody", "x"], "nothing called", 1),
    (["prune"], "give --keep-last, --older-than or --unused", 2),
    (["prune", "--named", "*"], "give --keep-last, --older-than or --unused", 2),
    (["prune", "--keep-last", "0"], OUT_OF_RANGE, 2),
    (["prune", "--older-than", "-3d"], "should be a time such as 30d", 2),
    (["remove", "datasets/faces", "--yes"], "remove those first, or give --with-children", 1),
    (["again", "nobody"], "nothing called", 1),
    (["again", "{surrogates}", "--set", "samples"], "should be OPTION=VALUE", 2),
    (["again", "{surrogates}", "--set", "=3"], "should be OPTION=VALUE", 2),
    (["again", "{surrogates}", "--set", "colour=3"], "no command that made", 2),
    (["again", "{surrogates}", "--set", "render.top=3"], "no command that made", 2),
    (["again", "{surrogates}", "--set", "alpha=x"], "`facelime fit-surrogate`", 2),
    (["again", "{surrogates}", "--set", "surrogate=nothing"], "`facelime fit-surrogate`", 2),
    (["again", "datasets/faces", "--set", "size=24"], "add --set preprocess.source=PATH", 1),
    (["show", "faces", "--command", "--format", "json"], "--command prints commands alone", 2),
    (["segment"], "Missing argument", 2),
    (["segment", "faces", "parts"], "unexpected extra argument", 2),
    (["segment", "faces", "--nothing"], "No such option", 2),
    (["segment", "faces", "--store"], "requires an argument", 2),
    (["segment", "faces", "--name", ""], "cannot be a name", 1),
    (["segment", "faces", "--name", "../up"], "cannot be a name", 1),
    (["segment", "faces", "--name", "a/b"], "cannot be a name", 1),
    (["segment", "faces", "--name", ".hidden"], "cannot be a name", 1),
    (["segment", "faces", "--name", "a\nb"], "cannot be a name", 1),
    (["segment", "faces", "--name", "a\x1b[31m"], "cannot be a name", 1),
    (["segment", "faces", "--name", "x" * 101], "cannot be a name", 1),
    (["segment", "faces", "--name", "漢" * 90], "in 200 bytes", 1),
    (["segment", "faces", "--name", "a\udcff"], "cannot be a name", 1),
    (["explain", "{pictures}", "--model", "small", "--name", "a b"], "cannot be a name", 1),
    (["segment", "faces", "--shard", ""], "--shard '' should be", 2),
    (["segment", "faces", "--shard", "0/4"], "should be I/N", 2),
    (["segment", "faces", "--shard", "5/4"], "should be I/N", 2),
    (["segment", "faces", "--shard", "1/1000000000"], "N <= 100000", 2),
    (["segment", "faces", "--shard", f"1/{LONG}"], "should be I/N", 2),
    (["segment", "faces", "--shard", "²/³"], "should be I/N", 2),
    (["segment", "faces", "--shard", "one"], "should be I/N", 2),
    (["segment", "faces", "--missing", "0"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--missing", "100000000"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--unit", "0"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--unit", HUGE], OUT_OF_RANGE, 2),
    (["segment", "faces", "--unit", "two"], "not a valid int", 2),
    (["segment", "faces", "--lay-out", "--shard", "1/2"], "--lay-out does no unit, so --shard", 2),
    (["segment", "faces", "--lay-out", "--missing", "2"], "--lay-out does no unit, so --missing", 2),
    (["predict", "{masks}", "--model", "small", "--lay-out", "--dry-run"], "so --dry-run means nothing", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--unit", "2"], "No such option", 2),
    (["seal", "nobody"], "nothing called", 1),
    (["seal", ""], "REFERENCE is empty", 2),
    # References
    (["segment", ""], "DATASET is empty", 2),
    (["segment", "nobody"], "nothing called 'nobody'", 1),
    (["segment", "nobody\x1b[31m"], r"\x1b[31m", 1),
    (["segment", "no\udcff"], "nothing called", 1),
    (["segment", "x" * 5000], "", 1),
    (["segment", "../../etc"], "nothing called", 1),
    (["segment", "datasets/../models"], "nothing called", 1),
    (["segment", "models/small"], "is of kind models", 1),
    (["segment", "{masks}"], "is of kind masks", 1),
    (["segment", "./"], "nothing called", 1),
    (["show", "/"], "nothing called", 1),
    # preprocess
    (["preprocess", ""], "SOURCE is empty", 2),
    (["preprocess", "{nothing}"], "there is nothing at", 1),
    (["preprocess", "{pictures}", "--size", "15"], OUT_OF_RANGE, 2),
    (["preprocess", "{pictures}", "--size", HUGE], OUT_OF_RANGE, 2),
    (["preprocess", "{pictures}", "--size", "48.5"], "should be the side of a square", 2),
    (["preprocess", "{pictures}", "--size", LONG], "should be the side of a square", 2),
    (["preprocess", "{pictures}", "--size", ""], "--size is empty", 2),
    (["preprocess", "{pictures}", "--size", "0x10"], OUT_OF_RANGE, 2),
    (["preprocess", "{pictures}", "--size", "99999x1"], OUT_OF_RANGE, 2),
    (["preprocess", "{pictures}", "--size", "75x4097"], OUT_OF_RANGE, 2),
    (["preprocess", "{pictures}", "--size", "75x"], "or height x width such as 75x100", 2),
    (["preprocess", "{pictures}", "--size", "x75"], "or height x width such as 75x100", 2),
    (["preprocess", "{pictures}", "--size", "75x100x3"], "or height x width such as 75x100", 2),
    (["preprocess", "{pictures}", "--size", "75,100"], "or height x width such as 75x100", 2),
    (["preprocess", "{pictures}", "--size", "75 x 100"], "or height x width such as 75x100", 2),
    (["preprocess", "{pictures}", "--size", "-75x100"], "or height x width such as 75x100", 2),
    (["preprocess", "{pictures}", "--size", "²x³"], "or height x width such as 75x100", 2),
    (["preprocess", "{pictures}", "--bits", "0"], OUT_OF_RANGE, 2),
    (["preprocess", "{pictures}", "--bits", "17"], OUT_OF_RANGE, 2),
    (["preprocess", "{pictures}", "--frame", "0"], OUT_OF_RANGE, 2),
    (["preprocess", "{pictures}", "--frame", HUGE], OUT_OF_RANGE, 2),
    (["preprocess", "{pictures}", "--frame", "one"], "not a valid int", 2),
    (["preprocess", "{pictures}", "--split", "1:1"], "--split", 2),
    (["preprocess", "{pictures}", "--split", "1e400:1:1"], "--split", 2),
    (["preprocess", "{pictures}", "--folds", "2"], OUT_OF_RANGE, 2),
    (["preprocess", "{pictures}", "--crop-border", "46"], OUT_OF_RANGE, 2),
    (["preprocess", "{pictures}", "--contrast", "1e308"], OUT_OF_RANGE, 2),
    (["preprocess", "{pictures}", "--workers", "1000000"], OUT_OF_RANGE, 2),
    (["preprocess", "{pictures}", "--table", ""], "--table is empty", 2),
    (["preprocess", "{pictures}", "--fit", "none"], "--fit", 2),
    # tables of preprocess
    (["preprocess", "{pictures}", "--table", "{nothing}"], "cannot be read as a table", 1),
    (["preprocess", "{pictures}", "--table", "{pictures}"], "a folder", 1),
    (["preprocess", "{pictures}", "--table", "{file}"], "has no rows below its heading", 1),
    (["preprocess", "{pictures}", "--table", "{table}", "--id-column", "who"], "--id-column 'who' is no column", 2),
    (["preprocess", "{pictures}", "--table", "{table}", "--label-column", "x"], "several columns 'x'", 1),
    (["preprocess", "{pictures}", "--table", "{table}", "--label-columns", "dx", "--rows", "any"], "is none of", 1),
    (["preprocess", "{pictures}", "--table", "{table}", "--label-columns", ","], "names no column", 2),
    (["preprocess", "{pictures}", "--table", "{table}", "--label-columns", ""], "--label-columns is empty", 2),
    (["preprocess", "{pictures}", "--table", "{table}", "--label-column", "dx"], "--rows any", 1),
    (["preprocess", "{pictures}", "--table", "{table}", "--rows", "all"], "--rows", 2),
    (["preprocess", "{pictures}", "--table", "{table}", "--rows", "first"], "such as nobody", 1),
    (["preprocess", "{pictures}", "--table", "{table}", "--reader-column", "dx"], "--rows majority", 2),
    (["preprocess", "{pictures}", "--table", "{table}", "--uncertain", "maybe"], "--uncertain", 2),
    (["preprocess", "{pictures}", "--table", "{table}", "--blank", "drop"], "--blank", 2),
    (["preprocess", "{pictures}", "--table", "{table}", "--missing-pictures", "ignore"], "--missing-pictures", 2),
    (["preprocess", "{pictures}", "--table", "{table}", "--join", "{file}"], "", 1),
    (["preprocess", "{pictures}", "--table", "{table}", "--join", "{nothing}"], "cannot be read as a table", 1),
    (["preprocess", "{pictures}", "--table", "{table}", "--join", ""], "--join is empty", 2),
    (["preprocess", "{pictures}", "--join", "{table}"], "no table for --join;", 2),
    (["preprocess", "{pictures}", "--label-separator", ";"], "--label-separator", 2),
    (["preprocess", "{pictures}", "--split-column", "s"], "no table for --split-column;", 2),
    (["preprocess", "{pictures}", "--split-file", ""], "--split-file is empty", 2),
    (["preprocess", "{pictures}", "--split-file", "test="], "names no file", 2),
    (["preprocess", "{pictures}", "--split-file", "test={nothing}"], "cannot be read as a table", 1),
    (
        ["preprocess", "{pictures}", "--split-file", "test={table}", "--id-column", "dx"],
        "names none of the pictures",
        1,
    ),
    (["preprocess", "{pictures}", "--split-file", "{table}"], "'split' is no single column", 2),
    (["preprocess", "{pictures}", "--split-file", "test={table}", "--folds", "3"], "--folds divides all", 2),
    (["preprocess", "{pictures}", "--class-names", "{file}"], "two columns in every row", 1),
    # segment
    (["segment", "faces", "--first", "0"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--images", ""], "--images is empty", 2),
    (["segment", "faces", "--images", ","], "names no picture", 2),
    (["segment", "faces", "--images", "nobody\n"], "there is no picture", 1),
    (["segment", "faces", "--method", "none"], "--method", 2),
    (["segment", "faces", "--segments", "1"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--segments", "1e9"], "not a valid int", 2),
    (["segment", "faces", "--sigma", "1e9"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--sigma", "-0.1"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--sigma", "nan"], "finite", 2),
    (["segment", "faces", "--method", "quickshift", "--kernel-size", "1e308"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--method", "quickshift", "--kernel-size", "1e-308"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--method", "quickshift", "--max-dist", "1e308"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--method", "slic", "--compactness", "1e308"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--method", "slic", "--compactness", "0"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--method", "felzenszwalb", "--scale", "1e300"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--min-size", HUGE], OUT_OF_RANGE, 2),
    (["segment", "faces", "--workers", "1000000"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--method", "file"], "needs --labels", 2),
    (["segment", "faces", "--method", "file", "--labels", ""], "--labels is empty", 2),
    # perturb
    (["perturb", "{segments}", "--samples", "1"], OUT_OF_RANGE, 2),
    (["perturb", "{segments}", "--samples", "1000000000000"], OUT_OF_RANGE, 2),
    (["perturb", "{segments}", "--probability", "1e-400"], "both excluded", 2),
    (["perturb", "{segments}", "--probability", "5"], "both excluded", 2),
    (["perturb", "{segments}", "--fill", ""], "--fill", 2),
    (["perturb", "{segments}", "--fill", "image:"], "--fill", 2),
    (["perturb", "{segments}", "--fill", "image:{nothing}"], "there is no", 1),
    (["perturb", "{segments}", "--fill", "image:{file}"], "", 1),
    (["perturb", "{segments}", "--fill", "blur", "--fill-sigma", "1e9"], OUT_OF_RANGE, 2),
    (["perturb", "{segments}", "--fill", "blur", "--fill-sigma", "0"], OUT_OF_RANGE, 2),
    (["perturb", "{segments}", "--donor", "1000000"], OUT_OF_RANGE, 2),
    (["perturb", "{segments}", "--seed", "1.5"], "not a valid int", 2),
    (["perturb", "{segments}", "--seed", LONG], "not a valid int", 2),
    (["perturb", "{segments}", "--after", "{masks}"], "is of kind masks", 1),
    (["perturb", "{segments}", "--design", "exact", "--samples", "2"], "more than --samples 2", 1),
    # predict
    (["predict", "{masks}"], "Missing option", 2),
    (["predict", "{masks}", "--model", ""], "--model is empty", 2),
    (["predict", "{masks}", "--model", "small", "--batch-size", "1000000000"], "--batch-size", 2),
    (["predict", "{masks}", "--model", "small", "--batch-size", LONG], "--batch-size", 2),
    (["predict", "{masks}", "--model", "small", "--batch-size", "0"], "--batch-size", 2),
    (["predict", "{masks}", "--model", "small", "--batch-size", ""], "--batch-size", 2),
    (["predict", "{masks}", "--model", "small", "--tolerance", "-1e-9"], OUT_OF_RANGE, 2),
    (["predict", "{masks}", "--model", "small", "--time-budget", "1e300"], "--time-budget", 2),
    (["predict", "{masks}", "--model", "small", "--time-budget", LONG], "--time-budget", 2),
    (["predict", "{masks}", "--model", "small", "--time-budget", "-5"], "--time-budget", 2),
    (["predict", "{masks}", "--model", "small", "--time-budget", ""], "--time-budget", 2),
    # fit-surrogate
    (["fit-surrogate", "{predictions}", "--alpha", "0"], OUT_OF_RANGE, 2),
    (["fit-surrogate", "{predictions}", "--alpha", "-1"], OUT_OF_RANGE, 2),
    (["fit-surrogate", "{predictions}", "--alpha", "1e308"], OUT_OF_RANGE, 2),
    (["fit-surrogate", "{predictions}", "--kernel-width", "1e308"], OUT_OF_RANGE, 2),
    (["fit-surrogate", "{predictions}", "--kernel-width", "1e-308"], OUT_OF_RANGE, 2),
    (["fit-surrogate", "{predictions}", "--surrogate", "highest", "--features", HUGE], OUT_OF_RANGE, 2),
    (["fit-surrogate", "{predictions}", "--stable-top", "0"], OUT_OF_RANGE, 2),
    (["fit-surrogate", "{predictions}", "--stable-top", HUGE], OUT_OF_RANGE, 2),
    (["fit-surrogate", "{predictions}", "--part", "0/0"], "--part", 2),
    (["fit-surrogate", "{predictions}", "--part", f"1/{LONG}"], "--part", 2),
    (["fit-surrogate", "{predictions}", "--part", ""], "--part", 2),
    # consensus, check
    (["consensus", "{surrogates}", "--stable-top", "-1"], OUT_OF_RANGE, 2),
    (["consensus", "{surrogates}"], "two different views", 2),
    (["consensus", "{surrogates}", "nobody"], "nothing called 'nobody'", 1),
    (["check", "{surrogates}", "--regions", "0"], "--regions", 2),
    (["check", "{surrogates}", "--regions", LONG], "--regions", 2),
    (["check", "{surrogates}", "--regions", ""], "--regions", 2),
    (["check", "{surrogates}", "--sets", "18"], OUT_OF_RANGE, 2),
    (["check", "{surrogates}", "--check-classes", LONG], "there is no class", 1),
    (["check", "{surrogates}", "--check-classes", "\x1b"], r"\x1b", 1),
    (["check", "{surrogates}", "--maps", ""], "--maps is empty", 2),
    (["check", "{surrogates}", "--maps", "{nothing}"], "", 1),
    # render, show, export
    (["show", "faces", "--terminal"], "holds no explanations", 1),
    (["show", "{surrogates}", "--terminal", "--format", "csv"], "--terminal draws in the terminal", 2),
    (["show", "{surrogates}", "--terminal", "--images", "nobody"], "there is no picture", 1),
    (["render", "{surrogates}", "--dpi", "300"], "--dpi 300 is about figures", 2),
    (["render", "{surrogates}", "--dpi", "300", "--figures", "svg,pdf"], "--dpi 300 is about PNG", 2),
    (["render", "{surrogates}", "--dpi", "10", "--figures", "png"], OUT_OF_RANGE, 2),
    (["render", "{surrogates}", "--dpi", HUGE, "--figures", "png"], OUT_OF_RANGE, 2),
    (["render", "{surrogates}", "--columns", "4"], "--columns 4 is about figures", 2),
    (["render", "{surrogates}", "--columns", "0", "--figures", "png"], OUT_OF_RANGE, 2),
    (["render", "{surrogates}", "--columns", "13", "--figures", "png"], OUT_OF_RANGE, 2),
    (["render", "{surrogates}", "--top", "0"], OUT_OF_RANGE, 2),
    (["render", "{surrogates}", "--top", HUGE], OUT_OF_RANGE, 2),
    (["render", "{surrogates}", "--classes", "measles"], "no class 'measles'", 1),
    (["render", "{surrogates}", "--classes", "²"], "no class", 1),
    (["render", "{surrogates}", "--classes", "-1"], "no class", 1),
    (["render", "{surrogates}", "--figures", "exe"], "--figures", 2),
    (["render", "{surrogates}", "--beside", "nobody"], "nothing called", 1),
    (["show", "nobody"], "nothing called", 1),
    (["show", "{surrogates}", "--format", "xml"], "--format", 2),
    (["show", "{surrogates}", "--png", ""], "--png is empty", 2),
    (["show", "{surrogates}", "--images", "nobody"], "ask for them with", 2),
    (["show", "{surrogates}", "--format", "text", "--images", "nobody"], "no picture", 1),
    (["export", "{surrogates}", "--to", ""], "--to is empty", 2),
    (["export", "{surrogates}", "--to", "{nothing}/a.h5"], "there is no folder", 1),
    (["export", "{surrogates}", "--to", "{nothing}.txt"], "should end in", 2),
    (["export", "{masks}", "--to", "{nothing}.csv"], "is no table", 1),
    # attributions, comparisons
    (["gradcam", "{segments}", "--model", "small", "--batch-size", "0"], OUT_OF_RANGE, 2),
    (["gradcam", "{segments}", "--model", "small", "--layer", "nowhere"], "nowhere", 1),
    (["gradcam", "{segments}", "--model", "small", "--layer", ""], "--layer is empty", 2),
    (["gradcam", "{segments}", "--model", "small", "--variant", "rollout"], "attention of PyTorch transformers", 1),
    (["gradcam", "{segments}", "--model", "small", "--variant", "rollout", "--layer", "a"], "leave --layer a out", 2),
    (["occlusion", "{segments}", "--model", "small", "--batch-size", HUGE], OUT_OF_RANGE, 2),
    (["occlusion", "{segments}", "--model", "small", "--fill", "gold"], "--fill", 2),
    (["import-maps", "{segments}", "--model", "small", "--maps", ""], "--maps is empty", 2),
    (["contrast", "{surrogates}", "--class", "normal", "--versus", "normal"], "the same class", 2),
    (["contrast", "{surrogates}", "--class", "", "--versus", "normal"], "no class", 1),
    (["config", "store"], "unexpected extra argument", 2),
    (["gate", "{surrogates}"], "there is no condition", 2),
    (["gate", "nobody", "--confirmed", ">=0.8"], "nothing called", 1),
    (["gate", "models/small", "--confirmed", ">=0.8"], "is of kind models", 1),
    (["gate", "{surrogates}", "--confirmed", ">=0.8"], "needs a check", 1),
    (["gate", "{surrogates}", "--confirmed", ""], "--confirmed is empty", 2),
    (["gate", "{surrogates}", "--confirmed", "0.8"], "should be >=, >, <= or <", 2),
    (["gate", "{surrogates}", "--confirmed", ">=80"], "a share lies between 0 and 1", 2),
    (["gate", "{surrogates}", "--confirmed", f">={LONG}"], "should be >=, >, <= or <", 2),
    (["gate", "{surrogates}", "--accuracy", "--confirmed"], "should be >=, >, <= or <", 2),
    (["gate", "{surrogates}", "--inside", "lungs"], "unexpected extra argument", 2),
    (["gate", "{surrogates}", "--inside", "", ">=0.6"], "--inside names no region", 2),
    (["gate", "{surrogates}", "--inside", "{nothing}", ">=0.6"], "name a picture that is black outside", 1),
    (["gate", "{surrogates}", "--inside", "{file}", ">=0.6"], "name a picture that is black outside", 1),
    (["gate", "{surrogates}", "--inside", "{pictures}", ">=0.6"], "is a folder", 1),
    (["gate", "{surrogates}", "--inside", "truth", ">=0.6"], "has no known regions", 1),
    (["gate", "{surrogates}", "--inside", "lungs", ">=0", "--class", "nobody"], "nobody", 1),
    (["gate", "{surrogates}", "--figure", ">=0.8"], "should be a figure's name", 2),
    (["gate", "{surrogates}", "--figure", "kappa>=0.8"], "has no figure 'kappa'", 1),
    (["gate", "{surrogates}", "--accuracy", ">=0", "--evaluation", "nobody"], "nothing called", 1),
    (["gate", "{surrogates}", "--accuracy", ">=0", "--class", "normal"], "--class chooses explanations", 2),
    (["gate", "{surrogates}", "--inside", "lungs", ">=0", "--junit", "{pictures}"], "is a folder", 1),
    (["gate", "{surrogates}", "--inside", "lungs", ">=0", "--junit", "{file}"], "is no report of tests", 1),
    (["gate", "{surrogates}", "--inside", "lungs", ">=0", "--junit", "{nothing}/x"], "there is no folder", 1),
    (["compare", "{surrogates}"], "", 2),
    (["compare", "{surrogates}", "{surrogates}", "--top", HUGE], OUT_OF_RANGE, 2),
    (["stability", "{surrogates}", "--repeats", "101"], OUT_OF_RANGE, 2),
    (["stability", "{surrogates}", "--stored", "1"], OUT_OF_RANGE, 2),
    (["stability", "{surrogates}", "--stored", "2", "--top", "0"], OUT_OF_RANGE, 2),
    (["sensitivity", "{surrogates}", "--fills", "gold"], "gold", 2),
    (["sensitivity", "{surrogates}", "--fills", ""], "", 2),
    (["sensitivity", "{surrogates}", "--methods", "slic,none"], "none", 2),
    # models
    (["finetune", "faces"], "no network to train", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--epochs", "1000000000"], OUT_OF_RANGE, 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--patience", HUGE], OUT_OF_RANGE, 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--learning-rate", "0"], OUT_OF_RANGE, 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--learning-rate", "1e308"], OUT_OF_RANGE, 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--batch-size", "1000000000"], OUT_OF_RANGE, 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--head", "99999999999"], "--head", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--head", "²"], "--head", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--dropout", "1"], "--dropout", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--dropout", "nan"], "--dropout", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--augment", "zoom=5"], "--augment zoom=5", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--augment", "zoom=nan"], "--augment", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--freeze", LONG], "--freeze", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--seed", "-1"], OUT_OF_RANGE, 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--seed", HUGE], OUT_OF_RANGE, 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--weights", ""], "--weights is empty", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--fold", "3"], "fold", 1),
    (["finetune", "faces", "--backbone", "cnn-small", "--find-rate", "--fold", "3"], "fold", 1),
    (["finetune", "faces", "--backbone", "cnn-small", "--find-rate", "--freeze", "99"], "--freeze 99", 1),
    (["finetune", "faces", "--backbone", "cnn-small", "--class-weights", "heavy"], "--class-weights", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--labels", ""], "--labels is empty", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--labels", "class,class"], "different names", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--labels", "a,b,c,d,e,f,g,h,i"], "up to 8", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--labels", "class,nothing"], "was made without a table", 1),
    (["finetune", "faces", "--backbone", "cnn-small", "--labels", "no\x1b[31m"], r"no\x1b[31m", 1),
    (["finetune", "faces", "--backbone", "cnn-small", "--kind", "xray"], "--kind is a part of --recipe auto", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--minutes", "5"], "cnn-small starts from nothing", 2),
    (["finetune", "faces", "--backbone", "mobilenetv2", "--minutes", "nan"], "--minutes", 2),
    (["finetune", "faces", "--backbone", "mobilenetv2", "--minutes", "0"], OUT_OF_RANGE, 2),
    (["finetune", "faces", "--backbone", "mobilenetv2", "--recipe", "none", "--refit"], "--refit is a part", 2),
    (["finetune", "faces", "--recipe", "auto"], "no network to train", 2),
    (["finetune", "faces", "--backbone", "mobilenetv2", "--kind", "tree"], "--kind", 2),
    (
        ["finetune", "faces", "--backbone", "mobilenetv2", "--recipe", "auto", "--fine-tune-epochs", "3"],
        "--fine-tune-epochs is no part of --recipe auto",
        2,
    ),
    (["finetune", "faces", "--backbone", "cnn-small", "--fold", "all"], "has no folds", 1),
    (["finetune", "faces", "--backbone", "cnn-small", "--fold", "some"], "from 0, or all", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--fold", "-1"], "from 0, or all", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--fold", LONG], "from 0, or all", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--fold", ""], "--fold is empty", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--ensemble"], "--fold all", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--fold", "0", "--ensemble"], "--fold all", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--shard", "2/1"], "should be I/N", 2),
    (["finetune", "faces", "--backbone", "cnn-small", "--find-rate", "--fold", "3"], "fold", 1),
    (["finetune", "faces", "--backbone", "cnn-small", "--find-rate", "--freeze", "99"], "--freeze 99", 1),
    (["finetune", "faces", "--backbone", "cnn-small", "--class-weights", "heavy"], "--class-weights", 2),
    (["import-model", "", "--classes", "a,b"], "SOURCE is empty", 2),
    (["import-model", "{nothing}", "--classes", "a,b"], "there is no file", 1),
    (["import-model", "{file}", "--classes", "a,a", "--scaling", "0..1"], "names 'a' twice", 2),
    (["import-model", "{file}", "--classes", "a,", "--scaling", "0..1"], "leave none empty", 2),
    (["import-model", "{file}", "--classes", "", "--scaling", "0..1"], "--classes is empty", 2),
    (["import-model", "{file}", "--classes", "a,b\nc", "--scaling", "0..1"], "control character", 2),
    (["import-model", "{file}", "--classes", "a,b\x1b[31m", "--scaling", "0..1"], r"\x1b[31m", 2),
    (["import-model", "{file}", "--classes", "@{nothing}", "--scaling", "0..1"], "class names", 1),
    (["import-model", "{file}", "--classes", "a,b", "--scaling", "0..1"], "", 1),
    (["import-model", "os:getcwd", "--classes", "a,b", "--size", "32", "--output", "x"], "belongs to a network", 2),
    (["import-model", "{file}", "--classes", "a,b", "--scaling", "0..1", "--output", ""], "--output is empty", 2),
    (["import-model", "os:getcwd", "--size", "48"], "--classes is missing", 2),
    (["import-model", "os:getcwd", "--output-kind", "value", "--size", "48"], "--names is missing", 2),
    (["import-model", "os:getcwd", "--output-kind", "age", "--size", "48"], "--output-kind", 2),
    (["import-model", "os:getcwd", *VALUE, "--classes", "a,b"], "use --names instead", 2),
    (
        ["import-model", "os:getcwd", *VALUE, "--multi-label"],
        "--multi-label belongs to models that answer with prob",
        2,
    ),
    (["import-model", "os:getcwd", *VALUE, "--activation", "sigmoid"], "--activation sigmoid belongs to models", 2),
    (["import-model", "{file}", *VALUE, "--backbone", "mobilenetv2"], "--backbone mobilenetv2 belongs to models", 2),
    (["import-model", "os:getcwd", *VALUE, "--unit", "m" * 25], "cannot stand behind a number", 2),
    (["import-model", "os:getcwd", *VALUE, "--unit", "a\x1b[31m"], r"\x1b[31m", 2),
    (["import-model", "os:getcwd", *VALUE[:-1], "a,,b"], "leaves a name empty", 2),
    (["import-model", "os:getcwd", *VALUE[:-1], "@{nothing}"], "the value names in", 1),
    (["import-model", "os:getcwd", "--classes", "a,b", "--size", "48", "--names", "a"], "use --classes instead", 2),
    (["import-model", "os:getcwd", "--classes", "a,b", "--size", "48", "--unit", "m"], "--unit m belongs to", 2),
    (["import-model", "{pickle}", "--classes", "a,b", "--scaling", "0..1"], "torch.export.save", 1),
    (["import-model", "{damaged}", "--classes", "a,b", "--scaling", "0..1"], "is no network of PyTorch", 1),
    (
        ["import-model", "{file}", "--classes", "a,b", "--scaling", "0..1", "--expect", "a"],
        "--check PICTURE is missing",
        2,
    ),
    (
        ["import-model", "{file}", "--classes", "a,b", "--scaling", "0..1", "--check", "{file}", "--expect", "c"],
        "none of --classes",
        2,
    ),
    (["import-model", "{file}", "--classes", "a,b", "--scaling", "0..1", "--check", ""], "--check is empty", 2),
    (["import-model", "os:getcwd", "--classes", "a,b", "--size", "48", "--reference", "faces"], "does not show", 2),
    (["import-model", "{file}", "--classes", "a,b", "--scaling", "0..1", "--reference", ""], "--reference is empty", 2),
    (["import-model", "{file}", "--classes", "a,b", "--scaling", "0..1", "--reference", "no"], "called 'no'", 1),
    (["import-model", "{file}", "--classes", "a,b", "--scaling", "0..1", "--reference", "small"], "of kind models", 1),
    (["import-model", "os:getcwd", "--classes", "a,b", "--size", HUGE], OUT_OF_RANGE, 2),
    (["import-model", "os:getcwd", "--classes", "a,b", "--size", "15x20"], OUT_OF_RANGE, 2),
    (["import-model", "os:getcwd", "--classes", "a,b", "--size", "75x"], "or height x width such as 75x100", 2),
    (["import-model", "{file}", "--classes", "a,b", "--scaling", "imagnet"], "or write mean:A,B,C/std:D,E,F", 2),
    (["import-model", "{file}", "--classes", "a,b", "--scaling", "mean:124/std:58"], "by 255", 2),
    (["import-model", "{file}", "--classes", "a,b", "--scaling", "mean:a/std:1"], "one number or three", 2),
    (["import-model", "{file}", "--classes", "a,b", "--scaling", ""], "--scaling is empty", 2),
    (["evaluate", "small", "--bootstrap", "99"], OUT_OF_RANGE, 2),
    (["evaluate", "small", "--mistakes", "61"], OUT_OF_RANGE, 2),
    (["evaluate", "small", "--target-recall", "rosacea=2"], "--target-recall", 2),
    (["evaluate", "small", "--target-recall", "rosacea"], "--target-recall", 2),
    (["evaluate", "small", "--seed", "-1"], OUT_OF_RANGE, 2),
    (["evaluate", "small", "--output", "nothing"], "has one output", 2),
    (["evaluate", "small", "--output", ""], "--output is empty", 2),
    (["predict", "{masks}", "--model", "small", "--output", "nothing"], "has one output", 2),
    (["gradcam", "{masks}", "--model", "small", "--output", "nothing"], "has one output", 2),
    (["explain", "faces", "--model", "small", "--output", "nothing"], "has one output", 2),
    (["take-output", "small", "--output", "nothing"], "has one output", 2),
    (["take-output", "small", "--output", "no\x1b[31m"], r"no\x1b[31m", 2),
    (["take-output", "small"], "--output", 2),
    (["take-output", "{masks}", "--output", "nothing"], "is of kind masks", 1),
    (["evaluate", "small", "--thresholds", "best"], "--thresholds", 2),
    (["evaluate", "small", "--thresholds", "f1"], "--thresholds f1 is for models with a probability for each", 1),
    (["evaluate", "small", "--truth", "age"], "--truth age belongs to models that answer with values", 2),
    (["evaluate", "small", "--compare", "nothing"], "nothing", 1),
    (["evaluate", "small", "--compare", "datasets/faces"], "datasets/faces", 1),
    (["evaluate", "small", "--compare", "small-faces-test"], "of the same groups of datasets/faces-", 1),
    (["compare-models", "small"], "", 2),
    (
        ["compare-models", "small", "small", "--truth", "age"],
        "--truth age belongs to models that answer with values",
        2,
    ),
    (["compare-models", "small", "small", "--batch-size", "1000000000"], OUT_OF_RANGE, 2),
    (["activations", "small", "", "--to", "{nothing}.png"], "IMAGE is empty", 2),
    (["activations", "small", "{file}", "--to", ""], "--to is empty", 2),
    (["activations", "small", "{file}", "--to", "{nothing}.png"], "", 1),
    (["describe", "faces", "--sheet", "0"], OUT_OF_RANGE, 2),
    (["describe", "faces", "--seed", "-1"], OUT_OF_RANGE, 2),
    # Choosing pictures
    (["list"], "DATASET is missing", 2),
    (["list", "nobody"], "nothing called", 1),
    (["list", "{masks}"], "is of kind masks", 1),
    (["segment", "faces", "--class", "acne"], "no class 'acne'", 1),
    (["segment", "faces", "--class", ""], "--class is empty", 2),
    (["segment", "faces", "--from", ""], "--from is empty", 2),
    (["segment", "faces", "--from", "{nothing}"], "cannot be read", 1),
    (["segment", "faces", "--where", "("], "is no condition", 2),
    (["segment", "faces", "--where", "age > 3"], "no column 'age'; it was made without a table", 1),
    (["segment", "faces", "--where", "id > 3"], "put quotes around texts", 1),
    (["segment", "faces", "--where", "id == 'nobody'"], "leaves none of the", 1),
    (["segment", "faces", "--random", "0"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--random", HUGE, "--first", "0"], OUT_OF_RANGE, 2),
    (["segment", "faces", "--seed", "1"], "--seed 1 draws pictures for --random", 2),
    (["segment", "faces", "--mistakes", "3"], "--from-evaluation", 2),
    (["segment", "faces", "--from-evaluation", "faces"], "is of kind datasets", 1),
    (["segment", "faces", "--from-evaluation", "nobody"], "nothing called", 1),
    (["segment", "faces", "--verdict", "fair"], "means nothing without --from-check", 2),
    (["explain", "faces", "--model", "small", "--where", "id = 'a'"], "written ==", 2),
    (["explain", "faces"], "--model is missing", 2),
    (["occlusion", "{segments}", "--model", "small", "--class", "normal"], "has its own; leave it out", 2),
    # explain, demo, the store
    (["explain", "{nothing}", "--model", "small"], "", 1),
    (["explain", "faces", "--model", "nobody"], "nothing called", 1),
    (["explain", "faces", "--model", "small", "--donors", "1000000"], OUT_OF_RANGE, 2),
    (["explain", "faces", "--model", "small", "--max-samples", "1"], OUT_OF_RANGE, 2),
    (["explain", "faces", "--model", "small", "--time-budget", "soon"], "--time-budget", 2),
    (["explain", "faces", "--model", "small", "--batch-size", "none"], "--batch-size", 2),
    (["explain", "faces", "--model", "small", "--first", "1", "--views", "none"], "--views", 2),
    (["demo", "--faces", "99"], OUT_OF_RANGE, 2),
    (["demo", "--faces", "1000000000"], OUT_OF_RANGE, 2),
    (["demo", "--draw", ""], "--draw is empty", 2),
    (["verify", "nobody"], "nothing called", 1),
    (["repair", "nobody"], "nothing called", 1),
    (["remove", "nobody", "--yes"], "nothing called", 1),
    (["remove", "faces", "--yes"], "made from", 1),
    (["clean", "everything"], "Error", 2),
    (["clean", "--shard", "1/2"], "--shard", 2),
    (["trust", "gold"], "gold", 2),
    (["trust", "add"], "needs a model", 2),
    (["trust", "add", "nobody"], "nothing called", 1),
    (["trust", "add", "small"], "carries no code", 1),
    (["trust", "remove", "zz"], "you trust no digest", 1),
    (["trust", "list", "small"], "leave small out", 2),
    (["pseudonyms", "{nothing}"], "", 1),
    (["pseudonyms", ""], "SOURCE is empty", 2),
    # jobs slurm, local and status
    ([*SLURM], "Missing option", 2),
    ([*SLURM, "--to", "{file}"], "is no folder", 1),
    ([*SLURM, "--to", "{store}/masks/here"], "lies among the artifacts", 1),
    ([*SLURM, "--to", "{nothing}", "--within", "1:00:00", "--shards", "3"], "leave one of them out", 2),
    ([*SLURM, "--to", "{nothing}", "--within", "soon", "--rate", "9"], "--within 'soon' should be a time", 2),
    ([*SLURM, "--to", "{nothing}", "--within", "1s", "--rate", "9"], "no number of shards ends within", 1),
    ([*SLURM, "--to", "{nothing}", "--forecast", "--submit"], "nothing to --submit", 2),
    ([*SLURM, "--to", "{nothing}", "--setup", "a\nb"], "one line of the shell", 2),
    ([*SLURM, "--to", "{nothing}", "--setup", "\udcff"], "one line of the shell", 2),
    ([*SLURM, "--to", "{nothing}", "--setup", ""], "--setup is empty", 2),
    ([*SLURM, "--to", "{nothing}", "--cpu-partition", "a b"], "--cpu-partition 'a b' should have letters", 2),
    ([*SLURM, "--to", "{nothing}", "--rate", "0"], OUT_OF_RANGE, 2),
    ([*SLURM, "--to", "{nothing}", "--run", "a/b"], "", 1),
    (["jobs", "slurm", "--dataset", "faces", "--to", "{nothing}"], "give --model MODEL", 2),
    ([*LOCAL, "--to", "{nothing}"], "Missing option", 2),
    ([*LOCAL, "--to", "{nothing}", "--devices", "0"], OUT_OF_RANGE, 2),
    ([*LOCAL, "--to", "{file}", "--devices", "2"], "is no folder", 1),
    (["jobs", "status", "{nothing}"], "has no pipeline.json", 1),
    (["jobs", "status", ""], "FOLDER is empty", 2),
    # jobs
    (["jobs", "nothing"], "No such command", 2),
    ([*JOBS, "--to", "{nothing}", "--dataset", "nobody", "--model", "small"], "nothing called 'nobody'", 1),
    ([*JOBS, "--to", "{nothing}", "--dataset", "faces"], "give --model MODEL", 2),
    ([*JOBS, "--to", "{nothing}", "--dataset", "faces", "--models", "small,small"], "twice", 2),
    ([*JOBS, "--dataset", "faces", "--model", "small"], "Missing option", 2),
    ([*JOBS, "--to", "", "--dataset", "faces", "--model", "small"], "--to is empty", 2),
    ([*SNAKE, "--to", "{file}"], "is no folder", 1),
    ([*SNAKE, "--to", "{file}/below"], "is no folder", 1),
    ([*SNAKE, "--to", "{store}/masks/here"], "lies among the artifacts", 1),
    ([*SNAKE, "--to", "{nothing}", "--time", "an hour"], "--time 'an hour' should be a time", 2),
    ([*SNAKE, "--to", "{nothing}", "--time", "0:00:00"], "should be a time", 2),
    ([*SNAKE, "--to", "{nothing}", "--time", "²:00:00"], "should be a time", 2),
    ([*SNAKE, "--to", "{nothing}", "--memory", "8"], "--memory '8' should be a size", 2),
    ([*SNAKE, "--to", "{nothing}", "--gres", "gpu 1"], "--gres 'gpu 1' should be a name and a number", 2),
    ([*SNAKE, "--to", "{nothing}", "--partition", "a b"], "--partition 'a b' should have letters", 2),
    ([*SNAKE, "--to", "{nothing}", "--account", "a\nb"], "should have letters", 2),
    ([*SNAKE, "--to", "{nothing}", "--shards", "0"], OUT_OF_RANGE, 2),
    ([*SNAKE, "--to", "{nothing}", "--unit", "0"], OUT_OF_RANGE, 2),
    ([*SNAKE, "--to", "{nothing}", "--samples", "1"], OUT_OF_RANGE, 2),
]
PIPED = [
    (b"", "nothing came"),
    (b"\n \n", "nothing came"),
    (b"{}", "has no `artifact`"),
    (b'{"artifact": 3}', "has no `artifact`"),
    (b"[" * 100_000, "which is no reference"),
    (b"9" * 5000, "which is no reference"),
    (b"nobody\x00", "nothing called"),
    (bytes(range(256)), "nothing called"),
    (b"\xff\xfe\x1b[31m", r"\x1b[31m"),
    (b"x" * (1 << 24) + b"y", "more than 16.0 MiB"),
]
ROWS = [
    # All of them take longer than what is run at every change may; each third row is of any command.
    pytest.param(*row, marks=() if place % 3 == 0 else pytest.mark.long)
    for place, row in enumerate(BAD)
]
TYPERS_OWN = re.compile(r"(?:Usage: .*)?^Error: [^\n]+\n\Z", re.MULTILINE | re.DOTALL)
OURS = re.compile(r"(?:warning: [^\n]+\n)*error: [^\n]+\n\Z")


def named(chain, faces, tmp_path):
    """Return what the words in braces stand for."""
    (tmp_path / "file").write_bytes(b"\x1b no picture")
    (tmp_path / "weights.pth").write_bytes(b"\x80\x04K\x01.")
    (tmp_path / "damaged.pt2").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "table").write_text("image_id,dx,x,x\nnobody,a,1,1\nnobody,b,1,1\n")
    stages = {"segments": "segment", "masks": "perturb", "predictions": "predict", "surrogates": "fit-surrogate"}
    return {
        **{kind: chain.reference(stage) for kind, stage in stages.items()},
        "store": chain.facelime.store,
        "pictures": faces,
        "file": tmp_path / "file",
        "table": tmp_path / "table",
        "pickle": tmp_path / "weights.pth",
        "damaged": tmp_path / "damaged.pt2",
        "nothing": tmp_path / "nothing",
    }


def contents(folder):
    """Return every file and folder of a store with its size."""
    found = {}
    for place, folders, files in os.walk(folder):
        found.update({f"{place}/{name}": None for name in folders})
        found.update({f"{place}/{name}": Path(place, name).stat().st_size for name in files})
    return found


def check_refused(run, words, fragment, code, stdin=None):
    before = contents(run.store)
    result = run(*words, stdin=stdin)
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    assert "unexpected " not in result.stderr.replace("unexpected extra argument", "")
    assert "Traceback" not in result.stderr
    assert OURS.fullmatch(result.stderr) or (code == 2 and TYPERS_OWN.search(result.stderr)), result.stderr
    assert fragment in result.stderr
    assert contents(run.store) == before


class StoreOfWords:
    """Leaves the store to the words where these name one."""

    def __init__(self, run):
        self.run, self.store = run, run.store

    def __call__(self, *words, stdin=None):
        from typer.testing import CliRunner

        from facelime_cli.cli import app

        if any(str(word).startswith("--store") for word in words):
            return CliRunner().invoke(app, [*map(str, words)], input=stdin)
        return self.run(*words, stdin=stdin)


@pytest.mark.parametrize(("words", "fragment", "code"), ROWS)
def test_is_refused_in_one_sentence_and_changes_nothing(chain, faces, tmp_path, words, fragment, code):
    known = named(chain, faces, tmp_path)
    given = [re.sub(r"\{(\w+)\}", lambda found: str(known[found[1]]), word) for word in words]
    check_refused(StoreOfWords(chain.facelime), given, fragment, code)


@pytest.mark.parametrize(("stdin", "fragment"), PIPED)
def test_what_comes_through_a_pipe_is_no_reference(chain, stdin, fragment):
    check_refused(chain.facelime, ["segment", "-"], fragment, 1, stdin)


def test_the_table_is_long_and_has_every_command():
    assert len(BAD) + len(PIPED) >= 120
    begun = [" ".join(words) + " " for words, _, _ in BAD]
    assert [each.name for each in INDEX if not any(row.startswith(f"{each.name} ") for row in begun)] == []


def test_what_is_refused_here_can_be_accepted(chain):
    """The check above fails where a command answers, or leaves something."""
    with pytest.raises(AssertionError):
        check_refused(chain.facelime, ["segment", "faces", "--first", 1, "--sigma", 0.5], "", 0)
    with pytest.raises(AssertionError):
        check_refused(chain.facelime, ["show", "faces"], "", 1)
