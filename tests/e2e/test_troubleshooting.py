"""docs/troubleshooting.md: the tests cause the problem of each row, and sluice prints the sentence of the row."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import unittest
from typing import Any

from support import ROOT, Case, Run, batch, chat, chats, jsonl, program, wait_until
from test_failures import error

PAGE = ROOT / "docs" / "troubleshooting.md"
ALWAYS = {"times": None}


def rows() -> dict[str, tuple[str, int]]:
    """The rows of all tables: the problem, the sentence, and the exit status."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in line.strip("|").split(" | ")]
        if len(cells) == 3 and cells[2].isdigit():
            found[cells[0]] = (cells[1].strip("`"), int(cells[2]))
    return found


def pattern(sentence: str) -> str:
    """The sentence as a regular expression: `…` stands for any text."""
    return ".*".join(re.escape(part) for part in sentence.split("…"))


class Helpers(Case):
    def run_it(self, job: Any, url: str, *flags: Any, **more: Any) -> Run:
        return self.start("run", job, "--output-dir", self.out, "--base-url", url, "--rpm", 0, *flags, **more).wait()

    def file(self, name: str, content: bytes) -> Run:
        return self.run_it(self.job(content, name), "http://127.0.0.1:1")

    def answers(self, answer: dict[str, Any], *flags: Any, count: int = 8, **more: Any) -> Run:
        relay = self.relay(script=[{**ALWAYS, **answer}])
        return self.run_it(self.job(chats(count)), relay.url, *flags, **more)

    def page(self, status: int, title: str) -> Run:
        return self.answers({"status": status, "headers": {"Content-Type": "text/html"},
                             "body": f"<html><title>{title}</title></html>"})

    def tls(self, days: int, known: bool) -> Run:
        paths = self.certificate("relay", "IP:127.0.0.1", days=days)
        relay = self.relay(tls=paths)
        return self.run_it(self.job(chats(1)), relay.url, env={"SSL_CERT_FILE": str(paths[0])} if known else {})


class Failures(Helpers):
    """One method for each row. Its name comes from the first cell of the row."""

    # The job

    def a_table_in_place_of_a_job(self) -> Run:
        return self.file("data.csv", b"id,text\n1,good\n")

    def a_json_array(self) -> Run:
        return self.file("job.jsonl", b"[" + jsonl(chats(1)).strip() + b"]\n")

    def json_with_line_breaks_inside_its_objects(self) -> Run:
        return self.file("job.jsonl", b'{\n  "custom_id": "a",\n  "body": {}\n}\n')

    def a_utf_16_file(self) -> Run:
        return self.file("job.jsonl", jsonl(chats(1)).decode().encode("utf-16"))

    def an_empty_file(self) -> Run:
        return self.file("job.jsonl", b"")

    def a_folder(self) -> Run:
        (self.folder / "jobs.jsonl").mkdir()
        return self.run_it(self.folder / "jobs.jsonl", "http://127.0.0.1:1")

    def no_such_file(self) -> Run:
        return self.run_it(self.folder / "missing.jsonl", "http://127.0.0.1:1")

    def a_request_without_a_model(self) -> Run:
        return self.file("job.jsonl", b'{"prompt":"Hello"}\n')

    def a_bad_line(self) -> Run:
        return self.run_it(self.job(jsonl(chats(1)) + b"{broken\n"), self.relay().url)

    def the_job_was_changed_after_a_run(self) -> Run:
        relay = self.relay()
        self.run_it(self.job([batch("a", chat("one"))]), relay.url)
        return self.run_it(self.job([batch("a", chat("two"))]), relay.url)

    # The results

    def another_run_uses_the_output(self) -> Run:
        relay = self.relay("--delay-max", "9")
        job = self.job(chats(2))
        first = self.start("run", job, "--output-dir", self.out, "--base-url", relay.url, "--rpm", 0)
        wait_until(lambda: relay.attempts > 0, "a request arrives")
        second = self.run_it(job, relay.url)
        first.process.kill()
        first.wait()
        return second

    def the_output_holds_something_else(self) -> Run:
        job = self.job(chats(1))
        self.out.mkdir(exist_ok=True)
        (self.out / "job.output.jsonl").write_text("my notes\n")
        return self.run_it(job, "http://127.0.0.1:1")

    def the_disk_is_full(self) -> Run:
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], stderr=subprocess.DEVNULL)
        if mounted.returncode != 0:
            self.skipTest("may not mount a small file system")
        self.addCleanup(subprocess.run, ["umount", str(disk)], check=True)
        job = self.job([batch(f"c{i}", chat("x" * 2000 + str(i))) for i in range(200)])
        return self.run_it(job, self.relay().url, "--output-dir", disk)

    def the_disk_failed_when_a_result_file_was_synced_and_no_copy_could_be_written(self) -> Run:
        shim = os.environ.get("SLUICE_CRASH_SHIM") or self.skipTest("SLUICE_CRASH_SHIM is not set to the library")
        disk = self.folder / "disk"
        for made in (self.out, disk):
            made.mkdir()
        (self.out / "job.output.jsonl").symlink_to(disk / "job.output.jsonl")
        return self.run_it(self.job(chats(1)), self.relay().url, env={
            "LD_PRELOAD": shim, "SHIM_UNDER": str(disk), "SHIM_ONLY": "sync",
            "SHIM_FAIL": "2",  # after that of the folder at the start
            "SHIM_ERRNO": str(errno.EIO), "ASAN_OPTIONS": "verify_asan_link_order=0"})

    # The address

    def the_address_is_no_url(self) -> Run:
        return self.run_it(self.job(chats(1)), "relay.example")

    def a_name_that_does_not_exist(self) -> Run:
        return self.run_it(self.job(chats(1)), "https://relay.invalid")

    def the_server_does_not_have_this_api(self) -> Run:
        return self.page(404, "Not Found")

    def the_server_redirects(self) -> Run:
        return self.answers({"status": 301, "headers": {"Location": "https://new.example/v1"}, "body": ""})

    def https_for_a_server_without_tls(self) -> Run:
        return self.run_it(self.job(chats(1)), self.simulator().url.replace("http:", "https:"))

    def nothing_answers_or_a_proxy_is_needed(self) -> Run:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound but not listening: no other program gets the port
            return self.run_it(self.job(chats(1)), f"http://127.0.0.1:{taken.getsockname()[1]}", "--give-up-after", "1ms")

    def the_proxy_wants_a_login(self) -> Run:
        def serve(connection: socket.socket) -> None:
            while b"\r\n\r\n" not in connection.recv(1 << 16):
                pass
            connection.sendall(b"HTTP/1.1 407 Login\r\nContent-Length: 0\r\n\r\n")

        proxy = self.listener(serve)
        return self.run_it(self.job(chats(1)), "https://relay.example",
                           env={"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"})

    def an_authority_that_this_computer_does_not_know(self) -> Run:
        return self.tls(2, known=False)

    def the_clock_is_wrong_or_the_certificate_old(self) -> Run:
        return self.tls(-1, known=True)

    def a_certificate_for_another_host(self) -> Run:
        paths = self.certificate("relay", "DNS:other.example")
        relay = self.relay(tls=paths)
        return self.run_it(self.job(chats(1)), relay.url, env={"SSL_CERT_FILE": str(paths[0])})

    # The key, the money and the model

    def no_key(self) -> Run:
        return self.run_it(self.job(chats(1)), "https://relay.invalid", env={"OPENAI_API_KEY": None})

    def the_key_is_wrong_or_of_another_relay(self) -> Run:
        return self.answers({"status": 401, "body": error("Invalid token", "invalid_api_key")})

    def the_quota_of_the_key_is_used_up(self) -> Run:
        return self.answers({"status": 403, "body": error("user quota is not enough", "insufficient_user_quota")})

    def a_page_of_cloudflare(self) -> Run:
        return self.page(403, "Attention Required! | Cloudflare")

    def the_relay_does_not_sell_the_model(self) -> Run:
        return self.answers({"status": 404, "body": error("The model does not exist", "model_not_found")})

    def a_wrong_model_in_a_job_of_20_lines_or_more(self) -> Run:
        return self.answers({"status": 404, "body": error("The model does not exist", "model_not_found")}, count=20)

    def the_relay_asks_for_a_long_pause(self) -> Run:
        return self.answers({"status": 429, "headers": {"Retry-After": "3600"}, "body": error("slow down", None)})

    def the_budget_is_too_small(self) -> Run:
        return self.run_it(self.job(chats(2)), self.relay().url, "--budget", "0.00000001")

    def the_relay_fails_again_and_again(self) -> Run:
        return self.answers({"status": 500, "body": error("upstream error", None)}, "--max-attempts", 1, count=2)


class Troubleshooting(Failures):
    def test_every_row(self) -> None:
        told = {re.sub(r"\W+", "_", what.lower()).strip("_"): expected for what, expected in rows().items()}
        self.assertEqual(sorted(told), sorted(name for name in vars(Failures) if not name.startswith("_")))
        for name, (sentence, status) in told.items():
            with self.subTest(name):
                self.folder, before = self.folder / name, self.folder
                self.folder.mkdir()
                self.out, out = self.folder / "out", self.out
                try:
                    run = getattr(self, name)()
                    shown = run.err.replace(f"{self.folder}/", "").replace(program(), "sluice")
                    self.assertRegex(shown.replace("\n", " "), pattern(sentence))
                    self.assertEqual(run.code, status, run.err)
                finally:
                    self.folder, self.out = before, out


if __name__ == "__main__":
    unittest.main()
