"""Scoring: what reads the texts of the best documents again, without knowing the index.

rerank.py      a query and texts -> the scores of a cross-encoder
feedback.py    a query and the best documents for it -> the query moved towards them
highlights.py  a text and the words of a query -> the sentence that matches best, and the places of the words
"""
