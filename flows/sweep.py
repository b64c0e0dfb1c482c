"""The Prefect flow of a sweep; `topicflow.flows.work.sweep` is what it does."""

from topicflow.flows.running.as_flow import as_flow
from topicflow.flows.work.sweep import sweep as work

sweep = as_flow(work)
