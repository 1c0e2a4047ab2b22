"""tests/includes/check finds errors that a test makes on purpose, and finds no errors in this project."""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CHECK = Path(__file__).with_name("check")
ROOT = CHECK.resolve().parents[2]


class Includes(unittest.TestCase):
    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="sluice-includes-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.table("low\nhigh low  # and a word\n")
        self.write("low/a.hpp", '#pragma once\n#include "sluice/error.hpp"\n')
        self.write("high/b.cpp", '#include "high/b.hpp"\n#include "low/a.hpp"\n#include <vector>\n')

    def table(self, text: str) -> None:
        self.write("../tests/includes/rooms.txt", text)

    def write(self, name: str, text: str) -> None:
        path = self.root / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def check(self, root: Path) -> tuple[int, str]:
        done = subprocess.run([sys.executable, CHECK, root], capture_output=True, text=True)
        return done.returncode, done.stderr

    def test_the_tree_keeps_to_its_table(self) -> None:
        self.assertEqual(self.check(ROOT), (0, ""))

    def test_what_is_allowed_passes(self) -> None:
        self.assertEqual(self.check(self.root), (0, ""))

    def test_a_forbidden_include_is_named_with_file_and_line(self) -> None:
        self.write("low/c.cpp", '#include "low/a.hpp"\n\n#include "high/b.hpp"\n')
        code, told = self.check(self.root)
        self.assertEqual(code, 1)
        self.assertIn("src/low/c.cpp:3: low may not see high (high/b.hpp)", told)

    def test_a_room_without_public_headers_is_held_to_that(self) -> None:
        self.table("json\n")
        shutil.rmtree(self.root / "src" / "low")
        shutil.rmtree(self.root / "src" / "high")
        self.write("json/a.hpp", '#include "sluice/error.hpp"\n')
        self.assertIn("src/json/a.hpp:1: json may not see public headers", self.check(self.root)[1])

    def test_a_loop_between_rooms_is_named(self) -> None:
        self.table("low middle\nmiddle high\nhigh low\n")
        code, told = self.check(self.root)
        self.assertEqual(code, 1)
        self.assertIn("low → middle → high → low", told)

    def test_a_room_that_holds_too_much_is_named(self) -> None:
        self.table("".join(f"room{i}\n" for i in range(10)))
        shutil.rmtree(self.root / "src" / "low")
        shutil.rmtree(self.root / "src" / "high")
        for i in range(10):
            self.write(f"room{i}/a.cpp", "//\n" * (2500 if i == 3 else 1500))
        code, told = self.check(self.root)
        self.assertEqual((code, told), (1, "src/room3:1: holds 2500 of 16000 lines, more than 15%\n"))

    def test_a_file_in_no_room_is_named(self) -> None:
        self.write("loose.cpp", "")
        self.assertIn("src/loose.cpp:1: lies in no room", self.check(self.root)[1])


if __name__ == "__main__":
    unittest.main()
