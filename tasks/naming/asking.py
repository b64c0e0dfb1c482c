"""Asking: a question -> its answer by the model, kept in the store; a question with a kept answer is not asked.

An answer that cannot be used is asked for again with the fault named, then rescued if possible. What remains unusable
after all tries is kept too, so that it is not asked in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from topicflow.configs.sections.names import NamesConfig
from topicflow.tasks.errors import StageError
from topicflow.tasks.naming.budget import CallBudget, SpentError
from topicflow.tasks.naming.chat import ChatClient, Reply
from topicflow.tasks.naming.prompts import Messages, with_fault
from topicflow.tasks.naming.questions import Names, Question
from topicflow.tasks.servers.client import RefusedError
from topicflow.tasks.servers.pace import StoppedError
from topicflow.tasks.servers.refusals import Refusal
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

BYTES_PER_TOKEN = 3
"""UTF-8 bytes of a token, a low estimate, so that a budget is not exceeded."""

MAX_CUTS = 6
"""Times that a prompt beyond the model's context is shortened."""

WITHOUT_DOCUMENTS = 0.0
"""Share of the documents in the last try, if there are three or more."""

MORE_TOKENS = 4
"""Factor of the tokens of an answer after one that was cut."""

TOLD_CHARS = 300
"""Characters of an answer that the model is shown again with its fault."""

KEPT_CHARS = 2_000
"""Characters of each reply that are kept, to look at."""


@dataclass(frozen=True)
class Outcome:
    """What became of a question.

    Attributes
    ----------
    names : mapping of int to str, optional
        The names of its topics; None if there are none that can be used.
    note : str
        What was unusual; empty if nothing.
    is_final : bool
        False if the question should be asked again in the next run.
    key : str
        Key of the artifact with the answer; empty if it is not kept.
    """

    names: Names | None
    note: str = ""
    is_final: bool = True
    key: str = ""


@dataclass
class Namer:
    """Asks a model; threads share it.

    Attributes
    ----------
    store : ArtifactStore
        Where answers are kept.
    config : NamesConfig
        The model and what it is told.
    budget : CallBudget
        What may still be sent.
    """

    store: ArtifactStore
    config: NamesConfig
    budget: CallBudget
    _client: ChatClient | None = field(default=None, repr=False)

    @property
    def client(self) -> ChatClient:
        """The client, made at the first question: without one the key is not read."""
        if self._client is None:
            self._client = ChatClient(self.config)
        return self._client

    def answer_all(self, questions: Sequence[Question], done: Callable[[], None]) -> list[Outcome]:
        """Return the outcomes of questions in their order; several are asked at a time, the first ones first.

        Raises
        ------
        ConfigError
            If address, model or key are wrong.
        StageError
            If the server fails. Answers until then are kept.
        """
        outcomes: list[Outcome | None] = [self.known(question) for question in questions]
        for _ in filter(None, outcomes):
            done()
        waiting = [place for place, outcome in enumerate(outcomes) if outcome is None]
        if waiting:
            stopped = self.client.pace.stopped
            stopped.clear()
            with ThreadPoolExecutor(min(self.config.n_concurrent, len(waiting)), "name") as pool:
                asked = {place: pool.submit(self._ask, questions[place], done) for place in waiting}
                try:
                    _wait(list(asked.values()))
                finally:
                    stopped.set()
            outcomes = [
                asked[place].result() if place in asked else found for place, found in enumerate(outcomes)
            ]
        return [outcome for outcome in outcomes if outcome is not None]

    def known(self, question: Question) -> Outcome | None:
        """Return the outcome that the store has of a question; None if it has none."""
        return kept_outcome(self.store, question)

    def _ask(self, question: Question, done: Callable[[], None]) -> Outcome:
        try:
            outcome = _Conversation(self, question).outcome()
        except SpentError as error:
            return Outcome(None, f"not asked: {error}", is_final=False)
        except StoppedError:
            return Outcome(None, "not asked", is_final=False)
        except BaseException as error:
            self.client.pace.stopped.set()  # the other threads end after their call, whose answer is kept
            if self.config.on_failure == "keywords" and isinstance(error, StageError):
                return Outcome(None, f"not asked: {error}", is_final=False)
            raise
        done()
        return outcome


def kept_outcome(store: ArtifactStore, question: Question) -> Outcome | None:
    """Return the outcome that a store has of a question; None if it has none."""
    ref = store.find(question.recipe, claim=False)
    return None if ref is None else _read(store, ref, question)


class _Conversation:
    """One question with all its tries."""

    def __init__(self, namer: Namer, question: Question) -> None:
        self._namer, self._question = namer, question
        self._share, self._most = 1.0, namer.config.answer_tokens * len(question.topics)
        self._replies: list[str] = []
        self._used = {"n_prompt": 0, "n_answer": 0}

    def outcome(self) -> Outcome:
        """Return the outcome, kept in the store if it is final."""
        names, note = self._asked()
        if note.startswith("the server fails"):
            return Outcome(names, note, is_final=False)
        recipe, store = self._question.recipe, self._namer.store
        told = None if names is None else [names[each.topic] for each in self._question.topics]
        with store.writing(recipe) as writer:
            value = {"names": told, "note": note, "replies": self._replies, "usage": self._used}
            writer.save_json("answer", value | {"messages": self._question.messages()})
            writer.rows = len(told or {})
        return _read(store, store.committed(recipe, writer), self._question)

    def _asked(self) -> tuple[Names | None, str]:
        """Return the names, or None, and what was unusual."""
        messages, fault, tries = self._question.messages(), "", self._namer.config.tries
        for attempt in range(tries):
            if 2 <= attempt == tries - 1:  # small models repeat what they read, however often they are told
                self._share = WITHOUT_DOCUMENTS
                messages = self._question.messages(self._share)
            reply = self._reply(messages)
            if isinstance(reply, Refusal):
                fails = reply.status >= 500 or reply.status in {0, 200, 408, 429}
                return None, f"the server {'fails' if fails else 'refuses the prompt'} ({reply})"
            self._replies.append(reply.text[:KEPT_CHARS])
            names, fault = self._question.read(reply.text)
            if names is not None:
                return names, self._note()
            plain = self._question.messages(self._share)
            if reply.is_cut:
                fault = "it is cut at the maximum number of tokens"
                self._most = MORE_TOKENS * self._namer.config.answer_tokens * len(self._question.topics)
            is_thought = reply.is_cut and not reply.text  # the model did not come to an answer
            messages = plain if is_thought else with_fault(plain, reply.text[:TOLD_CHARS], fault)
        for text in reversed(self._replies):
            if (rescued := self._question.rescue(text)) is not None:
                return rescued, f"rescued from an answer that is not as asked for: {fault}"
        return None, f"no answer could be used, the last one: {fault}"

    def _note(self) -> str:
        """Return how the prompt of a usable answer differs from the first one."""
        if self._share == WITHOUT_DOCUMENTS:
            inside = any(each.inside for each in self._question.topics)
            known = "its keywords and finer topics" if inside else "its keywords"
            return f"named by {known} alone: earlier answers could not be used"
        return "" if self._share == 1.0 else "the prompt was shortened to the model's context"

    def _reply(self, messages: Messages) -> Reply | Refusal:
        """Return the reply to messages, which are shortened if they exceed the model's context."""
        for _ in range(MAX_CUTS):
            n_bytes = sum(len(each["content"].encode()) for each in messages)
            call = self._namer.budget.call(n_bytes // BYTES_PER_TOKEN + 1 + self._most)
            reply: Reply | None = None
            try:
                reply = self._namer.client.chat(messages, self._question.schema, self._most, call)
            except RefusedError as error:
                refusal = error.refusal
            finally:
                call.settle(0 if reply is None else _used(reply, n_bytes))
            if reply is not None:
                self._used["n_prompt"] += reply.n_prompt or 0
                self._used["n_answer"] += reply.n_answer or 0
                return reply
            if not refusal.is_about_length:
                return refusal
            counted, allowed = refusal.tokens()
            self._share *= min(0.7, 0.8 * allowed / counted) if counted and allowed else 0.5
            messages = self._question.messages(self._share)
        return refusal


def _used(reply: Reply, n_bytes: int) -> int:
    """Return the tokens of prompt and answer, estimated where the server does not count them."""
    n_prompt = n_bytes // BYTES_PER_TOKEN + 1 if reply.n_prompt is None else reply.n_prompt
    n_answer = len(reply.text.encode()) // BYTES_PER_TOKEN + 1 if reply.n_answer is None else reply.n_answer
    return n_prompt + n_answer


def _wait(futures: Sequence[Future[Outcome]]) -> None:
    """Wait for all; raise the first error of a thread, with what is kept."""
    n_kept, first = 0, None  # waits for every thread: an answer under way is kept
    for each in futures:
        error = each.exception()
        first = first or error
        n_kept += error is None and bool(each.result().key)
    if isinstance(first, StageError):
        raise type(first)(f"{first}; {n_kept:,} answers came before, and are kept") from first
    if first is not None:
        raise first


def _read(store: ArtifactStore, ref: ArtifactRef, question: Question) -> Outcome:
    """Return the outcome that an artifact holds; topics have other numbers in other runs, their order is the same."""
    value = store.json(ref, "answer")
    numbers = [each.topic for each in question.topics]
    names = None if value["names"] is None else dict(zip(numbers, value["names"], strict=True))
    return Outcome(names, value["note"], is_final=True, key=ref.key)
