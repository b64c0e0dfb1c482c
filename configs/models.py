"""Config: the typed, frozen description of a run; every field says its unit and where its default comes from.

A field of a stage's section changes that stage's key and so what is recomputed. A field of `runtime` never
does: it says where and how the work is done, not what comes out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field, Tag, field_validator, model_validator

from topicflow.configs.duplicates import DeduplicateSection, GroupingConfig
from topicflow.configs.gates import GatesConfig
from topicflow.configs.sections import AnyOf, method_or
from topicflow.configs.sections import Section as Section  # noqa: PLC0414  (sections of other files are made of it)

_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
"""What the names of environment variables look like."""


def _without_credentials(value: str | None) -> str | None:
    """Return a path or URL; raise ValueError where it holds a user's name, as configs and records are shown around."""
    if value is not None and re.match(r"[a-z0-9]+://[^/]*@", value):
        msg = "expected a URL without credentials, which belong into the environment (AWS_ACCESS_KEY_ID, …)"
        raise ValueError(msg)
    return value


# --- load ---------------------------------------------------------------------------------------------------


class SplitConfig(Section):
    """Split long documents into passages; their topics are joined again per document."""

    max_words: int = Field(
        default=180,
        ge=10,
        le=5000,
        description="Longest passage, in words. 180 words are about 250 word pieces of English, what "
        "all-MiniLM-L6-v2 reads (256).",
    )
    overlap_words: int = Field(
        default=20, ge=0, le=1000, description="Words that a passage repeats from the one before."
    )

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> SplitConfig:
        if self.overlap_words >= self.max_words:
            msg = f"overlap_words={self.overlap_words} must be smaller than max_words={self.max_words}"
            raise ValueError(msg)
        return self


class LoadConfig(Section):
    """Where the documents come from and which columns hold what."""

    path: str | None = Field(
        default=None,
        description="A Parquet, CSV or NDJSON file, a folder of .txt files, a glob of any of these, an hf:// or "
        "s3:// path, or docstrings://package,package for the docstrings of installed Python packages.",
    )
    query: str | None = Field(
        default=None,
        description="A SQL query instead of a path; read over the connection in `connection_env`.",
    )
    connection_env: str | None = Field(
        default=None,
        description="Name of the environment variable that holds the SQLAlchemy URL for `query`. The URL itself "
        "never enters a config or a record.",
        json_schema_extra={"pattern": _VARIABLE},  # so that Prefect's API refuses a URL before it keeps it
    )
    format: Literal["auto", "parquet", "csv", "ndjson", "text"] = Field(
        default="auto", description="File format; auto goes by the ending."
    )
    text_column: str | tuple[str, ...] = Field(
        default="text", description="Column that holds the text, or a list of columns that are joined."
    )
    text_separator: str = Field(default="\n\n", description="What stands between joined text columns.")
    id_column: str | None = Field(
        default=None, description="Column of unique document ids; made from the content where none is given."
    )
    label_column: str | None = Field(
        default=None, description="Column of known classes; where given, NMI, ARI and purity are measured."
    )
    timestamp_column: str | None = Field(
        default=None, description="Column of dates or times; where given, the report shows topics over time."
    )
    columns: tuple[str, ...] | None = Field(
        default=None, description="Input columns carried to documents.parquet; all where not given."
    )
    limit: int | None = Field(
        default=None, ge=1, description="Read only the first so many rows, for a trial."
    )
    encoding_errors: Literal["strict", "replace"] = Field(
        default="strict",
        description="Bytes that are not UTF-8: strict stops with the file's name, replace puts U+FFFD and counts.",
    )
    split: SplitConfig | None = Field(
        default=None, description="Split long documents into passages (off unless the section is given)."
    )

    @field_validator("connection_env")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(_VARIABLE, value):
            msg = "expected the name of an environment variable; what it holds is not written in a config"
            raise ValueError(msg)
        return value

    @field_validator("path")
    @classmethod
    def _path_has_no_credentials(cls, value: str | None) -> str | None:
        return _without_credentials(value)

    @field_validator("text_column")
    @classmethod
    def _some_text_column(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value:
            msg = "name at least one text column"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _one_source(self) -> LoadConfig:
        if (self.path is None) == (self.query is None):
            msg = "give either path or query"
            raise ValueError(msg)
        if self.query is not None and self.connection_env is None:
            msg = "query needs connection_env, the name of the variable that holds the connection URL"
            raise ValueError(msg)
        return self


# --- embed --------------------------------------------------------------------------------------------------


class SentenceTransformersEmbed(Section):
    """Embed with a sentence-transformers model; each distinct text once per encoder, ever."""

    model_config = ConfigDict(title="sentence-transformers")

    method: Literal["sentence-transformers"] = Field(
        default="sentence-transformers", description="Embed with a model."
    )
    model: str = Field(
        default="all-MiniLM-L6-v2",
        description="A preset (all-MiniLM-L6-v2, all-mpnet-base-v2, msmarco-distilbert, LaBSE, "
        "paraphrase-multilingual-mpnet-base-v2), a local folder, or a hub name.",
    )
    revision: str | None = Field(default=None, description="Hub revision: a commit, tag or branch.")
    prompt: str | None = Field(
        default=None,
        description="Text put before each document, for instruction models; the model's own if none.",
    )
    max_seq_length: int | None = Field(
        default=None, ge=8, le=131072, description="Longest input in tokens; the model's own if none."
    )
    precision: Literal["auto", "float32", "float16", "bfloat16", "int8"] = Field(
        default="auto",
        description="Arithmetic of the encoder; auto is float16 on CUDA and float32 elsewhere. int8 is for CPUs: "
        "OpenVINO, pip install 'topicflow[int8]', mean cosine .998 to float32 (tests/benchmarks).",
    )
    adapter: str | None = Field(
        default=None,
        description="An adapter that moves the vectors: a run of `topicflow tune` (name, name/run id, folder), or its "
        "artifact's key.",
    )


class StaticEmbed(Section):
    """Embed with a table of token vectors distilled here from a sentence-transformers model: quick, for drafts."""

    model_config = ConfigDict(title="static")

    method: Literal["static"] = Field(description="Embed by summing token vectors.")
    model: str = Field(
        default="all-MiniLM-L6-v2",
        description="What it is distilled from: a preset, a local folder, or a hub name, as with "
        "sentence-transformers.",
    )
    revision: str | None = Field(default=None, description="Hub revision: a commit, tag or branch.")
    dim: int = Field(
        default=256,
        ge=2,
        le=4096,
        description="Dimensions of the vectors, or the model's where it has fewer (model2vec: 256).",
    )
    adapter: str | None = Field(
        default=None,
        description="An adapter that moves the vectors: a run of `topicflow tune` (name, name/run id, folder), or its "
        "artifact's key.",
    )


class PrecomputedEmbed(Section):
    """Take vectors that exist already, from a .npy file or a list column of the documents."""

    model_config = ConfigDict(title="precomputed")

    method: Literal["precomputed"] = Field(description="Take vectors that are there.")
    path: str | None = Field(
        default=None,
        description="A .npy file of shape (rows of the input, dim), float; row i belongs to input row i.",
    )
    column: str | None = Field(default=None, description="A list or array column of the documents.")
    adapter: str | None = Field(
        default=None,
        description="An adapter that moves the vectors: a run of `topicflow tune` (name, name/run id, folder), or its "
        "artifact's key.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> PrecomputedEmbed:
        if (self.path is None) == (self.column is None):
            msg = "give either path (a .npy file) or column (of the documents)"
            raise ValueError(msg)
        return self


class ImagesEmbed(Section):
    """Embed images beside the text, with a model that reads both (CLIP): they are clustered, and searched by text."""

    model_config = ConfigDict(title="images")

    method: Literal["images"] = Field(description="Embed a column of image files.")
    model: str = Field(
        description="A CLIP model that sentence-transformers loads: a local folder, or a hub name such as "
        "openai/clip-vit-base-patch32.",
    )
    revision: str | None = Field(default=None, description="Hub revision: a commit, tag or branch.")
    column: str = Field(default="image", description="Column that holds the paths of the image files.")
    root: str = Field(default=".", description="Folder that the paths are relative to.")


TextEmbedConfig = Annotated[
    Annotated[SentenceTransformersEmbed, Tag("sentence-transformers")]
    | Annotated[StaticEmbed, Tag("static")]
    | Annotated[PrecomputedEmbed, Tag("precomputed")],
    method_or("sentence-transformers"),
    AnyOf(),
]
"""What flows that read texts alone embed with."""

EmbedConfig = Annotated[
    Annotated[SentenceTransformersEmbed, Tag("sentence-transformers")]
    | Annotated[StaticEmbed, Tag("static")]
    | Annotated[PrecomputedEmbed, Tag("precomputed")]
    | Annotated[ImagesEmbed, Tag("images")],
    method_or("sentence-transformers"),
    AnyOf(),
]

# --- neighbors ----------------------------------------------------------------------------------------------


class NeighborsConfig(Section):
    """The k-nearest-neighbour graph of the embeddings (cosine), shared by layouts and quality figures."""

    n_neighbors: int = Field(
        default=15,
        ge=2,
        le=200,
        description="Neighbours of each document, itself included (UMAP's default, 15).",
    )
    method: Literal["auto", "exact", "descent", "pynndescent"] = Field(
        default="auto",
        description="exact compares all pairs; descent approximates: cells of int8 codes, neighbours' neighbours; "
        "pynndescent by trees; auto is exact up to 10,000 documents on a CPU, descent beyond (measured).",
    )
    fit_limit: int = Field(
        default=1_000_000,
        ge=100,
        le=1_000_000_000,
        description="Documents that the graph, layouts and clusters are fitted on; beyond it a random sample of so "
        "many is, and every other document goes where its nearest fitted ones are. A million fit 24 GB.",
    )


# --- reduce -------------------------------------------------------------------------------------------------


class ParallelUmapReduce(Section):
    """UMAP's graph and objective, laid out on all cores; the same bits on any number of them."""

    model_config = ConfigDict(title="parallel_umap")

    method: Literal["parallel_umap"] = Field(
        default="parallel_umap", description="UMAP by our own layout: all cores, reproducible."
    )
    n_components: int = Field(
        default=5, ge=2, le=10, description="Dimensions that are clustered (BERTopic: 5)."
    )
    min_dist: float = Field(
        default=0.0, ge=0.0, le=1.0, description="Least distance of points in the layout (BERTopic: 0.0)."
    )
    n_epochs: int = Field(
        default=60,
        ge=1,
        le=5000,
        description="Passes of the layout. 60 give the clusters that umap-learn gives in 200 (tests/benchmarks).",
    )
    init: Literal["pca", "random"] = Field(
        default="pca", description="Where the layout starts: principal components, or anywhere."
    )


class UmapReduce(Section):
    """UMAP from the shared neighbour graph."""

    model_config = ConfigDict(title="umap")

    method: Literal["umap"] = Field(description="UMAP by umap-learn: its own output, seeded, on one thread.")
    n_components: int = Field(
        default=5, ge=2, le=10, description="Dimensions that are clustered (BERTopic: 5)."
    )
    min_dist: float = Field(
        default=0.0, ge=0.0, le=1.0, description="Least distance of points in the layout (BERTopic: 0.0)."
    )
    n_epochs: int | None = Field(
        default=None,
        ge=1,
        le=5000,
        description="Passes of the layout; umap-learn's own (500 up to 10,000 documents, 200 above) if none.",
    )
    init: Literal["spectral", "pca", "random"] = Field(
        default="pca",
        description="Where the layout starts. umap-learn's spectral start costs a third of its time and gave the same "
        "NMI and more spread over seeds (tests/benchmarks).",
    )


class PcaReduce(Section):
    """Principal components."""

    model_config = ConfigDict(title="pca")

    method: Literal["pca"] = Field(description="Principal components by scikit-learn.")
    n_components: int = Field(default=5, ge=2, le=500, description="Principal components that are kept.")


class NoReduce(Section):
    """Cluster the embeddings themselves."""

    model_config = ConfigDict(title="none")

    method: Literal["none"] = Field(description="No reduction.")


ReduceConfig = Annotated[
    Annotated[ParallelUmapReduce, Tag("parallel_umap")]
    | Annotated[UmapReduce, Tag("umap")]
    | Annotated[PcaReduce, Tag("pca")]
    | Annotated[NoReduce, Tag("none")],
    method_or("parallel_umap"),
    AnyOf(),
]


class MapConfig(Section):
    """The two-dimensional map of the report: a UMAP layout of the same graph."""

    min_dist: float = Field(
        default=0.1, ge=0.0, le=1.0, description="Least distance of points (umap-learn: 0.1)."
    )
    n_epochs: int = Field(default=60, ge=1, le=5000, description="Passes of the layout, as in `reduce`.")


# --- cluster ------------------------------------------------------------------------------------------------


class HdbscanCluster(Section):
    """HDBSCAN: topics of any shape, and outliers that belong to none."""

    model_config = ConfigDict(title="hdbscan")

    method: Literal["hdbscan"] = Field(default="hdbscan", description="HDBSCAN.")
    implementation: Literal["auto", "reference", "fast"] = Field(
        default="auto",
        description="reference is the hdbscan package, fast our spanning tree and hierarchy: the same clusters but for "
        "ties, on all cores; auto takes fast above 10,000 documents (tests/benchmarks).",
    )
    min_cluster_size: int = Field(
        default=15, ge=2, le=10_000_000, description="Smallest topic, in documents."
    )
    min_samples: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Neighbours that make a point dense; as min_cluster_size if none. "
        "Smaller leaves fewer outliers.",
    )
    selection: Literal["eom", "leaf"] = Field(
        default="eom",
        description="Clusters by excess of mass (few, large) or the tree's leaves (many, even).",
    )
    epsilon: float = Field(
        default=0.0, ge=0.0, description="Clusters closer than this distance in the reduced space are joined."
    )
    max_topic_share: float = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        description="A topic of more than this share of all documents gives way to the topics inside it, where there "
        "are any; 1 is HDBSCAN's own choice, which on few documents is often the two halves of everything "
        "(tests/benchmarks).",
    )
    n_topics: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Join the most similar topics until no more than so many are left (BERTopic's nr_topics); "
        "no joining if none.",
    )
    max_outlier_share: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="Largest share of documents without a topic; the surest beyond it are given to their best topic "
        "and marked as reassigned. No bound if none.",
    )


class KMeansCluster(Section):
    """k-means: every document has a topic, there is no noise."""

    model_config = ConfigDict(title="kmeans")

    method: Literal["kmeans"] = Field(description="k-means by scikit-learn.")
    n_clusters: int = Field(default=50, ge=1, le=100_000, description="Number of topics.")


class ClassesCluster(Section):
    """The classes of a trained classifier as topics; documents that it is unsure of have none."""

    model_config = ConfigDict(title="classes")

    method: Literal["classes"] = Field(description="A classifier's classes.")
    classifier: str = Field(
        description="Folder of a run of train_classifier, as runs/classes/latest; its encoder must be that of [embed]."
    )
    threshold: float = Field(
        default=0.5, ge=0.0, le=1.0, description="Least probability; documents below have no topic."
    )


ClusterConfig = Annotated[
    Annotated[HdbscanCluster, Tag("hdbscan")]
    | Annotated[KMeansCluster, Tag("kmeans")]
    | Annotated[ClassesCluster, Tag("classes")],
    method_or("hdbscan"),
    AnyOf(),
]

# --- count, label -------------------------------------------------------------------------------------------


class CountConfig(Section):
    """How texts become word counts: one sparse matrix that every relabelling shares."""

    stop_words: str | tuple[str, ...] = Field(
        default="english",
        description="Languages whose function words are left out: a name (english, german, french, spanish, …, "
        "as in the stop-words package), a list of names, or none.",
    )
    extra_stop_words: tuple[str, ...] = Field(default=(), description="Further words left out.")
    ngram_range: tuple[int, int] = Field(default=(1, 1), description="Shortest and longest phrase, in words.")
    min_df: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="A word counts from so many documents on (BERTopic: 1).",
    )
    max_features: int | None = Field(
        default=None, ge=10, description="Keep the most frequent words only; no bound if none."
    )
    lowercase: bool = Field(default=True, description="Fold case before counting.")
    token_pattern: str = Field(
        default=r"(?u)\b\w[\w-]*\w\b",
        description="Regular expression of a word: two letters on, hyphens inside kept (scikit-learn's default "
        "cuts x-ray in two).",
    )

    @field_validator("ngram_range")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1] <= 5:
            msg = f"ngram_range={list(value)} must be [shortest, longest] within 1 and 5"
            raise ValueError(msg)
        return value


class LabelConfig(Section):
    """How topics get their keywords, names and example documents."""

    top_n_words: int = Field(default=10, ge=1, le=100, description="Keywords of a topic (BERTopic: 10).")
    representation: Literal["ctfidf", "keybert", "mmr"] = Field(
        default="ctfidf",
        description="Keywords by c-TF-IDF weight, by closeness to the topic in the encoder's space (keybert), or by "
        "weight and mutual difference (mmr).",
    )
    n_candidates: int = Field(
        default=40, ge=2, le=500, description="c-TF-IDF words that keybert and mmr choose from."
    )
    diversity: float = Field(
        default=0.3, ge=0.0, le=1.0, description="mmr: 0 takes the most relevant words, 1 the most different."
    )
    spread: float = Field(
        default=1.0,
        ge=0.0,
        le=2.0,
        description="Exponent of the share of a topic's documents that hold a word: raises words that most of them "
        "use over words that one repeats. 0 is BERTopic's weighting; 1 measured in tests/benchmarks.",
    )
    exclusivity: float = Field(
        default=0.45,
        ge=0.0,
        le=2.0,
        description="Exponent of the share of a word's occurrences that fall into the topic: raises words that no "
        "other topic uses. 0 is BERTopic's weighting; .45 measured in tests/benchmarks.",
    )
    reduce_frequent_words: bool = Field(
        default=False,
        description="Take the square root of term frequency, which tames frequent words (BERTopic).",
    )
    bm25_weighting: bool = Field(default=False, description="BM25-like idf in c-TF-IDF (BERTopic).")
    n_name_words: int = Field(default=4, ge=1, le=10, description="Keywords that make a topic's name.")
    n_representative: int = Field(default=5, ge=1, le=50, description="Example documents of a topic.")


# --- evaluate, report ---------------------------------------------------------------------------------------


class EvaluateConfig(Section):
    """What is measured, and on how large a sample where exactness would cost too much."""

    top_n_words: int = Field(
        default=10,
        ge=2,
        le=50,
        description="Keywords of a topic that enter coherence and diversity (literature: 10).",
    )
    sample: int = Field(
        default=5000,
        ge=10,
        le=100_000,
        description="Documents sampled for trustworthiness and DBCV, both quadratic.",
    )


class ReportConfig(Section):
    """What the HTML report shows."""

    title: str | None = Field(default=None, description="Heading of the report; the run's name if none.")
    max_points: int = Field(
        default=100_000, ge=100, le=1_000_000, description="Points on the map; sampled evenly beyond it."
    )
    max_text: int = Field(
        default=300, ge=20, le=10_000, description="Characters of a document shown on the map."
    )
    n_examples: int = Field(default=3, ge=0, le=20, description="Example documents shown for each topic.")


# --- runtime ------------------------------------------------------------------------------------------------


class RuntimeConfig(Section):
    """Where and how the work is done; nothing here changes a result or a key."""

    store: str = Field(
        default="store",
        description="Folder of the artifacts, or a URL: s3://bucket/prefix (gs://, az://). Credentials come from the "
        "environment alone.",
    )
    cache: str | None = Field(
        default=None,
        description="Folder on this machine for copies of artifacts of a store that has a URL; the user's folder for "
        "caches if none.",
    )
    runs: str = Field(default="runs", description="Folder of the runs.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="Where the encoder runs; auto takes CUDA, then MPS, then the CPU."
    )
    n_threads: int | None = Field(
        default=None, ge=1, le=1024, description="Threads of a stage; all cores if none."
    )
    chunk_rows: int = Field(
        default=50_000, ge=1, le=10_000_000, description="Rows read and written at a time."
    )
    retries: int = Field(default=2, ge=0, le=10, description="Further tries of reading input that fails.")
    engine: Literal["threads", "dask", "ray"] = Field(
        default="threads",
        description="What works on chunks: threads of this process, or the workers of a Dask or Ray cluster.",
    )
    address: str | None = Field(
        default=None,
        description="Where the cluster's scheduler is (tcp://host:8786 for Dask, host:6379 for Ray); a cluster of this "
        "machine is started for the run if none.",
    )
    n_workers: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Worker processes of a cluster of this machine; one for each GPU, or for every four cores, "
        "if none.",
    )

    @field_validator("store")
    @classmethod
    def _store_has_no_credentials(cls, value: str) -> str:
        return str(_without_credentials(value))


RunName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="Name of the series of runs: letters, digits, dot, dash, underscore.",
    ),
]


class FlowConfig(Section):
    """What the config of every flow has: a name for its runs, a seed, and a section `runtime`."""

    name: RunName
    seed: int = Field(default=42, ge=0, le=2**31 - 1, description="Seed of everything random.")

    if TYPE_CHECKING:  # a field of each flow's own, so that forms and files show it last

        @property
        def runtime(self) -> RuntimeConfig:
            """Where and how the work is done."""

    @property
    def flow(self) -> str:
        """The name of the flow that this configures."""
        return str(self.model_config["title"])


def check_keep(section: GroupingConfig | None, load: LoadConfig) -> None:
    """Raise ValueError where the newest document is to be kept and no column says when one was written."""
    if section is not None and section.keep == "newest" and load.timestamp_column is None:
        msg = "deduplicate.keep='newest' needs load.timestamp_column, the column of dates or times"
        raise ValueError(msg)


class TopicModelConfig(FlowConfig):
    """A topic model: from a corpus to topics."""

    model_config = ConfigDict(title="topic_model")

    name: RunName = "topics"
    load: LoadConfig
    embed: EmbedConfig = Field(default_factory=SentenceTransformersEmbed)
    deduplicate: DeduplicateSection | None = Field(
        default=None,
        description="Model only one of near-duplicate documents (off unless the section is given).",
    )
    neighbors: NeighborsConfig = Field(default_factory=NeighborsConfig)
    reduce: ReduceConfig = Field(default_factory=ParallelUmapReduce)
    map: MapConfig = Field(default_factory=MapConfig)
    cluster: ClusterConfig = Field(default_factory=HdbscanCluster)
    count: CountConfig = Field(default_factory=CountConfig)
    label: LabelConfig = Field(default_factory=LabelConfig)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    report: ReportConfig = Field(default_factory=ReportConfig)
    gates: GatesConfig | None = Field(
        default=None,
        description="What a run must reach for `latest` to move to it (off unless the section is given).",
    )
    runtime: RuntimeConfig = Field(default_factory=RuntimeConfig)

    @model_validator(mode="after")
    def _words_need_an_encoder(self) -> TopicModelConfig:
        if self.label.representation != "ctfidf" and self.embed.method in {"precomputed", "images"}:
            msg = (
                f"label.representation={self.label.representation!r} embeds words and needs an encoder; "
                f"embed.method={self.embed.method!r} has none: use 'ctfidf'"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _newest_needs_times(self) -> TopicModelConfig:
        check_keep(self.deduplicate, self.load)
        return self
