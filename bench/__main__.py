"""``python -m bench`` and the ``bench`` script."""

from __future__ import annotations


def main() -> None:
    """Run the command line; ends the process with the exit code."""
    from bench.cli import app

    app(prog_name="bench")


if __name__ == "__main__":
    main()
