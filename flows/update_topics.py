"""The Prefect flow of an update of topics; `topicflow.flows.work.update_topics` is what it does."""

from topicflow.flows.running.as_flow import as_flow
from topicflow.flows.work.update_topics import update_topics as work

update_topics = as_flow(work)
