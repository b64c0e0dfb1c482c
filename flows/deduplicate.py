"""The Prefect flow of the removal of near-duplicates; `topicflow.flows.work.deduplicate` is what it does."""

from topicflow.flows.running.as_flow import as_flow
from topicflow.flows.work.deduplicate import deduplicate as work

deduplicate = as_flow(work)
