r"""Pattern words: a user's pattern and texts -> their words, split under a time limit in other processes.

A regular expression may take very long, depending on the text and not only on the pattern: `(\w+\s?)+:` ends quickly
for most texts and never for a long one without a colon. So it is not tried on examples; each text has a limit.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import IO

from topicflow.tasks.core.words.vocabulary import AnalyzedWords
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.topics import cut_by_pattern

TEXT_S, CHARACTERS_PER_S = 20.0, 50_000
"""Seconds for each text, and characters for each additional second: common patterns split a million in .1 s."""

START_S = 60.0
"""Maximum seconds for the process to start and to read the texts."""

HOLD_S = 0.2
"""Maximum seconds that the process buffers words: a write for each text takes five times as long as its words."""


class PatternWords(AnalyzedWords):
    """Words that a pattern finds, and phrases of `shortest` to `longest` words.

    Parameters
    ----------
    pattern : str
        A regular expression with at most one group.
    lowercase : bool
        Whether to convert to lower case first, as Python does.
    stop_words : sequence of str
        Words that are left out before phrases are made.
    shortest, longest : int
        Numbers of words in a phrase.

    Notes
    -----
    One process per slice of texts, as many in parallel as there are threads; 34 µs per title on a busy machine, where
    scikit-learn takes 7.
    """

    def __init__(
        self, pattern: str, *, lowercase: bool, stop_words: Sequence[str], shortest: int, longest: int
    ) -> None:
        super().__init__(lambda _: [])
        self._pattern, self._lowercase = pattern, lowercase
        self._stopped, self._lengths = frozenset(stop_words), range(shortest, longest + 1)

    def cut(self, texts: Sequence[str]) -> list[list[str]]:
        """Return each text's words and phrases; raise ConfigError if the pattern takes too long."""
        cut = cut_apart(self._pattern, [text.lower() for text in texts] if self._lowercase else texts)
        return [self._phrases([word for word in words if word not in self._stopped]) for words in cut]

    def _phrases(self, words: list[str]) -> list[str]:
        if self._lengths == range(1, 2):
            return words
        return [" ".join(words[i : i + n]) for n in self._lengths for i in range(len(words) - n + 1)]


def checked_pattern(pattern: str) -> re.Pattern[str]:
    """Return a compiled pattern; raise ConfigError if it is invalid or has more than one group."""
    try:
        found = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        msg = f"count.token_pattern: not a regular expression: {reason}"
        raise ConfigError(msg) from None
    if found.groups > 1:
        msg = f"count.token_pattern: has {found.groups} groups, expected at most one; write (?:…) for the others"
        raise ConfigError(msg)
    return found


def cut_apart(pattern: str, texts: Sequence[str], hold_s: float = HOLD_S) -> list[list[str]]:
    """Return the words that a pattern finds in each text, in a process that is killed if one text takes too long.

    Raises
    ------
    ConfigError
        If a text takes longer than its limit, or the process fails.
    """
    command = [sys.executable, "-I", "-S", cut_by_pattern.__file__]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:  # noqa: S603  (our own file)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        found: list[list[str]] = []
        try:
            with contextlib.suppress(BrokenPipeError):  # it has ended and reports why
                process.stdin.write(json.dumps([pattern, list(texts), hold_s]).encode())
                process.stdin.close()
            found.extend(map(json.loads, _lines(process.stdout, texts, hold_s)))
            if len(found) <= len(texts):
                reason = process.stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
                msg = (
                    f"count.token_pattern: {_shown(pattern)} cannot be used ({reason or 'the process ended'})"
                )
                raise ConfigError(msg)
            return found[1:]
        except TimeoutError:
            if not hold_s or not found:
                raise _too_slow(pattern, texts, len(found)) from None
        finally:
            process.kill()
    done = found[1:]  # again without buffering, to find the slow text
    return done + cut_apart(pattern, texts[len(done) :], hold_s=0.0)


def _lines(output: IO[bytes], texts: Sequence[str], hold_s: float) -> Iterator[bytes]:
    """Yield the lines of a process, one after its start and one per text; raise TimeoutError if one is late."""
    begun: list[bytes] = []
    ready: deque[bytes] = deque()
    for seconds in (START_S, *map(limit_s, texts)):
        until = time.monotonic() + seconds + hold_s
        while not ready:
            left = until - time.monotonic()
            if left <= 0 or not select.select([output], [], [], left)[0]:
                raise TimeoutError
            if not (read := os.read(output.fileno(), 1 << 16)):
                return
            *ended, rest = read.split(b"\n")
            if ended:
                ready.extend([b"".join([*begun, ended[0]]), *ended[1:]])
                begun = []
            begun.append(rest)
        yield ready.popleft()


def limit_s(text: str) -> float:
    """Return the maximum seconds for a text."""
    return TEXT_S + len(text) / CHARACTERS_PER_S


def _too_slow(pattern: str, texts: Sequence[str], n_lines: int) -> ConfigError:
    if not n_lines:
        return ConfigError(
            f"count.token_pattern: its process did not start within {START_S:.0f} s; run again"
        )
    text = texts[n_lines - 1]
    return ConfigError(
        f"count.token_pattern: {_shown(pattern)} took more than {limit_s(text):.0f} s on a text of {len(text):,} "
        f"characters that begins with {text[:40]!r}; it backtracks: avoid repetition within repetition, as in "
        "(a+)+"
    )


def _shown(pattern: str) -> str:
    line = " ".join(pattern.split("\n"))
    return f"'{line if len(line) <= 80 else f'{line[:80]}…'}'"
