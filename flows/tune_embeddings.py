"""The Prefect flow of tuned embeddings; `topicflow.flows.work.tune_embeddings` is what it does."""

from topicflow.flows.running.as_flow import as_flow
from topicflow.flows.work.tune_embeddings import tune_embeddings as work

tune_embeddings = as_flow(work)
