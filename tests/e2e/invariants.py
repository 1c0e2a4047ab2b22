"""Rules for the files of a job. They must be true for every way in which its runs can end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from support import Results, read_jsonl


def whole_lines(path: Path) -> list[bytes]:
    """The complete lines of a file, without an incomplete last one."""
    data = path.read_bytes() if path.exists() else b""
    return [line for line in data.splitlines(keepends=True) if line.endswith(b"\n")]


def settled(results: Results) -> set[str]:
    """The requests that no later run may send: those with a result or a final failure."""
    done = {json.loads(line)["custom_id"] for line in whole_lines(results.output_path)}
    failed = map(json.loads, whole_lines(results.errors_path))
    return done | {line["custom_id"] for line in failed if not line["sluice"]["retryable"]}


def require(holds: object, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def require_one_line_each(results: Results, requests: Iterable[str]) -> None:
    """Each request of the job has exactly one line in output and errors together, and there are no other lines."""
    counted = Counter(line["custom_id"] for line in results.output + results.errors)
    twice = sorted(name for name, times in counted.items() if times > 1)
    require(not twice, f"more than one line: {twice}")
    wanted = set(requests)
    require(set(counted) == wanted, f"without a line: {sorted(wanted - set(counted))}, not a request: "
                                    f"{sorted(set(counted) - wanted)}")


def require_totals_are_sums(results: Results) -> None:
    """Counts, tokens and costs equal the sums of the lines exactly."""
    totals, output, errors = results.totals, results.output, results.errors
    used = [line["sluice"]["usage"] for line in output if line["sluice"]["usage"]]
    tokens = {kind: sum(usage[f"{kind}_tokens"] for usage in used)
              for kind in ("prompt", "cached", "completion", "reasoning")}
    expected: dict[str, Any] = {
        "succeeded": len(output), "failed": len(errors), **tokens, "total": tokens["prompt"] + tokens["completion"],
        "cost_usd": sum((Decimal(line["sluice"]["cost_usd"] or 0) for line in output), Decimal(0)),
        "errors": Counter(error["code"] if (error := line["error"]) else str(line["response"]["status_code"])
                          for line in errors)}
    stored = {**totals, **totals["tokens"], "cost_usd": Decimal(totals["cost_usd"])}
    for name, value in expected.items():
        require(stored[name] == value, f"the totals' {name} is {stored[name]}, the lines hold {value}")
    require(totals["requests"] == totals["succeeded"] + totals["failed"] + totals["pending"], f"{totals}")
    counted = sum(line["sluice"]["attempts"] for line in output + errors)
    require(totals["attempts"] >= counted, f"the totals' attempts are {totals['attempts']}, those of lines {counted}")


def require_no_strays(folder: Path, results: Results, *others: Path) -> None:
    """Only documented files exist next to the results. A complete job has no state file."""
    expected = {*results.paths, *others}
    if results.totals["status"] != "completed":
        expected.add(results.state_path)
    strays = sorted(path.name for path in folder.iterdir() if path.is_file() and path not in expected)
    require(not strays, f"left behind: {strays}")


def require_kept(before: list[bytes], path: Path) -> None:
    """All earlier complete lines are still at the start of the file, unchanged."""
    after = whole_lines(path)
    require(after[:len(before)] == before, f"{path.name} has lost or changed a line")


def require_kept_in_any_order(before: list[bytes], path: Path) -> None:
    """All earlier complete lines are still in the file, unchanged."""
    missing = Counter(before) - Counter(whole_lines(path))
    require(not missing, f"{path.name} has lost or changed a line")


def require_readable(results: Results) -> None:
    """All complete lines, and all files that are replaced atomically, are valid JSON."""
    for path in (results.output_path, results.errors_path):
        for line in whole_lines(path):
            json.loads(line)
    if results.totals_path.exists():
        json.loads(results.totals_path.read_text("utf-8"))


def require_complete(results: Results, requests: Iterable[str]) -> None:
    for path in (results.output_path, results.errors_path):
        read_jsonl(path)
    require_one_line_each(results, requests)
    require_totals_are_sums(results)
    require(results.totals["status"] == "completed", results.totals["status"])
    require(results.totals["pending"] == 0, f"pending: {results.totals['pending']}")
