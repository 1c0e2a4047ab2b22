"""Computes the true metrics from the log of timed_relay.py, and the errors of a client's measurements.

Times are in milliseconds. The metrics have the same names as in the JSON document of `sluice bench`. Quantiles use the
nearest rank. The log gives the time of a write as a span, so a true value is a span, too. It is usually some hundredths
of a millisecond long, and longer if the relay had no processor during the write.
"""

from __future__ import annotations

import math
from typing import Any

Chat = dict[str, Any]
Span = tuple[float, float]
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def between(begin: Span | float, end: Span | float) -> Span:
    """The time between two moments: its minimum and its maximum."""
    first = begin if isinstance(begin, (tuple, list)) else (begin, begin)
    last = end if isinstance(end, (tuple, list)) else (end, end)
    return last[0] - first[1], last[1] - first[0]


def pieces_of(chat: Chat, kinds: tuple[str, ...] = ("reasoning", "content")) -> list[Span]:
    return [when for kind, when, _ in chat["pieces"] if kind in kinds]


def shown_tokens(chat: Chat) -> int:
    """The number of tokens in its pieces."""
    return sum(tokens for _, _, tokens in chat["pieces"])


def values_of(chats: list[Chat]) -> dict[str, list[Span]]:
    """The values of all metrics, one per chat or more."""
    values: dict[str, list[Span]] = {}

    def add(name: str, seconds: Span, share: float = 1.0) -> None:
        values.setdefault(name, []).append((seconds[0] * 1000 * share, seconds[1] * 1000 * share))

    for chat in chats:
        sent = chat["request"]
        if chat["accepted"] is not None and chat["ready"] is not None:
            add("connect_ms", between(chat["accepted"], chat["ready"]))
        add("ttfb_ms", between(sent, chat["head"]))
        lasted = between(sent, chat["end"])
        add("latency_ms", lasted)
        tokens = chat["usage"]["completion_tokens"]
        values.setdefault("output_tokens_per_s_each", []).append((tokens / lasted[1], tokens / lasted[0]))
        pieces = pieces_of(chat)
        if not pieces:
            continue
        add("ttft_ms", between(sent, pieces[0]))
        add("first_content_ms", between(sent, pieces_of(chat, ("content",))[0]))
        if shown_tokens(chat) > 1 and len(pieces) > 1:
            add("inter_token_ms", between(pieces[0], pieces[-1]), 1 / (shown_tokens(chat) - 1))
        for before, after in zip(pieces, pieces[1:]):
            add("inter_chunk_ms", between(before, after))
    return values


def rates_of(chats: list[Chat]) -> dict[str, float]:
    starts = [chat["request"] for chat in chats]
    lasted = max(chat["end"][0] for chat in chats) - min(starts)
    rates = {"duration_s": lasted, "requests_per_s": len(chats) / lasted,
             "output_tokens_per_s": sum(chat["usage"]["completion_tokens"] for chat in chats) / lasted}
    if len(chats) > 1:
        rates["started_per_s"] = (len(chats) - 1) / (max(starts) - min(starts))
    return rates


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def stats_of(values: list[Span]) -> dict[str, Span]:
    least, most = [value[0] for value in values], [value[1] for value in values]
    found = {"mean": (sum(least) / len(least), sum(most) / len(most))}
    return found | {name: (quantile(least, q), quantile(most, q)) for name, q in QUANTILES.items()}


def compare(name: str, measured: dict[str, float], values: list[Span], share: float = 0.02,
            ms: float = 1.0) -> list[str]:
    """The errors of the statistics that are larger than both `share` of the true value and `ms`."""
    return [f"{name} {part}: measured {measured[part]}, true value {least:.3f} to {most:.3f}"
            for part, (least, most) in stats_of(values).items()
            if measured[part] < least - max(share * least, ms) or measured[part] > most + max(share * most, ms)]


def errors_of(load: dict[str, Any], chats: list[Chat], without: tuple[str, ...] = ()) -> list[str]:
    """All errors in one load of the document, except in the metrics named in `without`."""
    wrong = []
    for name, truth in values_of(chats).items():
        if name in without:
            continue
        measured = load[name]
        # Pieces that arrive while the client is busy count as one arrival.
        if measured is None or (measured["count"] != len(truth) and name != "inter_chunk_ms"):
            wrong.append(f"{name}: {measured and measured['count']} counted, true value {len(truth)}")
            continue
        wrong += compare(name, measured, truth, ms=0.0 if name == "output_tokens_per_s_each" else 1.0)
    for name, rate in rates_of(chats).items():
        if abs(load[name] - rate) > 0.02 * rate:
            wrong.append(f"{name}: measured {load[name]}, true value {rate:.3f}")
    return wrong


def waited_for_a_processor(load: dict[str, Any]) -> float:
    """The share of the time in which the client was ready to run but had no processor."""
    ran = load["client_cpu_us_per_request"] * load["requests"] / 1e6
    return max(load["client_busy"] - ran / load["duration_s"], 0.0)


def distances(load: dict[str, Any], chats: list[Chat]) -> str:
    """A table of measured and true values, for error messages."""
    lines = []
    for name, truth in values_of(chats).items():
        measured = load[name] or {}
        cells = [f"{part} {measured.get(part, math.nan):9.3f} {value[0]:9.3f}"
                 for part, value in stats_of(truth).items()]
        lines.append(f"{name:25} {measured.get('count', 0):6} {len(truth):6}  " + "  ".join(cells))
    for name, rate in rates_of(chats).items():
        lines.append(f"{name:25} {load[name]:12.4f} {rate:12.4f}")
    return "\n".join(lines)
