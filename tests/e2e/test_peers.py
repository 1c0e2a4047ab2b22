"""Real servers between the program and the relay: nginx, haproxy, SOCKS5 and HTTP proxies."""

from __future__ import annotations

import base64
import functools
import json
import unittest
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

from peers import HOST, Dead, Haproxy, Microsocks, Nginx, Tinyproxy
from relay import tokens
from support import KEY, Case, Relay, Results, Run, Server, batch, chat, chats, files_under, text_of, wait_until

Environment = dict[str, str | None]


def chunk(**choice: Any) -> str:
    event = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "gpt-4o-mini",
             "choices": [{"index": 0, "delta": {}, "finish_reason": None, **choice}]}
    return f"data: {json.dumps(event)}\n\n"


class Between(Case):
    """Shared code: starts and stops the servers, and compares the counts of all sides."""

    def keep(self, peer: Any) -> Any:
        self.addCleanup(peer.stop)
        return peer

    def nginx(self, upstream: Server | Dead, **words: Any) -> Nginx:
        started: Nginx = self.keep(Nginx(self.folder, upstream.port, **words))
        return started

    def dead(self) -> Dead:
        bound: Dead = self.keep(Dead())
        return bound

    def send(self, job: Path, base_url: str, *flags: Any, **more: Any) -> Run:
        return self.sluice("run", job, "--base-url", base_url, "--rpm", 0, *flags, **more)

    def assert_served(self, job: Path, count: int, relay: Relay, seen: int | None = None) -> Results:
        """Each request has its own answer, the relay received each once (or `seen` in all), and the totals equal the
        relay's counts. Does not check the relay's `delivered`: after the end of a stream the client may close the
        connection before the end of the body."""
        results = self.results(job)
        self.assertEqual(relay.attempts, seen or count)
        questions = [f"question number {i} of the batch" for i in range(1, count + 1)]
        self.assertEqual({line["custom_id"]: text_of(line) for line in results.output},
                         {f"c{i}": f"echo: {question}" for i, question in enumerate(questions, 1)})
        self.assertEqual(results.errors, [])
        totals = results.totals
        self.assertEqual((totals["status"], totals["requests"], totals["succeeded"], totals["failed"]),
                         ("completed", count, count, 0))
        self.assertEqual((totals["tokens"]["prompt"], totals["tokens"]["completion"]),
                         (sum(map(tokens, questions)), sum(tokens(f"echo: {question}") for question in questions)))
        return results

    def assert_attempts(self, results: Results, attempts: int, maybe_billed: int = 0) -> None:
        totals = results.totals
        self.assertEqual((totals["attempts"], totals["retries"], totals["maybe_billed_attempts"]),
                         (attempts, attempts - totals["requests"], maybe_billed))

    def assert_nothing_sent(self, job: Path, count: int) -> None:
        """The run stopped, and all requests are still pending."""
        results = self.results(job)
        self.assertEqual((results.output, results.errors), ([], []))
        self.assertEqual((results.totals["attempts"], results.totals["pending"]), (0, count))


# ---------------------------------------------------------------- nginx before the relay


class Buffering(Between):
    FAULTS = "500=0.04,502=0.04,cut=0.06,reset=0.04,reset-late=0.04,error-in-200=0.04,html-200=0.02,ragged=0.2"

    def held_against_the_ledger(self, location: str) -> None:
        started = []
        for flags in ((), ("--no-stream",)):
            simulator = self.simulator("--faults", self.FAULTS, "--seed", "7", "--tokens", "60")
            nginx = self.nginx(simulator, location=location)
            job = self.job(chats(60), f"job{len(flags)}.jsonl")
            started.append((self.start("run", job, "--base-url", nginx.url, "--rpm", 0, *flags, "--max-attempts", 8,
                                       "--seed", 7), job, nginx, simulator))
        for run, job, nginx, simulator in started:
            with self.subTest(job.name):
                self.assertEqual(run.wait().code, 0, run.err)
                results = self.results(job)
                ledger = wait_until(lambda: self.settled(simulator.ledger, 60), "the ledger's last entry")
                totals, delivered = results.totals, ledger["delivered"]
                self.assertEqual(set(results.by_id()), {f"c{i}" for i in range(1, 61)})
                self.assertEqual((totals["succeeded"], totals["failed"], results.errors), (60, 0, []))
                self.assertGreater(len(ledger["faults"]), 4, "there must have been faults")
                self.assertEqual(totals["attempts"], ledger["attempts"])
                for kind in ("prompt", "cached", "completion", "reasoning", "total"):
                    self.assertEqual(totals["tokens"][kind], delivered["tokens"][kind], kind)
                self.assertEqual(Decimal(totals["cost_usd"]), Decimal(delivered["cost_usd"]))
                refused = sum(request["status"] >= 400 for request in nginx.requests_after(totals["attempts"]))
                self.assert_attempts(results, totals["attempts"], totals["attempts"] - refused - 60)

    @staticmethod
    def settled(ledger: dict[str, Any], count: int) -> dict[str, Any] | None:
        return ledger if ledger["delivered"]["requests"] == count else None

    def test_on(self) -> None:
        self.held_against_the_ledger(f"proxy_buffering on; {Nginx.LIKE_MANY}")

    def test_off(self) -> None:
        self.held_against_the_ledger(f"proxy_buffering off; {Nginx.LIKE_MANY}")

    def test_replies_that_end_with_their_connection(self) -> None:
        """Some front ends send streams without length and chunks. Then only the finish reason shows whether a stream is
        complete."""
        self.held_against_the_ledger("proxy_buffering off; chunked_transfer_encoding off;")

    def test_the_first_piece_comes_long_before_the_end(self) -> None:
        chunks = [chunk(delta={"role": "assistant", "content": "a"}), *[chunk(delta={"content": "b"})] * 7,
                  chunk(finish_reason="stop"), "data: [DONE]\n\n"]
        relay = self.relay(script=[{"headers": {"Content-Type": "text/event-stream"}, "chunks": chunks, "gap": 0.1}])
        nginx = self.nginx(relay, location=f"proxy_buffering off; {Nginx.LIKE_MANY}")
        job = self.job(chats(1))
        self.run_job(job, nginx)
        [line] = self.results(job).output
        self.assertEqual(text_of(line), "abbbbbbb")
        self.assertGreater(line["sluice"]["latency_ms"] - line["sluice"]["ttft_ms"], 400)


class RequestLimit(Between):
    """nginx admits one request every 301 ms (it rounds to whole milliseconds) and answers all others with a page of
    status 503. A client with the same limit starts every 300 ms, so every second request would be refused."""

    REQUESTS = 50

    def held(self, pace: str) -> None:
        relay = self.relay()
        nginx = self.nginx(relay, http="limit_req_zone $http_authorization zone=keys:1m rate=200r/m;",
                           server="limit_req zone=keys;")
        job = self.job(chats(self.REQUESTS))
        self.sluice("run", job, "--base-url", nginx.url, "--pace", pace)
        results = self.assert_served(job, self.REQUESTS, relay)
        requests = nginx.requests_after(results.totals["attempts"])
        self.assert_attempts(results, len(requests))
        middle = (requests[0]["at"] + requests[-1]["at"]) / 2
        late = [request["status"] for request in requests if request["at"] > middle]
        self.assertLess(late.count(503), late.count(200) / 4, "the run must have found a pace that nginx admits")


class RequestLimitAtEvenPace(RequestLimit):
    def test_every_request_is_served_in_the_end(self) -> None:
        self.held("even")


class RequestLimitInABurst(RequestLimit):
    """A separate class, so that both can wait in parallel."""

    def test_every_request_is_served_in_the_end(self) -> None:
        self.held("burst")


class Limits(Between):
    """Other limits of nginx."""

    def test_a_connection_for_three_requests(self) -> None:
        relay = self.relay()
        nginx = self.nginx(relay, server="keepalive_requests 3;")
        job = self.job(chats(30))
        self.run_job(job, nginx, "--concurrency", 3)
        self.assert_attempts(self.assert_served(job, 30, relay), 30)
        self.assertEqual({request["nth"] for request in nginx.requests_after(30)}, {"1", "2", "3"})

    def test_a_connection_closed_between_two_requests(self) -> None:
        relay = self.relay()
        nginx = self.nginx(relay, server="keepalive_timeout 100ms;")
        job = self.job(chats(8))
        self.sluice("run", job, "--base-url", nginx.url, "--rpm", 150, "--pace", "even")
        self.assert_attempts(self.assert_served(job, 8, relay), 8)
        self.assertEqual({request["nth"] for request in nginx.requests_after(8)}, {"1"})

    def test_a_connection_with_short_idle_times(self) -> None:
        relay = self.relay()
        nginx = self.nginx(relay, server="keepalive_timeout 5s;")
        job = self.job(chats(6))
        self.sluice("run", job, "--base-url", nginx.url, "--rpm", 150, "--pace", "even")
        self.assert_attempts(self.assert_served(job, 6, relay), 6)
        self.assertEqual({request["connection"] for request in nginx.requests_after(6)},
                         {nginx.requests[0]["connection"]})

    def test_a_request_that_is_too_large(self) -> None:
        relay = self.relay()
        nginx = self.nginx(relay, server="client_max_body_size 2k;")
        large = [batch(f"large{i}", chat("x" * size)) for i, size in enumerate((3_000, 300_000, 6_000_000) * 2)]
        job = self.job([*large, *chats(4)])  # large ones first: their error pages must not look like a wrong address
        self.run_job(job, nginx, "--concurrency", 1, expect=1)
        results = self.results(job)
        self.assertEqual(sorted(line["custom_id"] for line in results.output), ["c1", "c2", "c3", "c4"])
        self.assertEqual(sorted(line["custom_id"] for line in results.errors), [f"large{i}" for i in range(6)])
        for line in results.errors:
            self.assertEqual((line["response"]["status_code"], line["error"]), (413, None))
            self.assertIn("<center><h1>413 Request Entity Too Large</h1></center>", line["response"]["body"])
            self.assertEqual((line["sluice"]["attempts"], line["sluice"]["retryable"]), (1, False))
        self.assert_attempts(results, 10)
        self.assertEqual((results.totals["errors"], relay.attempts), ({"413": 6}, 4))

    def test_a_relay_too_slow_for_nginx(self) -> None:
        """nginx sends a page of status 504 before the head; during a stream it can only cut it."""
        started = [chunk(delta={"role": "assistant", "content": "lost"})]
        relay = self.relay(script=[
            {"match": "number 1 ", "hold": True},
            {"match": "number 2 ", "hold": True, "headers": {"Content-Type": "text/event-stream"}, "chunks": started}])
        nginx = self.nginx(relay, location=f"proxy_buffering off; proxy_read_timeout 300ms; {Nginx.LIKE_MANY}")
        job = self.job(chats(5))
        self.run_job(job, nginx)
        results = self.assert_served(job, 5, relay, seen=7)
        self.assert_attempts(results, 7, maybe_billed=1)
        self.assertEqual({line["custom_id"]: line["sluice"]["attempts"] for line in results.output},
                         {"c1": 2, "c2": 2, "c3": 1, "c4": 1, "c5": 1})
        self.assertEqual([request["status"] for request in nginx.requests_after(7)].count(504), 1)

    def test_a_relay_that_is_down(self) -> None:
        """nginx sends pages of status 502 from the start. A later run completes the requests."""
        down = self.dead()
        nginx = self.nginx(down)
        job = self.job(chats(8))
        self.run_job(job, nginx, "--max-attempts", 2, expect=1)
        results = self.results(job)
        self.assertEqual((results.output, len(results.errors)), ([], 8))
        for line in results.errors:
            self.assertEqual((line["response"]["status_code"], line["error"]), (502, None))
            self.assertIn("<h1>502 Bad Gateway</h1>", line["response"]["body"])
            self.assertEqual((line["sluice"]["attempts"], line["sluice"]["retryable"]), (2, True))
        self.assert_attempts(results, 16)

        down.stop()
        relay = self.relay("--port", str(down.port))
        self.run_job(job, nginx)
        self.assert_attempts(self.assert_served(job, 8, relay), 24)

    def test_a_relay_that_comes_back(self) -> None:
        down = self.dead()
        nginx = self.nginx(down)
        job = self.job(chats(8))
        run = self.start("run", job, "--base-url", nginx.url, "--rpm", 0, "--max-attempts", 30)
        wait_until(lambda: len(nginx.requests) >= 10 or not run.running, "pages of status 502")
        down.stop()
        relay = self.relay("--port", str(down.port))
        self.assertEqual(run.wait().code, 0, run.err)
        results = self.assert_served(job, 8, relay)
        requests = nginx.requests_after(results.totals["attempts"])
        self.assertEqual({request["status"] for request in requests}, {200, 502})
        self.assert_attempts(results, len(requests))

    def test_more_at_once_than_nginx_allows(self) -> None:
        relay = self.relay("--head-delay", "0.03")
        nginx = self.nginx(relay, http="limit_conn_zone $http_authorization zone=keys:1m;", server="limit_conn keys 3;")
        job = self.job(chats(40))
        self.run_job(job, nginx, "--concurrency", 12)
        results = self.assert_served(job, 40, relay)
        requests = nginx.requests_after(results.totals["attempts"])
        self.assertEqual({request["status"] for request in requests}, {200, 503})
        self.assert_attempts(results, len(requests))

    def test_compression_only_on_request(self) -> None:
        for flags in ((), ("--no-stream",)):
            with self.subTest(flags=flags):
                relay = self.relay()
                nginx = self.nginx(relay, http="gzip on; gzip_min_length 1; gzip_proxied any; "
                                               "gzip_types application/json text/event-stream;")
                request = urllib.request.Request(f"{nginx.url}/models", headers={"Accept-Encoding": "gzip"})
                with urllib.request.urlopen(request) as reply:
                    self.assertEqual(reply.headers["Content-Encoding"], "gzip")
                job = self.job(chats(6), f"job{len(flags)}.jsonl")
                self.run_job(job, nginx, *flags)
                self.assert_attempts(self.assert_served(job, 6, relay), 6)


class WrongDoor(Between):
    """A base URL that leads to nginx, and not to the relay."""

    def refused(self, base_url: str, *says: str, env: Environment | None = None) -> None:
        job = self.job(chats(8))
        run = self.send(job, base_url, "--fresh", expect=2, env=env)
        for part in (*says, "base"):
            self.assertIn(part, run.err)
        results = self.results(job)
        self.assertEqual((results.output, results.errors, results.totals["pending"]), ([], [], 8))

    def test_http_to_a_port_of_https(self) -> None:
        nginx = self.nginx(self.relay(), tls=self.certificate("relay", f"IP:{HOST}"))
        self.refused(f"http://{HOST}:{nginx.port}", "plain HTTP request was sent to HTTPS port")

    def test_https_to_a_port_of_http(self) -> None:
        nginx = self.nginx(self.relay())
        job = self.job(chats(4))
        run = self.send(job, f"https://{HOST}:{nginx.port}", "--give-up-after", "1s", expect=2)
        self.assertIn("does not speak TLS", run.err)
        self.assert_nothing_sent(job, 4)

    def test_a_redirect_to_https(self) -> None:
        nginx = self.nginx(self.relay(), location="return 301 https://relay.example$request_uri;")
        self.refused(nginx.url, "https://relay.example")

    def test_a_prefix(self) -> None:
        relay = self.relay()
        nginx = self.nginx(relay, path="/api/v1/", target="/v1/", server=f"root {self.folder};")
        self.refused(f"http://{HOST}:{nginx.port}", "404")
        job = self.job(chats(3), "served.jsonl")
        self.send(job, f"http://{HOST}:{nginx.port}/api")
        self.assert_attempts(self.assert_served(job, 3, relay), 3)


# ---------------------------------------------------------------- servers that terminate TLS


class Tls(Between):
    def setUp(self) -> None:
        super().setUp()
        self.tls = self.certificate("relay", f"DNS:localhost,IP:{HOST}")
        self.trust: Environment = {"SSL_CERT_FILE": str(self.tls[0])}

    def haproxy(self, relay: Relay, **words: str) -> Haproxy:
        started: Haproxy = self.keep(Haproxy(self.folder, relay.port, self.tls, **words))
        return started

    def terminators(self, relay: Relay, version: str) -> list[Nginx | Haproxy]:
        return [self.nginx(relay, tls=self.tls, listen="http2", server=f"ssl_protocols {version};"),
                self.haproxy(relay, bind=f"ssl-min-ver {version} ssl-max-ver {version}")]

    def test_both_versions_and_the_name(self) -> None:
        """The servers offer HTTP/2 but must use HTTP/1.1, and get the host name of the URL (SNI)."""
        for version in ("TLSv1.2", "TLSv1.3"):
            relays = [self.relay(), self.relay()]
            for i, relay in enumerate(relays):
                peer = self.terminators(relay, version)[i]
                with self.subTest(version=version, peer=peer.package):
                    job = self.job(chats(10), f"{peer.package}-{version}.jsonl")
                    self.send(job, f"https://localhost:{peer.port}", env=self.trust)
                    self.assert_attempts(self.assert_served(job, 10, relay), 10)
                    self.assertEqual({tuple(request[key] for key in ("status", "tls", "http", "alpn", "name"))
                                      for request in peer.requests_after(10)},
                                     {(200, version, "HTTP/1.1", "http/1.1", "localhost")})

    def test_an_address_is_no_name(self) -> None:
        """RFC 6066: an IP address is not sent as the server name."""
        relay = self.relay()
        nginx = self.nginx(relay, tls=self.tls)
        job = self.job(chats(2))
        self.run_job(job, nginx, env=self.trust)
        self.assert_served(job, 2, relay)
        self.assertEqual({request["name"] for request in nginx.requests_after(2)}, {""})

    def test_an_outdated_version_is_refused(self) -> None:
        relay = self.relay()
        haproxy = self.haproxy(relay, bind="ssl-min-ver TLSv1.1 ssl-max-ver TLSv1.1 ciphers DEFAULT@SECLEVEL=0")
        job = self.job(chats(3))
        run = self.run_job(job, haproxy, "--give-up-after", "1s", expect=3, env=self.trust)
        self.assertRegex(run.err, "(?i)tls|ssl")
        self.assertRegex(run.err, "(?i)version")
        self.assert_nothing_sent(job, 3)
        self.assertEqual((haproxy.requests, relay.attempts), ([], 0))

    def test_an_unknown_authority_is_refused(self) -> None:
        relay = self.relay()
        nginx = self.nginx(relay, tls=self.tls)
        job = self.job(chats(3))
        run = self.run_job(job, nginx, expect=2)
        self.assertIn("certificate", run.err)
        self.assert_nothing_sent(job, 3)

    def test_sessions_are_resumed(self) -> None:
        """Each connection serves one request. Only the first connection needs a full handshake."""
        for version in ("TLSv1.2", "TLSv1.3"):
            for package in ("nginx", "haproxy"):
                with self.subTest(version=version, peer=package):
                    relay = self.relay()
                    peer: Nginx | Haproxy
                    if package == "nginx":
                        peer = self.nginx(relay, tls=self.tls, server=f"ssl_protocols {version}; keepalive_requests 1;")
                    else:
                        peer = self.haproxy(relay, bind=f"ssl-min-ver {version} ssl-max-ver {version}",
                                            frontend="option httpclose")
                    job = self.job(chats(10), f"{package}-{version}.jsonl")
                    self.send(job, f"https://localhost:{peer.port}", "--concurrency", 1, env=self.trust)
                    self.assert_attempts(self.assert_served(job, 10, relay), 10)
                    full, resumed = (".", "r") if package == "nginx" else ("0", "1")
                    self.assertEqual([request["reused"] for request in peer.requests_after(10)],
                                     [full, *[resumed] * 9])

    def test_the_end_of_a_stream_in_the_last_record_of_a_connection(self) -> None:
        relay = self.relay()
        nginx = self.nginx(relay, tls=self.tls, location="chunked_transfer_encoding off; proxy_buffering off;")
        job = self.job(chats(20))
        self.run_job(job, nginx, env=self.trust)
        self.assert_attempts(self.assert_served(job, 20, relay), 20)


# ---------------------------------------------------------------- proxies


class Proxied(Between):
    USER, PASSWORD = "porter", "Zq4vNonesuch77"

    def through(self, relay: Relay, base_url: str, env: Environment, *flags: Any, count: int = 20) -> tuple[Run, int]:
        """A run that completes, and the number of connections at the relay."""
        job = self.job(chats(count))
        trust: Environment = {"SSL_CERT_FILE": str(self.tls[0])} if relay.tls else {}
        run = self.send(job, base_url, "--fresh", *flags, env={**trust, **env})
        connections = relay.stats["connections"] - 1  # without the connection of this query
        self.assert_attempts(self.assert_served(job, count, relay), count)
        return run, connections

    def stopped(self, base_url: str, env: Environment, *says: str, status: tuple[int, ...] = (3,)) -> Run:
        """A run that cannot send, prints the reason, and leaves all requests pending."""
        job = self.job(chats(4))
        run = self.send(job, base_url, "--fresh", "--give-up-after", "1s", expect=None, env=env)
        self.assertIn(run.code, status, run.err)
        for part in says:
            self.assertIn(part, run.err)
        if run.code == 3:
            self.assert_nothing_sent(job, 4)
        return run

    @functools.cached_property
    def tls(self) -> tuple[Path, Path, Path]:
        return self.certificate("relay", f"DNS:localhost,IP:{HOST}")

    def secure_relay(self) -> Relay:
        return self.relay(tls=self.tls)

    def assert_nowhere(self, run: Run, *own: Path) -> None:
        """The proxy's password must not appear in any output, in any form."""
        login = f"{self.USER}:{self.PASSWORD}".encode()
        places = {path.name: path.read_bytes() for path in files_under(self.folder) if path not in own}
        places |= {"stdout": run.out.encode(), "stderr": run.err.encode()}
        for name, text in places.items():
            for form in (self.PASSWORD.encode(), base64.b64encode(login)):
                self.assertNotIn(form, text, name)


class Socks(Proxied):
    def microsocks(self, **login: str) -> Microsocks:
        started: Microsocks = self.keep(Microsocks(self.folder, **login))
        return started

    def test_the_proxy_resolves_the_name(self) -> None:
        relay, proxy = self.relay(), self.microsocks()
        _, connections = self.through(relay, f"http://localhost:{relay.port}",
                                      {"ALL_PROXY": f"socks5h://{HOST}:{proxy.port}"})
        self.assertEqual(proxy.served("localhost", relay.port), connections)

    def test_an_address(self) -> None:
        for scheme in ("socks5", "socks5h"):
            with self.subTest(scheme):
                relay, proxy = self.relay(), self.microsocks()
                _, connections = self.through(relay, relay.url, {"all_proxy": f"{scheme}://{HOST}:{proxy.port}"})
                self.assertEqual(proxy.served(HOST, relay.port), connections)

    def test_tls_within(self) -> None:
        relay, proxy = self.secure_relay(), self.microsocks()
        _, connections = self.through(relay, f"https://localhost:{relay.port}",
                                      {"ALL_PROXY": f"socks5h://{HOST}:{proxy.port}"})
        self.assertEqual(proxy.served("localhost", relay.port), connections)

    def test_a_password(self) -> None:
        relay, proxy = self.relay(), self.microsocks(user=self.USER, password=self.PASSWORD)
        run, connections = self.through(relay, relay.url, {
            "ALL_PROXY": f"socks5h://{self.USER}:{self.PASSWORD}@{HOST}:{proxy.port}"}, "-v", "--log-file", "log")
        self.assertEqual(proxy.served(HOST, relay.port), connections)
        self.assert_nowhere(run)

    def test_a_password_with_special_characters(self) -> None:
        relay, proxy = self.relay(), self.microsocks(user="me@home", password="p@ss:w/rd%")
        _, connections = self.through(relay, relay.url, {
            "ALL_PROXY": f"socks5h://me%40home:p%40ss%3Aw%2Frd%25@{HOST}:{proxy.port}"})
        self.assertEqual(proxy.served(HOST, relay.port), connections)

    def test_a_wrong_password(self) -> None:
        proxy = self.microsocks(user=self.USER, password="another")
        for login in (f"{self.USER}:{self.PASSWORD}@", ""):
            with self.subTest(login):
                run = self.stopped(self.relay().url, {"ALL_PROXY": f"socks5h://{login}{HOST}:{proxy.port}"},
                                   f"{HOST}:{proxy.port}", status=(2, 3))
                self.assert_nowhere(run)

    def test_a_proxy_that_is_down(self) -> None:
        dead = self.dead()
        self.stopped(self.relay().url, {"ALL_PROXY": f"socks5h://{HOST}:{dead.port}"}, f"{HOST}:{dead.port}", "efused")

    def test_a_relay_that_is_down_behind_it(self) -> None:
        proxy, dead = self.microsocks(), self.dead()
        run = self.stopped(f"http://{HOST}:{dead.port}", {"ALL_PROXY": f"socks5h://{HOST}:{proxy.port}"},
                           f"{HOST}:{dead.port}")
        self.assertRegex(run.err, "(?i)proxy|socks")


class HttpProxy(Proxied):
    def tinyproxy(self, **login: str) -> Tinyproxy:
        started: Tinyproxy = self.keep(Tinyproxy(self.folder, **login))
        return started

    def test_a_tunnel_to_a_relay_with_tls(self) -> None:
        for name, address in (("HTTPS_PROXY", "http://{}"), ("https_proxy", "http://{}/"), ("HTTPS_PROXY", "{}"),
                              ("ALL_PROXY", "http://{}")):
            with self.subTest(name=name, address=address):
                relay, proxy = self.secure_relay(), self.tinyproxy()
                _, connections = self.through(relay, f"https://localhost:{relay.port}",
                                              {name: address.format(f"{HOST}:{proxy.port}")}, "--concurrency", 2)
                self.assertEqual(set(proxy.request_lines), {f"CONNECT localhost:{relay.port} HTTP/1.1"})
                self.assertEqual(len(proxy.request_lines), connections)
                self.assertLess(len(proxy.request_lines), 10, "tunnels serve many requests")

    def test_a_relay_without_tls(self) -> None:
        """With absolute URLs, like curl, or through a tunnel."""
        for name in ("HTTP_PROXY", "http_proxy"):
            for flags in ((), ("--no-stream",)):
                with self.subTest(name=name, flags=flags):
                    relay, proxy = self.relay(), self.tinyproxy()
                    _, connections = self.through(relay, relay.url, {name: f"http://{HOST}:{proxy.port}"}, *flags)
                    at = f"{HOST}:{relay.port}"
                    self.assertLessEqual(set(proxy.request_lines), {f"CONNECT {at} HTTP/1.1",
                                                                    f"POST http://{at}/v1/chat/completions HTTP/1.1"})
                    self.assertEqual(len(proxy.request_lines), connections)

    def test_a_password(self) -> None:
        for secure in (True, False):
            with self.subTest(secure=secure):
                relay = self.secure_relay() if secure else self.relay()
                proxy = self.tinyproxy(user=self.USER, password=self.PASSWORD)
                address = f"http://{self.USER}:{self.PASSWORD}@{HOST}:{proxy.port}"
                run, connections = self.through(relay, relay.url, {"ALL_PROXY": address}, "-v", "--log-file", "log")
                self.assertEqual(len(proxy.request_lines), connections)
                self.assert_nowhere(run, *self.folder.glob("tinyproxy-*.conf"))

    def test_a_wrong_password(self) -> None:
        """401 for a wrong password, 407 for none: errors of the proxy, not of the relay."""
        proxy = self.tinyproxy(user=self.USER, password="another")
        relay = self.secure_relay()
        for login in (f"{self.USER}:{self.PASSWORD}@", ""):
            with self.subTest(login):
                run = self.stopped(relay.url, {"HTTPS_PROXY": f"http://{login}{HOST}:{proxy.port}"},
                                   f"{HOST}:{proxy.port}", "401" if login else "407", status=(2, 3))
                self.assert_nowhere(run)

    def test_a_proxy_that_is_down(self) -> None:
        for base_url in (f"https://{HOST}:9", f"http://{HOST}:9"):
            with self.subTest(base_url):
                dead = self.dead()
                address = f"http://{self.USER}:{self.PASSWORD}@{HOST}:{dead.port}"
                run = self.stopped(base_url, {"HTTPS_PROXY": address, "HTTP_PROXY": address}, f"{HOST}:{dead.port}",
                                   "efused")
                self.assert_nowhere(run)

    def test_a_relay_that_is_down_behind_it(self) -> None:
        proxy, dead = self.tinyproxy(), self.dead()
        self.stopped(f"https://{HOST}:{dead.port}", {"HTTPS_PROXY": f"http://{HOST}:{proxy.port}"})
        self.assertEqual(set(proxy.request_lines), {f"CONNECT {HOST}:{dead.port} HTTP/1.1"})

    def test_the_proxy_never_sees_the_key(self) -> None:
        chunks: list[bytes] = []
        spy = self.listener(lambda connection: chunks.append(connection.recv(1 << 16)))
        self.stopped(f"https://{HOST}:9", {"HTTPS_PROXY": f"http://{self.USER}:{self.PASSWORD}@{HOST}:{spy.port}"})
        login = base64.b64encode(f"{self.USER}:{self.PASSWORD}".encode()).decode()
        for head in chunks:
            self.assertTrue(head.startswith(f"CONNECT {HOST}:9 HTTP/1.1\r\n".encode()), head)
            self.assertIn(f"\r\nproxy-authorization: basic {login.lower()}\r\n", head.decode().lower())
            self.assertNotIn(KEY.encode(), head)
        self.assertTrue(chunks)


class NoProxy(Proxied):
    """The proxy is down, so only requests that bypass it succeed."""

    def test_hosts_that_bypass_the_proxy(self) -> None:
        dead = f"http://{HOST}:{self.dead().port}"
        ways: tuple[tuple[str, Environment], ...] = (
                (HOST, {"HTTP_PROXY": dead, "NO_PROXY": f"{HOST},localhost"}),
                ("localhost", {"HTTP_PROXY": dead, "NO_PROXY": f"{HOST},localhost"}),
                ("localhost", {"ALL_PROXY": dead, "NO_PROXY": "relay.example, LOCALHOST"}),
                (HOST, {"http_proxy": dead, "no_proxy": HOST}),
                (HOST, {"ALL_PROXY": dead, "NO_PROXY": "*"}),
                (HOST, {"HTTPS_PROXY": dead}),
                (HOST, {"ALL_PROXY": ""}))
        for host, env in ways:
            with self.subTest(host=host, env=env):
                relay = self.relay()
                self.through(relay, f"http://{host}:{relay.port}", env, "--give-up-after", "1s", count=3)

    def test_hosts_that_do_not_bypass_the_proxy(self) -> None:
        dead = self.dead()
        relay = self.relay()
        for host, name in ((HOST, "relay.example"), (HOST, "127.0.0"), ("localhost", "host"), (HOST, "")):
            with self.subTest(name):
                self.stopped(f"http://{host}:{relay.port}", {"HTTP_PROXY": f"http://{HOST}:{dead.port}",
                                                             "NO_PROXY": name}, f"{HOST}:{dead.port}")
        self.assertEqual(relay.attempts, 0)

    def test_the_scheme_of_the_relay_selects_the_proxy(self) -> None:
        relay, dead = self.secure_relay(), f"http://{HOST}:{self.dead().port}"
        proxy = self.keep(Tinyproxy(self.folder))
        self.through(relay, relay.url, {"ALL_PROXY": dead, "HTTP_PROXY": dead,
                                        "HTTPS_PROXY": f"http://{HOST}:{proxy.port}"}, count=3)
        self.assertEqual(set(proxy.request_lines), {f"CONNECT {HOST}:{relay.port} HTTP/1.1"})

    def test_the_simulator_needs_none(self) -> None:
        dead = f"http://{HOST}:{self.dead().port}"
        job = self.job(chats(3))
        self.sluice("run", job, "--simulate", env={"ALL_PROXY": dead, "HTTP_PROXY": dead, "HTTPS_PROXY": dead})
        self.assertEqual(len(self.results(job).output), 3)


if __name__ == "__main__":
    unittest.main()
