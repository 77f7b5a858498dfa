"""Run every benchmark of this folder in turn: ``python benchmarks/run_all.py [NAME …]``.

Each writes its results, with the machine and the versions, to ``benchmarks/results``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
NOT_RUN = {"run_all"}


def main() -> int:
    wanted = sys.argv[1:]
    scripts = sorted(
        path
        for path in FOLDER.glob("*.py")
        if path.stem not in NOT_RUN and "__main__" in path.read_text(encoding="utf-8")
    )
    failed = []
    for script in scripts:
        if wanted and script.stem not in wanted:
            continue
        print(f"== {script.stem}", flush=True)
        if subprocess.run([sys.executable, str(script)], check=False).returncode:
            failed.append(script.stem)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
