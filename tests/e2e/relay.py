#!/usr/bin/env python3
"""A relay that checks its client from outside.

Role: an OpenAI-compatible HTTP server. It shares neither code nor language with the program under test, so its counts
are independent. It knows when each attempt arrived, what it contained, and what was returned.

    python3 relay.py [--port 0] [--rpm 200] [--delay-min 0 --delay-max 1.0] [--head-delay S] [--seed N]
                     [--tls-cert F --tls-key F] [--script FILE] [--faults NAME=P,...] [--no-count]

It prints `listening PORT` on stdout, serves 127.0.0.1, and ends with status 0 on POST /shutdown, SIGTERM or SIGINT.

The clock. After an attempt was read completely, it waits for a random time in [delay-min, delay-max]. This stands for
the network and the queues before a relay's counter, which the client cannot see. Then the attempt *arrives*: it is
counted at time.monotonic(). Only then, and after head-delay, its head is sent. So the client knows as much about the
arrival as with a real relay: it is later than its own send and earlier than the head. An attempt counts even if its
client leaves during the wait.

The limit. A sliding log like that of relays of the new-api family: an attempt is refused with 429 and without a hint if
`rpm` admitted attempts arrived less than 60 s before it. Refused attempts do not enter that log. But `max_in_60s`
counts all arrivals, including refused ones: it measures what the client did, not what was allowed. `--rpm 0` and
`--no-count` refuse nothing and record everything.

Endpoints. POST /v1/chat/completions, /v1/completions, /v1/responses (streamed or not), /v1/embeddings; GET /v1/models
(not counted); and for tests GET /stats, /arrivals, /bodies and POST /shutdown. /bodies has strings decoded with
`surrogateescape`: encode them in the same way to get the exact bytes. A header that appears twice is shown in /stats as
its values joined with ", ".

The answer echoes the last user text ("echo: ..."), cut at the body's token limit, so that swapped results are visible.
Tokens: one per six bytes of UTF-8, at least one, over all texts of the prompt, and the same for each choice's text. For
ordinary prose that is not more than a real tokenizer counts, so it does not exceed a budget that was reserved with one.

The script (a JSON list) replaces answers. The first entry that matches and is not used up applies, before limit and
faults:
    match   substring of the request body, or null for any       times   attempts that it serves (1); null: no limit
    after   number of matching attempts that it skips before it applies (0)
    path    substring of the target; then GETs and unknown paths can be answered, too (these are not counted)
    status, headers, body       a reply with Content-Length (a body that is not a string is written as JSON), or
    status, headers, chunks     a reply in chunked encoding, each string one chunk and one write, `gap` s apart (0.001)
    raw     the exact bytes of the response, or a list of pieces written one by one
    delay   seconds before the first byte                       hold    true: silent after the last byte, socket open
    close   "after": close without announcement; "rst": reset; "cut": close without the last chunk (a `body` loses half)
Strings are UTF-8; a lone surrogate \\udc80..\\udcff stands for that one byte. An entry without raw, status, body and
chunks sends nothing: with `close` it is a connection lost before the head, with `hold` a silent relay.

Faults, each with a probability per attempt: a status from 400 to 599; `html` (502 page), `reset` (before the head),
`cut` (in the body), `stall` (silent in the body), `error200` (an error object inside a 200), `nofinish` (a stream with
a proper end but without its finish reason).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import random
import signal
import socket
import ssl
import struct
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from pathlib import Path
from typing import Any

WINDOW = 60.0
MAX_HEAD = 64 * 1024
KEPT_BODY_BYTES = 512 * 1024 * 1024  # above it /bodies does not grow, and /stats has the number of missing bodies
ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
MODELS = ("gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo", "text-embedding-3-small")
NAMED_FAULTS = ("html", "reset", "cut", "stall", "error200", "nofinish")
DONE = b"data: [DONE]\n\n"


# ---------------------------------------------------------------- counting


class SlidingLog:
    """The arrivals and their limit. Times must not decrease. An arrival exactly 60 s ago is outside the window."""

    def __init__(self, rpm: int) -> None:
        self.rpm = rpm
        self.arrivals: list[float] = []
        self.refused: list[float] = []
        self._admitted: deque[float] = deque()

    def arrive(self, now: float) -> bool:
        """Records an arrival. False if the limit refuses it."""
        self.arrivals.append(now)
        if self.rpm <= 0:
            return True
        while self._admitted and now - self._admitted[0] >= WINDOW:
            self._admitted.popleft()
        if len(self._admitted) >= self.rpm:
            self.refused.append(now)
            return False
        self._admitted.append(now)
        return True

    def most_in_window(self) -> int:
        """The maximum number of arrivals in any window. A fullest window ends at an arrival, so only these count."""
        most = start = 0
        for end, now in enumerate(self.arrivals):
            while now - self.arrivals[start] >= WINDOW:
                start += 1
            most = max(most, end - start + 1)
        return most

    def whole_windows(self) -> list[int]:
        """The arrivals in each consecutive window from the first arrival on, without the unfinished last one."""
        if not self.arrivals:
            return []
        counts = Counter(int((now - self.arrivals[0]) // WINDOW) for now in self.arrivals)
        return [counts[i] for i in range(max(counts))]


@dataclass
class Ledger:
    """Everything that the relay received and returned, without times."""

    attempts: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    connections: int = 0
    scripted: int = 0
    unauthorized: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    agents: set[str] = field(default_factory=set)
    authorizations: set[str] = field(default_factory=set)
    keyed: dict[str, Counter[str]] = field(default_factory=dict)  # Idempotency-Key -> digest of the body -> attempts
    bodies: list[str] = field(default_factory=list)
    body_bytes: int = 0
    bodies_dropped: int = 0
    delivered: Counter[str] = field(default_factory=Counter)

    def saw(self, request: Request) -> None:
        self.attempts += 1
        self.agents.add(request.headers.get("user-agent", ""))
        self.authorizations.add(request.headers.get("authorization", ""))
        self.unauthorized += "authorization" not in request.headers
        if key := request.headers.get("idempotency-key"):
            self.keyed.setdefault(key, Counter())[hashlib.sha256(request.body).hexdigest()] += 1
        if self.body_bytes + len(request.body) > KEPT_BODY_BYTES:
            self.bodies_dropped += 1
        else:
            self.body_bytes += len(request.body)
            self.bodies.append(request.body.decode("utf-8", "surrogateescape"))

    def stats(self, log: SlidingLog) -> dict[str, Any]:
        windows = log.whole_windows()
        return {
            "attempts": self.attempts, "refused": len(log.refused), "scripted": self.scripted,
            "faults": dict(self.faults), "max_in_60s": log.most_in_window(), "arrivals_total": len(log.arrivals),
            "first_arrival": log.arrivals[0] if log.arrivals else None,
            "last_arrival": log.arrivals[-1] if log.arrivals else None,
            # best and avg are shares of rpm; null without a limit or before the first window is complete
            "per_60s_windows": {
                "counts": windows,
                "best": max(windows) / log.rpm if windows and log.rpm > 0 else None,
                "avg": sum(windows) / len(windows) / log.rpm if windows and log.rpm > 0 else None,
            },
            "bodies_seen": {key: {"attempts": sum(digests.values()), "sha256": sorted(digests)}
                            for key, digests in self.keyed.items()},
            "bodies_dropped": self.bodies_dropped, "headers_seen": sorted(self.agents),
            "authorization_missing": self.unauthorized > 0, "authorizations_seen": sorted(self.authorizations),
            "max_in_flight": self.max_in_flight, "connections": self.connections,
            "delivered": {name: self.delivered[name] for name in ("requests", "prompt_tokens", "completion_tokens")},
        }


# ---------------------------------------------------------------- answers


@dataclass
class Reply:
    """A successful answer in pieces: `parts` up to the last content, then `end`, which shows that it is complete."""

    parts: list[bytes]
    end: list[bytes]
    streamed: bool
    prompt_tokens: int
    completion_tokens: int = 0


def tokens(text: str) -> int:
    return max(1, len(text.encode("utf-8", "surrogatepass")) // 6)


def texts(value: Any) -> list[str]:
    """All texts in a `content`, `prompt` or `input`: a string, a list of strings, content parts or messages. Token ids
    count as the text of their numbers."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    if isinstance(value, dict):
        return texts(value.get("text", value.get("content")))
    return [] if value is None else [str(value)]


def pieces(text: str, rng: random.Random) -> list[str]:
    """Splits the text into at most eight parts, between characters."""
    cuts = sorted(rng.sample(range(1, len(text)), min(len(text) - 1, rng.randint(2, 7)))) if len(text) > 1 else []
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)])]


def vector(text: str, size: int) -> list[float]:
    """A deterministic embedding of the text, with eight numbers unless the request has `dimensions`."""
    rng = random.Random(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return [round(rng.uniform(-1, 1), 6) for _ in range(size)]


def embeddings(body: dict[str, Any]) -> Reply:
    source = body.get("input")
    # A list of numbers is one input of token ids. Any other list has one input per item.
    many = isinstance(source, list) and not all(isinstance(item, int) for item in source)
    inputs = [" ".join(texts(item)) for item in (source if many else [source])]
    vectors: list[Any] = [vector(text, int(body.get("dimensions") or 8)) for text in inputs]
    if body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() for v in vectors]
    used = sum(map(tokens, inputs))
    data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
    usage = {"prompt_tokens": used, "total_tokens": used}
    document = {"object": "list", "data": data, "model": body.get("model"), "usage": usage}
    return Reply([json.dumps(document).encode()], [], False, used)


def generate(path: str, body: dict[str, Any], rng: random.Random) -> Reply:
    """The answer of the three endpoints that generate text."""
    chat, responses = path == ENDPOINTS[0], path == ENDPOINTS[3]
    prompt = body.get("messages") if chat else body.get("input") if responses else body.get("prompt")
    prompts = texts(prompt)
    last = prompts[-1] if prompts else ""
    if chat and isinstance(prompt, list):
        users = [m for m in prompt if isinstance(m, dict) and m.get("role") == "user"]
        last = "".join(texts(users[-1])) if users else last
    prompt_tokens = sum(map(tokens, prompts + texts(body.get("instructions"))))
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or body.get("max_output_tokens")

    answers, reasons = [], []
    for index in range(1 if responses else int(body.get("n") or 1)):
        whole = f"echo {index}: {last}" if index else f"echo: {last}"
        raw = whole.encode("utf-8", "surrogatepass")
        cut = bool(limit) and len(raw) > 6 * int(limit)
        answers.append(raw[:6 * int(limit)].decode("utf-8", "ignore") if cut else whole)
        reasons.append("length" if cut else "stop")
    completion_tokens = sum(map(tokens, answers))

    def reply(parts: list[Any], end: list[Any], streamed: bool) -> Reply:
        # lone surrogates must be escaped
        ascii_only = rng.random() < 0.3 or any("\ud800" <= c <= "\udfff" for c in last)

        def wire(item: Any) -> bytes:
            if isinstance(item, bytes):
                return item
            text = json.dumps(item, ensure_ascii=ascii_only)
            name = f"event: {item['type']}\n" if streamed and responses else ""
            return (f"{name}data: {text}\n\n" if streamed else text).encode()

        return Reply([wire(p) for p in parts], [wire(e) for e in end], streamed, prompt_tokens, completion_tokens)

    streamed = body.get("stream") is True
    stamp = {"created": int(time.time()), "model": body.get("model")}
    number = f"{rng.getrandbits(96):024x}"
    if responses:
        return reply(*response_events(number, stamp, answers[0], reasons[0], prompt_tokens, rng, streamed), streamed)
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens,
             "total_tokens": prompt_tokens + completion_tokens}
    kind = ("chat.completion.chunk" if streamed else "chat.completion") if chat else "text_completion"
    frame = {"id": ("chatcmpl-" if chat else "cmpl-") + number, "object": kind, **stamp}

    if not streamed:
        choices: list[dict[str, Any]] = []
        for i, (text, reason) in enumerate(zip(answers, reasons)):
            inner = {"message": {"role": "assistant", "content": text, "refusal": None}} if chat else {"text": text}
            choices.append({"index": i, **inner, "logprobs": None, "finish_reason": reason})
        return reply([{**frame, "choices": choices, "usage": usage}], [], False)

    with_usage = (body.get("stream_options") or {}).get("include_usage") is True

    def chunk(index: int, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
        inner = {"delta": delta} if chat else {"text": delta.get("content", "")}
        choice = {"index": index, **inner, "logprobs": None, "finish_reason": reason}
        return {**frame, "choices": [choice], **({"usage": None} if with_usage else {})}

    parts = [chunk(i, {"role": "assistant", "content": ""}, None) for i in range(len(answers))] if chat else []
    waiting = [deque(pieces(text, rng)) for text in answers]
    while any(waiting):  # choices come in random order
        index = rng.choice([i for i, left in enumerate(waiting) if left])
        parts.append(chunk(index, {"content": waiting[index].popleft()}, None))
    end: list[Any] = [chunk(i, {}, reason) for i, reason in enumerate(reasons)]
    if with_usage:
        end.append({**frame, "choices": [], "usage": usage})
    return reply(parts, [*end, DONE], True)


def response_events(number: str, stamp: dict[str, Any], text: str, reason: str, prompt_tokens: int,
                    rng: random.Random, streamed: bool) -> tuple[list[Any], list[Any]]:
    """The Responses API: one object, or its events and, separately, the last one."""
    at = {"item_id": f"msg_{number}", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"type": "message", "id": at["item_id"], "role": "assistant", "status": "completed", "content": [part]}
    opened = {"id": f"resp_{number}", "object": "response", "created_at": stamp["created"], "model": stamp["model"],
              "status": "in_progress", "error": None, "incomplete_details": None, "output": [], "usage": None}
    used = tokens(text)
    short = reason == "length"
    closed = {**opened, "status": "incomplete" if short else "completed", "output": [item],
              "incomplete_details": {"reason": "max_output_tokens"} if short else None,
              "usage": {"input_tokens": prompt_tokens, "input_tokens_details": {"cached_tokens": 0},
                        "output_tokens": used, "output_tokens_details": {"reasoning_tokens": 0},
                        "total_tokens": prompt_tokens + used}}
    if not streamed:
        return [closed], []
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": opened}, {"type": "response.in_progress", "response": opened},
        {"type": "response.output_item.added", "output_index": 0,
         "item": {**item, "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **at, "delta": piece} for piece in pieces(text, rng)),
        {"type": "response.output_text.done", **at, "text": text},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": f"response.{closed['status']}", "response": closed},
    ]
    numbered = [{**event, "sequence_number": i} for i, event in enumerate(events)]
    return numbered[:-1], numbered[-1:]


def writes(events: list[bytes], rng: random.Random) -> list[bytes]:
    """Splits the stream into writes. Some events are split, if possible inside a multi-byte character, and some are
    joined with the next one, since a client must handle both."""
    out, joined = [], b""
    for event in events:
        luck = rng.random()
        if luck < 0.2:
            joined += event
            continue
        data, joined = joined + event, b""
        inside = [i for i, byte in enumerate(data) if byte & 0xC0 == 0x80]
        if luck < 0.5 and len(data) > 1:
            cut = rng.choice(inside) if inside else rng.randrange(1, len(data))
            out += [data[:cut], data[cut:]]
        else:
            out.append(data)
    return [*out, joined] if joined else out


# ---------------------------------------------------------------- the script


@dataclass
class Entry:
    """One scripted answer. The docstring of this module explains the fields."""

    match: str | None = None
    times: int | None = 1
    after: int = 0
    path: str | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    chunks: list[str] | None = None
    raw: str | list[str] | None = None
    delay: float = 0.0
    gap: float = 0.001
    hold: bool = False
    close: str | None = None

    def __post_init__(self) -> None:
        if self.close not in (None, "after", "rst", "cut"):
            raise ValueError(f"script: unknown close {self.close!r}")

    def takes(self, request: Request) -> bool:
        if self.times == 0 or (self.path not in request.target if self.path else not request.counted):
            return False
        if self.match is not None and octets(self.match) not in request.body:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        return True


def octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def load_script(path: str) -> list[Entry]:
    allowed = {f.name for f in fields(Entry)}
    entries = json.loads(Path(path).read_text("utf-8"))
    for entry in entries:
        if unknown := set(entry) - allowed:  # with a misspelled key a test could pass for the wrong reason
            raise ValueError(f"script: unknown key {sorted(unknown)[0]!r}")
    return [Entry(**entry) for entry in entries]


# ---------------------------------------------------------------- HTTP


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    keep_alive: bool

    @property
    def counted(self) -> bool:
        return self.method == "POST" and self.target.partition("?")[0] in ENDPOINTS


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """Reads the next request of a connection. None if the client has closed it between two requests."""
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError as cut:
        if cut.partial:
            raise
        return None
    method, target, version = lines[0].split(" ")
    headers: dict[str, str] = {}
    for name, _, value in (line.partition(":") for line in lines[1:-2]):
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass  # ignore trailers
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return Request(method, target, headers, body, keep)


def head(status: int, headers: dict[str, str]) -> bytes:
    reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
    return octets("".join([f"HTTP/1.1 {status} {reason}\r\n", *(f"{k}: {v}\r\n" for k, v in headers.items()), "\r\n"]))


def framed(chunk: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(chunk), chunk)


class Hangup(Exception):
    """Ends the connection on purpose."""


class Exchange:
    """The sending side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def whole(self, status: int, body: bytes, kind: str = "application/json") -> None:
        await self.send(head(status, {"Content-Type": kind, "Content-Length": str(len(body))}) + body)

    async def document(self, status: int, value: Any) -> None:
        await self.whole(status, json.dumps(value).encode())

    async def refuse(self, status: int, message: str, kind: str, code: Any = None) -> None:
        error = {"message": f"{message} (request id: {time.time_ns()})", "type": kind, "param": None, "code": code}
        await self.document(status, {"error": error})

    async def until_left(self) -> None:
        while await self.reader.read(65536):
            pass
        raise Hangup

    def reset(self) -> None:
        """Drops the connection with RST. Data that the client has not read yet may be lost, as in reality."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise Hangup


# ---------------------------------------------------------------- the relay


class Relay:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.log = SlidingLog(0 if options.no_count else options.rpm)
        self.ledger = Ledger()
        self.rng = random.Random(options.seed)
        self.script = load_script(options.script) if options.script else []
        self.stopped = asyncio.Event()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ledger.connections += 1
        out = Exchange(reader, writer)
        tls = writer.get_extra_info("ssl_object")
        try:
            if tls is not None and tls.selected_alpn_protocol() != "http/1.1":
                raise Hangup  # like front ends that expect HTTP/2 otherwise
            while request := await read_request(reader, writer):
                await self.answer(request, out)
                if not request.keep_alive:
                    break
        except (Hangup, OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client left or did not send HTTP, or the relay ends
        finally:
            writer.close()

    async def answer(self, request: Request, out: Exchange) -> None:
        path = request.target.partition("?")[0]
        if request.counted:
            self.ledger.in_flight += 1
            self.ledger.max_in_flight = max(self.ledger.max_in_flight, self.ledger.in_flight)
            try:
                await self.attempt(request, path, out)
            finally:
                self.ledger.in_flight -= 1
        elif entry := self.scripted(request):
            await self.play(entry, out)
        elif (request.method, path) == ("GET", "/stats"):
            await out.document(200, self.ledger.stats(self.log))
        elif (request.method, path) == ("GET", "/arrivals"):
            await out.document(200, self.log.arrivals)
        elif (request.method, path) == ("GET", "/bodies"):
            await out.document(200, self.ledger.bodies)
        elif (request.method, path) == ("GET", "/v1/models"):
            data = [{"id": m, "object": "model", "created": 1626777600, "owned_by": "openai"} for m in MODELS]
            await out.document(200, {"object": "list", "data": data})
        elif (request.method, path) == ("POST", "/shutdown"):
            await out.document(200, {"stopped": True})
            self.stopped.set()
            raise Hangup
        else:
            await out.refuse(404, f"Invalid URL ({request.method} {path})", "invalid_request_error", "")

    async def attempt(self, request: Request, path: str, out: Exchange) -> None:
        self.ledger.saw(request)
        # Choose the entry at once, so that entries are used in the order of requests, not of their delays.
        entry = self.scripted(request)
        await asyncio.sleep(self.rng.uniform(self.options.delay_min, self.options.delay_max))
        admitted = self.log.arrive(time.monotonic())
        await asyncio.sleep(self.options.head_delay)
        if entry:
            return await self.play(entry, out)
        if not admitted:
            message = f"您已达到总请求数限制：1分钟内最多请求{self.log.rpm}次，包括失败次数，请检查您的请求是否正确"
            return await out.refuse(429, message, "new_api_error")
        fault = self.draw_fault()
        if fault.isdigit():
            return await out.refuse(int(fault), "上游服务出错，请稍后再试", "upstream_error", "bad_response_status_code")
        if fault == "html":
            return await out.whole(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html")
        if fault == "reset":
            out.reset()
        if fault == "error200":
            return await out.refuse(200, "upstream is overloaded", "server_error", "server_error")
        try:
            body = json.loads(request.body)
            rng = random.Random(hashlib.sha256(request.body).digest())  # the same body always gets the same answer
            reply = embeddings(body) if path == ENDPOINTS[2] else generate(path, body, rng)
        except (ValueError, TypeError, AttributeError) as wrong:
            return await out.refuse(400, f"invalid request: {wrong}", "invalid_request_error", "invalid_value")
        await self.deliver(reply, fault, rng, out)

    def scripted(self, request: Request) -> Entry | None:
        for entry in self.script:
            if entry.takes(request):
                if entry.times is not None:
                    entry.times -= 1
                self.ledger.scripted += 1
                return entry
        return None

    def draw_fault(self) -> str:
        if not self.options.faults:
            return ""
        luck = self.rng.random()
        for name, probability in self.options.faults.items():
            luck -= probability
            if luck < 0:
                self.ledger.faults[name] += 1
                return str(name)
        return ""

    async def deliver(self, reply: Reply, fault: str, rng: random.Random, out: Exchange) -> None:
        """Sends a successful reply, or a part of it if there is a fault. Only a complete reply, written to the last
        byte while the client was still connected, counts as delivered."""
        broken = fault in ("cut", "stall") or (fault == "nofinish" and not reply.streamed)
        if reply.streamed:
            await out.send(head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}))
            events = reply.parts[:(len(reply.parts) + 1) // 2] if broken else reply.parts
            end = [DONE] * (DONE in reply.end) if fault == "nofinish" else [] if broken else reply.end
            for data in writes(events + end, rng):
                await out.send(framed(data))
                await asyncio.sleep(0.0005)  # so that the kernel does not join the writes
            if not broken:
                await out.send(framed(b""))
        else:
            body = reply.parts[0]
            await out.send(head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
                           + (body[:len(body) // 2] if broken else body))
        if fault == "stall":
            await out.until_left()
        if broken:
            raise Hangup
        if not fault:
            self.ledger.delivered.update(requests=1, prompt_tokens=reply.prompt_tokens,
                                         completion_tokens=reply.completion_tokens)

    async def play(self, entry: Entry, out: Exchange) -> None:
        await asyncio.sleep(entry.delay)
        status = entry.status or 200
        if entry.raw is not None:
            for piece in [entry.raw] if isinstance(entry.raw, str) else entry.raw:
                await out.send(octets(piece))
                await asyncio.sleep(entry.gap)
        elif entry.chunks is not None:
            await out.send(head(status, {"Transfer-Encoding": "chunked", **entry.headers}))
            for chunk in entry.chunks:
                await out.send(framed(octets(chunk)))
                await asyncio.sleep(entry.gap)
            if not (entry.hold or entry.close in ("cut", "rst")):
                await out.send(framed(b""))
        elif entry.status is not None or entry.body is not None:
            text = entry.body if isinstance(entry.body, str) else "" if entry.body is None else json.dumps(entry.body)
            body = octets(text)
            own = {name.lower() for name in entry.headers}
            length = {} if "content-length" in own else {"Content-Length": str(len(body))}
            kind = {} if "content-type" in own else {"Content-Type": "application/json"}
            await out.send(head(status, {**kind, **length, **entry.headers})
                           + (body[:len(body) // 2] if entry.close == "cut" else body))
        if entry.hold:
            await out.until_left()
        if entry.close == "rst":
            out.reset()
        if entry.close:
            raise Hangup


# ---------------------------------------------------------------- the program


def fault_list(text: str) -> dict[str, float]:
    faults = {}
    for pair in filter(None, text.split(",")):
        name, _, probability = pair.partition("=")
        if name not in NAMED_FAULTS and not (name.isdigit() and 400 <= int(name) <= 599):
            raise argparse.ArgumentTypeError(f"unknown fault: {name}")
        faults[name] = float(probability)
    return faults


def options_from(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="An OpenAI-compatible relay that counts, for end-to-end tests.")
    parser.add_argument("--port", type=int, default=0, help="0: a free port (default)")
    parser.add_argument("--rpm", type=int, default=200, help="attempts admitted in any 60 s; 0: no limit (default 200)")
    parser.add_argument("--delay-min", type=float, default=0.0, help="minimum seconds until an attempt counts")
    parser.add_argument("--delay-max", type=float, default=1.0, help="maximum seconds until an attempt counts")
    parser.add_argument("--head-delay", type=float, default=0.0, help="seconds from the count to the response head")
    parser.add_argument("--seed", type=int, help="makes delays and faults repeatable")
    parser.add_argument("--tls-cert", help="PEM certificate; serves HTTPS")
    parser.add_argument("--tls-key", help="PEM key of --tls-cert")
    parser.add_argument("--script", help="JSON file of scripted answers")
    parser.add_argument("--faults", type=fault_list, default={}, help="e.g. 500=0.05,cut=0.02")
    parser.add_argument("--no-count", action="store_true", help="refuse nothing; arrivals are still recorded")
    return parser.parse_args(argv)


async def serve(options: argparse.Namespace) -> None:
    relay = Relay(options)
    tls = None
    if options.tls_cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.tls_cert, options.tls_key)
        tls.set_alpn_protocols(["http/1.1"])
    server = await asyncio.start_server(relay.connection, "127.0.0.1", options.port, limit=MAX_HEAD, backlog=1024,
                                        ssl=tls)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, relay.stopped.set)
    print(f"listening {server.sockets[0].getsockname()[1]}", flush=True)
    await relay.stopped.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(options_from(sys.argv[1:])))
