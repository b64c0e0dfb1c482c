"""The Prefect flow of a topic model; `topicflow.flows.work.topic_model` is what it does."""

from topicflow.flows.running.as_flow import as_flow
from topicflow.flows.work.topic_model import topic_model as work

topic_model = as_flow(work)
