"""The traps of the hostile relay: its answers to a request, and the outcome that the program must produce.

Each row of the tables has the name of a trap, the relay's answers to the first, second, ... attempt, and the outcome:
the line in output or errors, the number of attempts, and how many of them the totals count as maybe billed. The rows
follow the documented behaviour, not the present behaviour of the program.
"""

from __future__ import annotations

import gzip
import itertools
import json
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from hostile_relay import Answer, End, Step

CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"
ASKED, SERVED = "gpt-4o-mini", "gpt-4o-mini-2024-07-18"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
SSE, JSON, HTML, TEXT = "text/event-stream", "application/json", "text/html", "text/plain"
DONE = b"data: [DONE]\n\n"
END = b"0\r\n\r\n"  # ends a chunked body
PAGE = b"<html><head><title>busy</title></head><body><h1>Busy</h1></body></html>"
TICK = 0.002  # seconds between two writes, so that the kernel does not join them
MIB = 1 << 20
LARGEST = 32 * MIB  # the --max-response-bytes of the runs


@dataclass(frozen=True)
class Usage:
    prompt: int = 7
    cached: int = 0
    completion: int = 3
    reasoning: int = 0
    written: int = 0  # to the cache


@dataclass(frozen=True)
class Taken:
    """The expected line in the output."""

    body: Any
    status: int = 200
    usage: Usage | None = Usage()  # None: the relay reports no usage
    finish: dict[str, int] | None = field(default_factory=lambda: {"stop": 1})  # None: not checked
    extra: dict[str, Any] = field(default_factory=dict)  # further members of `sluice`


@dataclass(frozen=True)
class Failed:
    """The expected errors line: with `status` and `body` for an HTTP error, with `code` for any other failure."""

    status: int | None = None
    body: Any = None
    code: str | None = None
    words: str = ""  # text of the relay that error.message must contain
    retryable: bool = False


@dataclass(frozen=True)
class Trap:
    name: str
    answers: Sequence[Answer]
    outcome: Taken | Failed
    body: bytes = b""  # the body in the job; b"": a chat with the trap's name
    url: str = CHAT
    attempts: Sequence[int] = ()  # the allowed numbers of attempts; (): as many as there are answers
    maybe: Sequence[int] = (0,)  # the allowed values of maybe_billed_attempts
    says: str = ""  # text of the relay that the log must contain

    @property
    def sent(self) -> bytes:
        return self.body or ask(self.name)


# ---------------------------------------------------------------- requests


def dump(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate can only be sent as an escape
        return json.dumps(value).encode()


def ask(name: str, **more: Any) -> bytes:
    return dump({"model": ASKED, "messages": [{"role": "user", "content": f"trap:{name}"}], **more})


def prompt(name: str, **more: Any) -> bytes:
    return dump({"model": "gpt-3.5-turbo-instruct", "prompt": f"trap:{name}", **more})


def ask_response(name: str, **more: Any) -> bytes:
    return dump({"model": ASKED, "input": f"trap:{name}", **more})


# ---------------------------------------------------------------- replies


def pieces(name: str) -> list[str]:
    return ["the answer ", "to ", f"{name}: ", "答え 🐎"]


def choice(name: str, reason: str = "stop", index: int = 0, **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "".join(pieces(name)), "refusal": None, **message}
    return {"index": index, "message": said, "logprobs": None, "finish_reason": reason}


def completion(name: str, **more: Any) -> dict[str, Any]:
    """The unstreamed reply, and the result of a streamed one. Members with the value ... are left out."""
    whole = {"id": f"chatcmpl-{name}", "object": "chat.completion", "created": 1700000000, "model": SERVED,
             "choices": [choice(name)], "usage": USAGE, **more}
    return {key: value for key, value in whole.items() if value is not ...}


def event(value: Any) -> bytes:
    return b"data: %b\n\n" % dump(value)


def chunk(name: str, delta: dict[str, Any] | None = None, reason: str | None = None, index: int = 0,
          **more: Any) -> dict[str, Any]:
    return {"id": f"chatcmpl-{name}", "object": "chat.completion.chunk", "created": 1700000000, "model": SERVED,
            "choices": [{"index": index, "delta": delta or {}, "logprobs": None, "finish_reason": reason}], **more}


def begun(name: str, **more: Any) -> list[dict[str, Any]]:
    return [chunk(name, delta, **more)
            for delta in ({"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces(name)))]


def chunks(name: str, **more: Any) -> list[dict[str, Any]]:
    return [*begun(name, **more), chunk(name, reason="stop", **more), chunk(name, choices=[], usage=USAGE)]


def events(name: str) -> list[bytes]:
    return [*map(event, chunks(name)), DONE]


def error(message: str, code: str | None = None, kind: str = "server_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


# ---------------------------------------------------------------- bytes on the wire


def head(status: int | str, *lines: str, kind: str = JSON) -> bytes:
    """A response head. With kind "" it has no Content-Type."""
    named = [f"Content-Type: {kind}"] if kind else []
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status} What", *named, *lines, "")).encode()


def sized(body: bytes, status: int = 200, *lines: str, kind: str = JSON) -> list[Step]:
    return [head(status, *lines, f"Content-Length: {len(body)}", kind=kind) + body]


def document(value: Any, status: int = 200, *lines: str, kind: str = JSON) -> list[Step]:
    return sized(dump(value), status, *lines, kind=kind)


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def open_stream(parts: Iterable[bytes], *lines: str, kind: str = SSE, pause: float = TICK) -> list[Step]:
    """A chunked body without its end."""
    steps: list[Step] = [head(200, "Transfer-Encoding: chunked", *lines, kind=kind)]
    for part in parts:
        steps += [framed(part), pause]
    return steps


def stream(parts: Iterable[bytes], *lines: str, kind: str = SSE, pause: float = TICK) -> list[Step]:
    return [*open_stream(parts, *lines, kind=kind, pause=pause), END]


def apart(parts: Iterable[bytes], pause: float = TICK) -> list[Step]:
    """Each part in its own write."""
    return [step for part in parts for step in (part, pause)]


def octets(data: bytes) -> list[bytes]:
    return [data[i:i + 1] for i in range(len(data))]


def streamed(name: str) -> Answer:
    return Answer(stream(events(name)), billed=True)


def unstreamed(name: str, **more: Any) -> Answer:
    return Answer(document(completion(name, **more)), billed=True)


# ---------------------------------------------------------------- compression that was not requested


def deflated(parts: Iterable[bytes], bits: int) -> list[bytes]:
    """Compresses each part with a flush, so that it can be read at once. `bits` is 31 for gzip, 15 for zlib."""
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    flushed = [packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH) for part in parts]
    return [*flushed, packer.flush()]


ZSTD_HEAD = b"\x28\xb5\x2f\xfd\x00\x38"  # the magic, no size, no checksum, a window of 128 KiB
ZSTD_BLOCK = 128 * 1024


def zstd_block(kind: int, size: int, last: bool = False) -> bytes:
    return struct.pack("<I", last | kind << 1 | size << 3)[:3]


def zstd(parts: Iterable[bytes]) -> list[bytes]:
    """One frame with uncompressed blocks."""
    return [ZSTD_HEAD, *(zstd_block(0, len(part)) + part for part in parts), zstd_block(0, 0, last=True)]


def secret(data: bytes) -> bytes:
    return bytes(byte ^ 0x5a for byte in data)


BOMB = 8 << 30  # the unpacked size of a decompression bomb in bytes


def gzip_bomb(opening: bytes) -> Iterator[bytes]:
    """Repeats one block: after a full flush a block does not depend on earlier ones."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    yield framed(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + packer.compress(opening) + packer.flush(zlib.Z_FULL_FLUSH))
    block = packer.compress(b"x" * 16 * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    yield from itertools.repeat(framed(block), BOMB // (16 * MIB))


def zstd_bomb(opening: bytes) -> Iterator[bytes]:
    yield framed(ZSTD_HEAD + zstd_block(0, len(opening)) + opening)
    yield from itertools.repeat(framed((zstd_block(1, ZSTD_BLOCK) + b"x") * 1024), BOMB // (1024 * ZSTD_BLOCK))


# ---------------------------------------------------------------- kinds of rows


def taken(name: str, steps: Sequence[Step], outcome: Taken | None = None, **more: Any) -> Trap:
    """The first attempt succeeds."""
    return Trap(name, [Answer(steps, billed=True)], outcome or Taken(completion(name)), **more)


def said(name: str, parts: Iterable[bytes], **more: Any) -> Trap:
    """The same for a stream in chunked encoding."""
    return taken(name, stream(parts), **more)


def retried(name: str, steps: Sequence[Step], plain: bool = False, billed: bool = False, lost: int = 1,
            early: bool = False, **more: Any) -> Trap:
    """The first attempt fails, and the second one succeeds."""
    more.setdefault("body", ask(name, stream=False) if plain else b"")
    more.setdefault("maybe", (lost,))
    return Trap(name, [Answer(steps, billed, early), unstreamed(name) if plain else streamed(name)],
                Taken(completion(name)), **more)


def refused(name: str, status: int, body: Any, *lines: str, **more: Any) -> Trap:
    """A permanent HTTP error."""
    return Trap(name, [Answer(document(body, status, *lines))], Failed(status, body), **more)


def opening() -> Trap:
    """A good reply; then the relay waits until the client closes the connection. After that the client has accepted the
    reply, and so cannot take the address for a wrong one."""
    [reply] = document(completion("opening"), 200, "Connection: close")
    return Trap("opening", [Answer([reply, End.HOLD], billed=True)], Taken(completion("opening")))


# ---------------------------------------------------------------- streams


def line_ends(name: str, end: bytes) -> list[bytes]:
    return [part.replace(b"\n", end) for part in events(name)]


def split_crlf(name: str) -> list[bytes]:
    """Every write begins with the line feed of the previous line."""
    return [part for part in b"".join(line_ends(name, b"\r\n")).replace(b"\r", b"\r\0").split(b"\0")]


def spread(value: Any) -> bytes:
    """An event with its JSON in several data lines."""
    lines = json.dumps(value, ensure_ascii=False, indent=1).encode().split(b"\n")
    return b"".join(b"data: %b\n" % line for line in lines) + b"\n"


def between(name: str, extra: bytes) -> list[bytes]:
    return [part for part in events(name) for part in (extra, part)]


def parsing() -> list[Trap]:
    large = "0123456789abcdef" * (6 * MIB // 16)
    odd = "a\u2028b\u2029c\u0085d\u000be\u000cf\u001eg\ufeffh"
    fields = b"id: 7\n\nretry: 10\n\nevent: note\n\ndata:\n\ndata\n\n\n\nnonsense: 1\n\nno colon at all\n\n"
    return [
        said("plain", events("plain")),
        said("crlf", line_ends("crlf", b"\r\n")),
        said("lone-cr", line_ends("lone-cr", b"\r")),
        said("crlf-split-over-reads", split_crlf("crlf-split-over-reads")),
        said("data-without-a-space", [part.replace(b"data: ", b"data:") for part in events("data-without-a-space")]),
        said("many-data-lines", [*map(spread, chunks("many-data-lines")), DONE]),
        said("comments", between("comments", b": PING\n\n:\n\n: OPENROUTER PROCESSING\n:data: {\"error\":1}\n\n")),
        said("comment-within-data", between("comment-within-data", b"data: : keepalive\n\n")),
        said("fields-without-data", between("fields-without-data", fields)),
        said("byte-order-mark", [b"\xef\xbb\xbf", *events("byte-order-mark")]),
        said("one-byte-a-chunk", octets(b"".join(events("one-byte-a-chunk")))),
        taken("one-byte-a-write", [head(200, kind=SSE), *apart(octets(b"".join(events("one-byte-a-write"))), 0.0005),
                                   End.CLOSE]),
        said("separators-are-text", [event(chunk("separators-are-text", {"role": "assistant", "content": odd})),
                                     *events("separators-are-text")[-3:]],
             outcome=Taken(completion("separators-are-text",
                                      choices=[choice("separators-are-text", content=odd)]))),
        said("event-of-megabytes", [event(chunk("event-of-megabytes", {"content": large})),
                                    *events("event-of-megabytes")[-3:]],
             outcome=Taken(completion("event-of-megabytes", choices=[choice("event-of-megabytes", content=large)]))),
        said("last-event-without-a-blank-line", [*events("last-event-without-a-blank-line")[:-2],
                                                 events("last-event-without-a-blank-line")[-2].rstrip(b"\n")]),
        said("null-error-in-every-chunk", [*map(event, chunks("null-error-in-every-chunk", error=None)), DONE]),
        # Azure's filter results for the prompt have their own chunk; an unstreamed reply has them next to the choices.
        said("chunks-without-choices", between("chunks-without-choices", event(
            {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [{}]})),
             outcome=Taken(completion("chunks-without-choices", prompt_filter_results=[{}]))),
        said("escaped-surrogates", [event(chunk("escaped-surrogates", {"role": "assistant", "content": ""})),
                                    *(b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % half
                                      for half in (b"a horse: \\ud83d", b"\\udc0e, and a null: \\u0000")),
                                    *events("escaped-surrogates")[-3:]],
             outcome=Taken(completion("escaped-surrogates",
                                      choices=[choice("escaped-surrogates", content="a horse: 🐎, and a null: \0")]))),
        taken("content-type-in-capitals", stream(events("content-type-in-capitals"),
                                                 kind="TEXT/EVENT-STREAM; Charset=UTF-8")),
        taken("header-in-other-letters", [b"HTTP/1.1 200 OK\r\nCONTENT-TYPE: text/event-stream\r\n"
                                          b"transfer-encoding: CHUNKED\r\n\r\n",
                                          *map(framed, events("header-in-other-letters")), END]),
    ]


def usages() -> list[Trap]:
    def own(name: str, reported: Any, **outcome: Any) -> Trap:
        parts = [*map(event, chunks(name)[:-1]), event(chunk(name, choices=[], usage=reported)), DONE]
        return said(name, parts, outcome=Taken(completion(name, usage=reported), **outcome))

    def grown(name: str) -> list[bytes]:
        """Cumulative usage in every chunk."""
        parts = chunks(name)[:-1]
        return [event({**part, "usage": {"prompt_tokens": 7, "completion_tokens": min(i, 3),
                                          "total_tokens": 7 + min(i, 3)}})
                for i, part in enumerate(parts)]

    whole = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return [
        said("usage-on-the-finish-chunk", [
            *map(event, begun("usage-on-the-finish-chunk")),
            event(chunk("usage-on-the-finish-chunk", reason="stop", usage=USAGE)), DONE]),
        said("usage-on-every-chunk", [*grown("usage-on-every-chunk"), DONE],
             outcome=Taken(completion("usage-on-every-chunk",
                                      usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}))),
        said("usage-then-null", [*map(event, begun("usage-then-null")),
                                 event(chunk("usage-then-null", reason="stop", usage=USAGE)),
                                 event(chunk("usage-then-null", choices=[], usage=None)), DONE]),
        said("usage-null", [*map(event, chunks("usage-null", usage=None)[:-1]), DONE],
             outcome=Taken(completion("usage-null", usage=...), usage=None)),
        said("usage-missing", [*map(event, chunks("usage-missing")[:-1]), DONE],
             outcome=Taken(completion("usage-missing", usage=...), usage=None)),
        taken("usage-comes-late", [*open_stream(events("usage-comes-late")[:-2]), 1.5,
                                   *map(framed, events("usage-comes-late")[-2:]), END]),
        own("usage-of-both-families", {**whole, "input_tokens": 0, "output_tokens": 0,
                                       "input_tokens_details": None}),
        own("usage-of-cache-hits", {**whole, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 3},
            usage=Usage(cached=4)),
        own("usage-with-details", {**whole, "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
                                   "completion_tokens_details": {"reasoning_tokens": 2}},
            usage=Usage(cached=5, reasoning=2)),
        own("usage-with-null-details", {**whole, "prompt_tokens_details": None, "completion_tokens_details": None}),
        own("usage-cached-beyond-the-prompt", {**whole, "prompt_tokens_details": {"cached_tokens": 900}},
            usage=Usage(prompt=907, cached=900)),
        own("usage-of-claude", {"prompt_tokens": 21, "completion_tokens": 3, "total_tokens": 24,
                                "prompt_tokens_details": {"cached_tokens": 188086}},
            usage=Usage(prompt=188107, cached=188086)),
        own("usage-of-claude-in-its-own-words", {**whole, "cache_read_input_tokens": 40,
                                                 "cache_creation_input_tokens": 60},
            usage=Usage(prompt=107, cached=40, written=60)),
        own("usage-of-xai", {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 331,
                             "completion_tokens_details": {"reasoning_tokens": 317}},
            usage=Usage(prompt=12, completion=319, reasoning=317)),
        own("usage-of-gemini", {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623},
            usage=Usage(prompt=20, completion=603)),
        own("usage-of-moonshot", {**whole, "cached_tokens": 4}, usage=Usage(cached=4)),
        said("usage-of-groq", [*map(event, begun("usage-of-groq", x_groq={"id": "req_1"})),
                               event(chunk("usage-of-groq", reason="stop", x_groq={"id": "req_1", "usage": USAGE})),
                               DONE],
             outcome=Taken(completion("usage-of-groq", usage=..., x_groq={"id": "req_1", "usage": USAGE}))),
        taken("usage-of-groq-unstreamed", document(completion("usage-of-groq-unstreamed", usage=...,
                                                              x_groq={"id": "req_1", "usage": USAGE})),
              Taken(completion("usage-of-groq-unstreamed", usage=..., x_groq={"id": "req_1", "usage": USAGE})),
              body=ask("usage-of-groq-unstreamed", stream=False)),
        own("usage-of-zeros", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, usage=None),
        said("service-tier", [*map(event, begun("service-tier", service_tier="auto")),
                              event(chunk("service-tier", reason="stop", usage=USAGE, service_tier="flex")), DONE],
             outcome=Taken(completion("service-tier", service_tier="flex"), extra={"service_tier": "flex"})),
        own("usage-with-a-cost", {**whole, "cost": 0.0000031},
            extra={"reported_cost_usd": "0.0000031", "service_tier": None}),
    ]


def contents() -> list[Trap]:
    """Content that does not come as simple strings."""

    def part(text: str) -> dict[str, str]:
        return {"type": "text", "text": text}

    def one(name: str, *deltas: dict[str, Any], **message: Any) -> Trap:
        parts = [*(event(chunk(name, delta)) for delta in deltas), event(chunk(name, reason="stop")),
                 *events(name)[-2:]]
        return said(name, parts, outcome=Taken(completion(name, choices=[choice(name, **message)])))

    thought = {"type": "thinking", "thinking": [part("hm, ")]}
    name = "token-ids"
    return [
        one("content-string-list-string", {"content": "Hel"}, {"content": [part("lo")]}, {"content": " you"},
            content=[part("Hello you")]),
        one("content-list-then-empty", {"content": [part("Hello")]}, {"content": ""}, {"content": []},
            {"content": None}, content=[part("Hello")]),
        one("content-string-then-empty-list", {"content": "Hello"}, {"content": []}, content="Hello"),
        one("content-lists", {"content": [part("Hel")]}, {"content": [part("lo")]}, content=[part("Hello")]),
        one("content-with-thoughts", {"content": [thought]}, {"content": [thought]}, {"content": "Hello"},
            content="Hello", reasoning_content="hm, hm, "),
        one("content-with-thoughts-beside-parts", {"content": [thought, part("Hel")]}, {"content": [part("lo")]},
            content=[part("Hello")], reasoning_content="hm, "),
        one("content-with-a-phase", {"content": "Hel", "phase": "think", "status": "typing"},
            {"content": "lo", "phase": "answer", "status": "typing"},
            {"content": "", "phase": "answer", "status": "finished"},
            content="Hello", phase="answer", status="finished"),
        said(name, [event(chunk(name, choices=[{"index": "0", "delta": {"content": "Hel"}, "token_ids": [1, 2]}])),
                    event(chunk(name, choices=[{"index": "0", "delta": {"content": "lo"}, "token_ids": [3],
                                                "finish_reason": "stop"}])), *events(name)[-2:]],
             outcome=Taken(completion(name, choices=[{**choice(name, content="Hello"), "token_ids": [1, 2, 3]}]))),
    ]


def broken_off() -> list[Trap]:
    """Finish reasons for an incomplete reply, and empty ones."""
    reasons = {"resource": "insufficient_system_resource", "network": "network_error", "hyphen": "network-error",
               "abort": "abort", "abort-in-capitals": "ABORT", "error-in-capitals": "ERROR"}
    none = {"null": "null", "none": "None", "blank": " ", "undefined": "undefined"}

    def half(name: str, reason: str) -> list[bytes]:
        return [*map(event, begun(name)[:3]), event(chunk(name, reason=reason)), *events(name)[-2:]]

    rows = []
    for word, reason in reasons.items():
        name = f"broken-off-{word}"
        rows.append(retried(name, stream(half(name, reason)), billed=True, says=reason))
        name = f"broken-off-{word}-unstreamed"
        rows.append(retried(name, document(completion(name, choices=[choice(name, reason, content="the")])),
                            plain=True, billed=True, says=reason))
        name = f"broken-off-{word}-behind-the-end"
        rows.append(said(name, [*events(name)[:-2], event(chunk(name, reason=reason)), *events(name)[-2:]]))
    for word, reason in none.items():
        name = f"finish-reason-{word}"
        rows.append(retried(name, stream(half(name, reason)), billed=True))
        name = f"finish-reason-{word}-cut"
        rows.append(retried(name, [*open_stream(half(name, reason)[:-2]), End.CLOSE], billed=True))
        name = f"finish-reason-{word}-on-every-chunk"
        rows.append(said(name, [*(event(part) for part in begun(name)[:1]),
                                *(event(chunk(name, {"content": piece}, reason)) for piece in pieces(name)),
                                *events(name)[-3:]]))
        name = f"finish-reason-{word}-unstreamed"
        rows.append(retried(name, document(completion(name, choices=[choice(name, reason, content="")])),
                            plain=True, billed=True))
    return rows


def ends() -> list[Trap]:
    """Ways in which a stream ends, or does not end."""

    def of(name: str) -> list[bytes]:
        return events(name)

    half = [event(chunk("one-finish-of-two", {"content": "a"}, index=0)),
            event(chunk("one-finish-of-two", {"content": "b"}, index=1)),
            event(chunk("one-finish-of-two", reason="stop", index=0))]
    two = completion("one-finish-of-two", choices=[choice("one-finish-of-two", content="a"),
                                                   choice("one-finish-of-two", "length", 1, content="b")])
    return [
        taken("open-after-done", [*open_stream(of("open-after-done")), End.HOLD]),
        said("without-done", of("without-done")[:-1]),
        taken("cut-behind-the-usage", [*open_stream(of("cut-behind-the-usage")[:-1]), End.CLOSE]),
        taken("open-after-the-finish-reason", [*open_stream(of("open-after-the-finish-reason")[:-2]), End.HOLD],
              Taken(completion("open-after-the-finish-reason", usage=...), usage=None)),
        taken("pings-for-ever-after-the-finish-reason",
              [*open_stream(of("pings-for-ever-after-the-finish-reason")[:-2]),
               *apart([framed(b": PING\n\n")] * 120, 0.25), End.CLOSE],
              Taken(completion("pings-for-ever-after-the-finish-reason", usage=...), usage=None)),
        said("more-behind-done", [*of("more-behind-done"), event(chunk("more-behind-done", {"content": "not this"}))]),
        retried("done-without-a-finish-reason", stream([*of("done-without-a-finish-reason")[:-3], DONE]), billed=True),
        retried("empty-finish-reason", stream([*of("empty-finish-reason")[:-3],
                                               event(chunk("empty-finish-reason", reason="")), DONE]), billed=True),
        Trap("one-finish-of-two", [Answer(stream([*half, DONE]), billed=True),
                                   Answer(stream([*half, event(chunk("one-finish-of-two", reason="length", index=1)),
                                                  *of("one-finish-of-two")[-2:]]), billed=True)],
             Taken(two, finish={"stop": 1, "length": 1}), body=ask("one-finish-of-two", n=2), maybe=(1,)),
        said("content-filter", [*map(event, begun("content-filter")),
                                event(chunk("content-filter", reason="content_filter")), *of("content-filter")[-2:]],
             outcome=Taken(completion("content-filter", choices=[choice("content-filter", "content_filter")]),
                           finish={"content_filter": 1})),
        said("length", [*map(event, begun("length")), event(chunk("length", reason="length")), *of("length")[-2:]],
             outcome=Taken(completion("length", choices=[choice("length", "length")]), finish={"length": 1})),
    ]


def errors_in_streams() -> list[Trap]:
    """All forms of an error inside a 200, at the start and in the middle of a stream."""
    opened = {"id": "resp_1", "object": "response", "created_at": 1, "status": "in_progress", "model": SERVED,
              "output": [], "error": None, "usage": None}
    words = "the upstream of {} is overloaded"
    forms: dict[str, Callable[[str], list[bytes]]] = {
        "error-object": lambda message: [event(error(message)), DONE],
        "error-string": lambda message: [event({"error": message}), DONE],
        "error-event-bare": lambda message: [b"event: error\n" + event(error(message)["error"])],
        "error-event-wrapped": lambda message: [b"event: error\n" + event(error(message))],
        "error-in-a-chunk": lambda message: [event(chunk("x", choices=[], **error(message))), DONE],
        "error-document": lambda message: [dump(error(message))],
        "error-page": lambda message: [PAGE.replace(b"Busy", message.encode())],
        "finish-reason-error": lambda message: [event(chunk("x", {"content": message}, "error")), DONE],
        "nothing-more": lambda message: [],
    }
    rows = []
    for form, made in forms.items():
        for place in ("first", "midway"):
            name = f"{form}-{place}"
            bad = made(words.format(name))
            if form == "nothing-more":
                steps = [*open_stream(map(event, begun(name) if place == "midway" else [])), End.CLOSE]
            elif place == "midway":
                steps = stream([*map(event, begun(name)), *bad])
            else:
                steps = sized(bad[0]) if form == "error-document" else (
                    sized(bad[0], kind=HTML) if form == "error-page" else stream(bad))
            message = words.format(name) if form.startswith("error") and "page" not in form and not (
                form == "error-document" and place == "midway") else ""
            rows.append(retried(name, steps, billed=place == "midway", says=message))
    rows.append(retried("plain-text-for-a-stream", sized(b"upstream connect error or disconnect", kind=TEXT)))
    for form in ("failed", "error"):
        for place in ("first", "midway"):
            name = f"response-{form}-{place}"
            message = words.format(name)
            bad = ({"type": "response.failed", "sequence_number": 9, "response":
                    {**opened, "status": "failed", "error": {"code": "server_error", "message": message}}}
                   if form == "failed" else
                   {"type": "error", "sequence_number": 9, "code": "server_error", "message": message, "param": None})
            before = response_events(name)[:6] if place == "midway" else []
            rows.append(Trap(name, [Answer(stream([*before, typed(bad)]), billed=place == "midway"),
                                    Answer(stream(response_events(name)), billed=True)],
                             Taken(response(name), finish=None), ask_response(name), RESPONSES, maybe=(1,),
                             says=message))
    return rows


def typed(value: dict[str, Any]) -> bytes:
    return b"event: %b\n%b" % (value["type"].encode(), event(value))


def response(name: str, **more: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": "".join(pieces(name)), "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    return {"id": f"resp_{name}", "object": "response", "created_at": 1700000000, "model": SERVED,
            "status": "completed", "error": None, "incomplete_details": None, "output": [item],
            "usage": {"input_tokens": 7, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 3,
                      "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 10}, **more}


def response_events(name: str, **more: Any) -> list[bytes]:
    whole = response(name, **more)
    [item] = whole["output"]
    [part] = item["content"]
    opened = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events = [{"type": "response.created", "response": opened}, {"type": "response.in_progress", "response": opened},
              {"type": "response.output_item.added", "output_index": 0,
               "item": {**item, "status": "in_progress", "content": []}},
              {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
              *({"type": "response.output_text.delta", **at, "delta": piece} for piece in pieces(name)),
              {"type": "response.output_text.done", **at, "text": part["text"]},
              {"type": "response.content_part.done", **at, "part": part},
              {"type": "response.output_item.done", "output_index": 0, "item": item},
              {"type": f"response.{whole['status']}", "response": whole}]
    return [typed({**value, "sequence_number": i}) for i, value in enumerate(events)]


def items() -> list[Trap]:
    """Streams of the Responses API whose last event lacks parts of the earlier events."""

    def left(name: str, keep: Callable[[dict[str, Any]], bool], last: dict[str, Any] | None = None,
             event_type: str = "response.completed", whole: dict[str, Any] | None = None) -> Trap:
        """Keeps only some events, and changes members of the response in the last one."""
        events = [json.loads(part.split(b"data: ", 1)[1]) for part in response_events(name)]
        kept = [typed(one) for one in events[:-1] if keep(one)]
        end = typed({"type": event_type, "response": {**response(name), **(last or {"output": []})}})
        return said(name, [*kept, end], body=ask_response(name), url=RESPONSES,
                    outcome=Taken(whole or response(name), finish=None))

    def of(*kinds: str) -> Callable[[dict[str, Any]], bool]:
        return lambda one: one["type"].removeprefix("response.") in kinds

    message = response("x")["output"][0]
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"a":1}',
            "status": "completed"}
    name, calls = "items-under-one-place", response("items-under-one-place")
    both = {**calls, "output": [*calls["output"], call]}
    deltas = [typed({"type": "response.output_item.added", "output_index": 0,
                     "item": {**call, "arguments": "", "status": "in_progress"}}),
              *(typed({"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 0,
                       "delta": piece}) for piece in ('{"a"', ":1}"))]
    return [
        left("items-in-deltas-alone", of("output_item.added", "content_part.added", "output_text.delta")),
        left("items-in-text-done", of("output_item.added", "output_text.done")),
        left("items-in-part-done", of("output_item.added", "content_part.done")),
        left("items-in-item-done", of("output_item.done")),
        left("items-with-empty-content", of("output_item.added", "output_text.delta"),
             {"output": [{**message, "content": []}]}),
        left("items-of-a-response-in-progress", lambda _: True, {"status": "in_progress"}),
        left("items-until-response-done", lambda _: True, {"status": "in_progress", "output": []},
             "response.done"),
        said(name, [*response_events(name)[:-1], *deltas,
                    typed({"type": "response.completed", "response": {**calls, "output": []}})],
             body=ask_response(name), url=RESPONSES, outcome=Taken(both, finish=None)),
    ]


def noise() -> list[Trap]:
    """Data between the chunks that is not a chunk."""
    forms = {
        "ping": b'event: ping\ndata: {"type":"ping"}\n\n',
        "ping-with-words": b'event: ping\ndata: {"message":"still here"}\n\n',
        "heartbeat": b"event: heartbeat\ndata: 1700000000\n\n",
        "other-api": b'event: conversation.chat.created\n'
                     b'data: {"status":"created","last_error":{"code":0,"msg":""}}\n\n',
        "bare-ping": b"data: ping\n\n",
        "bare-keep-alive": b"data: keep-alive\n\n",
        "bare-ok": b"data: OK\n\n",
        "bare-null": b"data: null\n\n",
    }
    empty: dict[str, Any] = {"message": None, "type": "", "param": {}, "code": 0}
    name = "noise-with-an-error"
    message = f"the upstream of {name} is overloaded"
    null = "null-message"
    whole = completion(null, choices=[{"index": 0, "message": None, "finish_reason": "length"}])
    return [
        *(said(f"noise-{form}", [text, *between(f"noise-{form}", text)]) for form, text in forms.items()),
        retried(name, stream([*map(event, begun(name)), b"event: ping\n" + event(error(message))]), billed=True,
                says=message),
        said("empty-error-in-every-chunk", [*map(event, chunks("empty-error-in-every-chunk", error=empty)), DONE],
             outcome=Taken(completion("empty-error-in-every-chunk"))),
        taken("empty-error-unstreamed", document(completion("empty-error-unstreamed", error=empty)),
              Taken(completion("empty-error-unstreamed", error=empty)),
              body=ask("empty-error-unstreamed", stream=False)),
        taken(null, document(whole), Taken(whole, finish={"length": 1}), body=ask(null, stream=False)),
    ]


def kinds() -> list[Trap]:
    """A reply in another form than requested, or with a wrong Content-Type."""

    def plain(name: str, steps: Sequence[Step]) -> Trap:
        return taken(name, steps, body=ask(name, stream=False))

    return [
        taken("json-for-a-stream", document(completion("json-for-a-stream"))),
        plain("stream-for-json", stream(events("stream-for-json"))),
        taken("stream-called-json", stream(events("stream-called-json"), kind=JSON)),
        taken("stream-called-text", stream(events("stream-called-text"), kind=TEXT)),
        taken("stream-called-nothing", stream(events("stream-called-nothing"), kind="")),
        plain("json-called-stream", document(completion("json-called-stream"), kind=SSE)),
        plain("json-called-html", document(completion("json-called-html"), kind=HTML)),
        plain("json-called-nothing", document(completion("json-called-nothing"), kind="")),
        plain("json-behind-blank-lines", stream([b"\n\n", b" \r\n", b"\n", dump(completion("json-behind-blank-lines"))],
                                                kind=JSON, pause=0.2)),
        plain("json-behind-a-mark", sized(b"\xef\xbb\xbf" + dump(completion("json-behind-a-mark")))),
    ]


# ---------------------------------------------------------------- errors


def statuses() -> list[Trap]:
    def permanent(name: str, status: int, code: str | None = None, message: str = "", **more: Any) -> Trap:
        return refused(name, status, error(message or f"{name} will not do", code), **more)

    def passing(name: str, steps: Sequence[Step], says: str = "") -> Trap:
        return retried(name, steps, lost=0, says=says)

    def unserved(name: str, body: dict[str, Any]) -> Trap:
        """A permanent failure that looks temporary: two or three attempts, never a fourth."""
        return Trap(name, [Answer(document(body, 503))], Failed(503, body, retryable=True), attempts=(2, 3))

    def bare(message: str, code: int) -> dict[str, Any]:
        """OpenRouter's error object."""
        return {"error": {"message": message, "code": code}}

    function = {"status": 404, "title": "Not Found", "detail": "Function '23d4f03a': Not found for account 'Qawmu2vU'"}
    page = b"<html>\r\n" + "<p>请求实体太大</p>\n".encode() * 900 + b"</html>"
    cut = page[:4096].decode("utf-8", "ignore")
    filtered = completion("content-filter-400", choices=[choice("content-filter-400", "content_filter", content="")])
    return [
        permanent("refused-400", 400, "context_length_exceeded", says="refused-400 will not do"),
        permanent("refused-404-model", 404, "model_not_found", "The model `gpt-9` does not exist"),
        permanent("refused-404-url", 404, "", "Invalid URL (POST /v1/chat/completions)"),
        Trap("refused-413-page", [Answer(sized(page, 413, kind=HTML))], Failed(413, cut)),
        permanent("refused-422", 422, "unprocessable"),
        permanent("refused-501", 501, "api_not_implemented"),
        permanent("refused-403-model", 403, None, "该令牌无权访问模型 gpt-4o-mini (request id: 2024)"),
        permanent("quota-by-words-alone-403", 403, None, "your quota for this model is insufficient_quota"),
        # Refusals that concern only this request.
        Trap("no-endpoints-404", [Answer(document(bare("No endpoints found for gpt-4o-mini.", 404), 404))],
             Failed(404, bare("No endpoints found for gpt-4o-mini.", 404)), says="No endpoints found"),
        Trap("no-function-404", [Answer(document(function, 404))], Failed(404, function), says="Not found for account"),
        permanent("no-deployment-404", 404, "DeploymentNotFound",
                  "The API deployment for this resource does not exist."),
        permanent("only-its-name-404", 404, None, "gpt-4o-mini: gone"),
        permanent("too-large-429", 429, "rate_limit_exceeded",
                  "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 36000. The input or "
                  "output tokens must be reduced in order to run successfully."),
        permanent("too-long-500", 500, None, "This model's maximum context length is 8192 tokens."),
        permanent("content-500", 500, "data_inspection_failed"),
        # Messages that only quote words of a spent account.
        permanent("repeats-words-400", 400, "invalid_value", "Invalid value: insufficient_quota, insufficient balance"),
        permanent("repeats-words-403", 403, None, "The input 'your key limit exceeded, out of credits' was flagged"),
        permanent("no-price-500", 500, "model_price_error", "模型 gpt-4o-mini 倍率或价格未配置"),
        unserved("no-channel-by-code", error("当前分组 default 下对于模型 gpt-4o-mini 无可用渠道", "model_not_found",
                                             "new_api_error")),
        unserved("no-account", error("No available accounts: no available accounts", None, "api_error")),
        unserved("no-provider", bare("There is no available model provider that meets your routing requirements", 503)),
        unserved("no-channel-by-words", error("当前分组 default 下对于模型 gpt-4o-mini 无可用渠道 (request id: 2024)",
                                              None, "one_api_error")),
        *(passing(f"passing-{status}", document(error(f"passing-{status} for now"), status),
                  f"passing-{status} for now") for status in (408, 409, 425, 499, 500, 504, 520, 529)),
        passing("tier-full-498", document(error("Flex tier capacity exceeded", "capacity_exceeded"), 498),
                "Flex tier capacity exceeded"),
        passing("tier-full-429", document(error("Resource Unavailable", "resource_unavailable"), 429),
                "Resource Unavailable"),
        passing("passing-502-page", sized(PAGE, 502, kind=HTML)),
        passing("passing-503-empty", sized(b"", 503)),
        passing("passing-524-page", sized(PAGE, 524, kind=HTML)),
        passing("do-request-failed-500", document(error("请求上游地址失败", "do_request_failed"), 500),
                "请求上游地址失败"),
        Trap("content-filter-400", [Answer(document(filtered, 400), billed=True)],
             Taken(filtered, 400, finish={"content_filter": 1})),
    ]


def shapes() -> list[Trap]:
    """Error bodies in the forms of real relays. Each must be kept as received, and its message must be found."""
    words = "words within {}".format
    bodies: dict[str, Any] = {
        "shape-string": {"error": words("shape-string")},
        "shape-message": {"message": words("shape-message")},
        "shape-msg": {"code": 1001, "msg": words("shape-msg")},
        "shape-err": {"err": words("shape-err")},
        "shape-error-msg": {"error_msg": words("shape-error-msg")},
        "shape-header": {"header": {"code": 7, "message": words("shape-header")}},
        "shape-response": {"response": {"error": {"message": words("shape-response")}}},
        "shape-detail": {"detail": words("shape-detail")},
        "shape-detail-list": {"detail": [{"loc": ["body"], "msg": words("shape-detail-list"), "type": "missing"}]},
        "shape-anthropic": {"type": "error", "error": {"type": "invalid_request_error",
                                                       "message": words("shape-anthropic")}, "request_id": "req_1"},
        "shape-numeric-code": {"error": {"message": words("shape-numeric-code"), "code": 40003}},
    }
    twice = (dump(error(words("shape-two-objects"))) + dump({"success": False, "message": "second"})).decode()
    return [
        *(refused(name, 400, body, says=words(name)) for name, body in bodies.items()),
        Trap("shape-empty", [Answer(sized(b"", 400))], Failed(400, "")),
        Trap("shape-two-objects", [Answer(sized(twice.encode(), 400))], Failed(400, twice),
             says=words("shape-two-objects")),
        Trap("shape-text", [Answer(sized(b"words within shape-text", 400, kind=TEXT))],
             Failed(400, "words within shape-text"), says=words("shape-text")),
    ]


def errors_inside_200() -> list[Trap]:
    words = "not today, {}".format
    bodies: dict[str, Any] = {
        "inside-200-object": error(words("inside-200-object"), "busy"),
        "inside-200-string": {"error": words("inside-200-string")},
        "inside-200-success-false": {"success": False, "message": words("inside-200-success-false")},
        "inside-200-code-and-msg": {"code": 500, "msg": words("inside-200-code-and-msg"), "data": None},
        "inside-200-beside-choices": {**completion("x"), **error(words("inside-200-beside-choices"))},
        "inside-200-vllm": {"object": "error", "message": words("inside-200-vllm"), "code": 503},
        "inside-200-no-choices": completion("x", choices=[]),
        "inside-200-null-choices": completion("x", choices=None),
        "inside-200-array": [completion("x")],
        "inside-200-null": None,
        "inside-200-number": 200,
    }
    two = dump(error(words("inside-200-two-objects"))) * 2
    responded = response("inside-200-response-failed", status="failed", output=[],
                         error={"code": "server_error", "message": words("inside-200-response-failed")})
    name = "inside-200-response-failed"
    return [
        *(retried(name, document(body), plain=True,
                  says=words(name) if words(name) in json.dumps(body) else "") for name, body in bodies.items()),
        retried("inside-200-two-objects", sized(two), plain=True),
        retried("inside-200-empty", sized(b""), plain=True),
        retried("inside-200-page", sized(PAGE, kind=HTML), plain=True),
        retried("inside-200-half", sized(dump(completion("x"))[:-40]), plain=True, billed=True),
        retried("status-204", [head(204)], plain=True),
        Trap(name, [Answer(document(responded)), Answer(document(response(name)), billed=True)],
             Taken(response(name), finish=None), ask_response(name, stream=False), RESPONSES, maybe=(1,),
             says=words(name)),
        taken("null-error-beside-choices", document(completion("null-error-beside-choices", error=None)),
              Taken(completion("null-error-beside-choices", error=None)),
              body=ask("null-error-beside-choices", stream=False)),
    ]


# ---------------------------------------------------------------- HTTP


def connections() -> list[Trap]:
    def plain(name: str, steps: Sequence[Step]) -> Trap:
        return taken(name, steps, body=ask(name, stream=False))

    def body(name: str) -> bytes:
        return dump(completion(name))

    name = "reset-while-the-request-goes-out"
    long = ask(name, padding="x" * 12 * MIB)
    early = ask("refused-while-the-request-goes-out", padding="x" * 12 * MIB)
    no = error("too large by far")
    return [
        retried("reset-before-the-head", [End.RESET]),
        retried("closed-before-the-head", [End.CLOSE], billed=True),
        retried("cut-within-the-head", [head(200, kind=SSE)[:-9], End.CLOSE], billed=True),
        retried("reset-behind-the-head", [head(200, "Transfer-Encoding: chunked", kind=SSE), 0.02, End.RESET]),
        retried("reset-within-the-body", [*open_stream(map(event, begun("reset-within-the-body"))), 0.02, End.RESET],
                billed=True),
        # The relay bills nothing for an incomplete request. The client cannot know whether the kernel sent all of it.
        retried(name, [End.RESET], body=long, early=True, maybe=(0, 1)),
        Trap("refused-while-the-request-goes-out", [Answer([*document(no, 413, "Connection: close"), 0.3, End.CLOSE],
                                                           early=True)], Failed(413, no), body=early),
        retried("length-too-long", [head(200, "Content-Length: 5000") + body("length-too-long"), End.CLOSE], plain=True,
                billed=True),
        retried("length-too-short", [head(200, "Content-Length: 100") + body("length-too-short")], plain=True,
                billed=True),
        plain("another-reply-behind-it", [*document(completion("another-reply-behind-it")),
                                          *document(completion("nobody-asked"))]),
        plain("no-length-but-a-close", [head(200) + body("no-length-but-a-close"), End.CLOSE]),
        plain("http-1-0", [b"HTTP/1.0 200 OK\r\n\r\n" + body("http-1-0"), End.CLOSE]),
        plain("connection-close", [head(200, "Connection: close", f"Content-Length: {len(body('connection-close'))}")
                                   + body("connection-close"), End.CLOSE]),
        taken("trailers", [*open_stream(events("trailers"), "Trailer: X-Checksum"),
                           b"0\r\nX-Checksum: 17\r\nContent-Length: 5\r\n\r\n"]),
        taken("chunk-extensions", [head(200, "Transfer-Encoding: chunked", kind=SSE),
                                   *(b'%X;name="a;b\\"c";flag\r\n%b\r\n' % (len(part), part)
                                     for part in events("chunk-extensions")), b"0;last\r\n\r\n"]),
        taken("chunk-sizes-with-zeros", [head(200, "Transfer-Encoding: chunked", kind=SSE),
                                         *(b"%08X\r\n%b\r\n" % (len(part), part)
                                           for part in events("chunk-sizes-with-zeros")), b"000\r\n\r\n"]),
        *framings(),
        retried("chunk-size-of-nonsense", [head(200, "Transfer-Encoding: chunked", kind=SSE), b"zz\r\n", End.CLOSE]),
        plain("headers-of-200-kb", document(completion("headers-of-200-kb"), 200,
                                            *(f"X-Note-{i}: {'n' * 8000}" for i in range(25)))),
        retried("headers-of-megabytes", [head(200, *(f"X-Note-{i}: {'n' * 8000}" for i in range(400)))
                                         + body("headers-of-megabytes"), End.CLOSE], plain=True, billed=True),
        plain("headers-in-utf-8", document(completion("headers-in-utf-8"), 200, "X-Note: 额度", "X-Empty:")),
        plain("continue-and-hints", [b"HTTP/1.1 100 Continue\r\n\r\n", TICK,
                                     b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 7\r\n\r\n", TICK,
                                     b"HTTP/1.1 102 Processing\r\n\r\n", TICK,
                                     *document(completion("continue-and-hints"))]),
        plain("status-without-a-reason", [b"HTTP/1.1 200 \r\n" + head(200).split(b"\r\n", 1)[1][:-2]
                                          + b"Content-Length: %d\r\n\r\n" % len(body("status-without-a-reason"))
                                          + body("status-without-a-reason")]),
        retried("no-http-at-all", [b"SSH-2.0-OpenSSH_9.2\r\n", End.CLOSE]),
        plain("limits-on-a-success", document(completion("limits-on-a-success"), 200,
                                              "x-ratelimit-remaining-requests: 0", "x-ratelimit-reset-requests: 8m0s",
                                              "x-ratelimit-remaining-tokens: 0", "x-ratelimit-reset-tokens: 9m0s")),
    ]


def framings() -> list[Trap]:
    """Replies that violate HTTP, but that curl and the SDKs accept. After each of them comes another reply without a
    request: it must not be used for any request."""

    def odd(name: str, *lines: str, body: bytes | None = None, start: bytes = b"") -> Trap:
        top = start or head(200, *lines, kind=SSE)
        parts = b"".join(map(framed, events(name))) + END if body is None else body
        return Trap(name, [Answer([top + parts + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"], billed=True)],
                    Taken(completion(name)))

    def chunked(name: str, end: bytes) -> Trap:
        """With `end` after each chunk size."""
        parts = b"".join(b"%x%b%b%b" % (len(part), end, part, b"\n" if end == b"\n" else b"\r\n")
                         for part in events(name))
        return odd(name, "Transfer-Encoding: chunked", body=parts + b"0" + end + (b"\n" if end == b"\n" else b"\r\n"))

    def whole(name: str, *lines: str, top: bytes = b"") -> Trap:
        text = dump(completion(name))
        filled = [line.replace("LENGTH", str(len(text))) for line in lines]
        # The relay announces the close, so the client must not send another request on this connection.
        start = (top or head(200, "Connection: close", *filled)).replace(b"LENGTH", str(len(text)).encode())
        return taken(name, [start + text, End.CLOSE], body=ask(name, stream=False))

    return [
        odd("length-beside-chunks", "Content-Length: 17", "Transfer-Encoding: chunked"),
        odd("chunks-beside-a-length", "Transfer-Encoding: chunked", "Content-Length: 17"),
        odd("length-of-zero-beside-chunks", "Content-Length: 0", "Transfer-Encoding: chunked"),
        odd("chunked-twice", "Transfer-Encoding: chunked, chunked"),
        odd("chunked-in-two-headers", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        odd("chunked-and-identity", "Transfer-Encoding: chunked, identity"),
        chunked("blanks-behind-a-size", b"  \r\n"),
        chunked("tabs-behind-a-size", b"\t\r\n"),
        chunked("odd-chunk-extension", b" ; =\r\n"),
        chunked("chunk-lines-that-end-in-lf", b"\n"),
        odd("lines-that-end-in-lf", start=b"HTTP/1.1 200 OK\nContent-Type: text/event-stream\n"
                                          b"Transfer-Encoding: chunked\n\n"),
        odd("trailer-that-is-no-field", "Transfer-Encoding: chunked",
            body=b"".join(map(framed, events("trailer-that-is-no-field"))) + b"0\r\nno field\r\n\r\n"),
        whole("length-twice", "Content-Length: LENGTH", "Content-Length: LENGTH"),
        whole("length-twice-in-one", "Content-Length: LENGTH, LENGTH"),
        whole("blank-before-a-colon", "Content-Length : LENGTH"),
        whole("folded-header", "X-Note: one\r\n two", "Content-Length: LENGTH"),
        whole("header-that-is-none", "no header at all", "Content-Length: LENGTH"),
        whole("header-names-in-utf-8", "额度: 1", "Content-Length: LENGTH"),
        whole("transfer-encoding-identity", "Transfer-Encoding: identity", "Content-Length: LENGTH"),
        whole("status-alone", top=b"HTTP/1.1 200\r\nConnection: close\r\nContent-Length: LENGTH\r\n\r\n"),
        retried("two-lengths-that-differ", [head(200, "Content-Length: 17", "Content-Length: 18")
                                            + dump(completion("two-lengths-that-differ")), End.CLOSE], plain=True,
                billed=True),
    ]


def encodings() -> list[Trap]:
    def plain(name: str, packed: bytes, encoding: str) -> Trap:
        return taken(name, sized(packed, 200, f"Content-Encoding: {encoding}"), body=ask(name, stream=False))

    def body(name: str) -> bytes:
        return dump(completion(name))

    def packed(name: str, parts: Iterable[bytes], encoding: str) -> Trap:
        """The connection stays open after the last event: the client must not wait for the end of the packed stream."""
        steps = [*open_stream(parts, f"Content-Encoding: {encoding}"), End.HOLD]
        return Trap(name, [Answer(steps, billed=True), streamed(name)], Taken(completion(name)), attempts=(1,))

    def named(name: str, encoding: str) -> Trap:
        """A wrong Content-Encoding, for example because a proxy has unpacked the body."""
        return plain(name, body(name), encoding)

    def raw(data: bytes) -> bytes:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(data) + packer.flush()

    no = error("words under gzip")
    return [
        plain("gzip", gzip.compress(body("gzip")), "gzip"),
        plain("gzip-in-two-members", gzip.compress(body("gzip-in-two-members")[:50])
              + gzip.compress(body("gzip-in-two-members")[50:]), "gzip"),
        plain("x-gzip", gzip.compress(body("x-gzip")), "X-GZip"),
        plain("zstd", b"".join(zstd([body("zstd")])), "zstd"),
        plain("identity", body("identity"), "identity"),
        packed("gzip-stream", deflated(events("gzip-stream"), 31)[:-1], "gzip"),
        packed("gzip-stream-in-members", map(gzip.compress, events("gzip-stream-in-members")), "gzip"),
        packed("zstd-stream", zstd(events("zstd-stream"))[:-1], "zstd"),
        taken("gzip-stream-one-byte-a-chunk", stream(octets(b"".join(deflated(events("gzip-stream-one-byte-a-chunk"),
                                                                              31))), "Content-Encoding: gzip")),
        Trap("gzip-around-an-error", [Answer(sized(gzip.compress(dump(no)), 400, "Content-Encoding: gzip"))],
             Failed(400, no), says="words under gzip"),
        plain("deflate", zlib.compress(body("deflate")), "deflate"),
        plain("deflate-without-a-head", raw(body("deflate-without-a-head")), "deflate"),
        plain("encoding-identity-and-gzip", gzip.compress(body("encoding-identity-and-gzip")), "identity, gzip"),
        plain("encoding-gzip-and-identity", gzip.compress(body("encoding-gzip-and-identity")), "gzip, identity"),
        plain("encoding-gzip-twice", gzip.compress(gzip.compress(body("encoding-gzip-twice"))), "gzip, gzip"),
        plain("zstd-named-gzip", b"".join(zstd([body("zstd-named-gzip")])), "gzip"),
        plain("gzip-named-utf-8", gzip.compress(body("gzip-named-utf-8")), "UTF-8"),
        taken("gzip-without-a-name", sized(gzip.compress(body("gzip-without-a-name"))),
              body=ask("gzip-without-a-name", stream=False)),
        taken("gzip-as-transfer-encoding", [head(200, "Transfer-Encoding: gzip, chunked"),
                                            framed(gzip.compress(body("gzip-as-transfer-encoding"))), END],
              body=ask("gzip-as-transfer-encoding", stream=False)),
        named("encoding-none", "none"),
        named("encoding-utf-8", "UTF-8"),
        named("encoding-text", "text"),
        named("encoding-empty", ""),
        named("encoding-of-commas", " , ,"),
        named("gzip-in-name-only", "gzip"),
        named("zstd-in-name-only", "zstd"),
        named("deflate-in-name-only", "deflate"),
        named("brotli-in-name-only", "br"),
        named("unknown-in-name-only", "x-secret"),
        taken("gzip-stream-in-name-only", stream(events("gzip-stream-in-name-only"), "Content-Encoding: gzip")),
        taken("stream-of-encoding-none", stream(events("stream-of-encoding-none"), "Content-Encoding: none")),
        Trap("error-of-encoding-none", [Answer(document(no, 400, "Content-Encoding: none"))], Failed(400, no),
             says="words under gzip"),
        retried("brotli", sized(b"\x8b\x05\x80nonsense\x03", 200, "Content-Encoding: br"), plain=True, billed=True),
        retried("unknown-encoding", sized(secret(body("x")), 200, "Content-Encoding: x-secret"), plain=True,
                billed=True),
        retried("unknown-encoding-of-a-stream", stream(map(secret, events("x")), "Content-Encoding: x-secret"),
                billed=True),
        retried("gzip-cut-short", sized(gzip.compress(body("gzip-cut-short"))[:-30], 200, "Content-Encoding: gzip"),
                plain=True, billed=True),
    ]


def redirects(port: int) -> list[Trap]:
    """Redirects must not be followed. A listener at `port` would see the key."""
    return [Trap(f"redirect-{status}", [Answer(document(error("moved"), status,
                                                        f"Location: http://127.0.0.1:{port}{CHAT}"))],
                 Failed(status, error("moved"))) for status in (301, 302, 303, 307, 308)]


def bodies() -> list[Trap]:
    """The relay must receive the body exactly as the job has it."""
    odd = (b'{ "zeta" :1.0,\t"model":"gpt-4o-mini" ,"messages":[{"content":"trap:%b \\u00e9\\/\\ud800 \xc3\xa9\\u0000",'
           b'"role":"user"}],"alpha":{"b":[1E+2,-0,0.10,123456789012345678901234567890],"a":null,"":{}},'
           b'"logit_bias":{"50256":-100}%b}')
    plain, spliced = "body-kept", "body-kept-when-spliced"
    own, options = "stream-named-by-the-body", "stream-options-named-by-the-body"
    embedded = {"object": "list", "model": "text-embedding-3-small",
                "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -2.5e-05]}],
                "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    return [
        taken(plain, document(completion(plain)), body=odd % (plain.encode(), b' ,"stream" : false ')),
        said(spliced, events(spliced), body=odd % (spliced.encode(), b"")),
        said(own, events(own), body=ask(own, stream=True, user="u")),
        said(options, events(options), body=ask(options, stream=True, stream_options={"include_obfuscation": False})),
        taken("embedding", document(embedded), Taken(embedded, usage=Usage(completion=0), finish=None),
              body=dump({"model": "text-embedding-3-small", "input": "trap:embedding"}), url=EMBEDDINGS),
    ]


def many() -> list[Trap]:
    """All traps that run together in one run."""
    return [*parsing(), *usages(), *contents(), *broken_off(), *ends(), *items(), *noise(), *errors_in_streams(),
            *kinds(), *statuses(), *shapes(), *errors_inside_200(), *connections(), *encodings(), *bodies()]


# ---------------------------------------------------------------- streamed and unstreamed alike


@dataclass(frozen=True)
class Twin:
    """One reply in streamed and unstreamed form. The results must be equal."""

    name: str
    parts: Sequence[bytes]
    whole: dict[str, Any]
    finish: dict[str, int] | None
    body: bytes = b""
    url: str = CHAT

    def trap(self, streams: bool) -> Trap:
        steps = stream(self.parts) if streams else document(self.whole)
        return Trap(self.name, [Answer(steps, billed=True)], Taken(self.whole, finish=self.finish), self.body, self.url)


def twins() -> list[Twin]:
    def chat(name: str, *parts: dict[str, Any], choices: list[dict[str, Any]], finish: dict[str, int],
             **more: Any) -> Twin:
        return Twin(name, [*map(event, parts), event(chunk(name, choices=[], usage=USAGE)), DONE],
                    completion(name, choices=choices), finish, **more)

    def one(name: str, *deltas: dict[str, Any], reason: str = "stop", **message: Any) -> Twin:
        return chat(name, *(chunk(name, delta) for delta in deltas), chunk(name, reason=reason),
                    choices=[choice(name, reason, **message)], finish={reason: 1})

    def call(key: str, name: str, arguments: str) -> dict[str, Any]:
        return {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}}

    def tools(name: str, *calls: list[dict[str, Any]]) -> Twin:
        return one(name, {"role": "assistant", "content": None}, *({"tool_calls": piece} for piece in calls),
                   reason="tool_calls", content=None,
                   tool_calls=[call("call_1", "look", '{"at":"天"}'), call("call_2", "stop", "{}")])

    def piece(arguments: str, **more: Any) -> dict[str, Any]:
        return {**more, "function": {"arguments": arguments}}

    def probable(token: str) -> dict[str, Any]:
        return {"token": token, "logprob": -0.25, "bytes": list(token.encode()), "top_logprobs": []}

    def tokens(*words: str) -> dict[str, Any]:
        return {"tokens": list(words), "token_logprobs": [-0.5] * len(words), "top_logprobs": [{}] * len(words),
                "text_offset": [0] * len(words)}

    def text_chunk(text: str, index: int, reason: str | None, logprobs: Any = None) -> bytes:
        return event({"id": "cmpl-1", "object": "text_completion", "created": 1700000000, "model": "instruct",
                      "choices": [{"text": text, "index": index, "logprobs": logprobs, "finish_reason": reason}]})

    say = {"role": "assistant", "content": ""}
    n, p = "choices-interleaved", "logprobs"
    order = [(2, "c1 "), (0, "a1 "), (1, "b1 "), (0, "a2"), (2, "c2"), (1, "b2")]
    reasons = {1: "length", 0: "stop", 2: "stop"}
    short = response("response-incomplete", status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    return [
        one("content", say, *({"content": text} for text in pieces("content"))),
        one("no-role", *({"content": text} for text in pieces("no-role"))),
        one("empty-content", say, content=""),
        one("refusal", {"role": "assistant", "content": None, "refusal": ""}, {"refusal": "I will "},
            {"refusal": "not."}, content=None, refusal="I will not."),
        one("reasoning-content", {**say, "reasoning_content": ""}, {"reasoning_content": "let me "},
            {"reasoning_content": "see"}, {"content": "yes"}, content="yes", reasoning_content="let me see"),
        one("reasoning", {**say, "reasoning": "let "}, {"reasoning": "me see"}, {"content": "yes"}, content="yes",
            reasoning="let me see"),
        tools("tools-in-parallel",
              [{"index": 0, **call("call_1", "look", "")}, {"index": 1, **call("call_2", "stop", "")}],
              [piece('{"at"', index=0)], [piece("{", index=1)], [piece(':"天"}', index=0)], [piece("}", index=1)]),
        tools("tools-without-index", [call("call_1", "look", "")], [piece('{"at":')], [piece('"天"}')],
              [call("call_2", "stop", "{")], [piece("}")]),
        tools("tools-in-one-piece", [{"index": 0, **call("call_1", "look", '{"at":"天"}')},
                                     {"index": 1, **call("call_2", "stop", "{}")}]),
        tools("tools-with-empty-ids-later", [{"index": 0, **call("call_1", "look", '{"at":')}],
              [{"index": 0, **call("", "", '"天"}')}], [{"index": 1, **call("call_2", "stop", "{")}],
              [{"index": 1, **call("", "", "}")}]),
        one("function-call", {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": ""}},
            {"function_call": {"arguments": '{"at":'}}, {"function_call": {"arguments": "1}"}}, reason="function_call",
            content=None, function_call={"name": "look", "arguments": '{"at":1}'}),
        one("surrogate-pair-over-two-chunks", say, {"content": "a \ud83d"}, {"content": "\udc0e"}, content="a 🐎"),
        chat(p, chunk(p, say),
             *(chunk(p, choices=[{"index": 0, "delta": {"content": word}, "finish_reason": None,
                                  "logprobs": {"content": [probable(word)], "refusal": None}}])
               for word in ("so ", "be it")), chunk(p, reason="stop"),
             choices=[{**choice(p, content="so be it"),
                       "logprobs": {"content": [probable("so "), probable("be it")], "refusal": None}}],
             finish={"stop": 1}, body=ask(p, logprobs=True)),
        chat(n, *(chunk(n, say, index=i) for i in (1, 0, 2)),
             *(chunk(n, {"content": text}, index=i) for i, text in order),
             *(chunk(n, reason=reason, index=i) for i, reason in reasons.items()),
             choices=[choice(n, reasons[i], i, content=text)
                      for i, text in enumerate(("a1 a2", "b1 b2", "c1 c2"))],
             finish={"stop": 2, "length": 1}, body=ask(n, n=3)),
        Twin("fingerprints", [*(event({**part, "system_fingerprint": "fp_1", "service_tier": "default"})
                                for part in chunks("fingerprints")), DONE],
             completion("fingerprints", system_fingerprint="fp_1", service_tier="default"), {"stop": 1}),
        Twin("completions", [text_chunk("a", 1, None, tokens("a")), text_chunk("x", 0, None, tokens("x")),
                             text_chunk("b", 1, None, tokens("b")), text_chunk("", 1, "length"),
                             text_chunk("", 0, "stop"),
                             event({"id": "cmpl-1", "object": "text_completion", "created": 1700000000,
                                    "model": "instruct", "choices": [], "usage": USAGE}), DONE],
             {"id": "cmpl-1", "object": "text_completion", "created": 1700000000, "model": "instruct",
              "choices": [{"text": "x", "index": 0, "logprobs": tokens("x"), "finish_reason": "stop"},
                          {"text": "ab", "index": 1, "logprobs": tokens("a", "b"), "finish_reason": "length"}],
              "usage": USAGE}, {"stop": 1, "length": 1}, prompt("completions", n=2, logprobs=1), COMPLETIONS),
        Twin("response", response_events("response"), response("response"), None, ask_response("response"), RESPONSES),
        Twin("response-incomplete",
             response_events("response-incomplete", status="incomplete",
                             incomplete_details={"reason": "max_output_tokens"}), short, None,
             ask_response("response-incomplete"), RESPONSES),
        Twin("response-without-event-lines",
             [part.split(b"\n", 1)[1] for part in response_events("response-without-event-lines")],
             response("response-without-event-lines"), None, ask_response("response-without-event-lines"), RESPONSES),
    ]


# ---------------------------------------------------------------- permanent failures, with two attempts each


def lasting() -> list[Trap]:
    def lost(name: str, steps: Sequence[Step], code: str, words: str = "", billed: bool = False, body: bytes = b"",
             url: str = CHAT, retryable: bool = True) -> Trap:
        return Trap(name, [Answer(steps, billed)], Failed(code=code, words=words, retryable=retryable), body, url,
                    attempts=(2,), maybe=(2,), says=words)

    def opening(name: str) -> list[bytes]:
        return [*map(event, begun(name))]

    message = "the upstream of {} is overloaded".format
    busy = error("busy for ever", "bad_response_status_code")
    return [
        lost("stays-cut", [*open_stream(opening("stays-cut")), End.CLOSE], "stream_interrupted", billed=True),
        lost("stays-unfinished", stream([*opening("stays-unfinished"), DONE]), "stream_interrupted", billed=True),
        lost("stays-without-an-event", stream([b": PING\n\n"]), "stream_interrupted"),
        lost("stays-half-a-response", stream(response_events("stays-half-a-response")[:-1]), "stream_interrupted",
             billed=True, body=ask_response("stays-half-a-response"), url=RESPONSES),
        lost("stays-an-error-object", stream([*opening("stays-an-error-object"),
                                              event(error(message("stays-an-error-object"))), DONE]),
             "invalid_response", message("stays-an-error-object"), billed=True),
        lost("stays-an-error-event",
             stream([b"event: error\n" + event(error(message("stays-an-error-event"))["error"])]),
             "invalid_response", message("stays-an-error-event")),
        lost("stays-an-error-document", document(error(message("stays-an-error-document"))), "invalid_response",
             message("stays-an-error-document")),
        lost("stays-a-failed-response", stream([typed({"type": "error", "code": "server_error", "param": None,
                                                       "message": message("stays-a-failed-response")})]),
             "invalid_response", message("stays-a-failed-response"), body=ask_response("stays-a-failed-response"),
             url=RESPONSES),
        lost("stays-success-false", document({"success": False, "message": message("stays-success-false")}),
             "invalid_response", message("stays-success-false"), body=ask("stays-success-false", stream=False)),
        lost("stays-without-choices", document(completion("x", choices=[])), "invalid_response",
             body=ask("stays-without-choices", stream=False)),
        lost("stays-a-page", sized(PAGE, kind=HTML), "invalid_response"),
        lost("stays-under-an-unknown-encoding", sized(secret(dump(completion("x"))), 200,
                                                      "Content-Encoding: x-secret"),
             "invalid_response", billed=True, body=ask("stays-under-an-unknown-encoding", stream=False),
             retryable=False),  # the same unreadable reply twice
        Trap("stays-500", [Answer(document(busy, 500))], Failed(500, busy, retryable=True), attempts=(2,),
             says="busy for ever"),
        Trap("stays-502-page", [Answer(sized(PAGE, 502, kind=HTML))], Failed(502, PAGE.decode(), retryable=True),
             attempts=(2,)),
    ]


# ---------------------------------------------------------------- slow replies; idle timeout 1.5 s, first byte 2 s


def slow() -> list[Trap]:
    def silent(name: str, steps: Sequence[Step], **more: Any) -> Trap:
        return Trap(name, [Answer([*steps, End.HOLD], billed=True)], Failed(code="request_timeout", retryable=True),
                    attempts=(1,), maybe=(1,), **more)

    def drops(name: str, every: int) -> list[bytes]:
        data = b"".join(events(name))
        return [data[i:i + every] for i in range(0, len(data), every)]

    plain = "slow-drip-of-json"
    whole = dump(completion(plain))
    return [
        taken("slow-drip", stream(drops("slow-drip", 250), pause=0.5)),
        taken("slow-with-pings", [*open_stream([b": PING\n\n"] * 8, pause=0.5),
                                  *map(framed, events("slow-with-pings")), END]),
        taken(plain, [head(200, f"Content-Length: {len(whole)}"),
                      *apart([whole[i:i + 80] for i in range(0, len(whole), 80)], 0.5)],
              body=ask(plain, stream=False)),
        # An unstreamed reply is silent while the model works, so it has the whole --timeout.
        taken("slow-head-of-json", [3.0, *document(completion("slow-head-of-json"))],
              body=ask("slow-head-of-json", stream=False)),
        silent("silent-before-the-head", []),
        silent("silent-behind-the-head", [head(200, "Transfer-Encoding: chunked", kind=SSE)]),
        silent("silent-midway", open_stream(map(event, begun("silent-midway")))),
        silent("drips-for-ever", open_stream([b": PING\n\n"] * 100, pause=0.25)),
        # Complete except for the usage: the choice has its finish reason.
        taken("silent-behind-the-finish-reason",
              [*open_stream(events("silent-behind-the-finish-reason")[:-2]), End.HOLD],
              Taken(completion("silent-behind-the-finish-reason", usage=...), usage=None)),
    ]


# ---------------------------------------------------------------- large replies


def beyond(name: str, steps: Sequence[Step], **more: Any) -> Trap:
    """A reply above the size limit. It must not be retried: that would give the same result and be billed again."""
    return Trap(name, [Answer(steps, billed=True)], Failed(code="response_too_large"), maybe=(1,), **more)


def endless(part: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: itertools.repeat(framed(part), 2 * LARGEST // len(part))


def large() -> list[Trap]:
    most = "0123456789abcdef" * (24 * MIB // 16)

    def packed(encoding: str, kind: str) -> bytes:
        return head(200, "Transfer-Encoding: chunked", f"Content-Encoding: {encoding}", kind=kind)

    plain, flow, many_events = "large-json", "large-event", "large-stream"
    piece = most[:MIB]
    opened = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"'
    return [
        taken(plain, document(completion(plain, choices=[choice(plain, content=most)])),
              Taken(completion(plain, choices=[choice(plain, content=most)])), body=ask(plain, stream=False)),
        taken(flow, stream([event(chunk(flow, {"role": "assistant", "content": most})), *events(flow)[-3:]]),
              Taken(completion(flow, choices=[choice(flow, content=most)]))),
        taken(many_events, stream([*[event(chunk(many_events, {"content": piece}))] * 24, *events(many_events)[-3:]]),
              Taken(completion(many_events, choices=[choice(many_events, content=most)]))),
        beyond("too-large-by-its-length", [head(200, f"Content-Length: {2 * LARGEST}") + opened,
                                           lambda: itertools.repeat(b"x" * MIB, 2 * LARGEST // MIB)],
               body=ask("too-large-by-its-length", stream=False)),
        beyond("too-large-in-chunks", [head(200, "Transfer-Encoding: chunked"), framed(opened), endless(b"x" * MIB),
                                       END], body=ask("too-large-in-chunks", stream=False)),
        beyond("too-large-a-stream", [head(200, "Transfer-Encoding: chunked", kind=SSE),
                                      endless(event(chunk("x", {"content": "0123456789abcdef" * 1024}))), END]),
        beyond("too-large-an-event", [head(200, "Transfer-Encoding: chunked", kind=SSE), framed(b"data: "),
                                      endless(b"x" * MIB), END]),
        beyond("gzip-bomb", [packed("gzip", JSON), lambda: gzip_bomb(opened), END],
               body=ask("gzip-bomb", stream=False)),
        beyond("gzip-bomb-in-a-stream", [packed("gzip", SSE), lambda: gzip_bomb(b"data: "), END]),
        beyond("zstd-bomb", [packed("zstd", JSON), lambda: zstd_bomb(opened), END],
               body=ask("zstd-bomb", stream=False)),
    ]


def blank() -> list[Trap]:
    """A reply of blanks only: relays send them to keep an unstreamed call alive. Each blank must be read only once, and
    other requests must continue."""
    name = "too-large-and-blank"
    return [beyond(name, [head(200, "Transfer-Encoding: chunked"), endless(b" " * MIB), END],
                   body=ask(name, stream=False)),
            taken("beside-the-blanks", stream(events("beside-the-blanks"), pause=0.5))]


# ---------------------------------------------------------------- hints when to retry


@dataclass(frozen=True)
class Hint:
    """A refusal, and the minimum delay of the next attempt. 0: the refusal has no hint, so the client uses its own
    backoff."""

    name: str
    answer: Sequence[Step]
    least: float


def hints() -> list[Hint]:
    slow_down = "Rate limit reached for requests"

    def by(name: str, least: float, *lines: str, status: int = 429, message: str = slow_down) -> Hint:
        return Hint(name, document(error(message, "rate_limit_exceeded", "requests"), status, *lines), least)

    def dated(name: str, ahead: float, least: float) -> Hint:
        return Hint(name, [lambda: (step for step in document(
            error(slow_down), 429, f"Retry-After: {formatdate(time.time() + ahead, usegmt=True)}")
            if isinstance(step, bytes))], least)

    def at(name: str, ahead: float, least: float, line: Callable[[float], str], status: int = 429) -> Hint:
        """With a header line that names a time `ahead` seconds after the answer."""
        return Hint(name, [lambda: (step for step in document(error(slow_down), status, line(time.time() + ahead))
                                    if isinstance(step, bytes))], least)

    def in_body(name: str, least: float, body: Callable[[], dict[str, Any]]) -> Hint:
        """With a hint only in the body."""
        return Hint(name, [lambda: (step for step in document(body(), 429) if isinstance(step, bytes))], least)

    def iso(moment: float) -> str:
        return datetime.fromtimestamp(moment, UTC).isoformat()

    def garbage(name: str, *lines: str) -> Hint:
        return by(name, 0, *lines, status=503)

    return [
        by("seconds", 2.0, "Retry-After: 2"),
        by("fraction", 1.6, "Retry-After: 1.6"),
        by("seconds-on-503", 2.0, "retry-after: 2", status=503),
        dated("date", 4.0, 2.9),  # an HTTP date has whole seconds
        dated("date-in-the-past", -3600.0, 0),
        by("milliseconds", 1.6, "retry-after-ms: 1600"),
        by("milliseconds-before-seconds", 1.6, "Retry-After: 300", "retry-after-ms: 1600"),
        by("garbage-before-seconds", 2.0, "retry-after-ms: soon", "Retry-After: 2"),
        garbage("words", "Retry-After: soon"),
        garbage("negative", "Retry-After: -5", "retry-after-ms: -1"),
        garbage("not-a-number", "Retry-After: NaN", "retry-after-ms: inf"),
        garbage("out-of-range", "Retry-After: 1e999"),
        garbage("empty", "Retry-After:", "retry-after-ms: "),
        at("moment", 3.0, 1.9, lambda moment: f"Retry-After: {moment:.0f}"),
        at("moment-of-milliseconds", 2.0, 1.9, lambda moment: f"Retry-After: {moment * 1000:.0f}"),
        at("moment-with-a-fraction", 2.0, 1.9, lambda moment: f"Retry-After: {moment:.3f}"),
        at("moment-where-milliseconds-belong", 2.0, 1.9, lambda moment: f"retry-after-ms: {moment * 1000:.0f}"),
        at("moment-on-503", 2.0, 1.9, lambda moment: f"Retry-After: {moment * 1000:.0f}", status=503),
        at("moment-in-the-past", -30.0, 0, lambda moment: f"Retry-After: {moment:.0f}", status=503),
        at("moment-of-a-reset", 2.0, 1.9, lambda moment: f"X-RateLimit-Reset: {moment * 1000:.0f}"),
        at("moment-of-a-named-reset", 2.0, 1.9, lambda moment: f"x-ratelimit-reset-requests: {moment:.2f}"),
        at("date-with-an-offset", 4.0, 2.9, lambda moment: f"Retry-After: {formatdate(moment)}".replace("-0000", "+0000")),
        at("date-of-rfc-3339", 2.0, 1.9, lambda moment: f"Retry-After: {iso(moment)}"),
        at("date-of-anthropic", 2.0, 1.9, lambda moment: f"anthropic-ratelimit-requests-reset: {iso(moment)}"),
        by("length-with-a-unit", 2.0, "Retry-After: 2s"),
        by("length-of-iso-8601", 2.0, "Retry-After: PT2S"),
        by("reset-without-a-name", 2.0, "x-ratelimit-remaining: 0", "x-ratelimit-reset: 2"),
        by("reset-of-the-draft", 2.0, "RateLimit-Remaining: 0", "RateLimit-Reset: 2"),
        in_body("gemini-in-the-body", 1.6, lambda: {"error": {
            "code": 429, "message": slow_down, "status": "RESOURCE_EXHAUSTED", "details": [
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.6s"}]}}),
        in_body("openrouter-in-the-body", 1.9, lambda: {"error": {
            "code": 429, "message": slow_down, "metadata": {"headers": {
                "X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": f"{(time.time() + 2) * 1000:.0f}"}}}}),
        in_body("seconds-in-the-body", 1.6, lambda: {"error": {"message": slow_down, "retry_after": 1.6}}),
        by("in-words", 1.6, message=f"{slow_down} per min (RPM): Limit 3, Used 3. Please try again in 1.6s. Visit x"),
        by("in-words-milliseconds", 1.6, message=f"{slow_down}. Please try again in 1600ms."),
        by("reset-go", 1.6, "x-ratelimit-remaining-requests: 0", "x-ratelimit-reset-requests: 1.6s"),
        by("reset-go-of-two-units", 1.6, "x-ratelimit-remaining-tokens: 0", "x-ratelimit-reset-tokens: 1s600ms"),
        by("reset-azure", 2.0, "x-ratelimit-remaining-requests: 0", "x-ratelimit-reset-requests: 2"),
        by("reset-azure-minus-one", 0, "x-ratelimit-reset-requests: -1", "x-ratelimit-reset-tokens: 0"),
    ]


# ---------------------------------------------------------------- failures that stop a run


@dataclass(frozen=True)
class Stop:
    """The relay's answer to every request of a job, and how the run must end."""

    name: str
    answer: Sequence[Step]
    exit: int
    says: Sequence[str]
    least: int = 1  # the minimum number of attempts before the run stops
    flags: Sequence[str] = ()
    lost: bool = False  # the attempts count as maybe billed


def stops(port: int) -> list[Stop]:
    def refusal(name: str, status: int, code: str | None, message: str, *lines: str, code_of_exit: int = 3,
                **more: Any) -> Stop:
        return Stop(name, document(error(message, code), status, *lines), code_of_exit, [message], **more)

    def elsewhere(name: str, steps: Sequence[Step], **more: Any) -> Stop:
        return Stop(name, steps, 2, ["--base-url", "/v1"], least=5, **more)

    moved = f"Location: http://127.0.0.1:{port}{CHAT}"
    hour = formatdate(time.time() + 7200, usegmt=True)
    return [
        refusal("key-401", 401, "invalid_api_key", "Incorrect API key provided: sk-ab***yz"),
        refusal("key-401-used-up", 401, None, "该令牌额度已用尽 (request id: 2024)"),
        refusal("key-402", 402, None, "Payment required"),
        refusal("key-429-quota", 429, "insufficient_quota", "You exceeded your current quota", least=2),
        refusal("key-403-user-quota", 403, "insufficient_user_quota", "用户额度不足, 剩余额度: $0.01", least=2),
        refusal("key-403-token-quota", 403, "pre_consume_token_quota_failed", "令牌额度不足", least=2),
        # A spent account, in the words and statuses of different vendors.
        refusal("spent-403-key-limit", 403, None, "Key limit exceeded (total limit). Manage it elsewhere", least=2),
        refusal("spent-400-arrearage", 400, "Arrearage", "Access denied, please make sure your account is good",
                least=2),
        refusal("spent-400-credit", 400, None, "Your credit balance is too low to access the API.", least=2),
        refusal("spent-400-budget", 400, "budget_exceeded", "Budget has been exceeded! Current cost: 26", least=2),
        refusal("spent-412-suspended", 412, "PRECONDITION_FAILED",
                "Account a is suspended, possibly due to reaching the monthly spending limit", least=2),
        refusal("spent-429-1113", 429, "1113", "余额不足或无可用资源包,请充值。", least=2),
        refusal("spent-500-code", 500, "insufficient_quota", "You exceeded your current quota", least=2),
        Stop("spent-403-sub2api", document({"code": "INSUFFICIENT_BALANCE", "message": "Insufficient account balance"},
                                           403), 3, ["Insufficient account balance"], least=2),
        Stop("spent-403-siliconflow", document({"code": 30001, "message": "Sorry, your account balance is insufficient",
                                                "data": None}, 403), 3, ["your account balance"], least=2),
        Stop("spent-200-minimax", document({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
             3, ["insufficient balance"], least=2, lost=True),
        Stop("spent-200-stream", stream([event(error("You exceeded your current quota", "insufficient_quota"))]),
             3, ["You exceeded your current quota"], least=2, lost=True),
        # A refused country is not a special case; it refuses all requests in the same way.
        refusal("key-403-country", 403, "unsupported_country_region_territory", "Country not supported", least=2),
        elsewhere("address-404-page", sized(PAGE, 404, kind=HTML)),
        elsewhere("address-404-invalid-url", document(error("Invalid URL (POST /v1/v1/chat/completions)", ""), 404)),
        elsewhere("address-404-fastapi", document({"detail": "Not Found"}, 404)),
        elsewhere("address-404-text", document({"error": "404 page not found"}, 404)),
        elsewhere("address-301", sized(b"", 301, moved)),
        elsewhere("address-307", sized(b"", 307, moved)),
        elsewhere("address-308-page", sized(PAGE, 308, moved, kind=HTML)),
        elsewhere("address-200-page", sized(PAGE, kind=HTML), lost=True),
        refusal("later-by-seconds", 429, "rate_limit_exceeded", "come back tomorrow", "Retry-After: 7200"),
        refusal("later-by-a-moment", 429, "rate_limit_exceeded", "come back in two hours",
                f"Retry-After: {time.time() + 7200:.0f}"),
        refusal("later-by-a-moment-of-milliseconds", 429, "rate_limit_exceeded", "free requests are used up",
                "X-RateLimit-Remaining: 0", f"X-RateLimit-Reset: {(time.time() + 7200) * 1000:.0f}"),
        refusal("later-by-date", 503, None, "maintenance", f"Retry-After: {hour}"),
        refusal("later-by-words", 429, "rate_limit_exceeded", "Rate limit reached. Please try again in 6m0s.",
                flags=["--max-wait", "5m"]),
        refusal("later-by-reset", 429, "rate_limit_exceeded", "too many", "x-ratelimit-remaining-requests: 0",
                "x-ratelimit-reset-requests: 1h2m3s"),
    ]
