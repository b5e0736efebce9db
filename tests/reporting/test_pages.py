"""What every page has: the commands at its foot."""

import html
import shlex


def test_the_commands_at_its_foot_make_the_same_again(chain):
    page = (chain["render"].path / "index.html").read_text(encoding="utf-8")
    commands = [shlex.split(html.unescape(line)) for line in page.splitlines() if line.startswith("facelime ")]
    assert [words[1] for words in commands] == [
        "preprocess",
        "finetune",
        "segment",
        "perturb",
        "predict",
        "fit-surrogate",
        "render",
    ]
    for words in commands[1:]:
        assert chain.facelime.json(*words[1:])["artifact"] == chain[words[1]].id
