#!/usr/bin/env python3
"""Checks over many minutes that a run keeps the relay's limit and makes full use of it. Runs against relay.py.

    python3 tests/e2e/limit_soak.py --binary build/release/sluice [--minutes 10] [--rpm 200] [--delay-max 1.0]

The relay counts each request after a random delay in [0, delay-max] that the client cannot see, and refuses with 429
the requests that exceed its sliding window. All numbers come from the relay. Exit status 0: nothing was refused, no 60 s
had more requests than the limit, the run lasted to the end, and the complete windows used at least 98% of the limit (99%
up to a delay of 0.3 s).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import support  # noqa: E402  (the folder must be on the path first)


@dataclass
class Figures:
    arrivals: int
    refused: int
    most_in_60s: int
    windows: list[int]
    rpm: int
    exit_status: int
    stderr: str
    planned: int  # number of windows

    @property
    def complete(self) -> bool:
        """Whether it ran until the interrupt at the end of the time."""
        return self.exit_status == 130 and len(self.windows) >= self.planned

    @property
    def use(self) -> float:
        """The share of the limit that the complete windows used."""
        return sum(self.windows) / len(self.windows) / self.rpm if self.windows else 0.0


def soak(binary: str, folder: Path, windows: float, rpm: int, delay_max: float, concurrency: int = 64) -> Figures:
    """Runs one job that uses the whole limit for `windows` windows, then interrupts it."""
    # More requests than can be sent in the time, so that the run never runs out of work.
    wanted = int(rpm * (windows + 1)) + rpm
    job = folder / "soak.jsonl"
    job.write_bytes(support.jsonl(support.chats(wanted)))
    server = support.Relay(folder, "--rpm", str(rpm), "--delay-min", "0", "--delay-max", str(delay_max))
    environment = {**os.environ, "OPENAI_API_KEY": support.KEY, "XDG_STATE_HOME": str(folder / "state")}
    try:
        with (folder / "soak.err").open("w+", encoding="utf-8") as log:
            run = subprocess.Popen([binary, "run", str(job), "--base-url", server.url, "--rpm", str(rpm),
                                    "--concurrency", str(concurrency), "--output-dir", str(folder / "out")],
                                   env=environment, cwd=folder, stderr=log)
            try:
                def over() -> bool:
                    if run.poll() is not None:
                        return True
                    stats = server.stats
                    return bool(stats["arrivals_total"]
                                and stats["last_arrival"] - stats["first_arrival"] >= 60 * windows)

                support.wait_until(over, "the windows are over", 60 * windows + 180, pause=1.0)
                if run.poll() is None:
                    run.send_signal(signal.SIGTERM)  # a background job of a shell ignores SIGINT
                run.wait(support.PATIENCE)
            finally:
                run.kill()
                run.wait()
            log.seek(0)
            errors = log.read()
        stats = server.stats
    finally:
        server.stop()
    return Figures(stats["arrivals_total"], stats["refused"], stats["max_in_60s"], stats["per_60s_windows"]["counts"],
                   rpm, run.returncode, errors, int(windows))


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks the rate limit by a relay's own count, over minutes.")
    parser.add_argument("--binary", default=os.environ.get("SLUICE"), help="the program (default: $SLUICE)")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rpm", type=int, default=200)
    parser.add_argument("--delay-max", type=float, default=1.0, help="maximum seconds until a request counts")
    parser.add_argument("--concurrency", type=int, default=64)
    options = parser.parse_args()
    if not options.binary:
        parser.error("name the program with --binary")
    with tempfile.TemporaryDirectory(prefix="sluice-soak-") as folder:
        figures = soak(str(Path(options.binary).resolve()), Path(folder), options.minutes, options.rpm,
                       options.delay_max, options.concurrency)
    floor = 0.99 if options.delay_max <= 0.3 else 0.98
    print(f"arrivals {figures.arrivals}, refused {figures.refused}, exit status {figures.exit_status}")
    print(f"most in any 60 s: {figures.most_in_60s} of {figures.rpm}")
    print("use per window: " + ", ".join(f"{100 * count / figures.rpm:.1f}%" for count in figures.windows)
          + f"; on average {100 * figures.use:.2f}%")
    print(json.dumps({"rpm": figures.rpm, "delay_max_s": options.delay_max, "arrivals": figures.arrivals,
                      "refused": figures.refused, "most_in_60s": figures.most_in_60s, "windows": figures.windows,
                      "use": round(figures.use, 4)}))
    if not figures.complete:
        print(f"the run ended too early:\n{figures.stderr}", file=sys.stderr)
    kept = figures.refused == 0 and figures.most_in_60s <= figures.rpm
    return 0 if figures.complete and kept and figures.use >= floor else 1


if __name__ == "__main__":
    sys.exit(main())
