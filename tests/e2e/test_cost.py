"""The cost of a request, of a streamed chunk and of a call through `serve`, in instructions and in system calls.

Times differ between machines and from minute to minute, but these counts are always nearly the same. Each limit is the
measured count plus a margin: 15 % for instructions, 30 % for system calls. A run under strace makes more system calls
than a run without it (4.2 a request), because replies then arrive in smaller groups. If a change makes the program
cheaper, lower the limit.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import unittest
from collections import Counter
from pathlib import Path

import test_serve
from support import Case, Simulator, batch, chat, program

TEXT = "say hello to everybody in a sentence of some length, please. " * 5
INSTRUCTIONS_PER_REQUEST = 82_400 * 1.15
INSTRUCTIONS_PER_CHUNK = 2_420 * 1.15
SYSTEM_CALLS_PER_REQUEST = 6.1 * 1.3
INSTRUCTIONS_PER_CALL = 77_100 * 1.15
# The system calls of one call that do not depend on its duration: 4 receives (one from each side, one that checks
# whether the relay has closed the connection, and one before the reply has arrived), 2 sends, and the watch of the
# client's connection. One more system call fails the test.
SYSTEM_CALLS_PER_CALL = 7.1 + 0.5
OF_TIME = ("epoll_wait", "newfstatat", "timerfd_settime")
# If the program checked a lock or a file for each request, it would make one of these system calls.
LOOKS_AT_FILES = ("fcntl", "fstat", "newfstatat", "stat", "lstat", "statx")


def system_calls(table: Path) -> Counter[str]:
    """The number of calls of each system call, from the table of `strace -c`."""
    return Counter({words[-1]: int(words[3]) for words in map(str.split, table.read_text().splitlines())
                    if len(words) >= 5 and words[3].isdigit() and words[-1] != "total"})


class Costs(Case):
    def measured(self, tool: list[str], server: Simulator, lines: int, *flags: object) -> str:
        """Runs a job under a tool, and returns the report of the tool."""
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
        """The instructions for one request: the difference of two runs. So the fixed cost of a run is not included. It
        contains the first 128 KiB of the job, because the program counts their tokens at the start."""
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
            counts.append(system_calls(table))
        more = counts[1] - counts[0]
        requests = 2500
        self.assertLessEqual(sum(more.values()) / requests, SYSTEM_CALLS_PER_REQUEST, more)
        self.assertLess(sum(more[name] for name in LOOKS_AT_FILES) / requests, 0.5, more)


class PassThrough(test_serve.Case):
    """The cost of an interactive call through `serve`: the difference between two servers, one with more calls."""

    CLIENTS = 16
    FEW, MANY = 320, 1920

    def log_of(self, relay: str, calls: int, tool: list[str]) -> str:
        """Starts a server under a tool, makes the calls and stops it. Returns the output of the server and the tool."""
        if not shutil.which(tool[0]):
            raise unittest.SkipTest(f"{tool[0]} is not installed")
        server = self.serve(relay, under=tool)
        body = json.dumps(chat(f"A question: {TEXT}")).encode()
        request = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                   b"Content-Length: %d\r\n\r\n" % len(body)) + body
        clients = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(self.CLIENTS)]
        for _ in range(calls // self.CLIENTS):
            for client in clients:
                client.sendall(request)
            for client in clients:
                self.take_answer(client)
        for client in clients:
            client.close()
        os.killpg(server.process.pid, signal.SIGTERM)
        self.assertEqual(server.process.wait(60), 0, server.log.read_text())
        return server.log.read_bytes()[server.begin:].decode()

    def simulated(self) -> str:
        started = Simulator("--tokens", "20", ttft="20ms")
        self.addCleanup(started.stop)
        return started.url

    def take_answer(self, client: socket.socket) -> None:
        read = b""
        while b"\r\n\r\n" not in read:
            read += client.recv(65536)
        head, _, body = read.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 200 "), head)
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        assert length, head
        while len(body) < int(length[1]):
            body += client.recv(65536)

    def test_instructions_for_a_call(self) -> None:
        relay = self.simulated()
        counts = []
        for calls in (self.FEW, self.MANY):
            log = self.log_of(relay, calls, ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"])
            found = re.search(r"Collected : (\d+)", log)
            assert found, log
            counts.append(int(found[1]))
        self.assertLess((counts[1] - counts[0]) / (self.MANY - self.FEW), INSTRUCTIONS_PER_CALL)

    def test_system_calls_for_a_call(self) -> None:
        relay = self.simulated()
        counts = []
        for calls in (self.FEW, self.MANY):
            table = self.folder / f"{calls}.calls"
            self.log_of(relay, calls, ["strace", "-f", "-c", "-o", str(table)])
            counts.append(system_calls(table))
        more = counts[1] - counts[0]
        of_calls = sum(count for name, count in more.items() if name not in OF_TIME)
        self.assertLessEqual(of_calls / (self.MANY - self.FEW), SYSTEM_CALLS_PER_CALL, more)


if __name__ == "__main__":
    unittest.main()
