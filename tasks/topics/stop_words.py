"""Stop words: names or codes of languages, or texts -> the function words that are left out."""

from __future__ import annotations

import runpy
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from topicflow.configs.sections.count import CountConfig
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.log import LOG
from topicflow.tasks.topics.stop_word_lists import CONTRACTIONS, LISTS, NAMES

DETECTED_TEXTS, DETECTED_CHARACTERS = 1000, 500
"""Texts whose language is detected, and how much of each is read: a tenth of a second."""

LEAST_SHARE = 0.05
"""Share of these texts from which a language counts as one of the corpus."""

_INCOMPLETE = ("arabic", "chinese", "japanese", "turkish")
"""Languages whose list in the package stop-words is incomplete or damaged; stopwordsiso completes it."""


def languages() -> dict[str, str]:
    """Return the name of each language with a list, by its code."""
    from stop_words import LANGUAGE_MAPPING

    return {**NAMES, **LANGUAGE_MAPPING}


def stop_words(config: CountConfig) -> list[str]:
    """Return the words to leave out, sorted.

    English is the list of scikit-learn (318 words), with contractions where the project's own words are counted. Other
    languages are lists of the packages stop-words and stopwordsiso and of `stop_word_lists`.

    Raises
    ------
    ConfigError
        When a language is unknown, or `auto` has not been replaced.
    """
    words = set(config.extra_stop_words)
    for name in _named(config):
        if name != "none":
            words |= _list_of(name)
    if "english" in map(_full_name, _named(config)) and config.token_pattern is None:
        words |= set(CONTRACTIONS.split())
    return sorted(words)


def _named(config: CountConfig) -> list[str]:
    return [config.stop_words] if isinstance(config.stop_words, str) else list(config.stop_words)


def _full_name(name: str) -> str:
    return languages().get(name, name)


def _list_of(name: str) -> set[str]:
    """Return the list of a language by its name or code."""
    from stop_words import AVAILABLE_LANGUAGES, get_stop_words
    from stopwordsiso import stopwords

    name = _full_name(name)
    codes = {language: code for code, language in languages().items()}
    if name == "english":
        return _english()
    if name in LISTS:
        return set(LISTS[name].split())
    if name not in codes:
        raise _no_list(name)
    words = set(get_stop_words(name)) if name in AVAILABLE_LANGUAGES else set()
    if not words or name in _INCOMPLETE:
        words |= set(stopwords(codes[name]))
    return words


def check_stop_words(config: CountConfig) -> None:
    """Check that every language has a list, and that the languages of texts can be found if they are wanted.

    Raises
    ------
    ConfigError
        When a language is unknown, or py3langid is not installed.
    """
    known = {*languages().values(), "none", "auto"}
    for name in map(_full_name, _named(config)):
        if name not in known:
            raise _no_list(name)
    if is_detected(config) and find_spec("py3langid") is None:
        raise _no_detection()


def _no_list(name: str) -> ConfigError:
    known = ", ".join(sorted({*languages().values()}))
    return ConfigError(
        f"count.stop_words: no list for {name!r}; available: auto, none, {known}, and their codes"
    )


def _no_detection() -> ConfigError:
    return ConfigError(
        "count.stop_words: 'auto' needs the package py3langid, which is not installed; install it with: "
        "pip install 'topicflow[words]', or name the languages"
    )


def is_detected(config: CountConfig) -> bool:
    """Return whether the languages are those of the texts."""
    return "auto" in _named(config)


def with_languages(config: CountConfig, found: Sequence[str]) -> CountConfig:
    """Return the config with languages for `auto`, and others that it names."""
    others = [name for name in _named(config) if name != "auto"]
    return config.model_copy(update={"stop_words": (*others, *found) or "none"})


def detect_languages(texts: Sequence[str]) -> list[str]:
    """Return the languages of texts that have a list, the most frequent first, and say which.

    Each of the first texts gets the language that py3langid finds (97 languages); a language of fewer than 5 % of them
    is left out.

    Raises
    ------
    ConfigError
        When py3langid is not installed.
    """
    try:
        from py3langid import classify
    except ImportError:
        raise _no_detection() from None
    read = [text[:DETECTED_CHARACTERS] for text in texts[:DETECTED_TEXTS] if text.strip()]
    found = Counter(str(classify(text)[0]) for text in read)
    frequent = [
        code
        for code, n in sorted(found.items(), key=lambda each: (-each[1], each[0]))
        if n >= LEAST_SHARE * len(read)
    ]
    known = languages()
    listed = [known[code] for code in frequent if code in known]
    lacking = [code for code in frequent if code not in known]
    LOG.info(
        "count: stop words of %s, the languages found in %s documents%s",
        ", ".join(listed) or "no language",
        f"{len(read):,}",
        f"; no list for {', '.join(lacking)}" if lacking else "",
    )
    return listed


def _english() -> set[str]:
    """Return scikit-learn's list from its file alone: the import of the package takes 1 s and 90 MB."""
    found = find_spec("sklearn")
    assert found is not None, "scikit-learn is a dependency of this package"
    assert found.origin is not None
    file = Path(found.origin).parent / "feature_extraction" / "_stop_words.py"
    return set(runpy.run_path(str(file))["ENGLISH_STOP_WORDS"])
