"""Tokenization: the counting config -> how texts are split into words, and which words are left out."""

from __future__ import annotations

from topicflow.configs.sections.count import CountConfig
from topicflow.tasks.core.words.vocabulary import SCANNED, ScannedWords, Vocabulary
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.topics.pattern_words import PatternWords, checked_pattern, cut_apart


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
        If the pattern cannot be used, takes too long, or a language is unknown.
    """
    pattern = checked_pattern(config.token_pattern)
    words = [word.lower() if config.lowercase else word for word in stop_words(config)]
    if config.token_pattern in SCANNED:
        return sorted({piece for word in words for piece in pattern.findall(word)})
    return sorted({piece for pieces in cut_apart(config.token_pattern, words) for piece in pieces})


def vectorizer_params(config: CountConfig) -> dict[str, object]:
    """Return the parameters of a scikit-learn CountVectorizer for `config`."""
    return {
        "lowercase": config.lowercase,
        "ngram_range": config.ngram_range,
        "token_pattern": config.token_pattern,
        "stop_words": left_out(config) or None,
    }


def vocabulary_of(config: CountConfig) -> Vocabulary:
    """Return the empty vocabulary that splits texts by `config`: compiled if the scanner supports the pattern."""
    shortest, longest = config.ngram_range
    words = ScannedWords if config.token_pattern in SCANNED else PatternWords
    return words(
        config.token_pattern,
        lowercase=config.lowercase,
        stop_words=left_out(config),
        shortest=shortest,
        longest=longest,
    )
