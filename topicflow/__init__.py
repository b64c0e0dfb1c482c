"""topicflow: topics of a corpus, every night."""
