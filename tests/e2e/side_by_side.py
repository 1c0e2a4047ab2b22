#!/usr/bin/env python3
"""Runs several test classes in parallel, for tests that mostly wait: python3 side_by_side.py NAME..."""

from __future__ import annotations

import subprocess
import sys

running = [(name, subprocess.Popen([sys.executable, "-m", "unittest", name], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)) for name in sys.argv[1:]]
failed = False
for name, process in running:
    output, _ = process.communicate()
    print(f"{name}\n{output}", flush=True)
    failed = failed or process.returncode != 0
sys.exit(failed)
