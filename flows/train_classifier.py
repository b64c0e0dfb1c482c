"""The Prefect flow of the training of a classifier; `topicflow.flows.work.train_classifier` is what it does."""

from topicflow.flows.running.as_flow import as_flow
from topicflow.flows.work.train_classifier import train_classifier as work

train_classifier = as_flow(work)
