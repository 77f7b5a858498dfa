"""Run pytest, and what failed once more, alone: ``tests.py ENVIRONMENT PYTEST-ARGUMENT…``.

Machines are shared, and a deadline can pass while others compute. But a test that fails beside others and
passes alone may also show a race, so each is named, and more than two of them fail the run.
"""

import json
import subprocess
import sys
from pathlib import Path

MOST_FLAKY = 2
TESTS_FAILED = 1  # pytest's exit code; any other means that it could not do its work


def last_failed(cache: Path) -> set[str]:
    """Ids of the tests that failed in the run before."""
    record = cache / "v" / "cache" / "lastfailed"
    return set(json.loads(record.read_text())) if record.exists() else set()


def main(environment: str, arguments: list[str]) -> int:
    """The exit code of the run."""
    cache = Path(f"{environment}/.pytest_cache").absolute()
    pytest = [f"{environment}/bin/pytest", "-o", f"cache_dir={cache}"]
    code = subprocess.run([*pytest, *arguments], check=False).returncode
    if code != TESTS_FAILED:
        return code
    failed = last_failed(cache)
    print("-- once more, alone: what failed", flush=True)
    alone = [argument for argument in arguments if argument not in ("-n", "auto", "--dist", "worksteal")]
    code = subprocess.run([*pytest, "--last-failed", "-n", "0", *alone], check=False).returncode
    flaky = sorted(failed - last_failed(cache))
    for name in flaky:
        print(f"FLAKY {name}")
    if code == 0 and len(flaky) > MOST_FLAKY:
        print(f"{len(flaky)} tests pass only alone; at most {MOST_FLAKY} may")
        return TESTS_FAILED
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
