"""Chat server: a small server of `/v1/chat/completions` on this machine that has any fault a test asks for.

It names a topic by its first two keywords. It counts calls and keeps what was sent.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.embedding_server import EmbeddingServer, Reply, error

Said = str | None | dict[str, Any] | Reply
"""What a test lets the model say: a text, nothing, a whole message, or another answer of the server."""


@dataclass
class ChatServer(EmbeddingServer):
    """A server that lives as long as its `with` block; `key`, `models` and `delay_s` are those of `EmbeddingServer`.

    Attributes
    ----------
    say : callable, optional
        Returns what the model says to a call (its number from 1, the prompt), or `...` for its usual answer; may raise
        CutError.
    refuses : mapping of str to str
        Fields of a request that it refuses, with its words.
    context : int, optional
        Maximum number of words of a prompt; it refuses more as llama.cpp does.
    finish : callable, optional
        Returns the reason for which an answer ended, by its `max_tokens`.
    counts : bool
        Whether it says how many tokens (words) were used.
    """

    say: Callable[[int, str], Any] | None = None
    refuses: Mapping[str, str] = field(default_factory=dict)
    context: int | None = None
    finish: Callable[[int], str] | None = None

    @property
    def prompts(self) -> list[str]:
        """The prompts so far, all messages of a call in one text."""
        return ["\n".join(each["content"] for each in body["messages"]) for body in self.bodies]

    def answer(self, path: str, headers: Mapping[str, str], body: dict[str, Any]) -> Reply:
        """Return what it answers."""
        with self._lock:
            self.bodies.append(body)
            number = len(self.bodies)
        prompt = "\n".join(each["content"] for each in body["messages"])
        return self._refusal(path, headers, body, prompt) or self._reply(number, body, prompt)

    def _refusal(
        self, path: str, headers: Mapping[str, str], body: dict[str, Any], prompt: str
    ) -> Reply | None:
        if path != "/v1/chat/completions":
            return error(404, "unknown route")
        if self.key is not None and headers.get("Authorization") != f"Bearer {self.key}":
            return error(401, f"Incorrect API key provided: {headers.get('Authorization')}")
        if self.models is not None and body.get("model") not in self.models:
            return error(404, f"The model {body.get('model')!r} does not exist")
        if refused := next((words for name, words in self.refuses.items() if name in body), None):
            return error(400, refused)
        n_words = len(prompt.split())
        if self.context is not None and n_words > self.context:
            told = {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": n_words}
            message = "the request exceeds the available context size, try increasing it"
            return 400, {"error": {**told, "n_ctx": self.context, "message": message}}, {}
        return None

    def _reply(self, number: int, body: dict[str, Any], prompt: str) -> Reply:
        said = self.say(number, prompt) if self.say else ...
        said = usual(prompt) if said is ... else said
        if isinstance(said, tuple):
            return said
        message = said if isinstance(said, dict) else {"content": said}
        limit = int(body.get("max_tokens") or body.get("max_completion_tokens") or 0)
        choice = {
            "index": 0, "message": {"role": "assistant", **message},
            "finish_reason": self.finish(limit) if self.finish else "stop",
        }  # fmt: skip
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(str(said).split())}
        return 200, {"choices": [choice], "model": "small", **({"usage": usage} if self.counts else {})}, {}


def usual(prompt: str) -> str:
    """Return the JSON with names of the first two keywords of each topic in a prompt."""
    lists = [line.split(", ") for line in re.findall(r"^Keywords: (.*)$", prompt, re.MULTILINE)]
    names = [" and ".join(words[:2]).capitalize() for words in lists]
    is_group = "Topic 1\n" in prompt
    return json.dumps({str(i): name for i, name in enumerate(names, 1)} if is_group else {"name": names[0]})
