"""Secrets: which texts hold the credentials of a URL, which belong into the environment and in no config or record.

A user's name before the host, of any scheme (`postgresql+psycopg://user:pw@host`, `S3://key:secret@bucket`), and values
of a query that grant access (`X-Amz-Signature`, `sig`, `token` and the like of presigned URLs).
"""

from __future__ import annotations

import re
from urllib.parse import unquote

_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]+:/+"
"""Two letters and more, so that C:/ is a drive; one slash is what a path made of a URL has left."""

_USER = re.compile(rf"(?:{_SCHEME}|(?:^|[\s:'\"])//)[^/?#\s]*@")
_SECRET_WITH_SLASH = re.compile(rf"{_SCHEME}[^/?#\s@:\[]+:(?!\d*(?:[/?#\s]|$))\S*@")
"""A password may hold a slash, so that the host seems to end in it; what follows a host's colon is a number."""

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
"""What a JSON schema asks of a text, so that Prefect's API refuses most of them before it keeps them."""

HIDDEN = "a URL with credentials, which is not shown"


def holds_credentials(text: str) -> bool:
    """Return whether a text holds a URL with a user's name, or with a value that grants access."""
    if _USER.search(text) or _SECRET_WITH_SLASH.search(text):
        return True
    queries = (found.group(1) for found in _QUERY.finditer(text))
    return any(_grants(unquote(name)) for query in queries for name in _NAMES.findall(f"?{query}"))


def _grants(name: str) -> bool:
    """Return whether a query's value of that name grants access; words are told apart by case and by other signs."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1-\2", name).lower()
    joined = re.sub(r"[^a-z]", "", words)
    return bool(_GRANTS.search(words)) or joined in {
        "apikey",
        "accesskey",
        "awsaccesskeyid",
        "googleaccessid",
    }


def shown(text: object) -> str:
    """Return a text as a message may show it: `repr`, or that it holds credentials."""
    return HIDDEN if holds_credentials(str(text)) else repr(text)
