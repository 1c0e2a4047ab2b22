"""A short run of hostile_soak.py."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest

from support import HERE, Case, program


class Soak(Case):
    def soak(self, *flags: str) -> None:
        command = [sys.executable, str(HERE / "hostile_soak.py"), "--binary", program(), "--seed",
                   os.environ.get("SLUICE_SOAK_SEED", "4"), *flags]
        done = subprocess.run(command, env=self.environment(), cwd=self.folder, timeout=300, capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}")
        self.assertIn('"rounds"', done.stdout)


class UntilDone(Soak):
    def test_killed_and_stopped_runs_complete_their_jobs(self) -> None:
        self.soak("--minutes", "0.5")


class UnderABudget(Soak):
    def test_the_relay_never_bills_more(self) -> None:
        self.soak("--minutes", "0.3", "--budget", "0.0008")


if __name__ == "__main__":
    unittest.main()
