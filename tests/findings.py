"""What the contract of a plugin says of a broken one."""

from __future__ import annotations

from bench.testing import CheckResult, check_plugin


def finding(kind: str, plugin: type, check: str) -> CheckResult:
    """The outcome of ``check`` on ``plugin``, a class at the top of its module."""
    results = check_plugin(kind, f"{plugin.__module__}:{plugin.__qualname__}")
    return next(result for result in results if result.name == check)
