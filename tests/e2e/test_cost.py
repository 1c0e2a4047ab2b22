"""What a request and a streamed chunk cost, in instructions and in system calls.

Times differ from machine to machine and from minute to minute; these counts repeat. Each limit is what was measured
plus a margin: 15 % for instructions, 30 % for system calls, of which a run under strace makes more than one without it
(4.2 a request), since replies then arrive in smaller groups. If a change makes the program cheaper, lower the limit.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import unittest
from collections import Counter
from pathlib import Path

from support import Case, Simulator, batch, chat, program

TEXT = "say hello to everybody in a sentence of some length, please. " * 5
INSTRUCTIONS_PER_REQUEST = 101_000 * 1.15
INSTRUCTIONS_PER_CHUNK = 8_400 * 1.15
SYSTEM_CALLS_PER_REQUEST = 6.1 * 1.3
# A check of a lock or of a file for each request would be one of these.
LOOKS_AT_FILES = ("fcntl", "fstat", "newfstatat", "stat", "lstat", "statx")


class Costs(Case):
    def measured(self, tool: list[str], server: Simulator, lines: int, *flags: object) -> str:
        """Runs a job under a tool, and gives what the tool reports."""
        if not shutil.which(tool[0]):
            raise unittest.SkipTest(f"{tool[0]} is not installed")
        shutil.rmtree(self.out, True)
        job = self.job([batch(f"c{i}", chat(f"Question number {i}: {TEXT}")) for i in range(lines)])
        command = [*tool, program(), "run", job, "--base-url", server.url, "--rpm", 0, "--output-dir", self.out, "-q",
                   *flags]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=self.environment())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.results(Path("job.jsonl"), self.out).output), lines)
        return done.stderr

    def instructions(self, server: Simulator, few: int, many: int, *flags: object) -> float:
        """Instructions for one request: the difference of two runs, without what a run costs however long its job is.
        Part of that are the first 128 KiB of the job, whose tokens are counted at the start."""
        tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        counts = []
        for lines in (few, many):
            found = re.search(r"Collected : (\d+)", self.measured(tool, server, lines, *flags))
            assert found
            counts.append(int(found[1]))
        return (counts[1] - counts[0]) / (many - few)

    def test_instructions_for_a_request(self) -> None:
        server = self.simulator("--tokens", "20", ttft="20ms")
        spent = self.instructions(server, 500, 1500, "--no-stream")
        self.assertLess(spent, INSTRUCTIONS_PER_REQUEST)

    def test_instructions_for_a_chunk(self) -> None:
        chunks = 100
        spent = self.instructions(self.simulator("--tokens", str(chunks), ttft="20ms"), 500, 600) / chunks
        self.assertLess(spent, INSTRUCTIONS_PER_CHUNK)

    def test_system_calls_for_a_request(self) -> None:
        server = self.simulator("--tokens", "20", ttft="20ms")
        counts = []
        for lines in (500, 3000):
            table = self.folder / f"{lines}.calls"
            self.measured(["strace", "-f", "-c", "-o", str(table)], server, lines, "--no-stream")
            counts.append(Counter({words[-1]: int(words[3]) for words in map(str.split, table.read_text().splitlines())
                                   if len(words) >= 5 and words[3].isdigit() and words[-1] != "total"}))
        more = counts[1] - counts[0]
        requests = 2500
        self.assertLessEqual(sum(more.values()) / requests, SYSTEM_CALLS_PER_REQUEST, more)
        self.assertLess(sum(more[name] for name in LOOKS_AT_FILES) / requests, 0.5, more)


if __name__ == "__main__":
    unittest.main()
