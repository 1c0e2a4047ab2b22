"""Packs the program into a wheel, so that pip, pipx and uv install it. Needs only Python.

Usage: wheel.py VERSION TREE OUT   (TREE: the installed files, with bin/sluice)
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def oldest_glibc(program: Path) -> str:
    """The version of glibc that the program needs, like 2_36."""
    symbols = subprocess.run(["objdump", "-T", program], check=True, capture_output=True, text=True).stdout
    versions = {tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_(\d+\.\d+)", symbols)}
    return "_".join(map(str, max(versions)))


def main() -> None:
    version, tree, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    program = tree / "bin" / "sluice"
    tag = f"py3-none-manylinux_{oldest_glibc(program)}_{os.uname().machine}"
    info = f"sluice_batch-{version}.dist-info"
    data = f"sluice_batch-{version}.data"
    readme = (ROOT / "README.md").read_text()
    files: dict[str, tuple[bytes, int]] = {
        f"{data}/scripts/sluice": (program.read_bytes(), 0o755),
        f"{data}/data/share/man/man1/sluice.1": ((tree / "share/man/man1/sluice.1").read_bytes(), 0o644),
        f"{info}/licenses/LICENSE": ((ROOT / "LICENSE").read_bytes(), 0o644),
        f"{info}/licenses/NOTICE": ((ROOT / "NOTICE").read_bytes(), 0o644),
        f"{info}/METADATA": ((
            f"Metadata-Version: 2.4\nName: sluice-batch\nVersion: {version}\n"
            "Summary: Bulk completions through a rate-limited, OpenAI-compatible relay\n"
            "License-Expression: Apache-2.0\nLicense-File: LICENSE\nLicense-File: NOTICE\n"
            "Requires-Python: >=3.7\nDescription-Content-Type: text/markdown\n\n" + readme).encode(), 0o644),
        f"{info}/WHEEL": (f"Wheel-Version: 1.0\nGenerator: sluice\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(), 0o644),
    }
    record = ""
    for name, (content, _) in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(content)}\n"
    files[f"{info}/RECORD"] = (f"{record}{info}/RECORD,,\n".encode(), 0o644)
    with zipfile.ZipFile(out / f"sluice_batch-{version}-{tag}.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, (content, mode) in files.items():
            entry = zipfile.ZipInfo(name)  # with a fixed date, so that the same input makes the same file
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, content)


if __name__ == "__main__":
    main()
