"""A hostile relay, with control over every byte.

Role: a request that contains "trap:NAME" in its body gets the answers of that trap. The relay keeps a ledger of the
requests that it received and billed. Unlike the fair relay of relay.py, tests define every byte of an answer, every
pause and every end of a connection, so replies are possible that no HTTP library would send.

An `Answer` is a list of steps, done in this order:
    bytes               written in a write of their own
    float               a pause in seconds
    End                 how the connection ends; without one it stays open for the next request
    a function          returns the bytes to write; for large answers, or those that depend on the time
The first attempt of a request gets the trap's first answer, the second attempt the second one, and so on; the last
answer is repeated. "trap:NAME/3" is another request for the same trap.

The ledger. An attempt is billed if its answer says so and its request was received completely. A real relay, too, bills
the tokens that the model has generated, even if the reply does not arrive.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

NAMED = re.compile(rb"trap:([a-z0-9-]+)(/\d+)?")


class End(Enum):
    CLOSE = "closed in order"
    RESET = "reset: RST instead of FIN"
    HOLD = "silent, and open until the client leaves"


Step = bytes | float | End | Callable[[], Iterable[bytes]]


@dataclass(frozen=True)
class Answer:
    steps: Sequence[Step]
    billed: bool = False
    early: bool = False  # sent as soon as the trap's name was read, before the rest of the request


@dataclass
class Attempt:
    """One received request."""

    request: str  # NAME or NAME/3
    target: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    arrived: float
    whole: bool = False  # the request was received completely
    billed: bool = False
    answered: float = 0.0  # when the answer started
    sent: bool = False  # the kernel has taken the whole answer


@dataclass
class Ledger:
    attempts: dict[str, list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    strays: list[bytes] = field(default_factory=list)  # received bytes that name no trap

    def of(self, request: str) -> list[Attempt]:
        return self.attempts.get(request, [])

    @property
    def count(self) -> int:
        return sum(map(len, self.attempts.values()))

    def billed(self, request: str) -> int:
        return sum(attempt.billed for attempt in self.of(request))


class HostileRelay:
    """Serves 127.0.0.1 on threads of this process, one per connection. If there is a `first` trap, which must end with
    HOLD, all others are answered only after the client has closed the connection of that trap."""

    def __init__(self, answers: Mapping[str, Sequence[Answer]], first: str = "") -> None:
        self.ledger = Ledger()
        self.connections = 0
        self._attended = 0  # number of open connections
        self._left: set[tuple[str, int]] = set()  # clients that closed their connection
        self._answers = answers
        self._first = first
        self._open = threading.Event()
        if not first:
            self._open.set()
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def settle(self, patience: float = 10.0) -> None:
        """Waits until the ledger contains everything from clients that have left. Opens a connection of its own, which
        is accepted after all of theirs."""
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            own = last.getsockname()
        end = time.monotonic() + patience
        while own not in self._left or self._attended:
            if time.monotonic() > end:
                raise AssertionError("a connection is still open")
            time.sleep(0.001)
        self._left.discard(own)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self._socket.accept()
                self.connections += 1
                with self._lock:
                    self._attended += 1
                threading.Thread(target=self._attend, args=(connection, peer), daemon=True).start()

    def _attend(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        with connection, contextlib.suppress(OSError):  # the client may leave at any time
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Small, so that a long answer stays here while the client does not read.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
            received = bytearray()
            while self._exchange(connection, received):
                pass
        with self._lock:
            self._attended -= 1
            self._left.add(peer)

    def _exchange(self, connection: socket.socket, received: bytearray) -> bool:
        """Reads a request and sends its answer. False if the connection has ended."""

        def more() -> bool:
            piece = connection.recv(1 << 16)
            received.extend(piece)
            return bool(piece)

        while (end := received.find(b"\r\n\r\n")) < 0:
            if not more():
                return False
        arrived = time.monotonic()
        first, *lines = received[:end].decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        start, length = end + 4, int(headers.get("content-length", 0))

        named = None
        while not (named := NAMED.search(received, start)) and len(received) < start + length:
            if not more():
                return False
        if not named:
            self.ledger.strays.append(bytes(received))
            return False
        trap, request = named[1].decode(), named[0].removeprefix(b"trap:").decode()
        attempt = Attempt(request, first.split(" ")[1], headers, b"", arrived)
        with self._lock:
            earlier = self.ledger.attempts[request]
            answers = self._answers[trap]
            answer = answers[min(len(earlier), len(answers) - 1)]
            earlier.append(attempt)
        if not answer.early:
            while len(received) < start + length:
                if not more():
                    return False
            attempt.whole, attempt.billed = True, answer.billed
        attempt.body = bytes(received[start:start + length])
        del received[:start + length]
        if trap != self._first:
            self._open.wait()
        attempt.answered = time.monotonic()
        end_of_it = play(connection, answer)
        attempt.sent = True
        if end_of_it is End.HOLD:
            while connection.recv(1 << 16):
                pass
            if trap == self._first:
                self._open.set()
        elif end_of_it is End.RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return end_of_it is None


def play(connection: socket.socket, answer: Answer) -> End | None:
    for step in answer.steps:
        if isinstance(step, End):
            return step
        if isinstance(step, bytes):
            connection.sendall(step)
        elif isinstance(step, float):
            time.sleep(step)
        else:
            for piece in step():
                connection.sendall(piece)
    return None
