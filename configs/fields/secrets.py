"""Secrets: texts that contain URLs with credentials, which must be in the environment and not in configs or records.

A user's name before the host, with any scheme (`postgresql+psycopg://user:pw@host`, `S3://key:secret@bucket`), and
values of a query that grant access (`X-Amz-Signature`, `sig`, `token` and similar values of presigned URLs).
"""

from __future__ import annotations

import re
from urllib.parse import unquote

_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]+:/+"
"""At least two letters, so that C:/ is a drive; one slash, because a path made from a URL has only one left."""

_USER = re.compile(rf"(?:{_SCHEME}|(?:^|[\s:'\"])//)[^/?#\s]*@")
_SECRET_WITH_SLASH = re.compile(rf"{_SCHEME}[^/?#\s@:\[]+:(?!\d*(?:[/?#\s]|$))\S*@")
"""A password may contain a slash, so that the host seems to end there; after a host's colon there is a number."""

_QUERY = re.compile(rf"{_SCHEME}[^\s?#;]*[?#;](\S*)")
_NAMES = re.compile(r"[?&;#]([^=&;#?]+)=[^&;#]")
_GRANTS = re.compile(
    r"(?:^|[^a-z])(?:sig|signature|hmac|token|jwt|sas|secret|pass|passwd|password|passphrase|pwd|credentials?|auth|"
    r"authorization|key|apikey|accesskey|accesskeyid|accessid|session)(?:$|[^a-z])"
)

_ANY_CASE = "|".join(
    "".join(f"[{letter}{letter.upper()}]" for letter in name)
    for name in ("sig", "signature", "token", "secret", "password", "credential")
)
PATTERN = (
    r"^(?![\s\S]*[A-Za-z][A-Za-z0-9+.\-]+:/+(?:[^/?#\s]*@"
    rf"|[^\s?#]*[?#](?:\S*[&_\-])?(?:{_ANY_CASE})=[^&\s]))"
)
"""Pattern for texts in the JSON schema, so that Prefect's API refuses most URLs with credentials."""

HIDDEN = "a URL with credentials, which is not shown"


def holds_credentials(text: str) -> bool:
    """Return whether a text contains a URL with a user's name, or with a value that grants access."""
    if _USER.search(text) or _SECRET_WITH_SLASH.search(text):
        return True
    queries = (found.group(1) for found in _QUERY.finditer(text))
    return any(_grants(unquote(name)) for query in queries for name in _NAMES.findall(f"?{query}"))


def _grants(name: str) -> bool:
    """Return whether a query's value with that name grants access; words end at capitals and at other signs."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1-\2", name).lower()
    joined = re.sub(r"[^a-z]", "", words)
    return bool(_GRANTS.search(words)) or joined in {
        "apikey",
        "accesskey",
        "awsaccesskeyid",
        "googleaccessid",
    }


def shown(text: object) -> str:
    """Return a text for a message: its `repr`, or that it contains credentials."""
    return HIDDEN if holds_credentials(str(text)) else repr(text)
