"""Run all checks: tests on two workers, then the timing tests alone; arguments go to every pytest run.

Exit status 0 only if everything passed. A timing test that fails is measured again, twice at the most: a neighbour on
a shared machine can slow one measurement, not three. Threads are set here, because many small tests on many threads
are slow.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = ("-n", "2", "--dist", "loadfile", "-m", "not speed")
TIMINGS = ("-m", "speed", "-p", "no:xdist")
AGAIN = (*TIMINGS, "--last-failed", "--last-failed-no-failures", "none")
ATTEMPTS = 3
NO_TESTS = 5


def main(arguments: list[str]) -> int:
    """0 if all passed, else the exit status of the pytest run that failed."""
    code = _pytest(*TESTS, *arguments)
    if code not in (0, NO_TESTS):
        return code
    code = _pytest(*TIMINGS, *arguments)
    for _ in range(ATTEMPTS - 1):
        if code == 1:  # tests were run and some failed
            code = _pytest(*AGAIN, *arguments)
    return 0 if code == NO_TESTS else code


def _pytest(*options: str) -> int:
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", **os.environ}
    root = Path(__file__).resolve().parent.parent
    return subprocess.run([sys.executable, "-m", "pytest", *options], cwd=root, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
