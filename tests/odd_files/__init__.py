"""Small files as people have them, each with the table that must come out and the config that `init` must write."""

from tests.odd_files.cases import Case
from tests.odd_files.csv_cases import CSV_CASES
from tests.odd_files.date_cases import DATE_CASES
from tests.odd_files.format_cases import FORMAT_CASES

CASES: list[Case] = [*CSV_CASES, *DATE_CASES, *FORMAT_CASES]

__all__ = ["CASES", "Case"]
