"""The former place of `topicflow.tasks.search.index`; it goes with release 0.2."""

from topicflow.tasks.search.index import SearchIndex

__all__ = ["SearchIndex"]
