"""`cmake --install`, and the programs of docs/library.md, which link the installed library."""

from __future__ import annotations

import re
import shutil
import subprocess
import unittest
from pathlib import Path

from support import KEY, ROOT, Case, chats, program

EXAMPLES = ROOT / "tests" / "library"
BUILD = Path(program()).parent


def run(*words: object, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)  # type: ignore[call-overload]


class Installed(Case):
    def install(self) -> Path:
        prefix = self.folder / "prefix"
        done = run("cmake", "--install", BUILD, "--prefix", prefix)
        self.assertEqual(done.returncode, 0, done.stderr)
        return prefix

    def test_the_files(self) -> None:
        prefix = self.install()
        found = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
        library = "lib/x86_64-linux-gnu" if "lib/x86_64-linux-gnu/libsluice.a" in found else "lib"
        self.assertLessEqual({
            "bin/sluice", "include/sluice/version.hpp", "include/sluice/engine.hpp", f"{library}/libsluice.a",
            f"{library}/pkgconfig/sluice.pc", f"{library}/cmake/sluice/sluice-config.cmake",
            "share/man/man1/sluice.1", "share/bash-completion/completions/sluice",
            "share/zsh/vendor-completions/_sluice", "share/fish/vendor_completions.d/sluice.fish",
            "share/doc/sluice/LICENSE", "share/doc/sluice/NOTICE"}, found)
        version = run(prefix / "bin/sluice", "--version").stdout.split()[1]
        self.assertIn(f'"{version}"', (prefix / "include/sluice/version.hpp").read_text())
        self.assertIn(f"sluice {version}", (prefix / "share/man/man1/sluice.1").read_text())
        self.assertIn(f"Version: {version}", (prefix / library / "pkgconfig/sluice.pc").read_text())

    def test_programs_of_others(self) -> None:
        prefix = self.install()
        build = self.folder / "build"
        launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        for words in (["cmake", "-S", EXAMPLES, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", *launcher],
                      ["cmake", "--build", build, "--parallel", "2"]):
            done = run(*words)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        relay = self.simulator()
        self.job(chats(3))
        env = {"PATH": "/usr/bin:/bin", "OPENAI_BASE_URL": relay.url, "OPENAI_API_KEY": KEY}
        done = run(build / "job_on_files", cwd=self.folder, env=env)
        self.assertEqual((done.returncode, done.stdout), (0, "3 succeeded \n"), done.stderr)
        self.assertEqual(len((self.folder / "job.output.jsonl").read_text().splitlines()), 3)
        done = run(build / "own_source", cwd=self.folder, env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(re.findall(r"^question-\d: \{", done.stdout, flags=re.M), [f"question-{i}: {{" for i in (1, 2, 3)])
        del env["OPENAI_API_KEY"]
        done = run(build / "own_source", cwd=self.folder, env=env)
        self.assertRegex(done.stdout, "^stopped: HTTP 401 for gpt-4o-mini: ")

    def test_pkg_config_links_a_program(self) -> None:
        prefix = self.install()
        folder = next(prefix.rglob("sluice.pc")).parent
        flags = run("pkg-config", "--cflags", "--libs", "sluice", env={"PKG_CONFIG_PATH": str(folder), "PATH": "/usr/bin:/bin"})
        self.assertEqual(flags.returncode, 0, flags.stderr)
        compiler = ["ccache", "c++"] if shutil.which("ccache") else ["c++"]
        words = flags.stdout.split()
        object_file = self.folder / "own_source.o"
        done = run(*compiler, "-c", EXAMPLES / "own_source.cpp", "-o", object_file,
                   *(word for word in words if not word.startswith(("-l", "-L"))))
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run("c++", object_file, "-o", self.folder / "own_source", *words)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_page_shows_these_programs(self) -> None:
        blocks = re.findall(r"```cpp\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), flags=re.S)
        self.assertEqual(blocks, [(EXAMPLES / name).read_text() for name in ("job_on_files.cpp", "own_source.cpp")])


if __name__ == "__main__":
    unittest.main()
