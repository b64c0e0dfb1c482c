"""The Prefect flow of an index for search; `topicflow.flows.work.build_index` is what it does."""

from topicflow.flows.running.as_flow import as_flow
from topicflow.flows.work.build_index import build_index as work

build_index = as_flow(work)
