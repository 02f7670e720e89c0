"""The report of a soak: requests, outcomes and verdicts, as a table and as JSON."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from benchmarks.soak.promises import PROMISES, Verdict
from benchmarks.soak.record import Record


def show(record: Record, verdicts: Mapping[str, Verdict]) -> None:
    print(f"\n{'requests':34}{'number':>10}  outcomes")
    for name, counts in sorted(record.answered.items()):
        outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.most_common())
        print(f"{name:34}{counts.total():10,}  {outcomes}")
    print(f"\n{'rounds, when nothing is asked':34}{'MiB':>10}{'files':>8}{'threads':>9}  gauges")
    for number, each in enumerate(record.samples, 1):
        own = each.oldest
        gauges = ", ".join(f"{name} {value:g}" for name, value in sorted(each.gauges.items()))
        print(f"{number:<34}{own.resident:10.0f}{own.files:8}{own.threads:9}  {gauges}")
    print(f"\n{'promise':34}{'kept':>10}  figure")
    words = {True: "yes", False: "NO", None: "not judged"}
    for promise in PROMISES:
        if promise.name in verdicts:
            verdict = verdicts[promise.name]
            print(f"{promise.name:34}{words[verdict.kept]:>10}  {verdict.figure}")
            for case in record.cases.get(promise.name, [])[:5]:
                print(f"{'':46}{case}")


def write(file: Path, command: str, record: Record, verdicts: Mapping[str, Verdict]) -> None:
    """Write the figures that docs/reliability.md shows, as JSON."""
    outcomes = sum(record.answered.values(), Counter[str]())
    content = {
        "command": command,
        "requests": record.requests,
        "seconds": round(record.samples[-1].seconds) if record.samples else 0,
        "outcomes": dict(outcomes.most_common()),
        "kinds": {name: dict(counts) for name, counts in sorted(record.answered.items())},
        "promises": {name: asdict(verdict) for name, verdict in verdicts.items()},
        "samples": [asdict(each) for each in record.samples],
    }
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
