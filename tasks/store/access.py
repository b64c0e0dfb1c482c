"""Access: an error of the system while a file was read or written -> one line with the path, the reason, the remedy.

A file that could not be read says nothing about its content: it is never called damaged, and nothing is removed or
computed again because of it. Only bytes that were read and are wrong are damage.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from topicflow.tasks.errors import ArtifactError, first_line

ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""Errors that mean that a file does not exist, or that a folder is in its place."""

_REMEDIES = {
    errno.EACCES: "ask its owner for access, or choose another --store",
    errno.EPERM: "ask its owner for access, or choose another --store",
    errno.EROFS: "mount it writable, or choose another --store",
    errno.ENOSPC: "free space or choose another --store",
    errno.EDQUOT: "free space or choose another --store",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f) or choose another --store",
    errno.EMFILE: "raise the limit on open files (ulimit -n) and run the same command again",
    errno.ENFILE: "close programs that have many files open and run the same command again",
    errno.EIO: "check the disk, then run the same command again",
    errno.ESTALE: "mount the share again, then run the same command again",
    errno.ETIMEDOUT: "check the share, then run the same command again",
    errno.ENOMEM: "free memory and run the same command again",
}
"""What a user can do, by error number of the system."""

_OF_THE_DISK = frozenset(_REMEDIES) - {errno.ENOMEM}


def reason_of(error: OSError) -> str:
    """Return the reason of the system, in its own words and in lower case."""
    return (error.strerror or first_line(error)).lower()


def unreadable(path: Path | str, error: OSError) -> ArtifactError:
    """Return the error for a file of the store that could not be read: the file, the reason, what to do."""
    remedy = _REMEDIES.get(error.errno or 0, "run the same command again, or choose another --store")
    return ArtifactError(f"store: {path} could not be read: {reason_of(error)}; {remedy}")


def unwritable(place: Path | str, reason: str) -> ArtifactError:
    """Return the error for a store that cannot be written: the store, the reason, what to do."""
    numbers = {os.strerror(number).lower(): number for number in _REMEDIES}
    remedy = _REMEDIES.get(numbers.get(reason, errno.ENOSPC), "")
    return ArtifactError(f"store: {place} cannot be written ({reason}); {remedy}")


def disk_failure(error: Exception) -> str | None:
    """Return why the disk refused, or None for any other error; libraries wrap the error in their own words."""
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        return reason_of(error)
    full = os.strerror(errno.ENOSPC)
    short = isinstance(error, OSError) and "requested and" in str(error)  # numpy's error has no errno
    return full.lower() if short or full in str(error) else None
