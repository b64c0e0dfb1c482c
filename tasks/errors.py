"""Errors: what a run can fail with, each message one line that says where, what was found, what to do.

PipelineError            anything this package raises on purpose
├── ConfigError          the config or an argument is wrong (exit 2)
├── DataError            the documents or vectors are not usable
├── ArtifactError        the store holds something that cannot be read or written
│   └── DamagedError     bytes that were read are not those that were written
└── StageError           a stage cannot produce its result from valid inputs
"""


class PipelineError(Exception):
    """Base of every error raised on purpose; its text is shown to the user as it is."""


class ConfigError(PipelineError):
    """The config file, an override or a command-line argument is wrong."""


class DataError(PipelineError):
    """Documents, ids, columns or vectors cannot be used as they are."""


class ArtifactError(PipelineError):
    """The store is unreadable, unwritable or written by a newer version."""


class DamagedError(ArtifactError):
    """Bytes of an artifact were read and are not those that were written."""


class StageError(PipelineError):
    """A stage has valid inputs and still no result."""


def first_line(error: object) -> str:
    """Return the first line of an error's text, or its type's name where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
