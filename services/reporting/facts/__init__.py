"""The fact tables: a columnar copy (DuckDB) of what the tickets' histories say, for figures."""
