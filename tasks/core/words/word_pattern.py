"""Word pattern: the project's words -> the regular expression that is nearest to them, for tools that take one."""

from __future__ import annotations

import functools
import unicodedata

from topicflow.tasks.core.words.letters import ranges_in_class

LETTER = r"[^\W_]"

DIFFERENCES = (
    "runs of Chinese, Japanese, Thai, Lao, Khmer and Burmese are not cut into words",
    "letters in decomposed form are not composed",
    "vowel signs of Arabic and Hebrew and invisible characters stay",
    "single letters of Chinese and Korean are not words",
    "'s, 've, 'll, 're, 'd and 'm are pieces of their own",
    "forms of a word that count.lemmas joins are words of their own",
)
"""What `nearest_pattern` finds in another way than the project; the model card says so."""


@functools.cache
def nearest_pattern() -> str:
    """Return the regular expression that finds the words of `cutting.KEYWORDS`, except `DIFFERENCES`."""
    marks = (point for point in range(0x1F000) if unicodedata.category(chr(point))[0] == "M")
    more = f"{LETTER}|[{ranges_in_class(marks)}]"
    joiner = (
        rf"[-\u2010\u2011\u200c\u200d\u00b7\u05f3\u05f4](?={LETTER})|_+(?={LETTER})"
        r"|(?<=[nN])['\u2019](?=[tT]\b)|(?<=[dD])['\u2019](?=[hH][uU][iI]\b)|(?<=\b[oOgG])['\u2019](?=[^\W_])|(?<=[\u0400-\u052f])['\u2019](?=[^\W_])"
    )
    signed = rf"\+\+(?!{LETTER})|\#(?!{LETTER})"
    plain = rf"{LETTER}(?:(?:{more}|{joiner})+(?:\+\+(?!{LETTER}))?|{signed})"
    names = r"(?<!\w)\.[nN][eE][tT]\b|\b[A-Za-z]{1,3}&(?:[A-Za-z]\b|[A-Za-z]{2,3}\b(?!;))"
    return rf"(?u){names}|(?<!\w){plain}"
