#!/usr/bin/env python3
"""A relay with known timings: it answers chats with planned delays, and records the times.

Role: the reference for a client's measurements. It shares no code with the program under test. Its own delays do not
count as errors of the client: it records when a piece was really written, not when it was due.

    python3 timed_relay.py [--port 0] [--head S] [--ttft S] [--itl S] [--jitter SHARE] [--reasoning N] [--pieces N]
                           [--tokens-per-piece N] [--hidden-reasoning-tokens N] [--role-first] [--piece-bytes N]
                           [--stall-at S --stall-for S] [--tls-cert F --tls-key F --handshake S] [--seed N] [--forget]

It prints `listening PORT` on stdout, serves 127.0.0.1 on one thread, and ends on a signal. Any POST is a chat, streamed
if its body has `"stream": true`. GET /truth returns the log of all finished chats, the oldest first:

    accepted   when the connection was accepted; null if it was used before     ready    when its TLS handshake ended
    request    when the first bytes of the request arrived, by the kernel's time stamp (with TLS: when they were read)
    head       when the head of the reply was written: [before, after]
    pieces     [kind, [before, after], tokens] of each piece; kinds are role (empty), reasoning and content
    end        when the last bytes were written: [before, after]                  usage    the reported usage
All times are seconds of CLOCK_MONOTONIC. A write is a span, since the receiver may already run before send() returns.

The delays. The head is sent `head` after the request, the first piece `ttft` after the request, each further piece
`itl` after the one before. An unstreamed reply is sent at the time of its last piece. Delays vary uniformly by up to
`jitter` of their length. Another `itl` after a stream's last piece come its finish reason, usage and [DONE]. With
`stall-at`, the relay neither reads nor writes for `stall-for`, starting `stall-at` after the first request. Like a
process that hangs, it then answers what arrived meanwhile as if it had arrived at the end of the stall.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import select
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field
from typing import Any

SO_TIMESTAMPNS = 35  # on Linux; the socket module does not define it
NOTHING_TO_DO = 3600.0


def framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(document: Any) -> bytes:
    return framed(b"data: " + json.dumps(document).encode() + b"\n\n")


@dataclass
class Step:
    """One write, and its delay after the write before it, or for the first one after the request."""

    kind: str
    data: bytes
    delay: float
    tokens: int = 0


def steps_of(options: argparse.Namespace, streamed: bool) -> tuple[list[Step], dict[str, Any]]:
    """The writes of a reply, and its usage."""
    texts = options.reasoning + options.pieces
    hidden = options.hidden_reasoning_tokens
    shown_reasoning = options.reasoning * options.tokens_per_piece
    completion = texts * options.tokens_per_piece + hidden
    usage = {"prompt_tokens": 64, "completion_tokens": completion, "total_tokens": 64 + completion,
             "completion_tokens_details": {"reasoning_tokens": hidden + shown_reasoning}}
    frame = {"id": "chatcmpl-timed", "created": 1700000000, "model": "gpt-4o-mini"}
    word = (" word" * (options.piece_bytes // 5 + 1))[:max(options.piece_bytes, 1)]

    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return event({**frame, "object": "chat.completion.chunk", "choices": [choice]})

    head = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Type: %s\r\n%s\r\n\r\n"
    if not streamed:
        message = {"role": "assistant", "content": word * options.pieces}
        body = json.dumps({**frame, "object": "chat.completion", "usage": usage,
                           "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        whole = max(options.ttft - options.head, 0.0) + options.itl * (texts - 1)
        return [Step("head", head % (b"application/json", b"Content-Length: %d" % len(body)), options.head),
                Step("end", body, whole)], usage
    steps = [Step("head", head % (b"text/event-stream", b"Transfer-Encoding: chunked"), options.head)]
    if options.role_first:
        steps.append(Step("role", chunk({"role": "assistant", "content": ""}), 0))
    first = max(options.ttft - options.head, 0.0)
    for i in range(texts):
        kind = "reasoning" if i < options.reasoning else "content"
        name = "reasoning_content" if kind == "reasoning" else "content"
        steps.append(Step(kind, chunk({name: word}), options.itl if i else first, options.tokens_per_piece))
    last = chunk({}, "stop") + event({**frame, "object": "chat.completion.chunk", "choices": [], "usage": usage})
    steps.append(Step("end", last + framed(b"data: [DONE]\n\n") + framed(b""), options.itl))
    return steps, usage


@dataclass
class Connection:
    socket: socket.socket
    accepted: float | None
    ready: float | None = None
    received: bytes = b""
    request: float = 0.0
    handshaking: bool = False
    chat: dict[str, Any] | None = None
    steps: list[Step] = field(default_factory=list)
    at: int = 0
    planned: float = 0.0  # when the step is due


class TimedRelay:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.random = random.Random(options.seed)
        self.replies = {streamed: steps_of(options, streamed) for streamed in (False, True)}
        self.log: list[dict[str, Any]] = []
        self.due: list[tuple[float, int, Connection]] = []
        self.number = itertools.count()
        self.connections: dict[int, Connection] = {}
        self.poll = select.epoll()
        self.first_request: float | None = None
        self.stalled = options.stall_for <= 0
        self.tls: ssl.SSLContext | None = None
        if options.tls_cert:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(options.tls_cert, options.tls_key)
        self.listener = socket.create_server(("127.0.0.1", options.port), backlog=4096)
        self.listener.setblocking(False)
        self.poll.register(self.listener, select.EPOLLIN)

    def serve(self) -> None:
        while True:
            wait = self.due[0][0] - time.monotonic() if self.due else NOTHING_TO_DO
            for number, _ in self.poll.poll(max(wait, 0.0)):
                if number == self.listener.fileno():
                    self.accept()
                elif number in self.connections:
                    self.read(self.connections[number])
            self.stall()
            now = time.monotonic()
            while self.due and self.due[0][0] <= now:
                connection = heapq.heappop(self.due)[2]
                if connection.handshaking:
                    self.shake_hands(connection)
                elif connection.chat is not None:
                    self.write(connection)

    def stall(self) -> None:
        """Hangs once, at the planned time."""
        if self.stalled or self.first_request is None:
            return
        begin = self.first_request + self.options.stall_at
        if time.monotonic() < begin:
            return
        self.stalled = True
        time.sleep(max(begin + self.options.stall_for - time.monotonic(), 0.0))

    def accept(self) -> None:
        try:
            while True:
                made, _ = self.listener.accept()
                now = time.monotonic()
                made.setblocking(False)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                connection = Connection(made, now, now)
                if self.tls:
                    connection.handshaking = True
                    heapq.heappush(self.due, (now + self.options.handshake, next(self.number), connection))
                else:
                    self.watch(connection)
        except BlockingIOError:
            pass

    def watch(self, connection: Connection) -> None:
        self.connections[connection.socket.fileno()] = connection
        self.poll.register(connection.socket, select.EPOLLIN)

    def shake_hands(self, connection: Connection) -> None:
        if not isinstance(connection.socket, ssl.SSLSocket):
            assert self.tls
            connection.socket = self.tls.wrap_socket(connection.socket, server_side=True, do_handshake_on_connect=False,
                                                     suppress_ragged_eofs=True)
            self.watch(connection)
        try:
            connection.socket.do_handshake()
            connection.ready = time.monotonic()
            connection.handshaking = False
            self.read(connection)  # data that came with the end of the handshake causes no event
        except ssl.SSLWantReadError:
            pass
        except OSError:
            self.close(connection)

    def close(self, connection: Connection) -> None:
        self.connections.pop(connection.socket.fileno(), None)
        connection.chat = None
        connection.socket.close()

    def read(self, connection: Connection) -> None:
        if connection.handshaking:
            self.shake_hands(connection)
            return
        try:
            data, when = self.receive(connection.socket)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            data, when = b"", 0.0
        if not data:
            self.close(connection)
            return
        if not connection.received:
            connection.request = when
        connection.received += data
        head, separator, body = connection.received.partition(b"\r\n\r\n")
        if not separator:
            return
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        named = {name.lower(): value.decode() for name, value in fields.items()}
        if len(body) < int(named.get(b"content-length", "0")):
            return
        connection.received = b""
        if head.startswith(b"GET /truth"):
            self.tell(connection)
        else:
            self.begin(connection, named.get(b"idempotency-key", ""), b'"stream":true' in body.replace(b" ", b""))

    @staticmethod
    def receive(source: socket.socket) -> tuple[bytes, float]:
        """Received bytes, and when the kernel received them."""
        if isinstance(source, ssl.SSLSocket):
            return source.recv(65536), time.monotonic()
        data, ancillary, _, _ = source.recvmsg(65536, 64)
        now, wall = time.monotonic(), time.time()
        for _, _, stamp in ancillary:
            seconds, nanoseconds = struct.unpack("qq", stamp[:16])
            return data, now - (wall - (seconds + nanoseconds / 1e9))
        return data, now

    def begin(self, connection: Connection, key: str, streamed: bool) -> None:
        steps, usage = self.replies[streamed]
        now = time.monotonic()
        if self.first_request is None:
            self.first_request = now
        connection.chat = {"id": key, "streamed": streamed, "accepted": connection.accepted, "ready": connection.ready,
                           "request": connection.request, "pieces": [], "usage": usage}
        connection.accepted = connection.ready = None  # only for its first chat
        connection.steps, connection.at = steps, 0
        # Delays start at the arrival, or at the end of a stall.
        late = now - connection.request
        self.plan(connection, connection.request if late < self.options.ttft else now)

    def plan(self, connection: Connection, after: float) -> None:
        delay = connection.steps[connection.at].delay
        if self.options.jitter:
            delay *= 1 + self.random.uniform(-self.options.jitter, self.options.jitter)
        connection.planned = after + delay
        heapq.heappush(self.due, (connection.planned, next(self.number), connection))

    def write(self, connection: Connection) -> None:
        chat = connection.chat
        assert chat is not None
        step = connection.steps[connection.at]
        now = time.monotonic()
        try:
            sent = connection.socket.send(step.data)
            if sent < len(step.data):
                raise OSError("the client does not read")
        except OSError:
            self.close(connection)
            return
        span = (now, time.monotonic())
        if step.kind in ("head", "end"):
            chat[step.kind] = span
        else:
            chat["pieces"].append((step.kind, span, step.tokens))
        connection.at += 1
        if connection.at < len(connection.steps):
            self.plan(connection, connection.planned)
        else:
            if not self.options.forget:
                self.log.append(chat)
            connection.chat = None

    def tell(self, connection: Connection) -> None:
        body = json.dumps(self.log).encode()
        connection.socket.settimeout(60)
        connection.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                                  % len(body) + body)
        connection.socket.setblocking(False)


def options_from(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A relay with known timings.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--head", type=float, default=0.0, help="seconds from the request to the head")
    parser.add_argument("--ttft", type=float, default=0.05, help="seconds from the request to the first piece")
    parser.add_argument("--itl", type=float, default=0.01, help="seconds between two pieces")
    parser.add_argument("--jitter", type=float, default=0.0, help="share of its length by which a delay varies")
    parser.add_argument("--reasoning", type=int, default=0, help="pieces of reasoning before the content")
    parser.add_argument("--pieces", type=int, default=20, help="pieces of content")
    parser.add_argument("--tokens-per-piece", type=int, default=1)
    parser.add_argument("--hidden-reasoning-tokens", type=int, default=0, help="billed, but not sent")
    parser.add_argument("--role-first", action="store_true", help="send an empty piece with the role first")
    parser.add_argument("--piece-bytes", type=int, default=5, help="length of a piece's text")
    parser.add_argument("--stall-at", type=float, default=0.0, help="seconds after the first request")
    parser.add_argument("--stall-for", type=float, default=0.0)
    parser.add_argument("--tls-cert")
    parser.add_argument("--tls-key")
    parser.add_argument("--handshake", type=float, default=0.0, help="delay of the TLS handshake in seconds")
    parser.add_argument("--forget", action="store_true", help="keep no log, for long runs")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(argv)


def main() -> None:
    relay = TimedRelay(options_from())
    print(f"listening {relay.listener.getsockname()[1]}", flush=True)
    relay.serve()


if __name__ == "__main__":
    main()
