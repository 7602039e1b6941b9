"""Errors a user can act on: every message names the file, row or option, and what to do."""

from __future__ import annotations


class BenchError(Exception):
    """Base of all errors with a message for the user; the command line prints it without a traceback."""

    exit_code = 1


class ConfigError(BenchError):
    """An option, run file or plugin name that cannot be used."""

    exit_code = 2


class DataError(BenchError):
    """A data set, table or image that cannot be used as it is."""

    exit_code = 3


class LeakError(BenchError):
    """A hard invariant broke: images reached a place where they would make a number a lie."""

    exit_code = 4


class StageError(BenchError):
    """A stage failed; what finished before it stays in the store."""

    exit_code = 5


class CapabilityError(ConfigError):
    """A protocol or strategy asks for something that the chosen plugin cannot do."""


class UndefinedMetric(BenchError):
    """A metric has no value on this evidence; the message is the reason that the tables print."""
