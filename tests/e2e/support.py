"""Shared code of the end-to-end tests: the program under test, its two relays, and its files.

The environment variable SLUICE is the path of the program. Every test has its own folder for jobs, results and the
program's state, so that tests can run in parallel and leave no files behind.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SAMPLES = ROOT / "jobs"
KEY = "sk-e2e-0f9b3c7d5a1e8462"
CHAT = "/v1/chat/completions"
PATIENCE = 60.0  # seconds to wait for a condition that must come true; not a measure of speed


# Decorates longer versions of other tests. Only tests/run nightly runs them.
at_night = unittest.skipUnless(os.environ.get("SLUICE_NIGHTLY"), "SLUICE_NIGHTLY=1 runs it")


def program() -> str:
    path = os.environ.get("SLUICE", "")
    if not path:
        raise unittest.SkipTest("SLUICE is not set to the program under test")
    return str(Path(path).resolve())


def wait_until(holds: Callable[[], Any], what: str, patience: float = PATIENCE, pause: float = 0.005) -> Any:
    """Checks the condition every `pause` seconds and returns its first true value."""
    end = time.monotonic() + patience
    while True:
        if value := holds():
            return value
        if time.monotonic() > end:
            raise AssertionError(f"did not happen within {patience:.0f} s: {what}")
        time.sleep(pause)


def refusing_port(case: unittest.TestCase) -> int:
    """A port that refuses connections. It stays taken until the end of the test, so no other test gets it."""
    taken = socket.socket()
    case.addCleanup(taken.close)
    taken.bind(("127.0.0.1", 0))  # without listen()
    return int(taken.getsockname()[1])


# ---------------------------------------------------------------- jobs and results


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}


def batch(custom_id: str, body: dict[str, Any], url: str = CHAT) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def chats(count: int, **more: Any) -> list[dict[str, Any]]:
    return [batch(f"c{i}", chat(f"question number {i} of the batch", **more)) for i in range(1, count + 1)]


def jsonl(lines: Iterable[Any]) -> bytes:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The lines of a results file. Each must be complete and valid JSON."""
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        raise AssertionError(f"{path.name} ends with an incomplete line")
    return [json.loads(line) for line in data.splitlines()]


class Results:
    """The three files of one job."""

    def __init__(self, job: Path, folder: Path | None = None) -> None:
        stem = re.sub(r"\.jsonl(\.gz|\.zst)?$", "", job.name)
        folder = folder or job.parent
        self.output_path = folder / f"{stem}.output.jsonl"
        self.errors_path = folder / f"{stem}.errors.jsonl"
        self.totals_path = folder / f"{stem}.totals.json"
        self.state_path = folder / f"{stem}.state"

    @property
    def output(self) -> list[dict[str, Any]]:
        return read_jsonl(self.output_path)

    @property
    def errors(self) -> list[dict[str, Any]]:
        return read_jsonl(self.errors_path)

    @property
    def totals(self) -> dict[str, Any]:
        return json.loads(self.totals_path.read_text("utf-8"))

    @property
    def paths(self) -> list[Path]:
        return [self.output_path, self.errors_path, self.totals_path]

    def written(self) -> int:
        """The number of complete lines in the output so far."""
        try:
            return self.output_path.read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    def by_id(self) -> dict[str, dict[str, Any]]:
        """Output and errors lines together. Fails if an id appears twice."""
        lines = self.output + self.errors
        found = {line["custom_id"]: line for line in lines}
        if len(found) != len(lines):
            raise AssertionError(f"{len(lines)} lines have only {len(found)} different ids")
        return found

    def bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.paths}


def text_of(line: dict[str, Any]) -> str:
    return line["response"]["body"]["choices"][0]["message"]["content"]


# ---------------------------------------------------------------- servers


class Server:
    """A process that serves HTTP on a local port."""

    process: subprocess.Popen[str]
    port: int
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/v1"

    def get(self, path: str) -> Any:
        to: http.client.HTTPConnection
        if self.tls:
            to = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE, context=self.tls)
        else:
            to = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(to):
            to.request("GET", path)
            return json.loads(to.getresponse().read())

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            for pipe in (self.process.stdout, self.process.stderr):
                if pipe:
                    pipe.close()


class Relay(Server):
    """relay.py, by default without limit and delays."""

    def __init__(self, folder: Path, *flags: str, script: list[dict[str, Any]] | None = None,
                 tls: tuple[Path, Path, Path] | None = None) -> None:
        command = [sys.executable, str(HERE / "relay.py"), "--rpm", "0", "--delay-max", "0", "--seed", "7", *flags]
        if script is not None:
            handle, path = tempfile.mkstemp(".json", "script", folder)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(script, file)
            command += ["--script", path]
        if tls:
            authority, certificate, key = tls
            command += ["--tls-cert", str(certificate), "--tls-key", str(key)]
            self.tls = ssl.create_default_context(cafile=str(authority))
            self.tls.set_alpn_protocols(["http/1.1"])
            self.tls.check_hostname = False
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline().removeprefix("listening "))

    @property
    def stats(self) -> dict[str, Any]:
        return self.get("/stats")

    @property
    def attempts(self) -> int:
        return int(self.stats["attempts"])

    @property
    def bodies(self) -> list[bytes]:
        return [body.encode("utf-8", "surrogateescape") for body in self.get("/bodies")]


class Simulator(Server):
    """`sluice simulate` in its own process; by default fast and without a limit."""

    def __init__(self, *flags: str, ttft: str = "2ms", itl: str = "0") -> None:
        command = [program(), "simulate", "--port", "0", "--rpm", "0", "--ttft", ttft, "--itl", itl, *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        line = self.process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if not found:
            self.stop()
            raise AssertionError(f"the simulator did not print its address: {line!r}")
        self.port = int(found[1])

    @property
    def ledger(self) -> dict[str, Any]:
        return self.get("/simulator/ledger")


class Listener:
    """A server for raw connections. Calls `serve` for each one on a thread of its own, then closes it."""

    def __init__(self, serve: Callable[[socket.socket], None], address: str = "127.0.0.1") -> None:
        self._serve = serve
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, 0), family=family)
        self.port = int(self._socket.getsockname()[1])
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.accepted += 1
                threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._serve(connection)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


# ---------------------------------------------------------------- the program


def bound_memory() -> None:
    """Limits the memory of the program, so that a memory leak fails its test and not the machine. Set
    SLUICE_E2E_MEMORY=0 for sanitizers, which reserve terabytes."""
    if most := int(os.environ.get("SLUICE_E2E_MEMORY", 2 << 30)):
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


class Run:
    """One `sluice` process."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path, stdin: bytes | None) -> None:
        self.command = command
        self._out = tempfile.TemporaryFile()
        self._err = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, env=environment, cwd=folder, stdout=self._out, stderr=self._err,
                                        preexec_fn=bound_memory,
                                        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE)
        if stdin is not None:
            assert self.process.stdin
            with contextlib.suppress(BrokenPipeError), self.process.stdin as pipe:
                pipe.write(stdin)

    @staticmethod
    def _text(file: Any) -> str:
        return os.pread(file.fileno(), 1 << 26, 0).decode("utf-8", "replace")

    @property
    def out(self) -> str:
        return self._text(self._out)

    @property
    def err(self) -> str:
        return self._text(self._err)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, patience: float = 120.0) -> Run:
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still running after {patience:.0f} s: {self.command}\n{self.err}") from None
        return self

    @property
    def code(self) -> int:
        return self.process.returncode

    def close(self) -> None:
        if self.running:
            self.process.kill()
            self.process.wait()
        self._out.close()
        self._err.close()


class Case(unittest.TestCase):
    """A test with a folder of its own. Stops its relays and ends its processes afterwards."""

    maxDiff = 4000

    def setUp(self) -> None:
        program()
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.out = self.folder / "out"

    def relay(self, *flags: str, **more: Any) -> Relay:
        started = Relay(self.folder, *flags, **more)
        self.addCleanup(started.stop)
        return started

    def listener(self, serve: Callable[[socket.socket], None], address: str = "127.0.0.1") -> Listener:
        started = Listener(serve, address)
        self.addCleanup(started.stop)
        return started

    def simulator(self, *flags: str, **more: str) -> Simulator:
        started = Simulator(*flags, **more)
        self.addCleanup(started.stop)
        return started

    def certificate(self, name: str, subject: str, days: int = 2) -> tuple[Path, Path, Path]:
        """Creates a certificate authority, and a certificate for the subject that it has signed. With days below 0 the
        certificate has expired."""
        authority, authority_key, request, certificate, key, extra = (
            self.folder / f"{name}{end}" for end in ("-ca.pem", "-ca.key", ".csr", ".pem", ".key", ".ext"))
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        extra.write_text(f"subjectAltName={subject}\n")
        for words in (["req", "-x509", *new, "-keyout", authority_key, "-out", authority, "-days", "2", "-subj",
                       "/CN=Authority of the tests"],
                      ["req", *new, "-keyout", key, "-out", request, "-subj", "/CN=relay"],
                      ["x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority_key, "-CAcreateserial",
                       "-days", str(days), "-extfile", extra, "-out", certificate]):
            subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
        return authority, certificate, key

    def job(self, lines: Iterable[Any] | bytes, name: str = "job.jsonl") -> Path:
        path = self.folder / name
        path.write_bytes(lines if isinstance(lines, bytes) else jsonl(lines))
        return path

    def environment(self, **more: str | None) -> dict[str, str]:
        """The program's environment, without the machine's own relay, key, config and language."""
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("OPENAI_", "XDG_")) and not name.lower().endswith("_proxy")
                and name not in ("SSL_CERT_FILE", "SSL_CERT_DIR", "NO_COLOR", "LANG", "LC_ALL", "LC_MESSAGES")}
        chosen: dict[str, str | None] = {
            **kept, "OPENAI_API_KEY": KEY, "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"), "HOME": str(self.folder), **more}
        return {name: value for name, value in chosen.items() if value is not None}

    def start(self, *words: Any, stdin: bytes | None = None, env: dict[str, str | None] | None = None,
              wrap: list[str] | None = None) -> Run:
        command = [*(wrap or []), program(), *(str(word) for word in words)]
        started = Run(command, self.environment(**(env or {})), self.folder, stdin)
        self.addCleanup(started.close)
        return started

    def sluice(self, *words: Any, expect: int | None = 0, **more: Any) -> Run:
        """Runs the program to its end and checks its exit status."""
        ended = self.start(*words, **more).wait()
        if expect is not None:
            self.assertEqual(ended.code, expect, f"{ended.command}\n{ended.err}")
        return ended

    def run_job(self, job: Path | str, server: Server, *flags: Any, **more: Any) -> Run:
        return self.sluice("run", job, "--base-url", server.url, "--rpm", 0, *flags, **more)

    def results(self, job: Path, folder: Path | None = None) -> Results:
        return Results(job, folder)

    def assert_one_sentence(self, run: Run, *parts: str) -> None:
        """Checks a refusal: nothing on stdout, and one line on stderr that starts with the program's name and contains
        each part."""
        lines = run.err.rstrip("\n").split("\n")
        self.assertEqual(run.out, "")
        self.assertEqual(len(lines), 1, run.err)
        self.assertTrue(lines[0].startswith("sluice: "), run.err)
        for part in parts:
            self.assertIn(part, lines[0])


def signal_and_wait(run: Run, number: int = signal.SIGINT) -> Run:
    run.signal(number)
    return run.wait()


def files_under(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
