"""Errors of a run. Each message is one line: where, what was found, what was expected, what to do.

PipelineError            every error that this package raises on purpose
├── ConfigError          the config or an argument is wrong (exit 2)
├── DataError            the documents or vectors are not usable
├── ArtifactError        something in the store cannot be read or written
│   └── DamagedError     the bytes of a file are not those that were written
└── StageError           a stage cannot produce its result from valid inputs
"""

from __future__ import annotations


class PipelineError(Exception):
    """Base of every error raised on purpose; the user sees its text unchanged."""

    def _render_traceback_(self) -> list[str]:
        """Return the one line that a notebook shows in place of a traceback; IPython asks for it."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(PipelineError):
    """The config file, an override or a command-line argument is wrong."""


class DataError(PipelineError):
    """Documents, ids, columns or vectors cannot be used as they are."""


class ArtifactError(PipelineError):
    """The store is unreadable, unwritable or written by a newer version."""


class DamagedError(ArtifactError):
    """Bytes of an artifact were read and are not those that were written; what mends it follows the last `;`."""

    def mended_by(self, remedy: str) -> DamagedError:
        """Return the error for a command that cannot make the artifact again itself."""
        return DamagedError(f"{str(self).rpartition('; ')[0]}; {remedy}")


class StageError(PipelineError):
    """A stage cannot produce its result from valid inputs."""


def first_line(error: object) -> str:
    """Return the first line of an error's text, or the name of its type if it has no text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
