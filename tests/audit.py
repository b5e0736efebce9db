"""Look for known vulnerabilities in the versions that `constraints.txt` pins: `make audit`.

    python tests/audit.py [FILE]

Exits 1 when there is one. Where the data cannot be reached it says so and exits 0: that a machine has no network is no
fault of a version. It needs `pip-audit`, which asks the package index about each version.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"


def asked(requirements: Path) -> str:
    """Return what pip-audit answers about pinned versions: JSON, or nothing where it could not ask."""
    words = [
        "--requirement",
        requirements,
        "--no-deps",
        "--disable-pip",
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    done = subprocess.run([sys.executable, "-m", "pip_audit", *words], capture_output=True, check=False)
    return done.stdout.decode()


def judged(answer: str) -> tuple[int, list[str]]:
    """Return exit code and sentences for an answer of pip-audit."""
    known = json.loads(answer)["dependencies"] if answer.strip() else []
    # An index without data on vulnerabilities knows none of the versions, which pip-audit itself counts as a success.
    skipped = [each["name"] for each in known if "skip_reason" in each]
    if len(skipped) == len(known):
        return 0, ["Nothing was audited: the data on vulnerabilities cannot be reached from this machine."]
    found = [
        f"{each['name']} {each['version']} has {one['id']}"
        + (f", mended in {', '.join(one['fix_versions'])}." if one["fix_versions"] else ", which no version mends yet.")
        for each in known
        for one in each.get("vulns", ())
    ]
    sentences = [f"{len(known) - len(skipped)} versions were audited; {len(found) or 'no'} known vulnerabilities."]
    if skipped:
        sentences.append(f"There are no data on {', '.join(skipped)}.")
    return bool(found), found + sentences


def main() -> int:
    """Ask and judge."""
    if find_spec("pip_audit") is None:
        print("pip-audit is not installed; `make audit` installs it.")
        return 1
    requirements = Path(sys.argv[1]) if len(sys.argv) > 1 else CONSTRAINTS
    code, sentences = judged(asked(requirements))
    print("\n".join(sentences))
    return code


if __name__ == "__main__":
    sys.exit(main())
