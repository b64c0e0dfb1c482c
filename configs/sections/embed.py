"""Section `embed`: how documents become vectors."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, Tag, model_validator

from topicflow.configs.fields.base import AnyOf, IsPath, Section, method_or
from topicflow.configs.fields.server import HOW_A_SERVER_IS_ASKED, ServerSection

Task = Literal["clustering", "classification", "document", "query", "none"]


class SentenceTransformersEmbed(Section):
    """Embed with a sentence-transformers model. An encoder embeds each distinct text only once."""

    model_config = ConfigDict(title="sentence-transformers")

    method: Literal["sentence-transformers"] = Field(
        default="sentence-transformers", description="Embed with a model."
    )
    model: str = Field(
        default="all-MiniLM-L6-v2",
        description="A preset (all-MiniLM-L6-v2, all-mpnet-base-v2, msmarco-distilbert, LaBSE, "
        "paraphrase-multilingual-mpnet-base-v2), a local folder, or a name on the Hugging Face hub.",
    )
    revision: str | None = Field(default=None, description="Revision on the hub: a commit, tag or branch.")
    task: Task | None = Field(
        default=None,
        description="What the vectors are for: the model's own prompt of that name is put before each document. If "
        "not set: clustering for topics, duplicates and tuning, classification for classifiers, document for indexes. "
        "A model without such a prompt uses its prompt for documents; none uses no prompt.",
    )
    prompt: str | None = Field(
        default=None,
        description="Text put before each document, for instruction models. If not set: the model's own, by `task`.",
    )
    dim: int | None = Field(
        default=None,
        ge=2,
        le=65_536,
        description="Number of dimensions that are kept of each vector before it is scaled to unit length. If not set: "
        "the model's own. For models that are trained for it (Matryoshka).",
    )
    max_seq_length: int | None = Field(
        default=None, ge=8, le=131072, description="Longest input, in tokens. If not set: the model's own."
    )
    precision: Literal["auto", "float32", "float16", "bfloat16", "int16", "int8"] = Field(
        default="auto",
        description="Number format of the encoder; auto is float16 on CUDA, for a plain BERT bfloat16 on a processor "
        "with AMX and int16 on one with VNNI, and float32 elsewhere. int8 is for CPUs; its mean cosine to float32 is "
        ".999 for a plain BERT with VNNI, .998 otherwise (OpenVINO, pip install 'topicflow[int8]'; tests/benchmarks).",
    )
    adapter: str | None = Field(
        default=None,
        description="Adapter for the vectors: a run of `topicflow tune` (name, name/run id, or folder), or the key of "
        "its artifact.",
    )


class StaticEmbed(Section):
    """Embed with a table of token vectors, distilled once from a sentence-transformers model: fast, for drafts."""

    model_config = ConfigDict(title="static")

    method: Literal["static"] = Field(description="Embed by summing token vectors.")
    model: str = Field(
        default="all-MiniLM-L6-v2",
        description="Model that the table is distilled from: a preset, a local folder, or a hub name, as with "
        "sentence-transformers.",
    )
    revision: str | None = Field(default=None, description="Revision on the hub: a commit, tag or branch.")
    dim: int = Field(
        default=256,
        ge=2,
        le=4096,
        description="Dimensions of the vectors; the model's if it has fewer (model2vec: 256).",
    )
    adapter: str | None = Field(
        default=None,
        description="Adapter for the vectors: a run of `topicflow tune` (name, name/run id, or folder), or the key of "
        "its artifact.",
    )


class ApiEmbed(ServerSection):
    """Embed through a server with OpenAI's `/v1/embeddings`; each distinct text only once per model."""

    model_config = ConfigDict(title="api")

    route: ClassVar[str] = "/embeddings"

    method: Literal["api"] = Field(description="Embed through a server.")
    dim: int | None = Field(
        default=None,
        ge=2,
        le=65_536,
        description="Number of dimensions that are kept of each vector before it is scaled to unit length. If not set: "
        "all. For models that are trained for it (Matryoshka). The server is not asked to cut, because many ignore it.",
    )
    prompt: str | None = Field(
        default=None, description="Text before each document, for models that need one. If not set: none."
    )
    query_prompt: str | None = Field(
        default=None, description="Text before each query of a search. If not set: none."
    )
    max_tokens: int | None = Field(
        default=None,
        ge=8,
        le=1_000_000,
        description="Maximum length of a text in tokens, as the server counts them. Longer texts are cut and counted. "
        "If not set, the limit is learnt from the server.",
    )
    max_requests: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of requests in a run, including retries. A run that needs more stops and keeps its "
        "vectors; the next run continues.",
    )
    batch_texts: int = Field(
        default=128,
        ge=1,
        le=2048,
        description="Maximum number of texts in a request; lowered if the server refuses it.",
    )
    batch_tokens: int = Field(
        default=100_000,
        ge=64,
        le=300_000,
        description="Maximum number of estimated tokens in a request (OpenAI allows 300,000); lowered if the server "
        "refuses it.",
    )
    price: float | None = Field(
        default=None, ge=0.0, description="Price of a million tokens; `topicflow plan` then prints the cost."
    )
    adapter: str | None = Field(
        default=None,
        description="An adapter for the vectors: a run of `topicflow tune` (name, name/run id, folder), or its "
        "artifact's key.",
    )


HOW_ASKED = HOW_A_SERVER_IS_ASKED | {"max_requests", "batch_texts", "batch_tokens", "price"}
"""Fields of `ApiEmbed` that decide how a server is asked, but not its answers: they are not part of any key."""


class PrecomputedEmbed(Section):
    """Use existing vectors from a .npy file or a list column of the documents."""

    model_config = ConfigDict(title="precomputed")

    method: Literal["precomputed"] = Field(description="Use existing vectors.")
    path: Annotated[str | None, IsPath()] = Field(
        default=None,
        description="A .npy, .npz or .safetensors file of floats (rows, dim): row i belongs to row i of the input.",
    )
    column: str | None = Field(
        default=None, description="A column of the documents with lists, or with texts such as [0.1, 0.2]."
    )
    adapter: str | None = Field(
        default=None,
        description="Adapter for the vectors: a run of `topicflow tune` (name, name/run id, or folder), or the key of "
        "its artifact.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> PrecomputedEmbed:
        if (self.path is None) == (self.column is None):
            msg = "set either path (a .npy file) or column (of the documents)"
            raise ValueError(msg)
        return self


class ImagesEmbed(Section):
    """Embed an image of each document with a model for images and text (CLIP): cluster them and search them by text."""

    model_config = ConfigDict(title="images")

    method: Literal["images"] = Field(description="Embed a column of image files.")
    model: str = Field(
        description="A CLIP model that sentence-transformers loads: a local folder, or a hub name such as "
        "openai/clip-vit-base-patch32.",
    )
    revision: str | None = Field(default=None, description="Hub revision: a commit, tag or branch.")
    column: str = Field(default="image", description="Column with the paths of the image files.")
    root: Annotated[str, IsPath(default_too=True)] = Field(
        default=".", description="Folder that the paths are relative to, and that must contain the files."
    )
    allow_outside_root: bool = Field(
        default=False,
        description="Also read files outside `root`, to which absolute paths, `..` and links may lead.",
    )


def for_task(task: Task) -> AfterValidator:
    """Return the validator with which a flow sets `embed.task` if the user has set neither a task nor a prompt.

    The field needs `validate_default`, so that a config without a section `embed` has the task, too.
    """

    def with_task(embed: object) -> object:
        if isinstance(embed, SentenceTransformersEmbed) and embed.task is None and embed.prompt is None:
            return embed.model_copy(update={"task": task})
        return embed

    return AfterValidator(with_task)


TextEmbedConfig = Annotated[
    Annotated[SentenceTransformersEmbed, Tag("sentence-transformers")]
    | Annotated[StaticEmbed, Tag("static")]
    | Annotated[ApiEmbed, Tag("api")]
    | Annotated[PrecomputedEmbed, Tag("precomputed")],
    method_or("sentence-transformers"),
    AnyOf(),
]
"""Choices of the flows that embed only texts."""


EmbedConfig = Annotated[
    Annotated[SentenceTransformersEmbed, Tag("sentence-transformers")]
    | Annotated[StaticEmbed, Tag("static")]
    | Annotated[ApiEmbed, Tag("api")]
    | Annotated[PrecomputedEmbed, Tag("precomputed")]
    | Annotated[ImagesEmbed, Tag("images")],
    method_or("sentence-transformers"),
    AnyOf(),
]
