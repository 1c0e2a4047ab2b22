"""Messages in Chinese: which settings select them, what they say, and what stays English."""

from __future__ import annotations

import json
import re
import signal
import unittest

from support import ROOT, Case, Run, chats, program, wait_until
from test_nightly import Hook
from test_screens import COLOUR, WIDTHS, Pty, cells
from test_troubleshooting import Failures, pattern, rows

CHINESE = re.compile("[\u4e00-\u9fff]")
HERE = {"LANG": "zh_CN.UTF-8"}

# The Chinese message for each sentence of docs/troubleshooting.md.
SENTENCES = {
    "a_table_in_place_of_a_job": "data.csv：是表格（CSV），不是任务；请用模板写明对每一行问什么，例如：sluice run DATA.csv "
                                 "--template T.json -o OUT.csv",
    "a_json_array": "job.jsonl：是一个 JSON 数组，而任务每行是一个对象；请拆开，例如：jq -c '.[]' FILE > NEW.jsonl",
    "json_with_line_breaks_inside_its_objects": "job.jsonl：是带换行缩进的 JSON，而任务的每个对象占一行；请压成一行，例如：jq "
                                                "-c . FILE > NEW.jsonl",
    "a_utf_16_file": "job.jsonl：是 UTF-16 编码的文本，而任务要用 UTF-8；请转换，例如：iconv -f UTF-16 -t UTF-8 FILE > NEW.jsonl",
    "an_empty_file": "job.jsonl：是空文件；任务每行是一个 JSON 对象",
    "a_folder": "jobs.jsonl：是文件夹；请指定其中的一个 JSONL 文件",
    "no_such_file": "missing.jsonl：读不了任务文件（No such file or directory）；请检查路径",
    "a_request_without_a_model": "job.jsonl 第 1 行：没有写模型；请用 --model 指定，或把模型写进任务",
    "a_bad_line": "失败      1 x invalid_json_line: line 2: This line is not parseable as valid JSON: …下一步    改正 "
                  "out/job.errors.jsonl 指出的行，然后 sluice run …",
    "the_job_was_changed_after_a_run": "job.jsonl：请求“…”在结果写入 out/job.output.jsonl 之后改过；请改回来，或用 --changed "
                                       "redo（重新发送）或 --changed keep（保留旧结果）决定",
    "another_run_uses_the_output": "out/job.output.jsonl：另一个运行（进程 …）正在写它；请等它结束，或先停掉它",
    "the_output_holds_something_else": "out/job.output.jsonl：不是 sluice 写的文件，继续会覆盖它；请移走，或用 --output-dir 或 "
                                       "-o 换个位置",
    "the_disk_is_full": "（No space left on device）；请腾出空间或修好磁盘，再运行同一条命令；… 个完成的结果没能写入，已丢失；"
                        "它们的请求会重新发送并再次计费",
    "the_disk_failed_when_a_result_file_was_synced_and_no_copy_could_be_written":
        "out/job.output.jsonl：写不了结果（Input/output error）；请腾出空间或修好磁盘，再运行同一条命令；完成的结果都已写入文件；"
        "文件里的结果可能还不在磁盘上：再次运行命令前，请先把每个文件换成它的副本",
    "the_address_is_no_url": "--base-url 'relay.example' 不是 URL；请写成 https://relay.example/v1 的形式",
    "a_name_that_does_not_exist": "已停止：地址不对（request to https://relay.invalid/v1/chat/completions: cannot resolve "
                                  "relay.invalid: there is no host of this name）；--base-url 应写成 https://relay.example/v1",
    "the_server_does_not_have_this_api": "已停止：地址不对（HTTP 404 for …: request to http://…/v1/chat/completions: Not Found）",
    "the_server_redirects": "已停止：地址不对（…HTTP 301 redirects to https://new.example/v1…）",
    "https_for_a_server_without_tls": "已停止：地址不对（…does not speak TLS; its address may begin with http://）",
    "nothing_answers_or_a_proxy_is_needed": "已停止：超过 --give-up-after 规定的时间连不上（…Connection refused）；请检查 "
                                            "--base-url，需要代理的网络请设置 HTTPS_PROXY，然后重新运行即可继续",
    "the_proxy_wants_a_login": "已停止：代理要求登录（…）；请写上用户名和密码，如 http://user:password@proxy.example:3128",
    "an_authority_that_this_computer_does_not_know": "已停止：无法信任中转站的证书（…unable to get local issuer certificate）；"
                                                     "请检查 --base-url 的主机名和本机时钟，或用 SSL_CERT_FILE",
    "the_clock_is_wrong_or_the_certificate_old": "已停止：无法信任中转站的证书（…certificate has expired; the clock of this "
                                                 "computer shows …）；请检查 --base-url 的主机名和本机时钟",
    "a_certificate_for_another_host": "已停止：无法信任中转站的证书（…it is not for 127.0.0.1, but for other.example）",
    "no_key": "没有 API 密钥；请设置 OPENAI_API_KEY，或用 --api-key-file 指定密钥文件（或用 --simulate 演习）",
    "the_key_is_wrong_or_of_another_relay": "已停止：中转站拒绝了密钥（HTTP 401 for …: Invalid token）；请确认密钥属于这个中转站"
                                            "且仍然有效（用 'sluice quota' 查看），然后重新运行即可继续",
    "the_quota_of_the_key_is_used_up": "已停止：密钥的额度已用完（HTTP 403 for …: user quota is not enough）；请充值（用 'sluice "
                                       "quota' 查看剩余额度），然后重新运行即可继续",
    "a_page_of_cloudflare": "已停止：中转站前面的网关拦截了本机（…Attention Required! | Cloudflare）；请向中转站询问允许哪些地址，"
                            "或换网络、用代理，然后重新运行即可继续",
    "the_relay_does_not_sell_the_model": "失败      8 x 404: …: The model does not exist…下一步    'sluice models' "
                                         "列出中转站有的模型，其中没有 …；在任务里换一个模型，然后 sluice run …",
    "a_wrong_model_in_a_job_of_20_lines_or_more": "已停止：请求接连以同样的原因失败（the first 20 requests for model … at … all "
                                                  "failed with the same message: HTTP 404: The model does not exist）；"
                                                  "没有为它们写下结果：请检查 --model（'sluice models' 列出中转站有的模型）、任务和 "
                                                  "--base-url，或加 --keep-going 照样发完",
    "the_relay_asks_for_a_long_pause": "已停止：中转站要求的等待超过 --max-wait（HTTP 429 for …: slow down）；请在 … 重新运行",
    "the_budget_is_too_small": "已停止：预算已用完：下一个请求最多花 $…，还剩 $…；请加大 --budget…，然后重新运行即可继续",
    "the_relay_fails_again_and_again": "失败      2 x 500: …: upstream error…下一步    sluice run …",
}


class ChineseErrors(Failures):
    def environment(self, **more: str | None) -> dict[str, str]:
        return super().environment(**{**HERE, **more})

    def test_every_row_of_the_troubleshooting_page(self) -> None:
        told = {re.sub(r"\W+", "_", what.lower()).strip("_"): status for what, (_, status) in rows().items()}
        self.assertEqual(sorted(told), sorted(SENTENCES))
        for name, status in told.items():
            with self.subTest(name):
                self.folder, before = self.folder / name, self.folder
                self.folder.mkdir()
                self.out, out = self.folder / "out", self.out
                try:
                    run = getattr(self, name)()
                    shown = run.err.replace(f"{self.folder}/", "").replace(program(), "sluice")
                    self.assertRegex(shown.replace("\n", " "), pattern(SENTENCES[name]))
                    self.assertEqual(run.code, status, run.err)
                finally:
                    self.folder, self.out = before, out


class Choice(Case):
    def refusal(self, *flags: object, command: str = "run", **environment: str) -> Run:
        return self.start(command, *(["missing.jsonl"] if command in ("run", "check") else []), *flags,
                          env=dict(environment)).wait()

    def assert_language(self, run: Run, chinese: bool) -> None:
        self.assertEqual(run.code, 2, run.err)
        self.assert_one_sentence(run)
        self.assertEqual(bool(CHINESE.search(run.err)), chinese, run.err)

    def test_the_environment_chooses(self) -> None:
        english_row, chinese_row = False, True
        for environment, expected in (({}, english_row), ({"LANG": "zh_CN.UTF-8"}, chinese_row),
                                      ({"LANG": "zh_TW"}, chinese_row), ({"LANG": "C"}, english_row),
                                      ({"LANG": "zh_CN.GBK"}, english_row), ({"LANG": "en_US.UTF-8"}, english_row),
                                      ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, chinese_row),
                                      ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, english_row)):
            with self.subTest(environment):
                self.assert_language(self.refusal(**environment), expected)

    def test_the_flag_wins_over_the_config_file_and_that_over_the_environment(self) -> None:
        self.assert_language(self.refusal("--lang", "zh", LANG="C"), True)
        self.assert_language(self.refusal("--lang", "en", **HERE), False)
        self.assert_language(self.refusal("--lang", "auto", **HERE), True)
        (self.folder / "sluice.toml").write_text('lang = "zh"\n')
        self.assert_language(self.refusal(LANG="C"), True)
        self.assert_language(self.refusal("--lang", "en"), False)
        (self.folder / "sluice.toml").write_text('lang = "de"\n')
        self.assertIn("lang: must be one of auto, en, zh", self.refusal().err)

    def test_each_command_with_the_flag_uses_it(self) -> None:
        for command in ("run", "check", "report", "ask", "quota", "models", "bench", "probe"):
            words = {"report": ["missing.jsonl"], "ask": ["hi"], "bench": ["--model", "m"],
                     "probe": ["--model", "gpt-4o"]}.get(command, [])
            address = [] if command in ("run", "check", "report") else ["--base-url", "relay.example"]
            with self.subTest(command):
                self.assert_language(self.refusal(*words, *address, "--lang", "zh", command=command), True)
                self.assert_language(self.refusal(*words, *address, command=command), False)

    def test_probe_uses_it_for_the_end_too(self) -> None:
        relay = self.relay(script=[{"status": 401, "body": {"error": {"message": "no"}}, "times": None}])
        run = self.sluice("probe", "--model", "gpt-4o", "--base-url", relay.url, "--lang", "zh", expect=3)
        self.assertIn("已停止：中转站拒绝了密钥", run.err)


class Screen(Case):
    def environment(self, **more: str | None) -> dict[str, str]:
        return super().environment(**{**HERE, **more})

    def test_the_reason_of_a_wait_is_whole_at_each_width(self) -> None:
        relay = self.relay()
        for columns in WIDTHS:
            with self.subTest(columns=columns):
                shown = Pty(self, columns, "run", self.job(chats(6), f"j{columns}.jsonl"), "--base-url", relay.url,
                            "--rpm", 4, "--header", f"Authorization: Bearer key{columns}")
                shown.read(r"4/6.*秒后(发)?下一个")
                shown.process.send_signal(signal.SIGTERM)
                text = shown.read()
                self.assertEqual(shown.process.returncode, 130, text)
                waits = [line for line in shown.drawn() if "下一个" in line and "4/6" in line]
                self.assertTrue(waits, text)
                for line in waits:
                    self.assertLess(cells(line), columns, line)
                    self.assertRegex(COLOUR.sub("", line), r"(等待限速，(\d+分)?\d+ ?秒后发下一个请求|限速，(\d+分)?\d+ ?秒后下一个)$")
                self.assertIn("已中断；在途请求已结束", text)
                self.assertIn("未完成 2", text)

    def test_the_summary_and_what_stays_english(self) -> None:
        relay = self.relay(script=[{"match": "number 1 ", "times": None, "status": 400,
                                    "body": {"error": {"message": "the relay's own words"}}}])
        job = self.job(chats(3))
        run = self.run_job(job, relay, "--log-file", "run.log", expect=1)
        for part in ("：共 3 个请求，成功 2，失败 1，未完成 0", "失败      1 x 400: gpt-4o-mini: the relay's own words",
                     "尝试      3 次，其中重试 0 次", "用时      ", "下一步    "):
            self.assertIn(part, run.err)
        log = (self.folder / "run.log").read_text()
        self.assertIn("2 of 3 succeeded, 1 failed", log)
        self.assertNotRegex(log, CHINESE)
        for file in ("output", "errors"):
            self.assertNotRegex((self.folder / f"job.{file}.jsonl").read_text(), CHINESE)
        self.assertNotRegex((self.folder / "job.totals.json").read_text(), CHINESE)
        self.assertIn("：已完成：共 3 个请求，成功 2", self.sluice("report", job).out)
        self.assertNotRegex(self.sluice("report", job, "--json").out, CHINESE)

    def test_a_refusal_is_english_in_the_log(self) -> None:
        run = self.sluice("run", self.job(b""), "--base-url", "http://127.0.0.1:1", "--log-file", "run.log", expect=2)
        self.assertRegex(run.err, CHINESE)
        log = (self.folder / "run.log").read_text()
        self.assertIn("is empty; a job has one JSON object a line", log)
        self.assertNotRegex(log, CHINESE)

    def test_json_is_english(self) -> None:
        relay = self.relay(script=[{"times": None, "status": 401, "body": {"error": {"message": "Invalid token"}}}])
        for flags in (("--json-log",), ("--json-log", "--lang", "zh"), ("-q", "--progress", "json")):
            with self.subTest(flags):
                run = self.run_job(self.job(chats(2), f"j{len(flags)}.jsonl"), relay, *flags, expect=3)
                documents = [json.loads(line) for line in run.err.splitlines() if line.startswith("{")]
                self.assertTrue(documents, run.err)
                self.assertNotRegex(json.dumps(documents, ensure_ascii=False), CHINESE)
        run = self.sluice("run", self.job(b"", "empty.jsonl"), "--base-url", relay.url, "--json-log", expect=2)
        self.assertIn("is empty", json.loads(run.err)["text"])

    def test_a_quiet_run_ends_with_one_line(self) -> None:
        relay = self.relay(script=[{"times": None, "status": 401, "body": {"error": {"message": "Invalid token"}}}])
        run = self.run_job(self.job(chats(2)), relay, "-q", expect=3)
        self.assert_one_sentence(run, "已停止：中转站拒绝了密钥（", "：共 2 个请求，成功 0，失败 0，未完成 2；费用 $0")

    def test_a_webhook_is_english(self) -> None:
        relay = self.relay()
        hook = Hook()
        self.addCleanup(hook.stop)
        self.run_job(self.job(chats(1)), relay, "--notify", hook.url)
        told = json.dumps(json.loads(hook.requests[0][2]), ensure_ascii=False)
        self.assertIn("1 of 1 succeeded", told)
        self.assertNotRegex(told, CHINESE)

    def test_status_and_ask(self) -> None:
        relay = self.relay("--head-delay", "30")
        run = self.start("run", self.job(chats(2)), "--base-url", relay.url, "--rpm", 0)
        wait_until(lambda: relay.attempts == 2, "two attempts")
        run.signal(signal.SIGUSR1)
        wait_until(lambda: "sluice: 完成 0/2 | 60 秒内 2" in run.err, "the status")
        run.signal(signal.SIGKILL)
        run.wait()
        ask = self.sluice("ask", "hi", "--simulate")
        self.assertRegex(ask.err, r"sluice: gpt-4o-mini：输入 \d+ \+ 输出 \d+ token，\$[\d.]+，[\d.]+ 秒\n$")


class Table(unittest.TestCase):
    """src/base/chinese.hpp. The compiler finds texts without Chinese; this test finds entries that no code uses."""

    PIECE = re.compile(r"""//[^\n]*|'(?:\\.|[^'\\])'|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\])*"(?:\s*"(?:\\.|[^"\\])*")*""", re.S)

    def texts(self, path: object) -> list[str]:
        """The string literals of a source file. Adjacent literals are joined."""
        pieces = (found.group() for found in self.PIECE.finditer(path.read_text()))  # type: ignore[attr-defined]
        return [re.sub(r'"\s*"', "", piece)[1:-1] for piece in pieces if piece.startswith('"')]

    def test_every_text_is_said(self) -> None:
        table = ROOT / "src" / "base" / "chinese.hpp"
        said = {text for path in (ROOT / "src").rglob("*.[ch]pp") if path != table for text in self.texts(path)}
        texts = self.texts(table)
        english, chinese = texts[::2], texts[1::2]
        self.assertEqual(len(english), len(chinese))
        self.assertGreater(len(english), 150)
        self.assertEqual([text for text in english if text not in said], [])

    def test_the_chinese_is_written_alike(self) -> None:
        texts = self.texts(ROOT / "src" / "base" / "chinese.hpp")
        for english, chinese in zip(texts[::2], texts[1::2], strict=True):
            with self.subTest(english):
                self.assertNotRegex(chinese, r"[\u4e00-\u9fff][,;:(]|[\u4e00-\u9fff]\.$", "punctuation of another script")
                self.assertNotRegex(chinese, "令牌|接口密钥|秘钥|您|API Key|重发|中继", "another word for the same thing")
                self.assertNotRegex(chinese, r"[\u4e00-\u9fff][A-Za-z0-9$]|[A-Za-z0-9][\u4e00-\u9fff]",
                                    "no space between the scripts")


if __name__ == "__main__":
    unittest.main()
