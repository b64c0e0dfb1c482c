"""Naming cost: topics and the section `names` -> how many calls and tokens a run would send, and which texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from topicflow.configs.sections.names import NamesConfig
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.final import final_labels, named_topics

if TYPE_CHECKING:
    from topicflow.tasks.naming.groups import Told
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
        Calls, one for each topic and each group without a kept answer; those for alike names are not counted.
    n_tokens : int, optional
        Tokens of prompts and answers, an estimate.
    n_documents, n_chars : int, optional
        Documents of which a beginning would leave the machine, and their characters in all.
    n_groups : int, optional
        Calls for groups of the tree among `n_calls`; an upper bound as long as a topic has no name.
    has_groups : bool
        Whether groups of a tree get names, too.
    """

    url: str
    n_calls: int | None = None
    n_tokens: int | None = None
    n_documents: int | None = None
    n_chars: int | None = None
    n_groups: int | None = None
    has_groups: bool = False

    def __str__(self) -> str:
        """Return the cost in one line."""
        if self.n_calls is None:
            groups = ", one for each group of the tree" if self.has_groups else ""
            return f"one call to {self.url} for each topic{groups}, and one for each group of alike names"
        groups = f", {self.n_groups:,} of them for groups of the tree," if self.has_groups else ""
        return (
            f"{self.n_calls:,} calls to {self.url}{groups} and one for each group of alike names, about "
            f"{self.n_tokens:,} tokens; keywords and {self.n_chars:,} characters of {self.n_documents:,} documents "
            "leave the machine"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the cost as JSON values."""
        return {
            name: value for name, value in vars(self).items() if value is not None and name != "has_groups"
        }


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
    has_groups = "tree" in found
    unknown = NamingCost(config.url, has_groups=has_groups)
    embeddings, labels, topics = found.get("embed"), final_labels(found), named_topics(found)
    documents = found.get("keep", found.get("load"))
    if documents is None or embeddings is None or labels is None or topics is None:
        return unknown
    if has_groups and found["tree"] is None:  # the prompts of topics hold the groups that contain them
        return unknown
    from topicflow.tasks.naming.evidence import Modelled
    from topicflow.tasks.naming.groups import gather, without_persons
    from topicflow.tasks.naming.wanted import EVERY

    modelled = Modelled(documents, embeddings, labels, topics, found.get("tree"))
    told = gather(store, modelled, config, without_persons(store, modelled, EVERY))
    return cost_of(store, told, config)


def cost_of(store: ArtifactStore, told: Told, config: NamesConfig) -> NamingCost:
    """Return what the questions without an answer in the store would send.

    Notes
    -----
    The question for a group holds the names of its parts. As long as one of them is missing, the group counts as one
    to be asked.
    """
    new, n_topics = _without_answer(store, told, config)
    texts = {text for question in new for each in question.topics for text in each.documents}
    n_bytes = sum(len(each["content"].encode()) for question in new for each in question.messages())
    return NamingCost(
        config.url,
        n_calls=len(new),
        n_tokens=n_bytes // BYTES_PER_TOKEN + ANSWER_TOKENS * len(new),
        n_documents=len(texts),
        n_chars=sum(map(len, texts)),
        n_groups=len(new) - n_topics if told.groups else None,
        has_groups=bool(told.groups),
    )


def _without_answer(store: ArtifactStore, told: Told, config: NamesConfig) -> tuple[list[TopicQuestion], int]:
    """Return the questions that the store has no answer to, and how many of them are for topics; the others follow."""
    from topicflow.tasks.chats.asking import kept_outcome
    from topicflow.tasks.naming.questions import TopicQuestion

    names, new, unnamed = dict(told.names), [], set()

    def look(question: TopicQuestion, node: int, *, is_asked: bool) -> None:
        outcome = None if is_asked else kept_outcome(store, question)
        if outcome is None:
            new.append(question)
            unnamed.add(node)
        else:
            names.update(outcome.found or {})

    for each in told.topics:
        look(TopicQuestion((each,), config), each.topic, is_asked=False)
    n_topics = len(new)
    for group in sorted(told.groups, key=lambda each: each.layer):
        question = TopicQuestion((group.told(names),), config)
        look(question, group.node, is_asked=not unnamed.isdisjoint(group.parts))
    return new, n_topics
