"""Plain HTML: a text with tags and entities -> its words, in lines as a browser shows them."""

from __future__ import annotations

import html
import re

from topicflow.tasks.documents.formats.streams import missing_package

_BLOCKS = (
    "address|article|aside|blockquote|br|dd|div|dl|dt|figcaption|figure|footer|form|h[1-6]|header|hr|li|main|nav|ol|"
    "option|p|pre|section|table|tbody|td|tfoot|th|thead|title|tr|ul"
)
_INLINE = (
    "a|abbr|b|body|button|cite|code|del|em|font|head|html|i|iframe|img|input|ins|kbd|label|link|mark|meta|noscript|q|s|"
    "script|select|small|span|strike|strong|style|sub|sup|svg|template|textarea|tt|u|var|video"
)
TAG = rf"(?i)</?(?:{_BLOCKS}|{_INLINE})(?:\s[^<>]*)?/?>"
"""A tag of HTML, in the syntax that Python and polars share; `a < b` and `<me@example.org>` are none."""

ENTITY = r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});"
"""An entity, such as &amp; or &#39;."""

_TAG = re.compile(TAG)
_BREAK = re.compile(rf"(?i)(?=</?(?:{_BLOCKS})\b)")
_DROPPED = ("script", "style", "template", "noscript", "head", "iframe", "svg")
_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[\n ]*")


def plain_html(text: str) -> str:
    """Return a text without tags, scripts and styles; entities are decoded, blocks are lines.

    Notes
    -----
    Lexbor's parser, as browsers parse: 100 MB take about 4 s. A text without tags only has its entities decoded.
    """
    if not _TAG.search(text):
        return html.unescape(text).replace("\xa0", " ")
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError:
        raise missing_package("html", "selectolax") from None
    tree = LexborHTMLParser(_BREAK.sub("\n", text))
    title = "" if tree.head is None else " ".join(each.text() for each in tree.head.css("title"))
    tree.strip_tags(list(_DROPPED))
    body = "" if tree.body is None else tree.body.text(separator="", strip=False)
    words = _SPACES.sub(" ", f"{title}\n{body}".replace("\xa0", " "))
    return _LINES.sub("\n", words).strip()
