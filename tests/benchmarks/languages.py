"""Words by language on sib200: whole words, searched words, near-duplicates, topics; prints JSON.

    python -m tests.benchmarks.languages --before 219d3b6

For each language of sib200 (about 1,000 sentences of seven known classes):

- `whole`: share of the 20 best keywords of each class that are words of the texts by a segmenter that does not cut them
  here: CC-CEDICT by lindera for Chinese, PyThaiNLP for Thai, ICU for the others. Without its package the figure is left
  out.
- `found`: share of the independent segmenter's words that BM25 finds in every text that has them, and `found_anywhere`
  in at least one.
- `near_duplicates`: pairs of different sentences that near-duplicates by words take for copies (Jaccard .7, one word a
  shingle), and `changed`: share of sentences with one vowel sign left out that are taken for equal to the sentence.
- `npmi`: of the ten best keywords of the classes, cut by the code under test: fragments that stand side by
  side in every text raise it.
- `nmi`: of the classes and topics made of the counted words alone (TF-IDF, 50 singular vectors, k-means with as
  many topics as classes, mean of five seeds). Topics of vectors do not depend on words.

With `--before` the same figures by the code of another commit (`git archive`), in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROOT = Path(__file__).parents[2]
N_KEYWORDS, SHARED = 20, 0.7
Segment = Callable[[str], list[str]]


def independent(language: str) -> Segment | None:
    """Return a segmenter that the project does not use for this language; None where its package is missing."""
    package = {"zho": "lindera", "jpn": "icu4py", "tha": "pythainlp"}.get(language[:3], "icu4py")
    if find_spec(package) is None:
        return None
    if package == "lindera":
        from lindera import Tokenizer, load_dictionary

        tokenizer = Tokenizer(load_dictionary("embedded://cc-cedict"), "normal")
        return lambda text: [token.surface for token in tokenizer.tokenize(text)]
    if package == "pythainlp":
        from pythainlp.tokenize import word_tokenize

        return lambda text: word_tokenize(text, engine="newmm")
    from icu4py.breakers import WordBreaker

    return lambda text: list(WordBreaker(text, "en"))


def letters(word: str) -> str:
    """Return a word in the form in which words of both sides are compared, empty where it has no letter."""
    word = unicodedata.normalize("NFC", word.lower().replace("i\u0307", "i").replace("’", "'"))
    skipped = range(0x64B, 0x653)
    word = "".join(each for each in word if ord(each) not in skipped and each not in "\u0640\u0670\u00ad")
    word = word.replace("\u2011", "-")
    return word if any(unicodedata.category(each)[0] in "LN" for each in word) else ""


def figures(texts: list[str], classes: list[str], segment: Segment | None) -> dict[str, float]:
    """Return the figures of one language by the code that is imported."""
    from scipy.sparse import csr_matrix

    from topicflow.configs.sections.count import CountConfig
    from topicflow.configs.sections.label import LabelConfig
    from topicflow.tasks.core.duplicates.minhash import shingled
    from topicflow.tasks.core.words import coherence
    from topicflow.tasks.store.artifact_store import ArtifactWriter
    from topicflow.tasks.topics.count import count_texts
    from topicflow.tasks.topics.label import weigh_words

    config = CountConfig(stop_words="none")
    with tempfile.TemporaryDirectory() as folder:
        writer = ArtifactWriter(Path(folder), "words")
        count_texts([texts], config, writer, 1)
        words = pl.read_parquet(Path(folder) / "words.parquet")["word"].to_list()
        arrays = tuple(np.load(Path(folder) / f"{name}.npy") for name in ("data", "indices", "indptr"))
    counts = csr_matrix(arrays, shape=(len(texts), len(words)))
    numbers = pl.Series(classes).rank("dense").cast(pl.Int32).to_numpy() - 1
    keywords = [
        [word for word, _ in one]
        for one in weigh_words(counts, words, numbers.astype(np.int32), LabelConfig()).candidates(N_KEYWORDS)
    ]
    topics = coherence.index_words(coherence.split_keywords(keywords, 10))
    ids = coherence.word_ids(texts, topics.vocabulary, config.token_pattern, lowercase=True)
    (near,) = coherence.count_windows([ids], topics, (coherence.NPMI_WINDOW,))
    found = {"npmi": coherence.defined_mean(coherence.npmi(topics, near))}
    found["nmi"] = by_words(counts, numbers)
    found |= duplicates(texts, shingled)
    if segment is None:
        return found
    of_text = [{word for piece in segment(text) if (word := letters(piece))} for text in texts]
    known = set().union(*of_text)
    parts = known | {piece for word in known for piece in word.replace("'", "-").split("-")}
    all_keywords = [word for one in keywords for word in one]
    found["whole"] = float(np.mean([is_whole(word, parts) for word in all_keywords]))
    return found | searched(texts, of_text)


def by_words(counts: Any, classes: Any) -> float:
    """Return the NMI of classes and topics of the counts alone."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.metrics import normalized_mutual_info_score
    from sklearn.preprocessing import normalize

    weights = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    points = normalize(TruncatedSVD(50, random_state=0).fit_transform(weights))
    n_classes = int(classes.max()) + 1
    labels = [KMeans(n_classes, n_init=10, random_state=seed).fit_predict(points) for seed in range(5)]
    return float(np.mean([normalized_mutual_info_score(classes, each) for each in labels]))


def is_whole(keyword: str, words: set[str]) -> bool:
    """Return whether a keyword, or each part of a compound, is a word."""
    return keyword in words or all(piece in words for piece in keyword.replace("'", "-").split("-"))


def searched(texts: list[str], of_text: list[set[str]]) -> dict[str, float]:
    """Return the shares of words that BM25 finds: in every text that has them, and anywhere."""
    index, ask = words_of_search()
    there = [set(index(text)) for text in texts]
    rows: dict[str, list[int]] = {}
    for row, words in enumerate(of_text):
        for word in words:
            rows.setdefault(word, []).append(row)
    anywhere, n_found, n_texts = 0, 0, 0
    for word, places in rows.items():
        asked = set(ask(word))
        hits = [bool(asked & there[row]) for row in places]
        anywhere += any(hits)
        n_found, n_texts = n_found + sum(hits), n_texts + len(hits)
    return {"found": n_found / n_texts, "found_anywhere": anywhere / len(rows)}


def words_of_search() -> tuple[Segment, Segment]:
    """Return how the imported code cuts texts and queries of BM25."""
    import re

    try:
        from topicflow.tasks.core.words.cutting import ASKED, INDEXED
    except ImportError:
        from topicflow.tasks.search.index_files import WORD_PATTERN

        return 2 * (lambda text: re.findall(WORD_PATTERN, text.lower()),)
    return lambda text: INDEXED.cut([text]).words(), lambda text: ASKED.cut([text]).words()


def duplicates(texts: list[str], shingled: Callable[..., Any]) -> dict[str, float]:
    """Return the pairs of different sentences that count as copies, and the share of changed ones that are equal."""
    signs = [
        (text, text[:at] + text[at + 1 :])
        for text in texts
        for at in [next((i for i, each in enumerate(text) if is_vowel_sign(each)), -1)]
        if at >= 0
    ]
    shingles, ranges = shingled(texts, 1)
    sets = [set(shingles[a:b].tolist()) for a, b in pairwise(ranges.tolist())]
    pairs = sum(
        len(sets[i] & sets[j]) >= SHARED * len(sets[i] | sets[j]) and texts[i] != texts[j]
        for i in range(len(texts))
        for j in range(i)
    )
    found: dict[str, float] = {"near_duplicates": pairs}
    if len(signs) > len(texts) / 2:
        values, bounds = shingled([text for pair in signs for text in pair], 1)
        both = [set(values[a:b].tolist()) for a, b in pairwise(bounds.tolist())]
        found["changed"] = float(np.mean([a == b for a, b in zip(both[::2], both[1::2], strict=True)]))
    return found


def is_vowel_sign(character: str) -> bool:
    """Return whether a character is a vowel sign of an Indian or a Southeast Asian script."""
    return unicodedata.category(character) in {"Mc", "Mn"} and 0x900 <= ord(character) < 0x1800


def measure(data: Path) -> dict[str, dict[str, float]]:
    """Return the figures of every language by the code that is imported."""
    table = pl.read_parquet(data / "sib200_11_languages.parquet")
    found = {}
    for language in table["lang"].unique().sort():
        own = table.filter(pl.col("lang") == language)
        each = figures(own["text"].to_list(), own["label"].to_list(), independent(language))
        found[language] = {name: round(value, 4) for name, value in each.items()}
    return found


def side(folder: Path, data: Path) -> dict[str, dict[str, float]]:
    """Return the figures by the code in a folder, from a process of its own."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, str(Path(__file__)), "--side", "--data", str(data)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment, cwd=folder)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["code"] == str(folder), f"{found['code']} was imported, expected {folder}"
    return found["figures"]


def main() -> None:
    """Print both sides as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", default=None, help="commit to compare with")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--side", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        # an editable install would import the working tree
        sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in f"{finder!r}".lower()]
        import topicflow.tasks

        code = str(Path(next(iter(topicflow.tasks.__path__))).parents[1])
        print(json.dumps({"code": code, "figures": measure(args.data)}))
        return
    from tests.benchmarks.corpora import DATA
    from tests.benchmarks.peer import machine

    data = args.data or DATA
    found = {"now": side(ROOT, data)}
    if args.before:
        with tempfile.TemporaryDirectory() as scratch:
            archive = subprocess.run(
                ["git", "archive", args.before], cwd=ROOT, check=True, capture_output=True
            )
            subprocess.run(["tar", "-x", "-C", scratch], input=archive.stdout, check=True)
            found["before"] = side(Path(scratch), data)
    print(json.dumps({"benchmark": "languages", **machine(), **found}, indent=2))


if __name__ == "__main__":
    main()
