"""Naming cost: topics and the section `names` -> how many calls and tokens a run would send, and which texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from topicflow.configs.sections.names import NamesConfig
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.final import final_labels, named_topics

if TYPE_CHECKING:
    from topicflow.tasks.naming.questions import TopicQuestion

BYTES_PER_TOKEN = 4
"""UTF-8 bytes of a token on average, of English; other languages have more tokens."""

ANSWER_TOKENS = 20
"""Tokens of a usual answer; a model that thinks aloud has many more."""


@dataclass(frozen=True)
class NamingCost:
    """What naming would send to a server. Numbers are None as long as the topics are not known.

    Attributes
    ----------
    url : str
        Where it would be sent.
    n_calls : int, optional
        Calls, one a topic without a kept answer; one more for each group of alike names is not counted.
    n_tokens : int, optional
        Tokens of prompts and answers, an estimate.
    n_documents, n_chars : int, optional
        Documents of which a beginning would leave the machine, and their characters in all.
    """

    url: str
    n_calls: int | None = None
    n_tokens: int | None = None
    n_documents: int | None = None
    n_chars: int | None = None

    def __str__(self) -> str:
        """Return the cost in one line."""
        if self.n_calls is None:
            return f"one call to {self.url} for each topic, and one for each group of alike names"
        return (
            f"{self.n_calls:,} calls to {self.url} and one for each group of alike names, about {self.n_tokens:,} "
            f"tokens; keywords and {self.n_chars:,} characters of {self.n_documents:,} documents leave the machine"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the cost as JSON values."""
        return {name: value for name, value in vars(self).items() if value is not None}


def naming_cost(
    store: ArtifactStore,
    config: NamesConfig,
    found: dict[str, ArtifactRef | None],
) -> NamingCost:
    """Return what naming would send: only questions that the store has no answer to.

    Parameters
    ----------
    store : ArtifactStore
        Where answers are kept.
    config : NamesConfig
        The model and what it is told.
    found : dict
        The artifact of each stage of the plan, None for those to be computed.
    """
    embeddings, labels, topics = found.get("embed"), final_labels(found), named_topics(found)
    documents = found.get("keep", found.get("load"))
    if documents is None or embeddings is None or labels is None or topics is None:
        return NamingCost(config.url)
    from topicflow.tasks.naming.evidence import Modelled, gather_evidence, person_names
    from topicflow.tasks.naming.questions import TopicQuestion

    modelled, taken = Modelled(documents, embeddings, labels, topics), person_names(store, topics)
    wanted = [topic for topic in range(topics.rows) if topic not in taken] if taken else None
    evidence = gather_evidence(store, modelled, config, wanted)
    return cost_of(store, [TopicQuestion((each,), config) for each in evidence], config.url)


def cost_of(store: ArtifactStore, questions: Sequence[TopicQuestion], url: str) -> NamingCost:
    """Return what the questions without an answer in the store would send."""
    new = [question for question in questions if store.find(question.recipe, claim=False) is None]
    texts = [text for question in new for each in question.topics for text in each.documents]
    n_bytes = sum(len(each["content"].encode()) for question in new for each in question.messages())
    n_tokens = n_bytes // BYTES_PER_TOKEN + ANSWER_TOKENS * len(new)
    return NamingCost(url, len(new), n_tokens, len(texts), sum(map(len, texts)))
