"""The figures of two public logs, straight from the CSV files: pandas, and nothing of the project.

A second way to the same numbers, written from the published definitions (docs/reference/metrics.md)
and the rules of the import (docs/guides/import.md) alone, so that a mistake of the services, of the
fact tables or of the report engine shows as a difference. tests/bench/test_equality.py checks that
nothing here imports anything of the project.
"""
