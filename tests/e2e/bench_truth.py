"""What a client that measures exactly must have found, from the log of timed_relay.py; and how far off one was.

Times are in milliseconds, named as in the document of `sluice bench`. Quantiles are of the nearest rank: the value that
the share of all does not pass.
"""

from __future__ import annotations

import math
from typing import Any

Chat = dict[str, Any]
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def pieces_of(chat: Chat, kinds: tuple[str, ...] = ("reasoning", "content")) -> list[float]:
    return [when for kind, when, _ in chat["pieces"] if kind in kinds]


def shown_tokens(chat: Chat) -> int:
    """Those that its pieces brought."""
    return sum(tokens for _, _, tokens in chat["pieces"])


def values_of(chats: list[Chat]) -> dict[str, list[float]]:
    """Each metric of each chat."""
    values: dict[str, list[float]] = {}

    def add(name: str, seconds: float) -> None:
        values.setdefault(name, []).append(seconds * 1000)

    for chat in chats:
        sent = chat["request"]
        if chat["accepted"] is not None and chat["ready"] is not None:
            add("connect_ms", chat["ready"] - chat["accepted"])
        add("ttfb_ms", chat["head"] - sent)
        add("latency_ms", chat["end"] - sent)
        tokens = chat["usage"]["completion_tokens"]
        values.setdefault("output_tokens_per_s_each", []).append(tokens / (chat["end"] - sent))
        pieces = pieces_of(chat)
        if not pieces:
            continue
        add("ttft_ms", pieces[0] - sent)
        add("first_content_ms", pieces_of(chat, ("content",))[0] - sent)
        if shown_tokens(chat) > 1 and len(pieces) > 1:
            add("inter_token_ms", (pieces[-1] - pieces[0]) / (shown_tokens(chat) - 1))
        for before, after in zip(pieces, pieces[1:]):
            add("inter_chunk_ms", after - before)
    return values


def rates_of(chats: list[Chat]) -> dict[str, float]:
    starts = [chat["request"] for chat in chats]
    lasted = max(chat["end"] for chat in chats) - min(starts)
    rates = {"duration_s": lasted, "requests_per_s": len(chats) / lasted,
             "output_tokens_per_s": sum(chat["usage"]["completion_tokens"] for chat in chats) / lasted}
    if len(chats) > 1:
        rates["started_per_s"] = (len(chats) - 1) / (max(starts) - min(starts))
    return rates


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def stats_of(values: list[float]) -> dict[str, float]:
    return {"mean": sum(values) / len(values), **{name: quantile(values, q) for name, q in QUANTILES.items()}}


def errors_of(load: dict[str, Any], chats: list[Chat], share: float = 0.02, ms: float = 1.0,
              without: tuple[str, ...] = ()) -> list[str]:
    """What the load tells that lies off the truth by more than the share of it and more than so many ms."""
    wrong = []

    def compare(name: str, told: float | None, truth: float, least: float) -> None:
        if told is None or abs(told - truth) > max(share * truth, least):
            wrong.append(f"{name}: told {told}, in truth {truth:.3f}")

    for name, truth in values_of(chats).items():
        if name in without:
            continue
        told = load[name]
        if told is None or told["count"] != len(truth):
            # Pieces that came while the client could not look are one arrival.
            if told is None or name != "inter_chunk_ms":
                wrong.append(f"{name}: {told and told['count']} counted, in truth {len(truth)}")
                continue
        for part, value in stats_of(truth).items():
            compare(f"{name} {part}", told[part], value, 0 if name == "output_tokens_per_s_each" else ms)
    for name, rate in rates_of(chats).items():
        compare(name, load[name], rate, 0.0)
    return wrong


def waited_for_a_processor(load: dict[str, Any]) -> float:
    """The share of the time in which the client could have run, and another did."""
    ran = load["client_cpu_us_per_request"] * load["requests"] / 1e6
    return max(load["client_busy"] - ran / load["duration_s"], 0.0)


def distances(load: dict[str, Any], chats: list[Chat]) -> str:
    """A table for a person: what was told, and the truth."""
    lines = []
    for name, truth in values_of(chats).items():
        told = load[name] or {}
        cells = [f"{part} {told.get(part, math.nan):9.3f} {value:9.3f}" for part, value in stats_of(truth).items()]
        lines.append(f"{name:25} {told.get('count', 0):6} {len(truth):6}  " + "  ".join(cells))
    for name, rate in rates_of(chats).items():
        lines.append(f"{name:25} {load[name]:12.4f} {rate:12.4f}")
    return "\n".join(lines)
