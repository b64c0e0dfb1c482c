"""Tokenization: the counting config -> how texts are split into words, and which words are left out."""

from __future__ import annotations

from topicflow.configs.sections.count import CountConfig
from topicflow.tasks.core.words.cutting import SCANNED, Rule, rule_of
from topicflow.tasks.core.words.inflections import BaseForm, base_form_of
from topicflow.tasks.core.words.vocabulary import ScannedWords, Vocabulary
from topicflow.tasks.core.words.word_pattern import nearest_pattern
from topicflow.tasks.errors import ConfigError, first_line
from topicflow.tasks.topics.pattern_words import PatternWords, checked_pattern, cut_apart
from topicflow.tasks.topics.stop_words import check_stop_words, stop_words


def left_out(config: CountConfig) -> list[str]:
    """Return the stop words in the form that words of texts have, sorted.

    They are cut as the texts are. With a pattern "don't" leaves out "don", which texts contain then.

    Raises
    ------
    ConfigError
        If the pattern cannot be used, takes too long, or a language is unknown.
    """
    if config.token_pattern is None:
        rule = rule_of(None, lowercase=config.lowercase)
        return sorted(set(rule.cut_terms(stop_words(config)).words()))
    pattern = checked_pattern(config.token_pattern)
    words = [word.lower() if config.lowercase else word for word in stop_words(config)]
    if config.token_pattern in SCANNED:
        return sorted({piece for word in words for piece in pattern.findall(word)})
    return sorted({piece for pieces in cut_apart(config.token_pattern, words) for piece in pieces})


def vectorizer_params(config: CountConfig) -> dict[str, object]:
    """Return the parameters of a scikit-learn CountVectorizer for `config`.

    Without a pattern of the user's own it has the one that is nearest to the project's words.
    """
    return {
        "lowercase": config.lowercase,
        "ngram_range": config.ngram_range,
        "token_pattern": config.token_pattern or nearest_pattern(),
        "stop_words": left_out(config) or None,
    }


def base_form(languages: tuple[str, ...], key: str = "count.lemmas") -> BaseForm | None:
    """Return the function to base forms in some languages, None for no language; `key` names them in a config.

    Raises
    ------
    ConfigError
        If simplemma is not installed, or lacks a language.
    """
    if not languages:
        return None
    try:
        return base_form_of(languages)
    except ImportError:
        msg = (
            f"{key} needs the package simplemma, which is not installed; install it with: "
            f"pip install 'topicflow[words]', or remove {key}"
        )
        raise ConfigError(msg) from None
    except ValueError as error:
        msg = f"{key}: {first_line(error)}; name languages by codes such as en, de, fr"
        raise ConfigError(msg) from None


def check_counting(config: CountConfig) -> None:
    """Check the stop words, the pattern and the languages of a section `count` before there are texts.

    Raises
    ------
    ConfigError
        What the stage `count` would raise.
    """
    check_stop_words(config)
    if config.token_pattern is not None:
        checked_pattern(config.token_pattern)
    base_form(config.lemmas)


def vocabulary_of(config: CountConfig, rule: Rule | None = None) -> Vocabulary:
    """Return the empty vocabulary that splits texts by a rule, or by `config`; compiled if that is possible."""
    shortest, longest = config.ngram_range
    pattern, stopped = config.token_pattern, left_out(config)
    if pattern is None or pattern in SCANNED:
        rule = rule or rule_of(pattern, lowercase=config.lowercase)
        return ScannedWords(
            rule, stop_words=stopped, shortest=shortest, longest=longest, base_form=base_form(config.lemmas)
        )
    return PatternWords(
        pattern, lowercase=config.lowercase, stop_words=stopped, shortest=shortest, longest=longest
    )
