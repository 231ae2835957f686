"""What a run survives: the long tests (``pytest -m soak``), each with its trials and how they ended.

kill -9 at seeded random instants and before each change of a file, SIGTERM and SIGINT, disks that are full or fail at
the k-th call, generated lines and recipes, hostile models and data. What each of them does stands in the test.
"""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

_RUNS = (
    ["tests", "-m", "soak", "--ignore", "tests/test_hostile.py"],
    ["tests/test_hostile.py", "-m", "soak or not soak"],
)


def main() -> str:
    """A row for each test, with all its cases."""
    found: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for arguments in _RUNS:
        with tempfile.TemporaryDirectory() as name:
            report = Path(name, "report.xml")
            command = [sys.executable, "-m", "pytest", "-n", "2", *arguments, "--junitxml", str(report)]
            subprocess.run(command, env={**os.environ, "LLMCTL_SOAK": "1"}, stdout=sys.stderr, check=False)
            for case in ET.parse(report).iter("testcase"):
                test = f"{case.get('classname')}.{case.get('name')}".partition("[")[0]
                ended = next((child.tag for child in case if child.tag != "properties"), "passed")
                found[test].append((ended, float(case.get("time", 0))))
    rows = ["| test | cases | ended | minutes |", "|---|---|---|---|"]
    for test, cases in found.items():
        kinds = sorted({kind for kind, _ in cases})
        told = ", ".join(
            f"{sum(kind == each for each, _ in cases)} {_WORDS.get(kind, kind)}" for kind in kinds
        )
        rows.append(f"| {test} | {len(cases)} | {told} | {sum(seconds for _, seconds in cases) / 60:.1f} |")
    return "\n".join(rows)


_WORDS = {"failure": "FAILED", "error": "FAILED"}
