"""Filters: a condition in SQL syntax over a table's columns -> a polars expression, or the place of the error.

tokens.py    a condition -> its tokens, each with its place; a long list of values is one token
values.py    a literal and a column's type -> comparisons that are exact
operands.py  columns, fields of structs and functions -> the left side of a comparison
parser.py    the grammar
"""
