"""litellm's proxy as the relay of `sluice serve`, and as its client: calls, streams and batches.

These tests run only at night: the installation (tests/e2e/clients/install) has 750 MB and takes minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from decimal import Decimal
from typing import Any
from urllib.request import urlopen

from ports import HOST, free_port
from support import CHAT, HERE, Simulator, at_night, chat, wait_until
from test_serve import CLIENTS, Case, Serve

MASTER_KEY = "sk-litellm-0123456789abcdef0123456789abcdef"
START = 240.0  # seconds that litellm may take to start


@at_night
class Litellm(Case):
    """One proxy with two models: gpt-4o-mini goes to a relay, and gpt-4o to a `sluice serve`, with files and batches.

    litellm sends all batches to the address of the first model in its config."""

    def setUp(self) -> None:
        super().setUp()
        self.behind, self.last = Simulator(itl="1ms"), Simulator(itl="1ms")
        self.addCleanup(self.behind.stop)
        self.addCleanup(self.last.stop)
        self.inner = self.serve_in("inner", self.last.url)
        self.port = free_port()
        self.start_litellm()
        self.outer = self.serve_in("outer", f"http://127.0.0.1:{self.port}/v1", OPENAI_API_KEY=MASTER_KEY)

    def serve_in(self, name: str, relay: str, **environment: str) -> Serve:
        folder = self.folder / name
        folder.mkdir()
        server = Serve(folder, relay, environment=environment)
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        return server

    def start_litellm(self) -> None:
        place = {"api_base": self.inner.url, "api_key": "sk-any"}
        config = self.folder / "litellm.yaml"  # JSON is YAML
        config.write_text(json.dumps({
            "model_list": [
                {"model_name": "gpt-4o", "litellm_params": {"model": "openai/gpt-4o", **place}},
                {"model_name": "gpt-4o-mini", "litellm_params": {"model": "openai/gpt-4o-mini", "api_key": "sk-any",
                                                                 "api_base": self.behind.url}}],
            "files_settings": [{"custom_llm_provider": "openai", **place}]}))
        with (self.folder / "litellm.log").open("wb") as log:
            process = subprocess.Popen(
                [str(CLIENTS / "litellm/bin/litellm"), "--config", str(config), "--host", "127.0.0.1", "--port",
                 str(self.port), "--telemetry", "False"], stdout=log, stderr=log, cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "LITELLM_MASTER_KEY": MASTER_KEY,
                     "LITELLM_LOCAL_MODEL_COST_MAP": "True"})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def answers() -> bool:
            self.assertIsNone(process.poll(), (self.folder / "litellm.log").read_text()[-2000:])
            with contextlib.suppress(OSError), urlopen(f"http://{HOST}:{self.port}/health/liveliness") as answer:
                return answer.status == 200
            return False

        wait_until(answers, "litellm answers", patience=START, pause=0.2)

    def client(self, url: str, key: str, *arguments: str) -> dict[str, Any]:
        ran = subprocess.run([str(CLIENTS / "python/bin/python"), str(HERE / "clients/litellm_sdk.py"), *arguments],
                             capture_output=True, text=True, check=False, timeout=200,
                             env={**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": key})
        self.assertEqual(ran.returncode, 0, ran.stderr + (self.folder / "litellm.log").read_text()[-2000:])
        return json.loads(ran.stdout)

    def check(self, seen: dict[str, Any]) -> None:
        self.assertTrue(seen["chat"]["choices"][0]["message"]["content"])
        self.assertEqual(seen["chat"]["usage"]["completion_tokens"], 5)
        self.assertGreater(len(seen["chunks"]), 3)
        self.assertEqual(seen["chunks"][-1]["usage"]["completion_tokens"], 8)
        self.assertEqual((seen["batch"]["status"], seen["batch"]["request_counts"]),
                         ("completed", {"total": 20, "completed": 20, "failed": 0}))
        lines = [json.loads(line) for line in seen["output"].splitlines()]
        self.assertEqual(sorted(line["custom_id"] for line in lines), sorted(f"c{i}" for i in range(20)))
        for line in lines:
            self.assertEqual(line["response"]["body"]["usage"]["completion_tokens"], 4)
            self.assertTrue(line["response"]["body"]["choices"][0]["message"]["content"])

    def agree(self, server: Serve, relay: Simulator) -> None:
        """The counts of the server equal the bill of the relay."""
        ledger = relay.ledger
        status = server.call("GET", "/sluice/status").json
        self.assertEqual(ledger["attempts"], 22)
        self.assertEqual((status["calls"]["completed"], status["requests"]["completed"]), (2, 20))
        self.assertEqual(status["tokens"]["total"], ledger["billed"]["tokens"]["total"])
        self.assertEqual(Decimal(status["cost_usd"]), Decimal(ledger["billed"]["cost_usd"]))

    def test_behind_the_server_and_in_front_of_it(self) -> None:
        with self.subTest("as the relay of the server"):
            self.check(self.client(self.outer.url, "any", "gpt-4o-mini"))
            self.agree(self.outer, self.behind)
            listed = self.outer.call("GET", "/v1/models").json
            self.assertEqual({one["id"] for one in listed["data"]}, {"gpt-4o-mini", "gpt-4o"})
            # curl -d sends this content type. litellm alone would read the body as a form.
            answer = self.outer.call("POST", CHAT, json.dumps(chat("hi", max_tokens=2)).encode(),
                                     Content_Type="application/x-www-form-urlencoded")
            self.assertEqual(answer.status, 200, answer.body)
            unknown = self.outer.call("POST", CHAT, json.dumps({**chat("hi"), "model": "none"}).encode())
            self.assertEqual(unknown.status, 400, unknown.body)
            self.assertIn("none", unknown.json["error"]["message"])
            self.assertEqual(self.outer.call("GET", "/sluice/status").json["errors"]["by_code"], {"400": 1})
        with self.subTest("as a client of the server"):
            self.check(self.client(f"http://127.0.0.1:{self.port}/v1", MASTER_KEY, "gpt-4o", "openai"))
            self.agree(self.inner, self.last)
