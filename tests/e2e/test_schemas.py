"""Checks every machine-readable document against its schema in docs/, and checks that each schema refuses documents
with one error."""

from __future__ import annotations

import contextlib
import json
import re
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema

import hostile_relay
import hostile_traps
import test_hostile
import test_quota
from support import KEY, ROOT, Case, Results, batch, chat, chats, jsonl, wait_until

ENDING = ".schema.json"
FILES = {path.name.removesuffix(ENDING): path for path in sorted((ROOT / "docs").glob(f"*{ENDING}"))}
SCHEMAS = {name: json.loads(path.read_text("utf-8")) for name, path in FILES.items()}
VALIDATORS = {name: jsonschema.Draft202012Validator(schema) for name, schema in SCHEMAS.items()}

UNITS = {"_ms": "millisecond", "wall_s": "second", "duration_s": "second", "step_s": "second", "seconds": "second",
         "_usd": "US dollars", "_per_million": "US dollars", "started_at": "seconds since the Unix epoch",
         "expires_at": "seconds since the Unix epoch", "minutes_at_limit": "minutes"}
# Optional members of each schema: a name or a path.
OPTIONAL = {"output-line": {"relay", "service_tier", "cache_write_tokens", "cache_write_1h_tokens", "reported_cost_usd",
                            "cache_saved_usd", "simulated"},
            "errors-line": {"relay", "service_tier", "simulated"},
            "totals": {"cache_write", "reported_cost_usd", "kept_usd", "relays", "simulated", "store_job"},
            "report": {"cache_write", "reported_cost_usd", "kept_usd", "relays", "simulated", "store_job"},
            "check": {"likely"}, "quota": {"log"}, "bench": {"cache_write", "name", "comparison"},
            "ledger": {"cache_write", "$.requests"}}
# Objects whose member names come from the user or the relay.
MAPPINGS = {"models", "relays", "errors", "finish_reasons", "faults", "outcomes", "skipped", "jobs"}
# Not checked: the content comes from a relay.
FOREIGN = {"body"}
NO_DECIMALS = ("1e-05", "1E2", "0.50", "1.0", "01", ".5", "5.", "-0", "+1", "0.000", "1,5", "", " 1", "NaN", 0.5, 1)


def faults(name: str, document: Any) -> str:
    """The errors of the document; empty if it is valid."""
    fault = jsonschema.exceptions.best_match(VALIDATORS[name].iter_errors(document))
    return f"{name}: {fault.json_path}: {fault.message[:600]}" if fault else ""


def nodes(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All schemas inside a schema."""
    if isinstance(schema, dict):
        yield path, schema
        for key, value in schema.items():
            if key in ("properties", "patternProperties", "$defs"):
                for name, one in value.items():
                    yield from nodes(one, f"{path}/{key}/{name}")
            elif key in ("items", "additionalProperties"):
                yield from nodes(value, f"{path}/{key}")
            elif key in ("oneOf", "anyOf", "prefixItems"):
                for i, one in enumerate(value):
                    yield from nodes(one, f"{path}/{key}/{i}")


@contextlib.contextmanager
def changed(place: dict[str, Any], key: str, value: Any = ...) -> Iterator[None]:
    """Changes or removes one member of a document while the block runs."""
    before = dict(place)
    if value is ...:
        del place[key]
    else:
        place[key] = value
    try:
        yield
    finally:
        place.clear()
        place.update(before)


def objects(document: Any, path: str = "$", named: bool = False) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """All objects that the program defines, and whether their members are names. Only the first element of a list."""
    if isinstance(document, dict):
        yield path, document, named
        for key, value in list(document.items()):
            if key not in FOREIGN:
                yield from objects(value, f"{path}.{key}", not named and key in MAPPINGS and isinstance(value, dict))
    elif isinstance(document, list) and document:
        yield from objects(document[0], f"{path}[0]")


class Held(Case):
    def held(self, name: str, document: Any) -> Any:
        """Returns the document after a check with its schema."""
        self.assertEqual(faults(name, document), "")
        return document

    def refuses(self, name: str, document: Any, what: str) -> None:
        self.assertFalse(VALIDATORS[name].is_valid(document), f"{name} accepts {what}")

    def refuses_all_else(self, name: str, document: Any) -> None:
        """The schema must refuse the document with a member missing, added or of another type, or with an amount in
        another form."""
        self.held(name, document)
        for path, place, named in objects(document):
            with changed(place, "one_more", 0):
                self.refuses(name, document, f"{path}.one_more")
            for key, value in list(place.items()):
                if not named and not {key, f"{path}.{key}"} & OPTIONAL.get(name, set()):
                    with changed(place, key):
                        self.refuses(name, document, f"no {path}.{key}")
                if key in FOREIGN:
                    continue
                with changed(place, key, {"one_more": {"one_more": 0}}):
                    self.refuses(name, document, f"an object as {path}.{key}")
                if key in ("request_id", "custom_id", "id", "job", "status", "requests", "attempts", "verdict"):
                    with changed(place, key, None):
                        self.refuses(name, document, f"null as {path}.{key}")
                if isinstance(value, str) and (re.search("_usd(_|$)", key) or path.endswith(".cost_usd")):
                    for other in NO_DECIMALS:
                        with changed(place, key, other):
                            self.refuses(name, document, f"{other!r} as {path}.{key}")

    def results_held(self, job: Path, folder: Path | None = None) -> Results:
        results = self.results(job, folder)
        for line in results.output:
            self.held("output-line", line)
        for line in results.errors:
            self.held("errors-line", line)
        self.held("totals", results.totals)
        return results

    def printed(self, name: str, *words: Any, **more: Any) -> Any:
        return self.held(name, json.loads(self.sluice(*words, "--json", **more).out))

    def pool(self, **servers: Any) -> None:
        """Writes ./sluice.toml with one [[relay]] table per server."""
        (self.folder / "sluice.toml").write_text("".join(
            f'[[relay]]\nname = "{name}"\nbase_url = "{server.url}"\napi_key_env = "OPENAI_API_KEY"\n'
            for name, server in servers.items()))

    def dead(self) -> str:
        listener = self.listener(lambda connection: None)
        listener.stop()
        return f"http://127.0.0.1:{listener.port}"


class Schemas(unittest.TestCase):
    def test_each_is_a_schema_of_its_draft(self) -> None:
        for name, schema in SCHEMAS.items():
            with self.subTest(name):
                self.assertEqual(schema["$schema"], "https://json-schema.org/draft/2020-12/schema")
                jsonschema.Draft202012Validator.check_schema(schema)
                self.assertTrue(schema["title"])

    def test_each_member_has_a_description_of_one_sentence(self) -> None:
        for name, schema in SCHEMAS.items():
            for path, node in nodes(schema):
                if not re.search(r"/(properties|patternProperties|\$defs)/[^/]+$", path):
                    continue
                # these only narrow members that are described above
                if name == "errors-line" and path.startswith("/oneOf/"):
                    continue
                with self.subTest(f"{name}{path}"):
                    self.assertRegex(node.get("description", ""), r"^[A-Z][^.]*(\.[^. ][^.]*)*\.$")
                    for ending, unit in UNITS.items():
                        if path.endswith(ending) and "/properties/" in path:
                            self.assertIn(unit, node["description"])

    def test_each_object_is_closed(self) -> None:
        for name, schema in SCHEMAS.items():
            for path, node in nodes(schema):
                if "properties" not in node or name == "errors-line" and path.startswith("/oneOf/"):
                    continue
                with self.subTest(f"{name}{path}"):
                    self.assertIs(node.get("additionalProperties"), False)
                    self.assertLessEqual(set(node["required"]), set(node["properties"]))

    def test_each_is_complete_and_has_no_unused_definitions(self) -> None:
        shared: dict[str, Any] = {}
        for name, schema in SCHEMAS.items():
            with self.subTest(name):
                references = {node["$ref"] for _, node in nodes(schema) if "$ref" in node}
                self.assertEqual(references, {f"#/$defs/{one}" for one in schema.get("$defs", {})})
                for one, definition in schema.get("$defs", {}).items():
                    self.assertEqual(shared.setdefault(one, definition), definition,
                                     f"{one} differs from that of another schema")

    def test_the_page_names_each(self) -> None:
        page = (ROOT / "docs/schemas.md").read_text("utf-8")
        self.assertEqual(sorted(re.findall(r"^\| \[([a-z-]+)\.schema\.json\]\(\1\.schema\.json\) \| .+ \|$", page,
                                           re.MULTILINE)), sorted(SCHEMAS))


class Runs(Held):
    """The three files of a run."""

    def test_of_copies(self) -> None:
        relay = hostile_relay.HostileRelay({"good": [hostile_traps.unstreamed("good")], "bad": [hostile_relay.Answer(
            hostile_traps.document(hostile_traps.error("no such thing"), 400))]})
        self.addCleanup(relay.stop)
        job = self.job([batch(f"{name}{i}", chat(f"trap:{name}")) for name in ("good", "bad") for i in (1, 2)])
        self.sluice("run", job, "--base-url", relay.url, "--rpm", 0, "--dedup", expect=1)
        results = self.results_held(job)
        for name, lines in (("output-line", results.output), ("errors-line", results.errors)):
            self.assertEqual(len(lines), 2)
            copy = next(line for line in lines if "copied_from" in line["sluice"])
            self.refuses_all_else(name, copy)

    def test_of_each_endpoint_streamed_and_not(self) -> None:
        simulator, relay = self.simulator(), self.relay()
        lines = [batch("chat", chat("hi", n=2)), batch("tools", chat("hi", tools=[{"type": "function", "function": {
                     "name": "look_up", "parameters": {"type": "object", "properties": {}}}}])),
                 batch("text", {"model": "gpt-3.5-turbo-instruct", "prompt": "hi"}, "/v1/completions"),
                 batch("vector", {"model": "text-embedding-3-small", "input": ["a", "b"]}, "/v1/embeddings"),
                 batch("response", {"model": "gpt-4o", "input": "hi"}, "/v1/responses")]
        unpriced = batch("unpriced", chat("hi", model="nobody-knows"))
        for server, name in ((simulator, "simulator"), (relay, "relay")):
            for flags in ((), ("--no-stream",)):
                with self.subTest(name, flags=flags):
                    out = self.folder / f"{name}{len(flags)}"
                    # the simulator does not have this model
                    job = self.job(lines if name == "simulator" else [*lines, unpriced])
                    self.run_job(job, server, "--output-dir", out, *flags)
                    results = self.results_held(job, out)
                    printed = results.by_id()
                    self.assertEqual(results.errors, [])
                    self.assertEqual({line["sluice"]["streamed"] for line in results.output},
                                     {False} if flags else {True, False})
                    self.assertEqual(all(line["response"]["request_id"] for line in results.output),
                                     name == "simulator", "relay.py sends no ids")
        self.assertEqual((results.totals["unpriced_requests"], printed["unpriced"]["sluice"]["cost_usd"]), (1, None))
        self.refuses_all_else("output-line", printed["chat"])
        self.refuses_all_else("totals", results.totals)
        with changed(printed["chat"]["sluice"], "usage_source", "guessed"):
            self.refuses("output-line", printed["chat"], "another source")
        self.refuses("errors-line", printed["chat"], "a success")
        printed, usage = printed["chat"], printed["chat"]["sluice"]["usage"]
        for place, key, good, bad in (  # values of some real or future relays
                (printed["sluice"], "service_tier", ("flex", None), 1), (usage, "cache_write_tokens", (0, 7), -1),
                (usage, "cache_write_1h_tokens", (0, 7), None), (usage, "audio_input_tokens", (0, 7), "7")):
            for value in good:
                with changed(place, key, value):
                    self.held("output-line", printed)
            with changed(place, key, bad):
                self.refuses("output-line", printed, f"{bad!r} as {key}")

    def test_of_failures_by_status_by_connection_and_of_bad_lines(self) -> None:
        relay = self.relay(script=[
            {"match": "number 1 ", "times": None, "status": 400, "body": {"error": {"message": "no"}}},
            {"match": "number 2 ", "times": None, "status": 503, "body": "<html>busy</html>"},
            {"match": "number 3 ", "times": None, "close": "rst"},
            {"match": "number 4 ", "times": None, "status": 200, "body": {"error": {"message": "inside"}}},
            {"match": "number 5 ", "times": None, "chunks": ["data: {}\n\n"], "close": "cut"},
            {"match": "number 6 ", "times": None, "hold": True},
            {"match": "number 7 ", "times": None, "status": 422, "body": "[1,2]",
             "headers": {"X-Request-Id": "req_7"}},
            {"match": "number 8 ", "times": None, "status": 400, "body": ""},
            {"match": "number 9 ", "times": None, "status": 200, "body": "x" * 5000}])
        job = self.job(jsonl(chats(10)) + b'no JSON\n{"custom_id":"c9","model":"m","messages":[]}\n{"model":"m","prompt":3}\n')
        flags = ("--max-attempts", 2, "--idle-timeout", "1500ms", "--first-byte-timeout", "1500ms",
                 "--max-response-bytes", 4000)
        for _ in range(2):  # the second run retries temporary failures
            self.run_job(job, relay, *flags, expect=1)
            results = self.results_held(job)
            printed = {line["sluice"]["line"]: line for line in results.errors}
            self.assertEqual(sorted(printed), [*range(1, 10), 11, 12, 13])
            self.assertEqual(set(results.totals["errors"]), {
                "400", "422", "503", "connection_failed", "invalid_response", "request_timeout", "stream_interrupted",
                "response_too_large", "invalid_json_line", "invalid_request_line", "duplicate_custom_id"})
            self.assertEqual([printed[line]["response"]["request_id"] for line in (7, 8)], ["req_7", ""])
        for line in (1, 3, 11):
            with self.subTest(line):
                self.refuses_all_else("errors-line", printed[line])
                self.refuses("output-line", printed[line], "a failure")
        # Each of the three kinds has its own members.
        with changed(printed[1], "error", printed[3]["error"]):
            self.refuses("errors-line", printed[1], "a status beside an error")
        with changed(printed[3], "error", None):
            self.refuses("errors-line", printed[3], "neither a status nor an error")
        with changed(printed[3], "error", printed[11]["error"]):
            self.refuses("errors-line", printed[3], "an attempt of a bad line")
        with changed(printed[11]["sluice"], "retryable", True):
            self.refuses("errors-line", printed[11], "a bad line that is tried again")

    def test_of_estimated_and_missing_usage_and_costs_from_the_relay(self) -> None:
        simulator = self.simulator("--faults", "no-usage=1")
        job = self.job([batch("known", chat("hi")), batch("unknown", chat("hi", model="deepseek-chat"))])
        self.run_job(job, simulator)
        results = self.results_held(job)
        self.assertEqual({line["sluice"]["usage_source"] for line in results.output}, {"estimated", "none"})
        reply = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "so"}, "finish_reason": "stop"}],
                 "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, "cost": 1e-7}}
        job = self.job(chats(2), "costly.jsonl")
        self.run_job(job, self.relay(script=[{"match": None, "times": None, "status": 200, "body": reply}]))
        results = self.results_held(job)
        self.assertEqual(results.totals["reported_cost_usd"], "0.0000002")
        self.refuses_all_else("output-line", results.output[0])
        self.refuses_all_else("totals", results.totals)

    def test_of_a_pool(self) -> None:
        self.pool(blue=self.simulator(), green=self.relay())
        job = self.job(chats(20))
        self.sluice("run", job, "--rpm", 0, "--concurrency", 4)
        results = self.results_held(job)
        self.assertEqual(set(results.totals["relays"]), {"blue", "green"})
        self.refuses_all_else("output-line", results.output[0])
        self.refuses_all_else("totals", results.totals)

    def test_of_a_budget_that_is_spent(self) -> None:
        simulator = self.simulator("--faults", "no-usage=0.3,cut=0.2", "--tokens", "20", "--seed", "5")
        job = self.job([batch(f"c{i}", chat(f"question {i}", max_tokens=60, model="gpt-4")) for i in range(80)])
        self.run_job(job, simulator, "--budget", "0.05", "--concurrency", 4, expect=3)
        totals = self.results_held(job).totals
        self.assertEqual(totals["status"], "stopped")
        self.assertGreater(totals["pending"], 0)
        self.assertIn("kept_usd", totals)
        self.refuses_all_else("totals", totals)

    def test_of_a_simulated_run(self) -> None:
        job = self.job(jsonl(chats(40)) + b"no JSON\n")
        self.sluice("run", job, "--simulate=faulty", "--seed", 3, "--rpm", 0, "--max-attempts", 1, "--idle-timeout",
                    "1s", expect=1, env={"OPENAI_API_KEY": None})
        results = self.results_held(job)
        self.assertGreater(len(results.errors), 1)
        self.assertEqual({line["sluice"]["simulated"] for line in results.output + results.errors}, {True})
        self.assertIs(results.totals["simulated"], True)
        line = results.output[0]
        with changed(line["sluice"], "simulated", False):
            self.refuses("output-line", line, "a mark that says nothing")

    def test_while_running_interrupted_and_resumed(self) -> None:
        relay = self.relay(script=[{"match": "number 3 ", "times": 1, "hold": True}])
        job = self.job(chats(6))
        run = self.start("run", job, "--base-url", relay.url, "--rpm", 0, "--concurrency", 1,
                         "--grace", "100ms")
        wait_until(lambda: self.results(job).written() == 2, "two results")
        self.held("totals", self.results(job).totals)
        self.assertEqual(self.printed("report", "report", job)["status"], "running")
        run.signal(2)
        self.assertEqual(run.wait().code, 130, run.err)
        totals = self.results_held(job).totals
        self.assertEqual((totals["status"], totals["succeeded"], totals["pending"]), ("interrupted", 2, 4))
        self.refuses_all_else("totals", totals)
        self.run_job(job, relay)
        totals = self.results_held(job).totals
        self.assertEqual((totals["status"], totals["succeeded"], totals["pending"]), ("completed", 6, 0))
        with changed(totals, "status", "done"):
            self.refuses("totals", totals, "another status")

    def test_of_nothing_but_pending_requests(self) -> None:
        relay = self.relay(script=[{"match": None, "times": None, "status": 401,
                                    "body": {"error": {"message": "Incorrect API key provided"}}}])
        job = self.job(chats(8))
        self.run_job(job, relay, expect=3)
        totals = self.results_held(job).totals
        self.assertEqual((totals["status"], totals["pending"], totals["latency_ms"]["p50"]), ("stopped", 8, None))
        self.refuses_all_else("totals", totals)

    def test_of_standard_input(self) -> None:
        self.sluice("run", "-", "-o", "all.jsonl", "--base-url", self.relay().url, "--rpm", 0, stdin=jsonl(chats(3)))
        for line in (self.folder / "all.jsonl").read_text("utf-8").splitlines():
            self.held("output-line", json.loads(line))
        self.held("totals", json.loads((self.folder / "all.totals.json").read_text("utf-8")))

    def test_of_a_relay_with_misleading_replies(self) -> None:
        job = self.job(chats(150))
        every = ("ragged", "filtered", "json-for-stream", "crlf", "cr", "keep-alives", "no-done", "usage-on-last",
                 "usage-on-every", "no-usage", "error-in-200", "html-200", "502", "reset-late", "cut", "early-head")
        simulator = self.simulator("--faults", ",".join(f"{name}=0.06" for name in every))
        self.run_job(job, simulator, "--max-attempts", 3, expect=None)
        results = self.results_held(job)
        self.assertGreater(len(results.output), 75)
        self.held("ledger", simulator.ledger)


class Hostile(test_hostile.HostileCase, Held):
    def test_replies_of_a_hostile_relay_give_lines_of_the_same_form(self) -> None:
        traps = [hostile_traps.opening(), *hostile_traps.many()]
        relay = self.hostile({trap.name: trap.answers for trap in traps}, first="opening")
        jobs = self.write(traps, self.folder / "jobs")
        self.sluice("run", *jobs, "--base-url", relay.url, "--rpm", 0, "--output-dir", self.out, "--concurrency", 96,
                    "--idle-timeout", "1s", "--first-byte-timeout", "1s", "--max-attempts", 2, expect=1)
        lines = 0
        for job in jobs:
            with self.subTest(job.stem):
                lines += len(self.results_held(job, self.out).by_id())
        self.assertEqual(lines, len(traps))


class Reports(Held):
    def test_of_jobs(self) -> None:
        relay = self.simulator()
        first, second = self.job(chats(3), "first.jsonl"), self.job(chats(2), "second.jsonl")
        self.sluice("run", first, second, "--base-url", relay.url, "--rpm", 0)
        one = self.printed("report", "report", first)
        self.assertEqual(one, self.held("totals", self.results(first).totals))
        both = self.printed("report", "report", first, second)
        self.assertEqual(set(both["jobs"]), {str(first), str(second)})
        self.refuses_all_else("report", both)
        self.refuses_all_else("report", one)

    def test_of_an_audit(self) -> None:
        lines = [batch(f"{model} {i}", chat(f"人工智能 and question {i}", model=model))
                 for i in range(5) for model in ("gpt-4o-mini", "gpt-4", "deepseek-chat")]
        for flags in (("--cheat", "inflated", "--seed", "3"), ()):
            job = self.job(lines)
            self.run_job(job, self.simulator(*flags), "--fresh")
            printed = self.printed("audit", "report", job, "--audit")
            self.assertEqual(bool(printed["jobs"][0]["worst"]), bool(flags))
            self.assertTrue(printed["jobs"][0]["skipped"])
            self.refuses_all_else("audit", printed)
        printed = self.printed("audit", "report", job, "--audit", "--worst", 0)
        self.assertEqual(printed["jobs"][0]["worst"], [])

    def test_of_an_audit_of_a_relay_without_a_cache(self) -> None:
        opening = "apple river stone cloud " * 500
        job = self.job([batch(f"{i}", chat(f"{opening} {i}")) for i in range(3)])
        self.run_job(job, self.relay(), "--concurrency", 1)
        printed = self.printed("audit", "report", job, "--audit")
        self.assertTrue(printed["jobs"][0]["openings"])
        self.refuses_all_else("audit", printed)

    def test_of_other_prices(self) -> None:
        simulator = self.simulator()
        first, second = self.job(chats(3), "first.jsonl"), self.job(chats(2), "second.jsonl")
        for job in (first, second):
            self.run_job(job, simulator)
        self.refuses_all_else("reprice", self.printed("reprice", "report", first, second, "--reprice",
                                                      "--price-multiplier", "0.5"))
        prices = self.folder / "prices.json"
        prices.write_text(json.dumps({"gpt-4o-mini": {"input": None, "output": None}}))
        printed = self.printed("reprice", "report", first, "--reprice", "--prices", prices)
        self.assertTrue(printed["jobs"][0]["unpriced"][0]["lines"])
        self.refuses_all_else("reprice", printed)
        printed = self.printed("reprice", "report", first, "--reprice", "--prices", prices, "--worst", 0)
        self.assertEqual(printed["jobs"][0]["unpriced"][0]["lines"], [])

    def test_of_a_check(self) -> None:
        job = self.job(jsonl([batch("a", chat("hi", model="gpt-4", max_tokens=100)), chat("hi")])
                       + b"no JSON\n" + jsonl([batch("a", chat("hi", model="gpt-4"))]))
        unbounded = self.job([chat("hi", model="some-model")], "unbounded.jsonl")
        printed = self.printed("check", "check", job, expect=1)
        self.assertIsNotNone(printed["jobs"][0]["cost_usd"]["at_most"])
        self.refuses_all_else("check", printed)
        printed = self.printed("check", "check", unbounded, job, "--rpm", 0, expect=1)
        self.assertEqual((printed["jobs"][0]["cost_usd"]["prompt"], printed["jobs"][0]["max_completion_tokens"],
                          printed["jobs"][0]["minutes_at_limit"]), (None, None, None))
        run = self.sluice("check", unbounded, job, "--lines", expect=1)
        lines = [json.loads(line) for line in run.out.splitlines()]
        self.assertEqual([line["encoding"] for line in lines], [None, "cl100k_base", "o200k_base"])
        for line in lines:
            self.held("check-line", line)
            self.refuses_all_else("check-line", line)

    def test_of_the_ledger(self) -> None:
        keys = self.folder / "keys"
        keys.write_text(f"{KEY} 0 5\nsk-another 20\n")
        simulator = self.simulator("--keys", str(keys), "--faults", "cut=0.3,500=0.1")
        self.refuses_all_else("ledger", simulator.ledger)
        self.run_job(self.job(chats(30)), simulator, "--max-attempts", 20)
        printed = simulator.get("/simulator/ledger?requests=1")
        self.assertTrue(printed["billed_undelivered"]["attempts"] and printed["faults"])
        self.assertEqual(len(printed["requests"]), 30)
        self.refuses_all_else("ledger", printed)
        self.assertNotIn("requests", self.held("ledger", simulator.ledger))


class Accounts(test_quota.Asked, Held):
    def test_of_each_software_of_the_simulator(self) -> None:
        sources = set()
        for software in ("new-api", "old-new-api", "one-api", "openai", "api2gpt"):
            for flags in ((), ("--balance", "0.5")):
                with self.subTest(software, flags=flags):
                    simulator = self.simulator("--software", software, *flags)
                    self.run_job(self.job(chats(2, max_tokens=20)), simulator, "--fresh")
                    printed = self.printed("quota", "quota", "--base-url", simulator.url, expect=None)
                    self.assertNotIn("log", printed)
                    printed = self.printed("quota", "quota", "--base-url", simulator.url, "--log")
                    self.assertEqual(bool(printed["log"]), software == "new-api")
                    sources.add(printed["source"])
                    if flags:
                        self.refuses_all_else("quota", printed)
        keys = self.folder / "keys"
        keys.write_text(f"{KEY} 0 0\n")
        for software in ("new-api", "one-api", "openai"):
            simulator = self.simulator("--software", software, "--keys", str(keys))
            printed = self.printed("quota", "quota", "--base-url", simulator.url)
            self.assertEqual(printed["status"], "exhausted")
            sources.add(printed["source"])
        self.assertEqual(sources, {"billing", "token_usage", "credit_grants"})

    def test_of_answers_in_odd_forms(self) -> None:
        v1 = "/v1" + test_quota.SUBSCRIPTION
        overdrawn = {"code": True, "data": {"total_granted": 500000, "total_used": 500001, "total_available": -1,
                                            "unlimited_quota": False, "expires_at": 0}}
        rows = [{"type": 2, "created_at": 1700000000, "model_name": "gpt-4", "quota": 4000, "prompt_tokens": 7,
                 "completion_tokens": 9, "elapsed_time": 2500, "is_stream": False,
                 "other": json.dumps({"is_model_mapped": True, "upstream_model_name": "gpt-3.5-turbo"})}, {"type": 2}]
        for answers, status in (
                ({v1: test_quota.SPENT, test_quota.TOKEN: (200, overdrawn)}, "exhausted"),
                ({v1: (200, {"hard_limit_usd": 3, "access_until": 1600000000})}, "expired"),
                ({v1: (200, {"hard_limit_usd": 3}), "/v1" + test_quota.USAGE: (200, {"total_usage": 1}),
                  test_quota.LOG: (200, {"success": True, "data": rows})}, "active")):
            with self.subTest(status):
                printed = self.printed("quota", "quota", "--base-url", self.odd_relay(answers).url, "--log")
                self.assertEqual(printed["status"], status)
                self.refuses_all_else("quota", printed)
        self.assertEqual([row["time"] for row in printed["log"]], [1700000000, None])
        for faulty in ("0.5000", "-0.0", "--1", "-.5"):
            with changed(printed, "remaining_usd", faulty):
                self.refuses("quota", printed, faulty)

    def test_of_the_simulator_inside(self) -> None:
        env: dict[str, str | None] = {"OPENAI_API_KEY": None}
        self.printed("quota", "quota", "--simulate", "--log", env=env)
        printed = self.printed("models", "models", "--simulate", env=env)
        self.assertGreater(len(printed["models"]), 100)
        self.refuses_all_else("models", {"models": printed["models"][:2]})

    def test_of_models_with_and_without_a_price_or_an_owner(self) -> None:
        relay = self.odd_relay({"/v1/models": (200, [{"id": "gpt-4o", "owned_by": "openai"}, {"id": "nobody-knows"}])})
        printed = self.printed("models", "models", "--base-url", relay.url, "--price-multiplier", "0.8")
        self.assertEqual([bool(model["owned_by"] and model["output_usd_per_million"]) for model in printed["models"]],
                         [True, False])
        self.refuses_all_else("models", printed)

    def test_of_a_pool_with_a_member_without_a_balance(self) -> None:
        blue, green = self.simulator("--balance", "1"), self.odd_relay({})
        self.pool(blue=blue, green=green)
        for command in ("quota", "models"):
            printed = self.printed(command, command, expect=1)
            self.assertEqual(list(printed["relays"]["green"]), ["error"])
            with changed(printed["relays"]["green"], "error", None):
                self.refuses(command, printed, "no reason")
            with changed(printed, "one_more", printed["relays"]["blue"]):
                self.refuses(command, printed, "a document beside the pool's")


class Measured(Held):
    def bench(self, *words: Any, **more: Any) -> dict[str, Any]:
        return self.printed("bench", "bench", "--model", "gpt-4o-mini", "--rpm", 0, "--seed", 3, *words, **more)

    def test_of_a_probe(self) -> None:
        for flags, verdict, code in (((), "consistent", 0), (("--cheat", "substituted"), "inconsistent", 1),
                                     (("--lacks", "logprobs,tools,json-schema"), "consistent", 0)):
            with self.subTest(verdict):
                simulator = self.simulator("--balance", "5", *flags, ttft="60ms", itl="2ms")
                printed = self.printed("probe", "probe", "--base-url", simulator.url, "--model", "gpt-4o-mini", "--rpm",
                                       0, "--seed", 3, expect=code)
                self.assertEqual(printed["verdict"], verdict)
        self.refuses_all_else("probe", printed)
        with changed(printed, "verdict", "honest"):
            self.refuses("probe", printed, "another verdict")

    def test_of_loads_closed_and_open_and_a_comparison(self) -> None:
        server = self.simulator(ttft="5ms", itl="1ms")
        flags = ("--base-url", server.url, "--requests", 8)
        old = self.bench(*flags, "--concurrency", "1,4", "--warmup", 2, "--max-tokens", 10)
        saved = self.folder / "old.json"
        saved.write_text(json.dumps(old))
        printed = self.bench(*flags, "--concurrency", "4,2", "--no-stream", "--compare", saved)
        compared = printed["comparison"]
        self.assertEqual([len(compared[part]) for part in ("loads", "only_before", "only_after")], [1, 1, 1])
        self.refuses_all_else("bench", printed)
        for kind in ("even", "poisson"):
            self.bench(*flags, "--rate", 1200, "--rate-kind", kind)
        self.assertEqual(self.printed("bench", "report", saved), old)

    def test_of_failures_jobs_and_a_model_without_a_price(self) -> None:
        relay = self.relay(script=[
            {"match": None, "times": 2, "status": 500, "body": {"error": {"message": "ouch"}}},
            {"match": None, "times": 1, "close": "rst"}])
        job = self.job([chat(f"question {i}", model="nobody-knows") for i in range(3)])
        printed = self.printed("bench", "bench", job, "--base-url", relay.url, "--rpm", 0, "--requests", 6,
                               "--concurrency", 1, expect=1)
        [load] = printed["loads"]
        self.assertEqual((load["failed"], printed["cost_usd"], printed["input"]["kind"]), (3, None, "jobs"))
        self.assertEqual({one["request_id"] for one in load["failures"]}, {""}, "relay.py sends no ids")
        self.refuses_all_else("bench", printed)

    def test_of_several_targets_of_which_one_is_down(self) -> None:
        printed = self.bench("--target", f"up={self.relay().url}", "--target", f"down={self.dead()}", "--requests", 4,
                             expect=3)
        self.assertTrue(printed["targets"][1]["stopped"])
        self.refuses_all_else("bench", printed)
        with changed(printed, "targets", printed["targets"][:1]):
            self.refuses("bench", printed, "a list of one target")

    def test_of_a_search_for_the_limit(self) -> None:
        printed = self.printed("bench", "bench", "--base-url", self.relay().url, "--model", "gpt-4o-mini",
                               "--find-limit", "--ceiling", 8)
        self.assertEqual((printed["limit"]["kind"], printed["limit"]["ceiling"]), ("none_found", 8))
        self.refuses_all_else("bench", printed)

    def test_of_a_budget_and_an_interrupt(self) -> None:
        server = self.simulator(ttft="20ms")
        printed = self.bench("--base-url", server.url, "--requests", 1000, "--budget", "0.001", expect=3)
        self.assertIn("budget", printed["stopped"])
        run = self.start("bench", "--base-url", server.url, "--model", "gpt-4o-mini", "--rpm", 0, "--requests", 100000,
                         "--json")
        before = server.ledger["attempts"]
        wait_until(lambda: server.ledger["attempts"] > before + 20, "some requests")
        run.signal(2)
        run.wait()
        self.assertEqual(self.held("bench", json.loads(run.out))["stopped"], "interrupted")


if __name__ == "__main__":
    unittest.main()
