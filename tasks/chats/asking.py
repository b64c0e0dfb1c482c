"""Asking: a question -> its answer by the model, kept in the store; a question with a kept answer is not asked.

An answer that cannot be used is asked for again with the fault named, then rescued if possible. What remains unusable
after all tries is kept too, so that it is not asked in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from topicflow.configs.fields.chat import BudgetedChat
from topicflow.tasks.chats.call_budget import CallBudget, SpentError
from topicflow.tasks.chats.chat import ChatClient, Reply
from topicflow.tasks.chats.messages import Messages, with_fault
from topicflow.tasks.errors import StageError
from topicflow.tasks.servers.client import RefusedError
from topicflow.tasks.servers.pace import StoppedError
from topicflow.tasks.servers.refusals import Refusal
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.store.artifacts import Recipe

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

AnswerT = TypeVar("AnswerT")


class Asked(Protocol[AnswerT]):
    """A question: what is sent, and how an answer is read, checked and kept."""

    @property
    def recipe(self) -> Recipe:
        """What decides the answer."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the answer."""

    @property
    def n_answers(self) -> int:
        """Number of texts in the answer; each may have `answer_tokens` tokens."""

    def messages(self, share: float = 1.0) -> Messages:
        """Return the messages with about this share of the documents' text."""

    def read(self, text: str) -> tuple[AnswerT | None, str]:
        """Return what an answer says, or None and the fault, for the model to read."""

    def rescue(self, text: str) -> AnswerT | None:
        """Return what can be used of an answer that is not as asked for; None if nothing can."""

    def note_of(self, share: float) -> str:
        """Return what was unusual about an answer to a prompt with less text; empty if nothing."""

    def kept(self, found: AnswerT | None) -> dict[str, Any]:
        """Return what is kept of an answer, as JSON values."""

    def restored(self, value: Mapping[str, Any]) -> AnswerT | None:
        """Return the answer that was kept."""


@dataclass(frozen=True)
class Outcome(Generic[AnswerT]):
    """What became of a question.

    Attributes
    ----------
    found : optional
        The answer; None if there is none that can be used.
    note : str
        What was unusual; empty if nothing.
    is_final : bool
        False if the question should be asked again in the next run.
    key : str
        Key of the artifact with the answer; empty if it is not kept.
    """

    found: AnswerT | None
    note: str = ""
    is_final: bool = True
    key: str = ""


@dataclass
class Asker:
    """Asks a model; threads share it.

    Attributes
    ----------
    store : ArtifactStore
        Where answers are kept.
    config : BudgetedChat
        The model and what it is told.
    budget : CallBudget
        What may still be sent.
    goes_on : bool
        Whether a server that fails for good leaves questions unanswered, in place of an error.
    """

    store: ArtifactStore
    config: BudgetedChat
    budget: CallBudget
    goes_on: bool = False
    _client: ChatClient | None = field(default=None, repr=False)

    @property
    def client(self) -> ChatClient:
        """The client, made at the first question: without one the key is not read."""
        if self._client is None:
            self._client = ChatClient(self.config)
        return self._client

    def answer_all(
        self, questions: Sequence[Asked[AnswerT]], done: Callable[[], None]
    ) -> list[Outcome[AnswerT]]:
        """Return the outcomes of questions in their order; several are asked at a time, the first ones first.

        Raises
        ------
        ConfigError
            If address, model or key are wrong.
        StageError
            If the server fails. Answers until then are kept.
        """
        outcomes: list[Outcome[AnswerT] | None] = [
            kept_outcome(self.store, question) for question in questions
        ]
        for _ in filter(None, outcomes):
            done()
        waiting = [place for place, outcome in enumerate(outcomes) if outcome is None]
        if waiting:
            stopped = self.client.pace.stopped
            stopped.clear()
            with ThreadPoolExecutor(min(self.config.n_concurrent, len(waiting)), "ask") as pool:
                asked = {place: pool.submit(self._ask, questions[place], done) for place in waiting}
                try:
                    _wait(list(asked.values()))
                finally:
                    stopped.set()
            outcomes = [
                asked[place].result() if place in asked else found for place, found in enumerate(outcomes)
            ]
        return [outcome for outcome in outcomes if outcome is not None]

    def _ask(self, question: Asked[AnswerT], done: Callable[[], None]) -> Outcome[AnswerT]:
        try:
            outcome = _Conversation(self, question).outcome()
        except SpentError as error:
            return Outcome(None, f"not asked: {error}", is_final=False)
        except StoppedError:
            return Outcome(None, "not asked", is_final=False)
        except BaseException as error:
            self.client.pace.stopped.set()  # the other threads end after their call, whose answer is kept
            if self.goes_on and isinstance(error, StageError):
                return Outcome(None, f"not asked: {error}", is_final=False)
            raise
        done()
        return outcome


def kept_outcome(store: ArtifactStore, question: Asked[AnswerT]) -> Outcome[AnswerT] | None:
    """Return the outcome that a store has of a question; None if it has none."""
    ref = store.find(question.recipe, claim=False)
    return None if ref is None else _read(store, ref, question)


class _Conversation(Generic[AnswerT]):
    """One question with all its tries."""

    def __init__(self, asker: Asker, question: Asked[AnswerT]) -> None:
        self._asker, self._question = asker, question
        self._share, self._most = 1.0, asker.config.answer_tokens * question.n_answers
        self._replies: list[str] = []
        self._used = {"n_prompt": 0, "n_answer": 0}

    def outcome(self) -> Outcome[AnswerT]:
        """Return the outcome, kept in the store if it is final."""
        found, note = self._asked()
        if note.startswith("the server fails"):
            return Outcome(found, note, is_final=False)
        recipe, store = self._question.recipe, self._asker.store
        with store.writing(recipe) as writer:
            value = {"note": note, "replies": self._replies, "usage": self._used}
            kept = self._question.kept(found)
            writer.save_json("answer", kept | value | {"messages": self._question.messages()})
            writer.rows = 0 if found is None else self._question.n_answers
        return _read(store, store.committed(recipe, writer), self._question)

    def _asked(self) -> tuple[AnswerT | None, str]:
        """Return the answer, or None, and what was unusual."""
        messages, fault, tries = self._question.messages(), "", self._asker.config.tries
        for attempt in range(tries):
            if 2 <= attempt == tries - 1:  # small models repeat what they read, however often they are told
                self._share = WITHOUT_DOCUMENTS
                messages = self._question.messages(self._share)
            reply = self._reply(messages)
            if isinstance(reply, Refusal):
                fails = reply.status >= 500 or reply.status in {0, 200, 408, 429}
                return None, f"the server {'fails' if fails else 'refuses the prompt'} ({reply})"
            self._replies.append(reply.text[:KEPT_CHARS])
            found, fault = self._question.read(reply.text)
            if found is not None:
                return found, "" if self._share == 1.0 else self._question.note_of(self._share)
            plain = self._question.messages(self._share)
            if reply.is_cut:
                fault = "it is cut at the maximum number of tokens"
                self._most = MORE_TOKENS * self._asker.config.answer_tokens * self._question.n_answers
            is_thought = reply.is_cut and not reply.text  # the model did not come to an answer
            messages = plain if is_thought else with_fault(plain, reply.text[:TOLD_CHARS], fault)
        for text in reversed(self._replies):
            if (rescued := self._question.rescue(text)) is not None:
                return rescued, f"rescued from an answer that is not as asked for: {fault}"
        return None, f"no answer could be used, the last one: {fault}"

    def _reply(self, messages: Messages) -> Reply | Refusal:
        """Return the reply to messages, which are shortened if they exceed the model's context."""
        for _ in range(MAX_CUTS):
            n_bytes = sum(len(each["content"].encode()) for each in messages)
            call = self._asker.budget.call(n_bytes // BYTES_PER_TOKEN + 1 + self._most)
            reply: Reply | None = None
            try:
                reply = self._asker.client.chat(messages, self._question.schema, self._most, call)
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
            self._share *= shorter_share(refusal)
            messages = self._question.messages(self._share)
        return refusal


def shorter_share(refusal: Refusal) -> float:
    """Return the share of a prompt's text that may fit after a refusal about its length."""
    counted, allowed = refusal.tokens()
    return min(0.7, 0.8 * allowed / counted) if counted and allowed else 0.5


def _used(reply: Reply, n_bytes: int) -> int:
    """Return the tokens of prompt and answer, estimated where the server does not count them."""
    n_prompt = n_bytes // BYTES_PER_TOKEN + 1 if reply.n_prompt is None else reply.n_prompt
    n_answer = len(reply.text.encode()) // BYTES_PER_TOKEN + 1 if reply.n_answer is None else reply.n_answer
    return n_prompt + n_answer


def _wait(futures: Sequence[Future[Outcome[AnswerT]]]) -> None:
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


def _read(store: ArtifactStore, ref: ArtifactRef, question: Asked[AnswerT]) -> Outcome[AnswerT]:
    """Return the outcome that an artifact holds."""
    value = store.json(ref, "answer")
    return Outcome(question.restored(value), value["note"], is_final=True, key=ref.key)
