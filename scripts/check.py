"""Run all checks: tests on two workers, then the timing tests alone; arguments go to both pytest runs.

Exit status 0 only if everything passed. Threads are set here because many small tests on many threads are slow.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PASSES = (
    ["-n", "2", "--dist", "loadfile", "-m", "not speed"],
    ["-m", "speed", "-p", "no:xdist"],
)


def main(arguments: list[str]) -> int:
    """Exit status of the first pass that fails, else 0."""
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", **os.environ}
    root = Path(__file__).resolve().parent.parent
    for options in PASSES:
        done = subprocess.run([sys.executable, "-m", "pytest", *options, *arguments], cwd=root, env=environment)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
