"""Filters: a condition as SQL writes it, over a table's columns -> a polars expression, or the place of what is wrong.

tokens.py    a condition -> its pieces, each with its place; a long list of values is one piece
values.py    a literal and a column's type -> comparisons that are exact
operands.py  columns, fields of structs and functions -> what stands on the left of a comparison
parser.py    the grammar
"""
