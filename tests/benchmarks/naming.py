"""Names by a language model beside names of keywords: how near a name is to its own topic and to the others.

    python -m tests.benchmarks.naming [--url URL --model MODEL] [CORPUS ...]

Without --url it starts llama.cpp's server with SmolLM2-135M out of packages. The clock covers the stage `name` alone.

Figures, over the topics of a corpus: the cosine of a name's vector to its topic's centroid less the cosine to the best
other topic's, and the share of topics whose name is nearest to its own topic. They are computed with the encoder of the
documents. `alone` has no siblings in the prompt and renames nothing; `contrast` is the default.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from tests.benchmarks.corpora import CORPORA, Corpus
from tests.real_servers import llama_cpp_chat
from topicflow.configs.sections.cluster import KMeansCluster
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.names import NamesConfig
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import PcaReduce
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.documents.load import load
from topicflow.tasks.encoding.embed import embed, embed_texts
from topicflow.tasks.execution.context import Context
from topicflow.tasks.naming.evidence import Modelled
from topicflow.tasks.naming.name import name
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.cluster import cluster
from topicflow.tasks.topics.count import count
from topicflow.tasks.topics.label import Clustered, label
from topicflow.tasks.topics.neighbors import neighbors
from topicflow.tasks.topics.reduce import reduce

ENCODER = SentenceTransformersEmbed(max_seq_length=128)
KINDS = {"newsgroups": "newsgroup posts", "bbc_news": "news articles", "arxiv_20k": "titles of papers"}
N_ROWS = 600


def ref(found: object) -> ArtifactRef:
    """Return the reference that a stage returned, or that its state carries."""
    made: ArtifactRef = getattr(found, "data", found)
    return made


def model(store: ArtifactStore, corpus: Corpus, n_topics: int, scratch: Path) -> Modelled:
    """Return the topics of a sample of a corpus, by k-means, so that their number is given."""
    runtime, counting = RuntimeConfig(store=str(store.root)), CountConfig()
    documents = ref(load.fn(Context(store, runtime=runtime), corpus.load_config(scratch)))
    vectors = ref(embed.fn(Context(store, runtime=runtime), documents, ENCODER))
    graph = ref(neighbors.fn(Context(store, 42, runtime), vectors, NeighborsConfig()))
    reducing = PcaReduce(method="pca", n_components=20)
    reduced = ref(reduce.fn(Context(store, 42, runtime), vectors, graph, reducing))
    clustering = KMeansCluster(method="kmeans", n_clusters=n_topics)
    labels = ref(cluster.fn(Context(store, 42, runtime), vectors, graph, reduced, clustering))
    counts = ref(count.fn(Context(store, runtime=runtime), documents, counting))
    clustered = Clustered(documents, vectors, labels, counts)
    topics = label.fn(Context(store, runtime=runtime), clustered, LabelConfig(), counting, ENCODER)
    return Modelled(documents, vectors, labels, ref(topics))


def figures(store: ArtifactStore, modelled: Modelled, names: list[str]) -> tuple[float, float]:
    """Return the mean margin of names between their own topic and the best other one, and the share that is nearest."""
    centroids = np.asarray(store.array(modelled.topics, "centroids"), np.float64)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    vectors = embed_texts(store, pl.Series(names), ENCODER, RuntimeConfig(store=str(store.root)))
    cosines = vectors @ centroids.T
    own = np.diag(cosines).copy()
    np.fill_diagonal(cosines, -1.0)
    return float((own - cosines.max(axis=1)).mean()), float((own > cosines.max(axis=1)).mean())


@contextlib.contextmanager
def server(url: str | None) -> Iterator[str]:
    """Yield the address of a server, started here if none is given."""
    if url is not None:
        yield url
        return
    with llama_cpp_chat(2048) as own:
        yield own


def main() -> None:
    """Print names and figures of each corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("corpora", nargs="*", default=list(KINDS))
    parser.add_argument("--url")
    parser.add_argument("--model", default="SmolLM2-135M-Instruct Q4_1")
    parser.add_argument("--topics", type=int, default=10)
    parser.add_argument("--scratch", type=Path, default=Path("naming-scratch"))
    options = parser.parse_args()
    with server(options.url) as url:
        config = NamesConfig(
            url=url, model=options.model, n_documents=3, n_chars=120, n_concurrent=1, timeout_s=900
        )
        for which in options.corpora:
            measure(which, config.model_copy(update={"corpus": KINDS[which]}), options)


def measure(which: str, config: NamesConfig, options: argparse.Namespace) -> None:
    """Print the names and figures of one corpus."""
    store, own = ArtifactStore(options.scratch / "store"), CORPORA[which]
    corpus = Corpus(own.name, own.file, own.text_column, own.label_column, N_ROWS)
    modelled = model(store, corpus, options.topics, options.scratch)
    table = store.table(modelled.topics, "topics").sort("topic").collect()
    names = {
        "keywords": table["name"].to_list(),
        "one keyword": [words[0] for words in table["keywords"].to_list()],
    }
    variants = {"alone": config.model_copy(update={"n_siblings": 0, "alike": 1.0}), "contrast": config}
    for variant, section in variants.items():
        started = time.perf_counter()
        context = Context(store, runtime=RuntimeConfig(store=str(store.root)))
        made = ref(name.fn(context, modelled, section, ENCODER))
        seconds, meta = time.perf_counter() - started, store.meta(made)
        found = store.table(made, "topics").sort("topic").collect()
        names[variant] = found["name"].to_list()
        print(f"{which} {variant}: {seconds:.0f} s, {meta}", flush=True)
        print(found.select("topic", "name", "named_by", "name_note").to_dicts())
    for variant, each in names.items():
        margin, share = figures(store, modelled, each)
        print(f"{which} {variant}: margin {margin:.3f}, nearest to its own topic {share:.0%}")
    print(pl.DataFrame(names).to_dicts(), flush=True)


if __name__ == "__main__":
    main()
