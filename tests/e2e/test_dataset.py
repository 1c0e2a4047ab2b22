"""Tables in, tables out: `sluice prepare`, `sluice extract`, and `sluice run DATA --template`."""

from __future__ import annotations

import base64
import csv
import errno
import gzip
import io
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import unittest
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from support import SAMPLES, Case, Results, at_night, batch, chats, jsonl, program, read_jsonl, wait_until
from test_crash import HARMLESS, shim, traced

SOME_FAILED, CANNOT_START, STOPPED, RESULTS_LOST = 1, 2, 3, 4
TEMPLATE = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say: {{text}}"}]}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
Rows = list[list[str]]


def written(rows: Iterable[list[str]], **form: Any) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, **form).writerows(rows)
    return out.getvalue()


def rows_of(path: Path, encoding: str = "utf-8") -> Rows:
    with path.open(encoding=encoding, newline="") as file:
        return [row for row in csv.reader(file) if row]


def hard_rows(count: int, columns: int = 6, seed: int = 5) -> Rows:
    """Cells with all the characters that are difficult in CSV. Two columns are called id and text."""
    rng = random.Random(seed)
    pieces = [",", '"', "\n", "\r\n", " ", "\t", "x", "你好，世界", "é", "'", "\\", "{{text}}", "007", "1.50", ";", "=A1", "😀"]
    names = ["id", "text"] + [f"column {i}" for i in range(2, columns)]
    rows = [names]
    for i in range(1, count + 1):
        rows.append([f"id-{i}", *("".join(rng.choices(pieces, k=rng.randrange(5))) for _ in names[1:])])
    return rows


def stored(custom_id: str, text: str, number: int = 1) -> dict[str, Any]:
    """A result line as a run writes it."""
    return {"id": f"batch_req_{number:032x}", "custom_id": custom_id,
            "response": {"status_code": 200, "request_id": "", "body": {
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}}},
            "error": None,
            "sluice": {"line": number, "attempts": 1, "model": "gpt-4o-mini", "streamed": True, "started_at": 1.0,
                       "latency_ms": 1.0, "ttft_ms": None,
                       "usage": {"prompt_tokens": 9, "cached_tokens": 0, "completion_tokens": 3, "reasoning_tokens": 0},
                       "usage_source": "reported", "cost_usd": "0.00015", "service_tier": None, "digest": "a" * 32}}


def write_results(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


class TableCase(Case):
    def setUp(self) -> None:
        super().setUp()
        self.table = self.folder / "data.csv"
        self.template = self.folder / "t.json"
        self.jobs = self.folder / "job.jsonl"
        self.answers = self.folder / "answers.csv"
        self.write_template(TEMPLATE)

    def write_template(self, body: Any) -> None:
        self.template.write_text(json.dumps(body, ensure_ascii=False, indent=2), "utf-8")

    def write_rows(self, rows: Rows, mark: str = "", **form: Any) -> None:
        self.table.write_bytes((mark + written(rows, **form)).encode())

    def prepare(self, *flags: Any, data: Any = None, expect: int = 0, **more: Any) -> Any:
        return self.sluice("prepare", data or self.table, "--template", self.template, "-o", self.jobs, *flags,
                           expect=expect, **more)

    def extract(self, *flags: Any, expect: int = 0, data: Any = None, into: Path | None = None, **more: Any) -> Any:
        return self.sluice("extract", self.jobs, "--data", data or self.table, "-o", into or self.answers, *flags,
                           expect=expect, **more)

    def check_round_trip(self, rows: Rows, **reading: Any) -> None:
        """Prepares the table, answers each request with its own prompt, extracts, and checks with Python's csv."""
        self.prepare("--id", "id", "--system", "Be brief.")
        names, *cells = rows
        lines = read_jsonl(self.jobs)
        self.assertEqual(len(lines), len(cells))
        text = names.index("text")
        for line, row in zip(lines, cells):
            self.assertEqual(line["custom_id"], row[0])
            self.assertEqual(line["body"]["messages"], [{"role": "system", "content": "Be brief."},
                                                        {"role": "user", "content": "Say: " + row[text]}])
        shuffled = list(enumerate(lines, 1))
        random.Random(1).shuffle(shuffled)
        write_results(Results(self.jobs).output_path,
                      (stored(line["custom_id"], line["body"]["messages"][1]["content"], number)
                       for number, line in shuffled))
        self.extract("--id", "id", "--usage")
        again = rows_of(self.answers, **reading)
        self.assertEqual(again[0], names + ["answer", "error", "prompt_tokens", "cached_tokens", "completion_tokens",
                                            "reasoning_tokens", "cost_usd"])
        self.assertEqual([row[:len(names)] for row in again[1:]], cells)
        for row, source in zip(again[1:], cells):
            self.assertEqual(row[len(names):], ["Say: " + source[text], "", "9", "0", "3", "0", "0.00015"])


class RoundTrips(TableCase):
    def test_of_hard_cells(self) -> None:
        rows = hard_rows(5000)
        self.write_rows(rows)
        self.check_round_trip(rows)
        self.assertIn(b"\r\n", self.answers.read_bytes()[:200])

    def test_of_plain_line_ends_and_a_byte_order_mark(self) -> None:
        rows = hard_rows(300)
        self.write_rows(rows, "\ufeff", lineterminator="\n", quoting=csv.QUOTE_ALL)
        self.check_round_trip(rows, encoding="utf-8-sig")
        self.assertTrue(self.answers.read_bytes().startswith(b"\xef\xbb\xbfid,text,"))

    def test_of_200_columns(self) -> None:
        rows = hard_rows(400, 200)
        self.write_rows(rows)
        self.check_round_trip(rows)

    @at_night
    def test_of_a_million_rows(self) -> None:
        """Python reads every row back correctly, and memory stays small: about 30 bytes for a row, held twice."""
        count = 1_000_000
        with self.table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "text", "note"])
            writer.writerows([f"id-{i}", f'row "{i}",\n第{i}行', ""] for i in range(1, count + 1))
        self.assertLess(self.peak("prepare", self.table, "--template", self.template, "--id", "id", "-o", self.jobs),
                        80 << 20)
        write_results(Results(self.jobs).output_path, (stored(f"id-{i}", f"answer\n{i}", i) for i in range(count, 0, -1)))
        self.assertLess(self.peak("extract", self.jobs, "--data", self.table, "--id", "id", "-o", self.answers), 80 << 20)
        with self.table.open(encoding="utf-8", newline="") as before, self.answers.open(encoding="utf-8", newline="") as after:
            seen = 0
            for row, answered in zip(csv.reader(before), csv.reader(after), strict=True):
                wanted = ["answer", "error"] if not seen else [f"answer\n{seen}", ""]
                self.assertEqual(answered, row + wanted)
                seen += 1
        self.assertEqual(seen, count + 1)

    def test_memory_does_not_grow_with_the_table(self) -> None:
        def peaks(count: int) -> tuple[int, int]:
            self.write_rows([["id", "text"], *([f"id-{i}", "x" * 400] for i in range(count))])
            first = self.peak("prepare", self.table, "--template", self.template, "--id", "id", "-o", self.jobs)
            write_results(Results(self.jobs).output_path, (stored(f"id-{i}", "y" * 400) for i in range(count)))
            return first, self.peak("extract", self.jobs, "--data", self.table, "--id", "id", "-o", self.answers)

        small, large = peaks(1000), peaks(60_000)  # 25 MB, and 60 MB of results
        for before, after in zip(small, large):
            self.assertLess(after - before, 8 << 20, f"{small} {large}")

    def peak(self, *words: Any) -> int:
        """The peak resident memory of the program in bytes. A separate process measures it: a fork of this process
        would be counted with the memory of this process."""
        look = ("import resource,subprocess,sys;code=subprocess.run(sys.argv[1:],stderr=subprocess.DEVNULL).returncode;"
                "print(code,resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
        seen = subprocess.run([sys.executable, "-c", look, program(), *map(str, words)], env=self.environment(),
                              capture_output=True, check=True, text=True)
        code, peak = map(int, seen.stdout.split())
        self.assertEqual(code, 0)
        return peak << 10

    @unittest.skipUnless(shutil.which("soffice"), "LibreOffice (soffice) is not installed")
    def test_through_libreoffice(self) -> None:
        """LibreOffice writes the table, and reads the answers again."""
        # All columns are text, since LibreOffice would change numbers. Its CSV has one kind of line end inside cells.
        rows = [[re.sub(r"[\r\t]", "", cell) for cell in row] for row in hard_rows(120)]
        options = "/".join(f"{column}/2" for column in range(1, 12))  # 2: the column is text
        self.write_rows(rows)
        environment = self.environment(HOME=str(self.folder))

        def through_office(path: Path) -> Path:
            out = self.folder / "office"
            reading = [f"--infilter=CSV:44,34,76,1,{options},,false,true"]  # comma, quote, UTF-8, from line 1
            to_csv = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true"
            for source, target, filters in ((path, "ods", reading), (out / f"{path.stem}.ods", to_csv, [])):
                subprocess.run(["soffice", "--headless", f"-env:UserInstallation=file://{self.folder}/profile", *filters,
                                "--convert-to", target, "--outdir", str(out), str(source)],
                               check=True, env=environment, capture_output=True, timeout=180)
            return out / f"{path.stem}.csv"

        self.table = through_office(self.table)
        self.assertEqual(rows_of(self.table), rows)
        self.check_round_trip(rows)
        before = rows_of(self.answers)
        self.assertEqual(rows_of(through_office(self.answers)), before)


class Prepared(TableCase):
    def test_from_every_kind_of_file(self) -> None:
        rows = [["id", "text"], ["1", "a\tb"], ["2", "你好"]]
        objects = [dict(zip(rows[0], row)) for row in rows[1:]]
        plain, tabs = written(rows).encode(), written(rows, delimiter="\t").encode()
        kinds: dict[str, tuple[bytes, list[str]]] = {
            "d.csv": (plain, []), "d.tsv": (tabs, []), "d.jsonl": (jsonl(objects), []),
            "d.csv.gz": (gzip.compress(plain), []), "d.txt": (tabs, ["--format", "tsv"]),
            "semicolons.csv": (written(rows, delimiter=";").encode(), ["--delimiter", ";"]),
            "gbk.csv": (plain.decode().encode("gb18030"), ["--encoding", "gb18030"]),
            "wide.csv": (plain.decode().encode("utf-16"), ["--encoding", "utf-16"])}
        if zstd := shutil.which("zstd"):
            kinds["d.jsonl.zst"] = (subprocess.run([zstd, "-c"], input=jsonl(objects), capture_output=True, check=True).stdout, [])
        expected = None
        for name, (content, flags) in kinds.items():
            with self.subTest(name):
                (self.folder / name).write_bytes(content)
                self.prepare("--id", "id", *flags, data=self.folder / name)
                expected = expected or self.jobs.read_bytes()
                self.assertEqual(self.jobs.read_bytes(), expected)
        for content in (plain, jsonl(objects)):
            self.prepare("--id", "id", data="-", stdin=content)
            self.assertEqual(self.jobs.read_bytes(), expected)
        self.assertEqual(read_jsonl(self.jobs), [
            batch(id, {**TEMPLATE, "messages": [{"role": "user", "content": f"Say: {text}"}]}) for id, text in rows[1:]])

    def test_by_model_system_and_endpoint(self) -> None:
        self.write_rows([["text"], ["a"]])
        self.write_template({"prompt": "{{text}}!"})
        self.prepare("--model", "m", "--system", "S {{text}}")
        [line] = read_jsonl(self.jobs)
        self.assertEqual(line, batch("row-1", {"model": "m", "messages": [
            {"role": "system", "content": "S a"}, {"role": "user", "content": "a!"}]}))
        self.write_template({"input": "{{text}}"})
        self.prepare("--model", "text-embedding-3-small")
        self.assertEqual(read_jsonl(self.jobs)[0]["url"], "/v1/embeddings")
        self.assertIn("names no model; give one with --model", self.prepare(expect=CANNOT_START).err)

    def test_a_job_that_runs(self) -> None:
        relay = self.relay()
        self.write_rows(hard_rows(40))
        self.prepare("--id", "id")
        self.run_job(self.jobs, relay)
        self.extract("--id", "id")
        self.assertEqual([row[:6] for row in rows_of(self.answers)], hard_rows(40))
        self.assertTrue(all(row[6] and not row[7] for row in rows_of(self.answers)[1:]))

    def test_limit_and_sample(self) -> None:
        self.write_rows([["text"], *([f"t{i}"] for i in range(500))])
        self.prepare("--limit", 3)
        self.assertEqual([line["custom_id"] for line in read_jsonl(self.jobs)], ["row-1", "row-2", "row-3"])
        self.prepare("--sample", 20, "--seed", 4)
        drawn = self.jobs.read_bytes()
        self.assertEqual(drawn.count(b"\n"), 20)
        self.prepare("--sample", 20, "--seed", 4)
        self.assertEqual(self.jobs.read_bytes(), drawn)
        self.prepare("--sample", 20, "--seed", 5)
        self.assertNotEqual(self.jobs.read_bytes(), drawn)

    def test_refusals_name_row_and_column_and_write_nothing(self) -> None:
        cases: list[tuple[str, dict[str, Any], list[Any], str]] = [
            ("id,text\n1,a\n", {"prompt": "{{txt}}"}, [], "{{txt}} names no column of .*: row 1 .* has id, text"),
            ("id,text\n1,a\n2,b\n1,c\n", TEMPLATE, ["--id", "id"], "row 3 .* has the same id in the column 'id' as row 1: 1"),
            ("id,text\n1,a\n2,b,c\n", TEMPLATE, [], r"row 2 \(line 3\) has 3 cell"),
            ("id,text\n1,\"a\n", TEMPLATE, [], r"row 1 \(line 2\) has a quote that is never closed"),
            ("id,text\n1,a\n", {**TEMPLATE, "custom_id": "{{id}}"}, [], "--template .* has a custom_id"),
            ("id,text\n1,a\n", {"model": "m"}, [], "--template .* has neither messages nor prompt nor input"),
            ("text\n../key.png\n", {"prompt": "{{file:text}}"}, ["--files", "."], "row 1 .* leads out of --files"),
            ("text\n", TEMPLATE, [], "has no rows"),
            ("text\na\n", {"prompt": "{text}"}, [], "names no column, so every row would make the same request"),
            ("id;text\n1;a\n", TEMPLATE, [], "row 1 .* has id;text; if cells end at another character, add --delimiter ';'"),
        ]
        for data, body, flags, expected in cases:
            with self.subTest(expected):
                self.table.write_text(data)
                self.write_template(body)
                err = self.prepare("--model", "m", *flags, expect=CANNOT_START).err
                self.assertRegex(err, expected)
                self.assertEqual(err.count("\n"), 1, err)
                self.assertEqual(sorted(path.name for path in self.folder.glob("job*")), [])
        self.table.write_bytes("id,text\n1,中文\n".encode("gb18030"))
        self.write_template(TEMPLATE)
        self.assertIn("--encoding, perhaps gb18030", self.prepare(expect=CANNOT_START).err)
        self.template.write_text('{"prompt": "{{text}}"')
        self.assertIn("is not valid JSON", self.prepare(expect=CANNOT_START).err)

    def test_no_other_file_is_overwritten(self) -> None:
        self.write_rows([["text"], ["a"]])
        for content in (jsonl(chats(1)), b"notes\n", self.table.read_bytes()):
            self.jobs.write_bytes(content)
            self.assertIn("so it is not replaced", self.prepare(expect=CANNOT_START).err)
            self.assertEqual(self.jobs.read_bytes(), content)
        self.jobs.unlink()
        self.prepare()
        first = self.jobs.stat()
        self.prepare()
        self.assertEqual(self.jobs.stat().st_ino, first.st_ino, "the same job is left alone")
        self.write_rows([["text"], ["b"]])
        self.prepare()
        self.assertEqual(read_jsonl(self.jobs)[0]["body"]["messages"][0]["content"], "Say: b")
        self.assertIn("overwrite", self.sluice("prepare", self.table, "--template", self.template, "-o", self.link(),
                                               expect=CANNOT_START).err)

    def link(self) -> Path:
        """Another name of the template."""
        name = self.folder / "link.jsonl"
        name.symlink_to(self.template)
        return name

    def test_files_go_in_as_data_urls(self) -> None:
        pictures = self.folder / "pictures"
        (pictures / "deep").mkdir(parents=True)
        (pictures / "a.png").write_bytes(PNG)
        (pictures / "deep" / "b.pdf").write_bytes(b"%PDF-1.7 text")
        self.write_rows([["file"], ["a.png"], ["deep/b.pdf"]])
        self.write_template({"model": "m", "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "{{file:file}}"}}]}]})
        err = self.prepare("--files", pictures).err
        self.assertRegex(err, r"2 put in, 277 bytes, 372 as base64; the largest is a.png with 264 bytes")
        urls = [line["body"]["messages"][0]["content"][0]["image_url"]["url"] for line in read_jsonl(self.jobs)]
        self.assertEqual(urls, ["data:image/png;base64," + base64.b64encode(PNG).decode(),
                                "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.7 text").decode()])
        self.assertIn("name their folder with --files", self.prepare(expect=CANNOT_START).err)

    def test_no_private_file_is_sent(self) -> None:
        pictures, secret = self.folder / "pictures", self.folder / "secret.png"
        pictures.mkdir()
        secret.write_bytes(PNG)
        (pictures / "link.png").symlink_to(secret)
        (pictures / "way").symlink_to(self.folder)
        (pictures / "text.png").write_text("root:x:0:0")
        self.write_template({"model": "m", "prompt": "{{file:file}}"})
        for name in ("../secret.png", str(secret), "link.png", "way/secret.png", "text.png", "none.png", "", "./../secret.png"):
            with self.subTest(name):
                self.write_rows([["file", "x"], [name, "x"]])
                self.assertRegex(self.prepare("--files", pictures, expect=CANNOT_START).err, "row 1 .*column 'file': the file ")
                self.assertFalse(self.jobs.exists())


class Extracted(TableCase):
    def setUp(self) -> None:
        super().setUp()
        self.write_rows([["id", "text"], ["a", "x"], ["b", "y"], ["c", "z"]])
        self.prepare("--id", "id")
        write_results(Results(self.jobs).output_path, [stored("c", '{"score": 7, "why": "z"}'), stored("a", "no JSON")])
        refused = {**stored("b", ""), "error": None,
                   "response": {"status_code": 400, "request_id": "", "body": {"error": {"message": "too long"}}}}
        refused["sluice"]["retryable"] = False
        write_results(Results(self.jobs).errors_path, [refused])

    def test_chosen_paths(self) -> None:
        run = self.extract("--id", "id", "--column", "score=.json.score", "--column", "end=.choices[0].finish_reason",
                           expect=SOME_FAILED)
        self.assertIn("3 row(s), 1 with an answer, 2 failed", run.err)
        names, a, b, c = rows_of(self.answers)
        self.assertEqual(names, ["id", "text", "score", "end", "error"])
        self.assertEqual(a[:4], ["a", "x", "", "stop"])
        self.assertIn("the answer is not JSON", a[4])
        self.assertEqual(b, ["b", "y", "", "", "400: too long"])
        self.assertEqual(c, ["c", "z", "7", "stop", ""])

    def test_objects(self) -> None:
        into = self.folder / "answers.jsonl"
        self.extract("--id", "id", "--column", "whole=.json", into=into, expect=SOME_FAILED)
        self.assertEqual(read_jsonl(into)[2], {"id": "c", "text": "z", "whole": {"score": 7, "why": "z"}, "error": ""})

    def test_results_in_another_place(self) -> None:
        self.out.mkdir()
        for path in (Results(self.jobs).output_path, Results(self.jobs).errors_path):
            path.rename(self.out / path.name)
        self.assertIn("there are no results in", self.extract("--id", "id", expect=CANNOT_START).err)
        self.extract("--id", "id", "--output-dir", self.out, expect=SOME_FAILED)
        by_folder = self.answers.read_bytes()
        self.sluice("extract", self.out / "job.output.jsonl", "--data", self.table, "--id", "id", "-o", self.answers,
                    expect=SOME_FAILED)
        self.assertEqual(self.answers.read_bytes(), by_folder)

    def test_standard_input(self) -> None:
        self.extract("--id", "id", expect=SOME_FAILED)
        expected = self.answers.read_bytes()
        self.extract("--id", "id", data="-", stdin=self.table.read_bytes(), expect=SOME_FAILED)
        self.assertEqual(self.answers.read_bytes(), expected)

    def test_another_name_for_failures(self) -> None:
        self.write_rows([["id", "error"], ["a", "x"], ["b", "y"]])
        self.assertIn("--column problem=.error", self.extract("--id", "id", expect=CANNOT_START).err)
        self.extract("--id", "id", "--column", "problem=.error", expect=SOME_FAILED)
        self.assertEqual(rows_of(self.answers), [["id", "error", "answer", "problem"], ["a", "x", "no JSON", ""],
                                                 ["b", "y", "", "400: too long"]])

    def test_wrong_ids_are_no_empty_table(self) -> None:
        self.assertIn("name the column of the ids with --id", self.extract(expect=CANNOT_START).err)
        self.write_rows([["id", "text"], ["a", "x"]])
        self.assertIn("2 result(s) belong to no row", self.extract("--id", "id", expect=0).err)

    def test_only_its_own_table_is_replaced(self) -> None:
        self.answers.write_text("id,text\nmine,1\n")
        self.assertIn("so it is not replaced", self.extract("--id", "id", expect=CANNOT_START).err)
        self.assertEqual(self.answers.read_text(), "id,text\nmine,1\n")
        self.assertIn("which this command reads", self.extract("--id", "id", into=self.table, expect=CANNOT_START).err)


class Whole(TableCase):
    """`sluice run DATA --template T -o OUT`."""

    def go(self, *flags: Any, expect: int = 0, relay: Any = None, **more: Any) -> Any:
        address = ["--base-url", relay.url, "--rpm", 0] if relay else ["--simulate"]
        return self.sluice("run", self.table, "--template", self.template, "-o", self.answers, *address, *flags,
                           expect=expect, **more)

    def test_the_sample(self) -> None:
        self.table, self.template = SAMPLES / "reviews.csv", SAMPLES / "reviews.json"
        run = self.go("--id", "id")
        self.assertIn("answers.csv: 12 row(s), 12 with an answer", run.err)
        rows = rows_of(self.answers)
        self.assertEqual([row[:3] for row in rows], rows_of(self.table))
        self.assertEqual(rows[0][3:], ["answer", "error"])
        self.assertTrue(all(row[3] and not row[4] for row in rows[1:]))
        page = (SAMPLES.parent / "docs" / "datasets.md").read_text("utf-8")
        for shown in (self.table, self.answers):
            self.assertIn("\n".join(shown.read_text("utf-8").splitlines()[:3]), page, "the page shows other lines")
        self.assertIn(self.template.read_text("utf-8"), page)
        self.assertEqual(sorted(path.name for path in self.folder.glob("answers*")),
                         ["answers.csv", "answers.errors.jsonl", "answers.jsonl", "answers.output.jsonl",
                          "answers.totals.json"])

    def test_objects_keep_the_job_under_a_name_of_its_own(self) -> None:
        self.table = self.job([{"text": "a"}, {"text": "b"}], "data.jsonl")
        self.answers = self.folder / "answers.jsonl"
        self.go()
        self.assertEqual([row["text"] for row in read_jsonl(self.answers)], ["a", "b"])
        self.assertTrue((self.folder / "answers.job.output.jsonl").exists())

    def test_goes_on_where_it_stopped_and_grows_with_the_table(self) -> None:
        relay = self.relay()
        self.write_rows([["text"], *([f"t{i}"] for i in range(10))])
        run = self.go("--limit", 4, relay=relay)
        self.assertIn("10 row(s), 4 with an answer, 6 without a result", run.err)
        self.go(relay=relay)
        self.assertEqual(relay.attempts, 10)
        whole = self.answers.read_bytes()
        self.go(relay=relay)
        self.assertEqual((relay.attempts, self.answers.read_bytes()), (10, whole))
        self.write_rows([["text"], *([f"t{i}"] for i in range(12))])
        self.go(relay=relay)
        self.assertEqual(relay.attempts, 12)
        self.assertTrue(self.answers.read_bytes().startswith(whole))

    def test_a_changed_row_or_template_is_refused_and_loses_nothing(self) -> None:
        relay = self.relay()
        self.write_rows([["text"], ["a"], ["b"], ["c"]])
        self.go(relay=relay)
        results, answers = Results(self.folder / "answers.jsonl").bytes(), self.answers.read_bytes()
        self.write_rows([["text"], ["a"], ["B"], ["c"]])
        self.assertIn("row-2", self.go(relay=relay, expect=CANNOT_START).err)
        self.write_template({**TEMPLATE, "temperature": 0})
        self.assertIn("--changed", self.go(relay=relay, expect=CANNOT_START).err)
        self.assertEqual((Results(self.folder / "answers.jsonl").bytes(), self.answers.read_bytes()), (results, answers))
        self.write_template(TEMPLATE)
        self.go("--changed", "redo", relay=relay)
        self.assertEqual(relay.attempts, 4)
        self.assertEqual([row[0] for row in rows_of(self.answers)], ["text", "a", "B", "c"])

    def test_a_stopped_run_writes_no_table_and_says_how(self) -> None:
        self.write_rows([["text"], *([f"t{i}"] for i in range(40))])
        run = self.go("--budget", "0.0000001", expect=STOPPED)
        self.assertFalse(self.answers.exists())
        command = re.search(r"what is there now: sluice (extract .*)", run.err)
        assert command
        self.sluice(*shlex.split(command[1]), expect=SOME_FAILED)
        self.assertEqual(rows_of(self.folder / "answers.part.csv")[1], ["t0", "", "no result"])

    def test_failures_are_marked(self) -> None:
        relay = self.relay(script=[{"status": 400, "body": {"error": {"message": "bad words"}}}])
        self.write_rows([["text"], ["a"], ["b"]])
        self.go("--concurrency", 1, "--column", "said=.content", relay=relay, expect=SOME_FAILED)
        rows = rows_of(self.answers)
        self.assertEqual(rows[0], ["text", "said", "error"])
        self.assertEqual(rows[1], ["a", "", "400: bad words"])
        self.assertEqual(rows[2][2], "")

    def test_what_is_refused_before_anything_is_sent(self) -> None:
        relay = self.relay()
        self.write_rows([["text"], ["a"]])
        cases: list[tuple[list[Any], str]] = [
            (["run", self.table, "--template", self.template], "--template needs -o FILE"),
            (["run", self.table, "--template", self.template, "-o", "x.txt"], "ends with .csv or .jsonl"),
            (["run", self.table, self.table, "--template", self.template, "-o", "x.csv"], "is for one table"),
            (["run", "-", "--template", self.template, "-o", "x.csv"], "save it to a file"),
            (["run", self.table, "--template", self.template, "-o", "x.csv", "--output-dir", "o"], "leave out --output-dir"),
            (["run", self.table, "--template", self.template, "-o", "x.csv", "--column", "text=.content"],
             "has a column 'text' already"),
            (["run", self.table, "--template", self.template, "-o", "x.csv", "--column", "a=content"], "is no path"),
            (["run", self.jobs, "--id", "id"], "--id is for a run of a table"),
            (["run", self.table, "--template", self.template, "-o", self.table], "which this command reads"),
        ]
        for words, expected in cases:
            with self.subTest(expected):
                self.assertIn(expected, self.sluice(*words, "--base-url", relay.url, expect=CANNOT_START).err)
        self.sluice("run", self.table, "--template", self.template, "-o", self.folder / "trial.csv", "--simulate")
        self.assertIn("another place with -o or --output-dir", self.sluice(
            "run", self.table, "--template", self.template, "-o", self.folder / "trial.csv", "--base-url", relay.url,
            expect=CANNOT_START).err)
        self.answers.write_text("text\nmine\n")
        self.assertIn("so it is not replaced", self.go(relay=relay, expect=CANNOT_START).err)
        self.assertEqual(relay.attempts, 0)
        self.assertEqual(self.table.read_text(), "text\n\na\n".replace("\n\n", "\n"))

    def test_a_changed_table_does_not_disturb_a_run(self) -> None:
        relay = self.relay("--delay-max", "2")
        self.write_rows([["text"], *([f"t{i}"] for i in range(6))])
        words = ["run", self.table, "--template", self.template, "-o", self.answers, "--base-url", relay.url, "--rpm", 0,
                 "--concurrency", 1]
        first = self.start(*words)
        wait_until(lambda: relay.attempts > 0, "a request arrives")
        job = (self.folder / "answers.jsonl").read_bytes()
        self.sluice(*words, expect=CANNOT_START)
        self.write_rows([["text"], ["other"]])
        self.assertIn("another run is using it", self.sluice(*words, expect=CANNOT_START).err)
        self.assertEqual((self.folder / "answers.jsonl").read_bytes(), job)
        self.assertTrue(first.running)
        first.process.kill()


    def test_a_table_that_changes_during_the_run_gets_no_answers_in_wrong_rows(self) -> None:
        relay = self.relay("--delay-max", "2")
        self.write_rows([["text"], ["a"], ["b"]])
        run = self.start("run", self.table, "--template", self.template, "-o", self.answers, "--base-url", relay.url,
                         "--rpm", 0)
        wait_until(lambda: relay.attempts > 0, "a request arrives")
        self.write_rows([["text"], ["new"], ["a"], ["b"]])
        self.assertEqual(run.wait().code, CANNOT_START)
        self.assertIn("has changed during the run", run.err)
        self.assertFalse(self.answers.exists())
        self.write_rows([["text"], ["a"], ["b"]])
        self.go(relay=relay)
        self.assertEqual((relay.attempts, [row[0] for row in rows_of(self.answers)]), (2, ["text", "a", "b"]))


class Crashes(TableCase):
    """The program is killed at a file operation, or the disk fails there. The table is then complete, or missing."""

    step = 1 if os.environ.get("SLUICE_NIGHTLY") else 5

    def setUp(self) -> None:
        super().setUp()
        shim()
        self.server = self.simulator(ttft="0")
        self.inputs = self.folder / "in"
        self.inputs.mkdir()
        self.table = self.inputs / "data.csv"
        self.write_rows([["id", "text"], *([f"i{n}", f"text {n},\n你好 " * 40_000] for n in range(3))])
        self.template = self.template.rename(self.inputs / "t.json")

    def words(self, command: str, folder: Path) -> list[Any]:
        at = {"prepare": ["-o", folder / "job.jsonl"], "run": ["-o", folder / "out.csv", "--rpm", 0, "--base-url",
              self.server.url, "--durability", "each", "--grace", "1ms", "-q"],
              "extract": ["-o", folder / "out.csv"]}[command]
        if command == "extract":
            return ["extract", self.inputs / "job.jsonl", "--data", self.table, "--id", "id", *at]
        return [command, self.table, "--template", self.template, "--id", "id", *at]

    def begin(self, command: str, folder: Path, **settings: object) -> Any:
        env: dict[str, str | None] = {"LD_PRELOAD": shim(), "SHIM_UNDER": str(folder),
                                      "ASAN_OPTIONS": "verify_asan_link_order=0",
                                      **{f"SHIM_{name.upper()}": str(value) for name, value in settings.items()}}
        run = self.start(*self.words(command, folder), env=env if settings else {}).wait()
        ended = (run.code, run.err)
        run.close()
        return ended

    def check(self, command: str, target: str) -> None:
        reference = self.folder / "reference"
        reference.mkdir()
        trace = self.folder / "trace"
        code, err = self.begin(command, reference, trace=trace)
        self.assertEqual(code, 0, err)
        expected = (reference / target).read_bytes()
        names = sorted(path.name for path in reference.iterdir())
        for number, operation in enumerate(traced(trace)):
            if number % self.step:
                continue
            for kind in ("before", "after", "fail") + (("middle",) if operation.name == "write" else ()):
                with self.subTest(operation=operation, kind=kind):
                    folder = self.folder / f"place-{number}-{kind}"
                    folder.mkdir()
                    if kind == "fail":
                        code, err = self.begin(command, folder, fail=operation.number, errno=errno.EIO, trace=trace)
                        failed = {one.name for one in traced(trace)[operation.number - 1:]}  # not as in the first run
                        if not failed <= HARMLESS:
                            self.assertIn(code, (CANNOT_START, RESULTS_LOST), err)
                    else:
                        self.begin(command, folder, kill=operation.number, when=kind)
                    if (folder / target).exists():
                        self.assertEqual((folder / target).read_bytes(), expected)
                    code, err = self.begin(command, folder)
                    self.assertEqual(code, 0, err)
                    self.assertEqual((folder / target).read_bytes(), expected)
                    self.assertEqual(sorted(path.name for path in folder.iterdir()), names)
                    shutil.rmtree(folder)

    def test_prepare(self) -> None:
        self.check("prepare", "job.jsonl")

    def test_extract(self) -> None:
        self.jobs = self.inputs / "job.jsonl"
        self.prepare("--id", "id")
        write_results(Results(self.jobs).output_path, [stored(f"i{n}", "answer " * 9000) for n in range(3)])
        self.check("extract", "out.csv")

    def test_whole_run(self) -> None:
        self.write_rows([["id", "text"], *([f"i{n}", f"text {n},\n你好"] for n in range(3))])
        self.check("run", "out.csv")


if __name__ == "__main__":
    unittest.main()
