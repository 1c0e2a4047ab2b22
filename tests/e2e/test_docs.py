"""The commands in the README and the documentation work as printed, and what the pages name exists."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from postgres import Postgres
from support import KEY, ROOT, Case, chats, jsonl, program
from test_serve import Serve

DOCS = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md"))
CHINESE = ["README.zh-CN.md", *(page for page in DOCS if page.endswith(".zh-CN.md"))]
# The Chinese pages have the same commands as the English pages. A test compares them, so they need not run twice.
PAGES = ["README.md", "jobs/README.md", *(page for page in DOCS if page not in CHINESE)]
IN_ORDER = {"docs/datasets.md", "docs/many-machines.md", "docs/serve.md"}  # a command uses the files of the one before
OTHER_TEST = {"docs/nightly.md"}  # test_nightly.py runs these commands
# These build, install or test the project, or belong to the system.
NOT_SLUICE = ("cmake", ".ci/packages", "tests/run", "podman", "systemctl", "journalctl", "#", "export", "sed")
SLOW = ("--find-limit", "--duration", "--sweep", "--pace even")  # take minutes: at night only
BLOCK = re.compile(r"```(?:console|sh)\n(.*?)```", re.S)


def commands_of(page: str) -> list[str]:
    """The commands of the blocks: lines behind "$ ", or all lines of a block without such lines."""
    found: list[str] = []
    for block in BLOCK.findall((ROOT / page).read_text()):
        lines = block.replace("\\\n", " ").splitlines()
        marked = [line[2:] for line in lines if line.startswith("$ ")]
        found += marked or lines
    return [re.sub(r"\s+# .*", "", line) for line in found if line.strip()]


class Commands(Case):
    """Each page has a folder with the files that its commands name."""

    def setUp(self) -> None:
        super().setUp()
        # The relay has no limit, and each folder has its own window, so no command waits for another one.
        flags = ("--ttft", "0", "--itl", "0", "--tokens", "5", "--software", "new-api", "--rpm", "0")
        self.relay_url, self.red_url = self.simulator(*flags).url, self.simulator(*flags).url
        served = Serve(self.folder, self.relay_url)
        self.addCleanup(served.kill)
        self.serve_url = served.url.removesuffix("/v1")
        self.postgres = Postgres()
        self.addCleanup(self.postgres.close)
        self.databases: set[str] = set()
        _, self.certificate_file, self.key_file = self.certificate("serve", "IP:127.0.0.1")
        bin_folder = self.folder / "bin"
        bin_folder.mkdir()
        (bin_folder / "sluice").symlink_to(program())
        self.path = f"{bin_folder}:{os.environ['PATH']}"

    def fill(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        shutil.copytree(ROOT / "jobs", folder / "jobs")
        lines = jsonl(chats(4))
        (folder / "a.jsonl").write_bytes(lines)
        (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines))
        prompts = b'{"prompt":"one"}\n{"prompt":"two"}\n'
        (folder / "prompts.jsonl").write_bytes(prompts)
        (folder / "prompts.gz").write_bytes(gzip.compress(prompts))
        rows = b"id,text\n" + b"".join(b"r%d,row %d\n" % (i, i) for i in range(1, 5))
        (folder / "data.csv").write_bytes(rows)
        (folder / "rows.csv").write_bytes(rows)
        (folder / "answer.schema.json").write_text('{"type": "object"}')
        (folder / "data.csv.gz").write_bytes(gzip.compress(rows))
        table = b"".join(json.dumps({"text": i}).encode() + b"\n" for i in range(4))
        subprocess.run(["zstd", "-q", "-o", folder / "rows.jsonl.zst"], input=table, check=True)
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "{{text}}"}]}
        (folder / "t.json").write_text(json.dumps(body))
        image = {"type": "image_url", "image_url": {"url": "{{file:image}}"}}
        (folder / "receipt.json").write_text(json.dumps({**body, "messages": [{"role": "user", "content": [image]}]}))
        for table_name, images in (("scans.csv", "scans"), ("receipts.csv", "receipts")):
            (folder / images).mkdir()
            (folder / images / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 jpg")
            (folder / table_name).write_text("image,text\na.jpg,one\n")
        shutil.copy(self.certificate_file, folder / "cert.pem")
        shutil.copy(self.key_file, folder / "key.pem")
        (folder / "keys.toml").write_text('[[key]]\nname = "a"\nkey = "sk-0123456789abcdef"\n')
        (folder / "report.txt").write_text("A long report.\n")
        (folder / ".zfunc").mkdir()
        (folder / ".config/fish/completions").mkdir(parents=True)
        shutil.copy(ROOT / "src/money/prices.json", folder / "new-prices.json")

    def database(self, folder: Path, words: str) -> str:
        """The name of the page's own database. Creates the database if the page does not create it itself."""
        name = "docs_" + re.sub(r"\W", "_", folder.name)
        if name not in self.databases and ("createdb" in words or "db.example" in words):
            self.databases.add(name)
            if "createdb" not in words:
                self.postgres.sql(f"CREATE DATABASE {name}")
        return name

    def begin(self, folder: Path, words: str) -> subprocess.CompletedProcess[str]:
        database = self.database(folder, words)
        words = words.replace("createdb sluice", f"createdb {database}")
        words = words.replace("postgresql://db.example/sluice", f'"{self.postgres.socket_url(database)}"')
        words = re.sub(r"https://red\.example(/v1)?", self.red_url, words)
        words = re.sub(r"https://[a-z]+\.example(/v1)?|http://127\.0\.0\.1:8787", self.relay_url, words)
        words = words.replace("sluice simulate", "timeout -s INT 2 sluice simulate --port 0")
        words = re.sub(r"sluice work\b(.*--forever)", r"timeout -s INT 2 sluice work\1", words)
        words = re.sub(r"sluice serve\b(.*?--listen \S+)?", r"timeout -s INT 2 sluice serve --listen 127.0.0.1:0", words)
        words = words.replace("http://127.0.0.1:8080", self.serve_url)
        env = {"PATH": self.path, "HOME": str(folder), "XDG_STATE_HOME": str(folder / ".state"),
               "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": self.relay_url, "LANG": "C.UTF-8",
               "PGHOST": self.postgres.dir, "PGPORT": str(self.postgres.port), "PGUSER": "postgres"}
        return subprocess.run(["bash", "-o", "pipefail", "-c", words], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=400)

    def prepare_for(self, words: str, folder: Path) -> None:
        """Makes the job for a command, and results if the command needs them."""
        if "--expect schema " in words and "--template" in words:
            body = json.loads((folder / "t.json").read_text())
            schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
            (folder / "t.json").write_text(json.dumps({**body, "response_format": schema}))
        if "sluice prepare" in words or "jobs/reviews" in words:
            return
        before = "sluice prepare data.csv --template t.json -o job.jsonl"
        if re.search(r"sluice (report|extract)", words):
            before += " && sluice run job.jsonl a.jsonl b.jsonl.gz -q"
            before += " && sluice run jobs/authenticity.jsonl --simulate --output-dir out -q"
        if "sluice collect" in words:
            store = "--store postgresql://db.example/sluice"
            before += f" && sluice enqueue job.jsonl {store} -q && sluice work {store} --rpm 0 -q"
        if re.search(r"--(relay|target) blue", words):
            (folder / "sluice.toml").write_text(f'[[relay]]\nname = "blue"\nbase_url = "{self.relay_url}"\n')
        if words.startswith("git diff"):
            before += " && git init -q . && git add job.jsonl && echo more >> job.jsonl"
        done = self.begin(folder, before)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_every_command_works(self) -> None:
        night = bool(os.environ.get("SLUICE_NIGHTLY"))
        count = 0
        for page in PAGES:
            for words in commands_of(page):
                skipped = words.startswith(NOT_SLUICE) or "…" in words or page in OTHER_TEST
                if skipped or (not night and any(part in words for part in SLOW)):
                    continue
                folder = self.folder / f"{page.replace('/', '-')}-{0 if page in IN_ORDER else count}"
                if not folder.exists():
                    self.fill(folder)
                    self.prepare_for(words, folder)
                with self.subTest(f"{page}: {words}"):
                    done = self.begin(folder, words)
                    allowed = (124, 130) if re.search("sluice (simulate|serve|work .*--forever)", words) else (0, 1) if re.search(r"\.json\.score|--expect", words) else (0,)
                    self.assertIn(done.returncode, allowed, done.stderr + done.stdout)
                count += 1
        self.assertGreater(count, 60)


class Pages(unittest.TestCase):
    def test_links_lead_to_files_and_headings(self) -> None:
        for page in [*PAGES, *CHINESE, "CONTRIBUTING.md"]:
            text = (ROOT / page).read_text()
            for target in re.findall(r"\]\(([^)#\s]+)?(?:#([^)\s]+))?\)", re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.S)):
                path, anchor = target
                if path.startswith("http"):
                    continue
                file = (ROOT / page).parent / path if path else ROOT / page
                with self.subTest(f"{page}: {path}#{anchor}"):
                    self.assertTrue(file.exists())
                    if anchor and file.suffix == ".md":
                        headings = re.findall(r"^#+ (.*)", file.read_text(), flags=re.M)
                        anchors = {re.sub(r"[^\w\s-]", "", head.lower()).replace(" ", "-") for head in headings}
                        self.assertIn(anchor, anchors)

    def test_the_chinese_pages_are_in_step(self) -> None:
        def shape(text: str) -> list[str]:
            """The levels of the headings, and the lines of code without their comments."""
            lines: list[str] = []
            inside = False
            for line in text.splitlines():
                inside ^= line.startswith("```")
                if inside:
                    lines.append(re.sub(r"(^|\s+)# .*", "", line))
                elif line.startswith("#"):
                    lines.append(line.split(" ")[0])
            return lines

        def links(text: str) -> list[str]:
            """The targets of all links, without what differs between the languages: anchors and .zh-CN."""
            return [re.sub(r"^#.*", "#", to).replace(".zh-CN", "") for to in re.findall(r"\]\((\S+?)\)", text)]

        for name in CHINESE:
            with self.subTest(name):
                english, chinese = ((ROOT / page).read_text() for page in (name.replace(".zh-CN", ""), name))
                self.assertEqual(shape(english), shape(chinese))
                self.assertEqual(links(english)[1:], links(chinese)[1:], "the first one leads to the other language")
                own = Path(name).name
                self.assertIn(f"]({own})", english)
                self.assertIn(f"]({own.replace('.zh-CN', '')})", chinese)
                rows = [[line.count("|") for line in text.splitlines() if line.startswith("|")]
                        for text in (english, chinese)]
                self.assertEqual(*rows, "the rows of the tables")

    def test_every_page_is_named_in_the_readme(self) -> None:
        for page in DOCS:
            readme = "README.zh-CN.md" if page in CHINESE else "README.md"
            self.assertIn(page, (ROOT / readme).read_text())


if __name__ == "__main__":
    unittest.main()
