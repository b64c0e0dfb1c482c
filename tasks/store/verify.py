"""Verify: the result of a check of every byte of every artifact of a store: sound, damaged, or unreadable.

Only reports, unless it is asked to remove damaged artifacts: a file that another user owns, a slow disk or a process
without free file handles must not be mistaken for damage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from topicflow.tasks.errors import ArtifactError, DamagedError
from topicflow.tasks.store.access import ABSENT, unreadable
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.store.manifests import Manifest, has_digest
from topicflow.tasks.store.protocol import look_at


@dataclass(frozen=True)
class Finding:
    """The result of a check of all bytes of an artifact, or of a run's folder.

    Attributes
    ----------
    kind, key : str
        The artifact, or the name and id of the run; `key` is empty for a kind whose folder cannot be listed.
    damage : str
        What is wrong with the bytes that were read; empty if nothing is.
    refused : str
        What could not be read, why, and what to do; empty if everything was read.
    has_digest : bool
        Whether its manifest or record has a digest of itself; without one, some changes are not noticed.
    """

    kind: str
    key: str
    damage: str = ""
    refused: str = ""
    has_digest: bool = True

    @property
    def problem(self) -> str:
        """What is wrong, in one line; empty if nothing is."""
        return f"corrupt: {self.damage}" if self.damage else self.refused


def verify_artifacts(store: ArtifactStore, *, remove: bool = False) -> Iterator[Finding]:
    """Check all bytes of every artifact, by kind and key, and yield a finding for each.

    Parameters
    ----------
    store : ArtifactStore
        The store to check.
    remove : bool
        Remove damaged artifacts, so that the next run makes them again; unreadable ones are never removed.

    Raises
    ------
    ArtifactError
        If the store's own folder cannot be listed.
    """
    try:
        kinds = [kind for kind in store.backend.kinds() if not kind.startswith(".")]
    except OSError as error:
        raise unreadable(error.filename or store.name, error) from None
    for kind in kinds:
        try:
            keys = store.backend.keys(kind)
        except OSError as error:
            yield Finding(
                kind, "", f"unreadable: {unreadable(error.filename or f'{store.name}/{kind}', error)}"
            )
            continue
        for key in keys:
            found = _look_whole(store, kind, key)
            if found is None:
                continue
            if remove and found.damage:
                store.discard(kind, key)
            yield found


def _look_whole(store: ArtifactStore, kind: str, key: str) -> Finding | None:
    """Return the finding for an artifact; None if it is gone by now, or was never complete in a bucket."""
    try:
        look = look_at(store.backend, kind, key)
        if look.refused is not None:
            return Finding(kind, key, refused=str(look.refused))
        if look.manifest is None:
            return Finding(kind, key, look.state.removeprefix("corrupt: ")) if look.is_there else None
        return _compared(store, kind, key, look.manifest)
    except DamagedError as error:
        return Finding(kind, key, str(error))
    except ArtifactError as error:
        return Finding(kind, key, refused=str(error))


def _compared(store: ArtifactStore, kind: str, key: str, manifest: Manifest) -> Finding:
    """Compare every file with its digest and return the finding; an unreadable file does not end the check."""
    wrong = []
    refused = ""
    for name, entry in manifest["files"].items():
        try:
            if store.backend.digest(kind, key, name) != entry["blake2b"]:
                wrong.append(f"{name} changed since written")
        except ABSENT:
            wrong.append(f"{name} is gone")
        except OSError as error:
            refused = refused or str(unreadable(error.filename or f"{store.name}/{kind}/{key}/{name}", error))
        except ArtifactError as error:
            refused = refused or str(error)
    return Finding(kind, key, ", ".join(wrong), refused, has_digest(manifest))
