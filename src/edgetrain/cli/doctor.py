"""`edgetrain doctor`."""

from __future__ import annotations

from dataclasses import asdict

from .command import Invocation
from .environment import Finding, examine
from .errors import FAILED, OK
from .tables import Table

_STATES = {"ok": "ok", "missing": "MISSING", "optional": "absent", "untested": "untested"}


def doctor(run: Invocation) -> int:
    findings: list[Finding] = []
    with run.reporter.progress("examining this machine") as progress:
        for finding in examine():
            findings.append(finding)
            progress.advance(step=finding.name)
    works = all(finding.state != "missing" for finding in findings)
    title = "training, export and fine-tuning work here" if works else "something is missing; see below"
    run.output.result(
        Table(
            title,
            [(finding.name, _STATES[finding.state], finding.detail, finding.advice) for finding in findings],
            ("", "state", "found", "what to do"),
        ),
        {"command": "doctor", "works": works, "findings": [asdict(finding) for finding in findings]},
    )
    return OK if works else FAILED
