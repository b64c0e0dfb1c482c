"""Tokenization: the counting config -> how texts are split into words, and which words are left out."""

from __future__ import annotations

import re

from topicflow.configs.sections.count import CountConfig
from topicflow.tasks.core.words.vocabulary import SCANNED, AnalyzedWords, ScannedWords, Vocabulary
from topicflow.tasks.errors import ConfigError


def stop_words(config: CountConfig) -> list[str]:
    """Return the words to leave out, sorted; raise ConfigError for an unknown language.

    English is the list of scikit-learn (318 words); other languages are lists of the stop-words package.
    """
    from stop_words import AVAILABLE_LANGUAGES, get_stop_words

    names = [config.stop_words] if isinstance(config.stop_words, str) else list(config.stop_words)
    words = set(config.extra_stop_words)
    for name in names:
        if name == "none":
            continue
        if name == "english":
            from sklearn.feature_extraction.text import (
                ENGLISH_STOP_WORDS,  # 90 MB, so imported only if needed
            )

            words |= ENGLISH_STOP_WORDS
        elif name in AVAILABLE_LANGUAGES:
            words |= set(get_stop_words(name))
        else:
            msg = f"count.stop_words: no list for {name!r}; available: none, {', '.join(sorted(AVAILABLE_LANGUAGES))}"
            raise ConfigError(msg)
    return sorted(words)


def left_out(config: CountConfig) -> list[str]:
    """Return the stop words in the form that tokenized texts have, sorted.

    The same pattern splits them as the texts, so that "don't" leaves out "don", which texts contain.

    Raises
    ------
    ConfigError
        If the pattern cannot be used or a language is unknown.
    """
    try:
        pattern = re.compile(config.token_pattern)
    except re.error as error:
        msg = f"count.token_pattern: not a regular expression: {error}"
        raise ConfigError(msg) from None
    if pattern.groups > 1:
        msg = f"count.token_pattern: has {pattern.groups} groups, expected at most one; write (?:…) for the others"
        raise ConfigError(msg)
    words = (word.lower() if config.lowercase else word for word in stop_words(config))
    return sorted({piece for word in words for piece in pattern.findall(word)})


def vectorizer_params(config: CountConfig) -> dict[str, object]:
    """Return the parameters of a scikit-learn CountVectorizer for `config`."""
    return {
        "lowercase": config.lowercase,
        "ngram_range": config.ngram_range,
        "token_pattern": config.token_pattern,
        "stop_words": left_out(config) or None,
    }


def vocabulary_of(config: CountConfig) -> Vocabulary:
    """Return an empty vocabulary for `config`: the compiled scanner if it supports the pattern."""
    if config.token_pattern in SCANNED:
        shortest, longest = config.ngram_range
        return ScannedWords(
            config.token_pattern,
            lowercase=config.lowercase,
            stop_words=left_out(config),
            shortest=shortest,
            longest=longest,
        )
    from sklearn.feature_extraction.text import CountVectorizer

    return AnalyzedWords(CountVectorizer(**vectorizer_params(config)).build_analyzer())
