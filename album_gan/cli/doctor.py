"""`album-gan doctor`: what works on this machine, what does not, and how to fix it.

This file and `album_gan/doctor` import only the standard library: they must work without torch and numpy.
"""

import argparse
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .. import __version__
from ..doctor import CHECKS
from ..doctor.findings import Context, Finding
from ..doctor.hub import without_secrets

WIDTH = max(len(name) for name, _ in CHECKS)


def add_doctor(commands: Any) -> None:
    """`album-gan doctor`."""
    added = commands.add_parser(
        "doctor", help="Check this machine, one line per check, and suggest fixes.", allow_abbrev=False,
        description="Check Python, torch, GPUs, memory, disk, the Hub and covers. Exit code 0: all is well, "
        "1: there are problems. Notes are not problems.",
        epilog="example: album-gan doctor --train-data-dir my_covers",
    )  # fmt: skip
    added.set_defaults(run=_doctor)
    added.add_argument("--train-data-dir", metavar="DIR", help="folder of covers to check")
    added.add_argument("--dataset-name", metavar="NAME", help="or a data set: Hub id, builder, synthetic")
    added.add_argument("--data-files", metavar="FILES", help="files for the builder")
    added.add_argument("--output-dir", metavar="DIR", default="runs", help="where runs will be written, default runs")
    added.add_argument("--report", action="store_true", help="print markdown to paste into an issue")


def _doctor(args: argparse.Namespace) -> int:
    context = Context(Path(args.output_dir), args.train_data_dir, args.dataset_name, args.data_files)
    findings = []
    if args.report:
        findings = list(examine(context))
        print(markdown(findings))
    else:
        for finding in examine(context):
            findings.append(finding)
            print(line_of(finding), flush=True)
    problems = sum(finding.status == "problem" for finding in findings)
    if not args.report:
        print(f"\n{problems} problem{'s' if problems != 1 else ''}" if problems else "\nno problems")
    return 1 if problems else 0


def examine(context: Context) -> Iterator[Finding]:
    """The findings of all checks. A check that raises counts as a problem, and does not stop the others."""
    with context:
        for name, check in CHECKS:
            try:
                found = [*check(context)]
            except Exception as error:
                found = [Finding("problem", f"could not be checked: {type(error).__name__}: {error}")]
            for finding in found:
                text, fix = without_secrets(finding.text), without_secrets(finding.fix)
                yield Finding(finding.status, text, fix, name)


def line_of(finding: Finding) -> str:
    """One line, which ends with the command to type."""
    status = "OK" if finding.status == "ok" else finding.status
    fix = f"; type: {finding.fix}" if finding.fix else ""
    return f"{status:<8}{finding.name:<{WIDTH}}  {finding.text}{fix}"


def markdown(findings: Iterable[Finding]) -> str:
    """A report for an issue, without tokens and the path of the user's home."""
    head = f"album-gan {__version__}, Python {platform.python_version()} on {platform.platform()}"
    body = "\n".join(map(line_of, findings))
    home = Path.home()
    if home != home.parent:  # in a container without a user, "/" is the home
        body = body.replace(str(home), "~")
    return f"### album-gan doctor\n\n{head}\n\n```text\n{body}\n```"
