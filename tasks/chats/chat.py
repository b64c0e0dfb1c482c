"""Chat: messages -> the reply of a server that speaks OpenAI's `/v1/chat/completions`, whatever fields it takes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from topicflow.configs.fields.chat import ChatSection
from topicflow.tasks.servers.client import Counts, Request, ServerClient
from topicflow.tasks.servers.endpoint import endpoint_of
from topicflow.tasks.servers.refusals import Refusal, UnreadableAnswerError

_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>.*?(?:</\1>|\Z)", re.IGNORECASE | re.DOTALL)
_END_OF_THOUGHT = re.compile(r"\A.*?</(?:think|thinking|thought|reasoning)>", re.IGNORECASE | re.DOTALL)
"""Thoughts whose first tag is in the chat template, and so not in the answer."""

OPTIONAL = ("temperature", "reasoning_effort")
"""Fields that are left out when a server refuses them."""


@dataclass(frozen=True)
class Reply:
    """What a model said.

    Attributes
    ----------
    text : str
        Without its thoughts.
    is_cut : bool
        True if the answer ended at the maximum number of tokens.
    n_prompt, n_answer : int or None
        Tokens as the server counts them.
    """

    text: str
    is_cut: bool
    n_prompt: int | None
    n_answer: int | None


class ChatClient(ServerClient):
    """Asks one model; threads may share it. It learns which fields the server takes.

    Parameters
    ----------
    config : ChatSection
        Address, model, key and options.

    Raises
    ------
    ConfigError
        If the environment variable of the key is not set.
    """

    def __init__(self, config: ChatSection) -> None:
        super().__init__(endpoint_of(config, config.section), "chat/completions", config.n_concurrent)
        self._options: dict[str, Any] = {"temperature": config.temperature}
        if config.reasoning_effort is not None:
            self._options["reasoning_effort"] = config.reasoning_effort
        self._form, self._limit = 0, "max_tokens"

    def chat(
        self,
        messages: Sequence[Mapping[str, str]],
        schema: Mapping[str, Any] | None,
        n_tokens: int,
        budget: Counts | None = None,
    ) -> Reply:
        """Return the reply to messages.

        Parameters
        ----------
        messages : sequence of mapping
            Role and content of each.
        schema : mapping, optional
            JSON schema of the answer, which a server may ignore; None for a plain text.
        n_tokens : int
            Maximum tokens of the answer.
        budget : Counts, optional
            What counts the calls.

        Raises
        ------
        ConfigError
            If address, model or key are wrong.
        RefusedError
            If the server does not answer these messages, after all tries.
        UnreachableError
            If no server answers, or it is busy after all tries.
        """
        sent: dict[str, Any] = {}

        def body() -> dict[str, Any]:
            sent.clear()
            sent.update(
                {"model": self.endpoint.model, "messages": list(messages), "stream": False}
                | {self._limit: n_tokens}
                | self._options
                | ({} if schema is None else _format(self._form, schema))
            )
            return sent

        return self.exchange(Request(body, read_reply, lambda refusal: self._adapt(refusal, sent)), budget)

    def _adapt(self, refusal: Refusal, sent: Mapping[str, Any]) -> bool:
        """Change the fields of later requests if the server refuses one of those that were `sent`."""
        said = refusal.message.lower()
        if "max_completion_tokens" in said and "max_tokens" in sent:
            self._limit = "max_completion_tokens"
            return True
        for field in OPTIONAL:
            if field in said and field in sent:
                self._options.pop(field, None)
                return True
        if "response_format" in sent and re.search(
            r"response.?format|json.?schema|json.?object|grammar", said
        ):
            self._form = 1 if sent["response_format"]["type"] == "json_schema" else 2
            return True
        return False


def _format(form: int, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return how an answer is asked for: by a schema (0), as any JSON (1), or only in words (2)."""
    if form == 0:
        named = {"name": "answer", "strict": True, "schema": schema}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    return {"response_format": {"type": "json_object"}} if form == 1 else {}


def read_reply(content: bytes) -> Reply:
    """Return the reply in the body of an answer; an empty one is a reply too.

    Raises
    ------
    UnreadableAnswerError
        If the body is no answer of a chat.
    """
    try:
        body = json.loads(content)
        choice = body["choices"][0]
        message = choice["message"]
        text = _text(message.get("content"))
        usage = body.get("usage") or {}
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        msg = f"the answer is no chat completion ({type(error).__name__}: {str(error)[:80]})"
        raise UnreadableAnswerError(msg) from None
    n_prompt, n_answer = (int(n) if isinstance(n, int | float) else None for n in counts)
    return Reply(without_thoughts(text), choice.get("finish_reason") == "length", n_prompt, n_answer)


def _text(content: Any) -> str:  # noqa: ANN401  (JSON)
    """Return the text of a message: a text, a list of parts, or nothing."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else str(content)


def without_thoughts(text: str) -> str:
    """Return an answer without what a model thinks aloud in tags before it."""
    return _END_OF_THOUGHT.sub("", _THOUGHT.sub("", text)).strip()
