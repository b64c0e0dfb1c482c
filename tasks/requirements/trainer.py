"""Trainer: what the training of a whole encoder needs besides sentence-transformers."""

from __future__ import annotations

from importlib.util import find_spec

from topicflow.tasks.errors import ConfigError


def check_trainer() -> None:
    """Raise ConfigError if the libraries of sentence-transformers' trainer are not installed."""
    if any(find_spec(name) is None for name in ("accelerate", "datasets")):
        msg = "tune.method='full' needs sentence-transformers' trainer: pip install 'topicflow[full]'"
        raise ConfigError(msg)
