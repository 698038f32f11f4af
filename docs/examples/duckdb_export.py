"""Three figures from an export alone, by DuckDB: `python duckdb_export.py EXPORT_DIRECTORY`.

Made by `bitacora export parquet --to export` and `bitacora export facts --to export`. In a notebook every
function below is a cell; `.df()` in the place of `.fetchall()` gives a data frame.
"""

import sys
from datetime import date

import duckdb

ZONE = "Europe/Madrid"


def connect(folder: str) -> duckdb.DuckDBPyConnection:
    """A connection with a view per kind of file; whole hours and days are those of ZONE."""
    desk = duckdb.connect()
    desk.execute(f"SET TimeZone = '{ZONE}'")
    for view, files in {
        "events": "events/**/*.parquet",
        "facts_of_tickets": "facts/tickets/*/*.parquet",
        "stretches": "facts/intervals/*/*.parquet",
    }.items():
        desk.read_parquet(f"{folder}/{files}", hive_partitioning=True).create_view(view)
    return desk


def created_per_month(desk: duckdb.DuckDBPyConnection) -> list[tuple[date, int]]:
    """The metric `created`, from the events."""
    return desk.sql("""
        SELECT date_trunc('month', ce_time)::DATE AS month, count(*) AS created
        FROM events
        WHERE ce_type = 'bitacora.TicketCreated.v1'
        GROUP BY month
        ORDER BY month
    """).fetchall()


def resolution_by_priority(desk: duckdb.DuckDBPyConnection) -> list[tuple[str, int, int, int]]:
    """The metric `resolution_time` by priority: how many, median and 90th percentile in seconds."""
    return desk.sql("""
        SELECT priority, count(*), quantile_disc(resolution_s, 0.5), quantile_disc(resolution_s, 0.9)
        FROM facts_of_tickets
        WHERE solved_at IS NOT NULL
        GROUP BY priority
        ORDER BY priority
    """).fetchall()


def backlog_per_month(desk: duckdb.DuckDBPyConnection) -> list[tuple[date, int]]:
    """The metric `backlog`: tickets that are neither solved nor closed at the end of each month."""
    return desk.sql("""
        WITH months AS (
            SELECT unnest(generate_series(
                date_trunc('month', min(start_at)), max(start_at), INTERVAL 1 MONTH)) AS month
            FROM stretches
        )
        SELECT month::DATE AS month, count(start_at) AS backlog
        FROM months
        LEFT JOIN stretches
            ON start_at < month + INTERVAL 1 MONTH
            AND (end_at IS NULL OR end_at >= month + INTERVAL 1 MONTH)
            AND status NOT IN ('solved', 'closed')
        GROUP BY months.month
        ORDER BY months.month
    """).fetchall()


if __name__ == "__main__":
    connection = connect(sys.argv[1])
    for figure in (created_per_month, resolution_by_priority, backlog_per_month):
        print(figure.__doc__)
        for row in figure(connection):
            print(*row, sep="\t")
