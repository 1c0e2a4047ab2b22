"""`sluice quota` and `sluice models`, with the simulator as each relay software, and with relays that answer in unusual
ways."""

from __future__ import annotations

import http.server
import json
import signal
import threading
from decimal import Decimal
from typing import Any

from support import KEY, Case, Run, chats, wait_until

QUOTA_KEYS = ["source", "granted_usd", "used_usd", "remaining_usd", "unlimited", "expires_at", "status"]
MODEL_KEYS = ["id", "owned_by", "input_usd_per_million", "cached_input_usd_per_million", "output_usd_per_million"]
SUBSCRIPTION = "/dashboard/billing/subscription"
USAGE = "/dashboard/billing/usage"
GRANTS = "/dashboard/billing/credit_grants"
TOKEN = "/api/usage/token/"
LOG = "/api/log/token"
SPENT = (401, {"error": {"message": "该令牌额度已用尽 (request id: 1)", "type": "one_api_error"}})


class OddRelay:
    """Answers GETs by their path with (status, body) or (status, body, headers). Other paths get 404. A body that is
    not a string is sent as JSON."""

    def __init__(self, answers: dict[str, tuple[Any, ...]]) -> None:
        self.answers = answers
        self.targets: list[str] = []
        self.heads: list[dict[str, str]] = []
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                relay.targets.append(self.path)
                relay.heads.append(dict(self.headers))
                status, body, *more = relay.answers.get(self.path.partition("?")[0], (404, {"error": {
                    "message": f"Invalid URL (GET {self.path})"}}))
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                for name, value in (more[0] if more else {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def paths(self) -> list[str]:
        return [target.partition("?")[0] for target in self.targets]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Asked(Case):
    def odd_relay(self, answers: dict[str, tuple[Any, ...]]) -> OddRelay:
        relay = OddRelay(answers)
        self.addCleanup(relay.stop)
        return relay

    def ask(self, command: str, url: str, *flags: Any, expect: int = 0, **more: Any) -> Run:
        log = self.folder / "log.txt"
        run = self.sluice(command, "--base-url", url, "--log-file", log, "-v", *flags, expect=expect, **more)
        for place, text in (("stdout", run.out), ("stderr", run.err), ("the log", log.read_text())):
            self.assertNotIn(KEY, text, place)
        if expect not in (0, 1):
            self.assertEqual(run.out, "")
        return run

    def document(self, command: str, url: str, *flags: Any, **more: Any) -> dict[str, Any]:
        return json.loads(self.ask(command, url, "--json", *flags, **more).out)

    def assert_key_in_header_alone(self, relay: OddRelay) -> None:
        self.assertTrue(relay.targets)
        for target, head in zip(relay.targets, relay.heads):
            self.assertNotIn(KEY, target)
            self.assertNotIn("key=", target)
            self.assertEqual(head["Authorization"], f"Bearer {KEY}")


class SimulatedQuota(Asked):
    def spend(self, server: Any, requests: int = 5) -> Decimal:
        job = self.job(chats(requests, max_tokens=50))
        self.run_job(job, server, "--output-dir", self.out)
        return Decimal(self.results(job, self.out).totals["cost_usd"])

    def test_each_software_reports_the_numbers_of_the_ledger(self) -> None:
        sources = {"new-api": "billing", "old-new-api": "billing", "one-api": "billing", "openai": "billing",
                   "api2gpt": "credit_grants"}
        for software, source in sources.items():
            with self.subTest(software):
                server = self.simulator("--software", software, "--balance", "0.5")
                self.out = self.folder / software
                cost = self.spend(server)
                result = self.document("quota", server.url)
                self.assertEqual(list(result), QUOTA_KEYS)
                used = (cost * 500000).to_integral_value(rounding="ROUND_HALF_UP") / 500000
                self.assertGreater(used, 0)
                self.assertEqual(result["source"], source)
                self.assertEqual(Decimal(result["granted_usd"]), Decimal("0.5"))
                self.assertEqual(Decimal(result["used_usd"]), used)
                self.assertEqual(Decimal(result["remaining_usd"]), Decimal("0.5") - used)
                self.assertEqual((result["unlimited"], result["expires_at"], result["status"]), (False, None, "active"))

    def test_no_limit(self) -> None:
        for software in ("new-api", "one-api", "openai"):
            result = self.document("quota", self.simulator("--software", software).url)
            self.assertEqual((result["unlimited"], result["granted_usd"], result["remaining_usd"], result["used_usd"]),
                             (True, None, None, "0"))

    def test_an_exhausted_key_is_an_answer(self) -> None:
        keys = self.folder / "keys"
        keys.write_text(f"{KEY} 0 0\n")
        for software, source in (("new-api", "token_usage"), ("one-api", "billing"), ("openai", "billing")):
            with self.subTest(software):
                server = self.simulator("--software", software, "--keys", str(keys))
                result = self.document("quota", server.url)
                self.assertEqual((result["source"], result["status"], result["remaining_usd"]),
                                 (source, "exhausted", "0"))

    def test_a_wrong_key_is_a_failure(self) -> None:
        keys = self.folder / "keys"
        keys.write_text("sk-another\n")
        for software in ("new-api", "one-api", "openai", "api2gpt"):
            run = self.ask("quota", self.simulator("--software", software, "--keys", str(keys)).url, expect=3)
            self.assertIn("401", run.err)

    def test_the_rate_limited_route_is_used_at_most_once(self) -> None:
        keys = self.folder / "keys"
        keys.write_text(f"{KEY} 0 0\n")
        server = self.simulator("--keys", str(keys))
        for _ in range(20):
            self.document("quota", server.url)
        run = self.ask("quota", server.url, expect=3)
        self.assertIn(f"{TOKEN}: 429", run.err)

    def test_the_log(self) -> None:
        server = self.simulator("--balance", "0.5")
        cost = self.spend(server)
        result = self.document("quota", server.url, "--log")
        self.assertEqual(list(result), [*QUOTA_KEYS, "log"])
        self.assertEqual(len(result["log"]), 5)
        for row in result["log"]:
            self.assertEqual(list(row), ["time", "model", "prompt_tokens", "completion_tokens", "cost_usd", "seconds",
                                         "streamed", "served_model"])
            self.assertEqual((row["model"], row["streamed"], row["served_model"]), ("gpt-4o-mini", True, None))
        tokens = server.ledger["billed"]["tokens"]
        self.assertEqual(sum(row["prompt_tokens"] for row in result["log"]), tokens["prompt"])
        self.assertEqual(sum(row["completion_tokens"] for row in result["log"]), tokens["completion"])
        self.assertAlmostEqual(sum(Decimal(row["cost_usd"]) for row in result["log"]), cost, delta=Decimal("0.000005"))

    def test_a_relay_without_a_log_says_so(self) -> None:
        for software in ("one-api", "old-new-api", "openai"):
            run = self.ask("quota", self.simulator("--software", software).url, "--log", "--json")
            self.assertIsNone(json.loads(run.out)["log"])
            self.assertIn("shows no log of this key", run.err)

    def test_inside_the_program_without_key_and_network(self) -> None:
        run = self.sluice("quota", "--simulate", "--json", "--log", env={"OPENAI_API_KEY": None})
        result = json.loads(run.out)
        self.assertEqual((result["granted_usd"], result["used_usd"], result["status"]), ("100", "0", "active"))
        self.assertEqual(run.err, "")
        table = self.sluice("quota", "--simulate", env={"OPENAI_API_KEY": None}).out
        for part in ("100 USD", "active", "never", "billing"):
            self.assertIn(part, table)


class OddQuota(Asked):
    def test_credit_grants_with_what_remains(self) -> None:
        relay = self.odd_relay({GRANTS: (200, {"object": "credit_summary", "total_granted": 18, "total_used": "2.5",
                                               "total_remaining": 15.499999999999998})})
        result = self.document("quota", relay.url)
        self.assertEqual((result["source"], result["granted_usd"], result["used_usd"], result["remaining_usd"]),
                         ("credit_grants", "18", "2.5", "15.5"))
        self.assert_key_in_header_alone(relay)

    def test_an_exhausted_key_is_refused_by_one_route_but_not_by_another(self) -> None:
        relay = self.odd_relay({"/v1" + SUBSCRIPTION: SPENT, TOKEN: (200, {"code": True, "data": {
            "total_granted": 500000, "total_used": 500001, "total_available": -1, "unlimited_quota": False,
            "expires_at": 0}})})
        result = self.document("quota", relay.url)
        self.assertEqual(result, {"source": "token_usage", "granted_usd": "1", "used_usd": "1.000002",
                                  "remaining_usd": "-0.000002", "unlimited": False, "expires_at": None,
                                  "status": "exhausted"})
        self.assertEqual(relay.paths.count(TOKEN), 1)
        self.assert_key_in_header_alone(relay)

    def test_an_expired_key(self) -> None:
        relay = self.odd_relay({"/v1" + SUBSCRIPTION: (200, {"hard_limit_usd": 3, "access_until": 1600000000}),
                                "/v1" + USAGE: (200, {"total_usage": 0.30000000000000004})})
        result = self.document("quota", relay.url)
        self.assertEqual((result["used_usd"], result["remaining_usd"], result["expires_at"], result["status"]),
                         ("0.003", "2.997", 1600000000, "expired"))
        self.assertIn("2020-09-13 12:26:40 UTC", self.ask("quota", relay.url).out)

    def test_billing_under_a_prefix_in_another_unit(self) -> None:
        relay = self.odd_relay({"/relay" + SUBSCRIPTION: (200, {"hard_limit_usd": 1000000}),
                                "/relay" + USAGE: (200, {"total_usage": 25000000}),
                                "/relay/api/status": (200, {"success": True, "data": {
                                    "quota_per_unit": 500000, "display_in_currency": False}})})
        result = self.document("quota", relay.url.replace("/v1", "/relay/v1"))
        self.assertEqual((result["granted_usd"], result["used_usd"], result["remaining_usd"]), ("2", "0.5", "1.5"))
        self.assertTrue(all(path.startswith("/relay/") for path in relay.paths), relay.paths)

    def test_a_log_that_names_another_model(self) -> None:
        other = json.dumps({"is_model_mapped": True, "upstream_model_name": "gpt-3.5-turbo"})
        relay = self.odd_relay({
            "/v1" + SUBSCRIPTION: (200, {"hard_limit_usd": 3}), "/v1" + USAGE: (200, {"total_usage": 1}),
            LOG: (200, {"success": True, "message": "", "data": [
                {"type": 1, "quota": 5}, {"type": 2, "created_at": 1700000000, "model_name": "gpt-4", "quota": 4000,
                                          "prompt_tokens": 7, "completion_tokens": 9, "use_time": 2,
                                          "is_stream": False, "other": other}]})})
        self.assertEqual(self.document("quota", relay.url, "--log")["log"], [
            {"time": 1700000000, "model": "gpt-4", "prompt_tokens": 7, "completion_tokens": 9, "cost_usd": "0.008",
             "seconds": 2.0, "streamed": False, "served_model": "gpt-3.5-turbo"}])
        table = self.ask("quota", relay.url, "--log").out
        self.assertIn("gpt-3.5-turbo", table)
        self.assert_key_in_header_alone(relay)

    def test_all_answers_are_shown_if_no_route_works(self) -> None:
        target = self.odd_relay({})
        relay = self.odd_relay({
            "/v1" + SUBSCRIPTION: (200, "<html><title>Welcome</title></html>"),
            SUBSCRIPTION: (302, "", {"Location": f"{target.url}/?key={KEY}"}),
            TOKEN: (200, {"success": False, "message": f"no such token {KEY}"}),
            "/v1" + GRANTS: (200, {"error": {"message": "\x1b[31mno session"}})})
        run = self.sluice("quota", "--base-url", relay.url, "--json", expect=3)
        self.assert_one_sentence(run, f"/v1{SUBSCRIPTION}: 200, a web page (Welcome)",
                                 f"{SUBSCRIPTION}: 302, a redirect to", f"{TOKEN}: 200 (no such token [key])",
                                 f"/v1{GRANTS}: 200 (\\x1b[31mno session)", f"{GRANTS}: 404")
        self.assertNotIn(KEY, run.err)
        self.assertEqual(target.targets, [], "a redirect is not followed")
        self.assert_key_in_header_alone(relay)

    def test_a_body_without_end(self) -> None:
        relay = self.odd_relay({"/v1" + SUBSCRIPTION: (200, "[" * 3000)})
        run = self.ask("quota", relay.url, "--max-response-bytes", 2000, expect=3)
        self.assertIn("more than 2000 bytes", run.err)

    def test_a_relay_that_is_not_there(self) -> None:
        dead = self.listener(lambda connection: None)
        dead.stop()
        run = self.sluice("quota", "--base-url", f"http://127.0.0.1:{dead.port}", expect=3)
        self.assert_one_sentence(run, "cannot be reached", "refused")

    def test_a_relay_that_stays_silent_and_an_interrupt(self) -> None:
        silent = self.listener(lambda connection: connection.recv(65536) and connection.recv(1))
        url = f"http://127.0.0.1:{silent.port}"
        self.assert_one_sentence(self.sluice("quota", "--base-url", url, "--timeout", "200ms", expect=3),
                                 "--timeout expired")
        run = self.start("models", "--base-url", url)
        wait_until(lambda: silent.accepted == 2, "the question")
        run.signal(signal.SIGINT)
        self.assertEqual((run.wait().code, run.out), (130, ""))

    def test_a_certificate_that_does_not_verify(self) -> None:
        relay = self.relay(tls=self.certificate("relay", "IP:127.0.0.1"))
        self.assertIn("cannot be reached", self.sluice("quota", "--base-url", relay.url, expect=2).err)

    def test_what_cannot_start(self) -> None:
        self.assert_one_sentence(self.sluice("quota", expect=2, env={"OPENAI_API_KEY": None}), "OPENAI_API_KEY")
        self.assert_one_sentence(self.sluice("quota", "--rpm", 3, expect=2), "--rpm")
        self.assert_one_sentence(self.sluice("quota", "--logs", expect=2), "did you mean '--log'")
        self.assert_one_sentence(self.sluice("quota", "--relay", "blue", expect=2), "--relay blue")

    def test_a_full_disk(self) -> None:
        full = self.start("quota", "--simulate", wrap=["sh", "-c", '"$@" > /dev/full', "sh"])
        self.assertEqual(full.wait().code, 4)
        self.assertIn("standard output", full.err)


class Models(Asked):
    def test_the_list_with_the_programs_prices(self) -> None:
        prices = self.folder / "prices.json"
        prices.write_text(json.dumps({"house": {"input": "1", "cached_input": None, "output": "2.5"}}))
        relay = self.odd_relay({"/v1/models": (200, {"success": True, "data": [
            {"id": "gpt-4o", "object": "model", "owned_by": "openai"}, {"id": "house"}, {"id": "no-such-model"}]})})
        result = self.document("models", relay.url, "--prices", prices, "--price-multiplier", "0.8")
        self.assertEqual(list(result), ["models"])
        self.assertEqual([list(model) for model in result["models"]], [MODEL_KEYS] * 3)
        self.assertEqual([list(model.values()) for model in result["models"]], [
            ["gpt-4o", "openai", "2", "1", "8"], ["house", None, "0.8", "0.8", "2"],
            ["no-such-model", None, None, None, None]])
        table = self.ask("models", relay.url).out
        self.assertIn("3 model(s)", table)
        self.assertIn("2 without a price", table)
        self.assert_key_in_header_alone(relay)

    def test_each_software_lists_the_same(self) -> None:
        lists = [self.document("models", self.simulator("--software", software).url)["models"]
                 for software in ("new-api", "old-new-api", "one-api", "openai", "api2gpt")]
        self.assertGreater(len(lists[0]), 100)
        for other in lists[1:]:
            self.assertEqual(other, lists[0])
        inside = json.loads(self.sluice("models", "--simulate", "--json", env={"OPENAI_API_KEY": None}).out)
        self.assertEqual(inside["models"], lists[0])

    def test_a_bare_array(self) -> None:
        relay = self.odd_relay({"/v1/models": (200, ["a", "b"])})
        self.assertEqual([model["id"] for model in self.document("models", relay.url)["models"]], ["a", "b"])

    def test_no_list(self) -> None:
        for answer, part in (((200, {"error": {"message": "not for you"}}), "200 (not for you)"),
                             ((200, "<html><title>Welcome</title></html>"), "a web page (Welcome)"),
                             ((401, {"error": {"message": f"bad key {KEY}"}}), "401 (bad key [key])"),
                             ((301, "", {"Location": "/login"}), "a redirect to /login")):
            relay = self.odd_relay({"/v1/models": answer})
            run = self.sluice("models", "--base-url", relay.url, "--json", expect=3)
            self.assert_one_sentence(run, part)

    def test_names_with_terminal_control_sequences(self) -> None:
        relay = self.odd_relay({"/v1/models": (200, [{"id": "\x1b[2Jname", "owned_by": f"of {KEY}"}])})
        self.assertNotIn("\x1b", self.ask("models", relay.url).out)
        model = self.document("models", relay.url)["models"][0]
        self.assertEqual((model["id"], model["owned_by"]), ("\x1b[2Jname", "of [key]"))


class PoolOfRelays(Asked):
    def members(self, **relays: OddRelay) -> None:
        text = "rpm = 100\noverride-model = true\n"  # these commands ignore options that only a run has
        for name, relay in relays.items():
            key = self.folder / f"{name}.key"
            key.write_text(f"sk-{name}-0123456789abcdef\n")
            text += f'[[relay]]\nname = "{name}"\nbase_url = "{relay.url}"\napi_key_file = "{key}"\n'
            text += "price_multiplier = 2\n" if name == "green" else ""
        (self.folder / "sluice.toml").write_text(text)

    def with_billing(self, limit: float) -> OddRelay:
        return self.odd_relay({"/v1" + SUBSCRIPTION: (200, {"hard_limit_usd": limit}),
                               "/v1" + USAGE: (200, {"total_usage": 100}), "/v1/models": (200, ["gpt-4o"])})

    def test_each_member_is_shown_by_its_name(self) -> None:
        blue, green = self.with_billing(5), self.with_billing(7)
        self.members(blue=blue, green=green)
        result = json.loads(self.sluice("quota", "--json").out)["relays"]
        self.assertEqual({name: one["remaining_usd"] for name, one in result.items()}, {"blue": "4", "green": "6"})
        for name, relay in (("blue", blue), ("green", green)):
            self.assertEqual({head["Authorization"] for head in relay.heads}, {f"Bearer sk-{name}-0123456789abcdef"})
        result = json.loads(self.sluice("models", "--json").out)["relays"]
        self.assertEqual({name: one["models"][0]["input_usd_per_million"] for name, one in result.items()},
                         {"blue": "2.5", "green": "5"})

    def test_one_member_by_its_name(self) -> None:
        blue, green = self.with_billing(5), self.with_billing(7)
        self.members(blue=blue, green=green)
        self.assertEqual(json.loads(self.sluice("quota", "--json", "--relay", "green").out)["remaining_usd"], "6")
        self.assertEqual(blue.targets, [])
        self.assertEqual({head["Authorization"] for head in green.heads}, {"Bearer sk-green-0123456789abcdef"})
        self.assert_one_sentence(self.sluice("quota", "--relay", "gren", expect=2), "did you mean 'green'")

    def test_a_member_without_a_balance(self) -> None:
        self.members(blue=self.with_billing(5), green=self.odd_relay({}))
        run = self.sluice("quota", "--json", expect=1)
        result = json.loads(run.out)["relays"]
        self.assertEqual(result["blue"]["remaining_usd"], "4")
        self.assertIn(f"{TOKEN}: 404", result["green"]["error"])
        self.assertIn("green (http://127.0.0.1", run.err)
        self.members(blue=self.odd_relay({}), green=self.odd_relay({}))
        run = self.sluice("quota", "--json", expect=3)
        self.assertEqual(run.out, "")
        first, *refusals = run.err.splitlines()
        self.assertIn("config file", first)  # the line that names the hosts that get the keys
        self.assertEqual(len(refusals), 2)


class Help(Asked):
    def test_help_fits_and_has_examples(self) -> None:
        for command in ("quota", "models"):
            text = self.sluice(command, "--help").out
            self.assertIn("Examples:\n", text)
            self.assertLessEqual(max(map(len, text.splitlines())), 80)
            self.assertIn(command, self.sluice("--help").out)
