"""`sluice completion SHELL` in the real shells, and the man page as `man` shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
import unittest
from pathlib import Path

from support import Case, program


def words_of(text: str) -> set[str]:
    """The flags that a help text lists."""
    return set(re.findall(r"^  (?:-\w, )?(--[a-z][a-z-]*)", text, flags=re.M))


class Completion(Case):
    def script(self, shell: str) -> str:
        return self.sluice("completion", shell).out

    def bash(self, *line: str) -> set[str]:
        """What bash offers for the last word of a line."""
        source = self.folder / "sluice.bash"
        source.write_text(self.script("bash"))
        words = " ".join(f"'{word}'" for word in line)
        done = subprocess.run(
            ["bash", "-c", f"source {source}; COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; _sluice;"
             ' printf "%s\\n" "${COMPREPLY[@]}"'], check=True, capture_output=True, text=True, cwd=self.folder)
        self.assertEqual(done.stderr, "")
        return set(done.stdout.split("\n")) - {""}

    def commands(self) -> list[str]:
        text = self.sluice("-h").out
        return re.findall(r"^  ([a-z]+) ", text[text.index("Commands:"):text.index("\nHelp:")], flags=re.M)

    def test_bash_offers_what_the_help_shows(self) -> None:
        names = self.commands()
        self.assertIn("run", names)
        self.assertLess(set(names), self.bash("sluice", ""))
        for name in names:
            with self.subTest(name):
                expected = words_of(self.sluice(name, "--help").out)
                self.assertEqual(self.bash("sluice", name, "--"), expected)

    def test_bash_offers_values(self) -> None:
        (self.folder / "job.jsonl").write_text("")
        (self.folder / "folder").mkdir()
        for line, expected in ((("run", "--pace", ""), {"burst", "even"}), (("run", "--pace", "e"), {"even"}),
                               (("run", "--simulate", "=", "fa"), {"faulty"}), (("completion", ""), {"bash", "zsh", "fish"}),
                               (("run", "--budget", ""), set()), (("run", "jo"), {"job.jsonl"}),
                               (("run", "--output-dir", ""), {"folder"}), (("help", "ru"), {"run"})):
            with self.subTest(line):
                self.assertEqual(self.bash("sluice", *line), expected)

    @unittest.skipUnless(shutil.which("zsh"), "needs zsh")
    def test_zsh_takes_the_script(self) -> None:
        functions = self.folder / "functions"
        functions.mkdir()
        (functions / "_sluice").write_text(self.script("zsh"))
        done = subprocess.run(["zsh", "-f", "-c", f"fpath=({functions} $fpath); autoload -Uz compinit; compinit -u -D;"
                               " autoload +X _sluice && print ${_comps[sluice]}"], capture_output=True, text=True)
        self.assertEqual((done.stdout, done.stderr), ("_sluice\n", ""))

    @unittest.skipUnless(shutil.which("fish"), "needs fish")
    def test_fish_offers_what_the_help_shows(self) -> None:
        source = self.folder / "sluice.fish"
        source.write_text(self.script("fish"))

        def offered(line: str) -> set[str]:
            done = subprocess.run(["fish", "--no-config", "-c", f"source {source}; complete -C '{line}'"], check=True,
                                  capture_output=True, text=True, cwd=self.folder, env={"HOME": str(self.folder),
                                                                                       "PATH": "/usr/bin:/bin"})
            self.assertEqual(done.stderr, "")
            return {row.split("\t")[0] for row in done.stdout.splitlines()}

        for name in self.commands():
            with self.subTest(name):
                self.assertEqual(offered(f"sluice {name} --"), words_of(self.sluice(name, "--help").out))
        self.assertEqual(offered("sluice run --pace "), {"burst", "even"})

    def test_an_unknown_shell(self) -> None:
        self.assert_one_sentence(self.sluice("completion", "bsah", expect=2), "bash", "fish")
        self.assert_one_sentence(self.sluice("completion", expect=2), "name one shell")


class Manual(Case):
    @unittest.skipUnless(shutil.which("groff"), "needs groff")
    def test_groff_takes_the_man_page(self) -> None:
        tool = Path(program()).parent / "src" / "write_manual"
        page = subprocess.run([tool, "man", "2026-11-28"], check=True, capture_output=True, text=True).stdout
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=page, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        plain = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout)
        self.assertIn("NAME", plain)
        self.assertIn("--max-attempts N", plain)


if __name__ == "__main__":
    unittest.main()
