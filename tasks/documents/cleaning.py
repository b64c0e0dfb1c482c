"""Cleaning: texts as the web and mail leave them -> texts without tags, addresses, quoted replies and signatures.

The expressions are linear in the length of a text (Rust's regex), whatever the text.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from topicflow.tasks.documents.formats.plain_html import ENTITY, TAG, plain_html

_URL = r"(?i)\b(?:https?://|www\.|pic\.twitter\.com/|t\.co/)[^\s<>\"']*[^\s<>\"'.,;:!?)\]]"
_EMAIL = r"(?i)\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+"

_WROTE = (
    r"(?:wrote|writes|said|schrieb|a écrit|escribió|ha scritto|escreveu|schreef|skrev|"
    r"napisał\(?a?\)?|написала?|пишет)"
)
_INTRODUCED = (
    rf"(?m)^[^\n]*\b{_WROTE}\b[^\n]{{0,80}}:[ \t]*\n(?:[ \t]*\n)?([ \t]*(?:[A-Za-z]{{0,4}}>|\|>|:>))"
)
"""A line such as `On Monday Ann wrote:` above a quoted line."""
_QUOTED_LINE = r"(?m)^[ \t]*(?:[A-Za-z]{0,4}>|\|>|:>)[^\n]*(?:\n|\z)"
_FORWARDED = (
    r"(?ims)^[ \t]*-{3,}[ \t]*(?:original message|original-nachricht|ursprüngliche nachricht|message d'origine|"
    r"mensaje original|messaggio originale|forwarded message|weitergeleitete nachricht)[ \t]*-{3,}.*\z"
)
_OUTLOOK = (
    r"(?ms)^(?:From|Von|De|Da): [^\n]+\n(?:Sent|Gesendet|Envoyé|Enviado|Date|Datum|Inviato): [^\n]+\n.*\z"
)

_SIGNATURE = r"(?ms)^--[ \t]?\n.*\z"
_SENT_FROM = (
    r"(?im)^(?:sent from my|sent from (?:mail|outlook)|get outlook for|von meinem [^\n]{2,30} gesendet|"
    r"envoyé de mon|enviado desde mi|inviato da)[^\n]*(?:\n|\z)"
)

KINDS = ("html", "urls", "emails", "quoted_replies", "signatures")
"""What can be removed, in the order in which it is."""

FOUND_BY = {
    "html": rf"(?:{TAG})|(?:{ENTITY})",
    "urls": _URL,
    "emails": _EMAIL,
    "quoted_replies": rf"(?:{_QUOTED_LINE})|(?:{_FORWARDED})|(?:{_OUTLOOK})",
    "signatures": rf"(?:{_SIGNATURE})|(?:{_SENT_FROM})",
}
"""The expression that shows whether a text has something of a kind."""


def clean_texts(texts: pl.Series, kinds: Sequence[str]) -> pl.Series:
    """Return texts without what `kinds` names; a text without any of it is unchanged.

    Parameters
    ----------
    texts : pl.Series
        Strings.
    kinds : sequence of str
        Of `html`, `urls`, `emails`, `quoted_replies`, `signatures`; their order has no meaning.
    """
    for kind in KINDS:
        if kind in kinds:
            texts = _REMOVERS[kind](texts)
    return texts


def _without_html(texts: pl.Series) -> pl.Series:
    has_any = texts.str.contains(FOUND_BY["html"]).fill_null(value=False)
    if not has_any.any():
        return texts
    plain = pl.Series(texts.name, [plain_html(each) for each in texts.filter(has_any)], pl.String)
    return texts.scatter(has_any.arg_true(), plain)


def _without_urls(texts: pl.Series) -> pl.Series:
    return _spaced(texts, texts.str.replace_all(_URL, " "))


def _without_emails(texts: pl.Series) -> pl.Series:
    return _spaced(texts, texts.str.replace_all(_EMAIL, " "))


def _without_replies(texts: pl.Series) -> pl.Series:
    cut = texts.str.replace_all(r"\r\n", "\n")
    cut = cut.str.replace_all(_FORWARDED, "").str.replace_all(_OUTLOOK, "")
    cut = cut.str.replace_all(_INTRODUCED, "$1").str.replace_all(_QUOTED_LINE, "")
    return _trimmed(texts, cut)


def _without_signatures(texts: pl.Series) -> pl.Series:
    cut = texts.str.replace_all(r"\r\n", "\n").str.replace_all(_SIGNATURE, "").str.replace_all(_SENT_FROM, "")
    return _trimmed(texts, cut)


def _spaced(before: pl.Series, after: pl.Series) -> pl.Series:
    """Return the new texts without the double spaces that removing leaves; unchanged texts keep theirs."""
    return _if_changed(before, after, after.str.replace_all(r"[ \t]{2,}", " ").str.strip_chars())


def _trimmed(before: pl.Series, after: pl.Series) -> pl.Series:
    return _if_changed(before, after, after.str.strip_chars())


def _if_changed(before: pl.Series, after: pl.Series, new: pl.Series) -> pl.Series:
    same = (before == after).fill_null(value=True)
    return before.zip_with(same, new)


_REMOVERS = {
    "html": _without_html,
    "urls": _without_urls,
    "emails": _without_emails,
    "quoted_replies": _without_replies,
    "signatures": _without_signatures,
}
