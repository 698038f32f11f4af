"""The platform in rows: state, requests, the log, processes."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import Panel, Query, Row
from deploy.grafana.queries import JOB, MINE, RATE, greatest, number, quantile, rate_of

STATE: Final = Row(
    "State",
    [
        number(
            "Services up",
            "Services of which at least one process answers Prometheus. Fewer than 4: see BitacoraServiceDown.",
            "short",
            Query(f"count(max by (service) (up{{{JOB}}}) == 1) or vector(0)", "up"),
            bad=4,
            worse=3,
            below=True,
        ),
        number(
            "Services not ready",
            "Services no process of which can do its work. GET /health/ready gives the reasons.",
            "short",
            Query(
                f"count(max by (service) (bitacora_ready{{{JOB}}}) == 0) or vector(0)", "not ready"
            ),
            worse=1,
        ),
        number(
            "Alarms",
            "Alerts that fire now, by Prometheus's own word. What each means is in docs/guides/alerts.md.",
            "short",
            Query(
                'count(ALERTS{alertname=~"Bitacora.+",alertstate="firing"}) or vector(0)', "firing"
            ),
            bad=1,
            worse=5,
        ),
        number(
            "Oldest unsent",
            "How long the oldest committed message that Kafka has not acknowledged has waited.",
            "s",
            Query(f"max(bitacora_relay_oldest_unsent_seconds{{{MINE}}}) or vector(0)", "oldest"),
            bad=30,
            worse=60,
        ),
        number(
            "Records behind",
            "Records that consumers have before them, all topics and services together.",
            "short",
            Query("sum(service_topic:bitacora_consumer_lag_records:sum) or vector(0)", "records"),
            bad=1_000,
            worse=100_000,
        ),
        number(
            "Parked messages",
            "Messages that lie parked: `bitacora parked list` shows them with their reasons.",
            "short",
            Query(
                "sum(service_topic_code:bitacora_parked_depth_messages:max) or vector(0)", "parked"
            ),
            worse=1,
        ),
        number(
            "Ledger difference",
            "Messages that came in and are not accounted for. Anything but 0 is wrong.",
            "short",
            Query(
                f"max(abs(bitacora_intake_ledger_difference_messages{{{JOB}}})) + "
                f"max(abs(bitacora_intake_ledger_difference_tickets{{{JOB}}}))",
                "difference",
            ),
            worse=1,
        ),
        number(
            "Longest wait",
            "How long the ticket that waits longest has been without an agent (the service's clock).",
            "s",
            Query("max(queue:bitacora_routing_oldest_waiting_seconds:max) or vector(0)", "wait"),
            bad=1_800,
            worse=14_400,
        ),
    ],
)

REQUESTS: Final = Row(
    "Requests",
    [
        Panel(
            "Requests",
            "Requests that each service answers, health checks and scrapes included.",
            "reqps",
            [Query(rate_of("bitacora_http_request_seconds_count", "service"), "{{service}}")],
        ),
        Panel(
            "Errors",
            "Share of requests answered with a status of 500 or above; health checks and scrapes aside.",
            "percentunit",
            [
                Query(
                    "service:bitacora_http_errors:rate5m / service:bitacora_http_requests:rate5m",
                    "{{service}}",
                )
            ],
            bad=0.01,
            worse=0.05,
        ),
        Panel(
            "Time to answer (p95)",
            "19 of 20 requests are answered within this time.",
            "s",
            [Query(quantile(0.95, "bitacora_http_request_seconds", by="service"), "{{service}}")],
            bad=0.3,
            worse=1,
        ),
    ],
)

PUBLISHING: Final = Row(
    "Publishing",
    [
        Panel(
            "Messages sent",
            "Messages that Kafka has acknowledged, by topic.",
            "ops",
            [Query(rate_of("bitacora_relay_sent_total", "topic"), "{{topic}}")],
        ),
        Panel(
            "Unsent messages",
            "Committed messages that Kafka has not acknowledged. Usual for moments; growing, Kafka is away.",
            "short",
            [Query(greatest("bitacora_relay_backlog_events", "relay"), "{{relay}}")],
            bad=1_000,
            worse=100_000,
        ),
        Panel(
            "Age of the oldest unsent message",
            "How far behind everybody is who listens.",
            "s",
            [Query(greatest("bitacora_relay_oldest_unsent_seconds", "relay"), "{{relay}}")],
            bad=30,
            worse=60,
        ),
        Panel(
            "Retries, failures, topics written again",
            "Relays that lost Kafka and began again, batches that it did not take, and topics that it had lost.",
            "ops",
            [
                Query(rate_of("bitacora_relay_retries_total", "relay"), "retries {{relay}}"),
                Query(rate_of("bitacora_relay_send_failures_total", "topic"), "failures {{topic}}"),
                Query(rate_of("bitacora_relay_republished_total", "relay"), "again {{relay}}"),
            ],
            bad=0.1,
        ),
        Panel(
            "Who publishes",
            "Processes that publish, by relay: exactly 1.",
            "short",
            [Query(f"sum by (relay) (bitacora_relay_active{{{MINE}}})", "{{relay}}")],
            bad=1,
            below=True,
        ),
        Panel(
            "Rows of the outbox",
            "What routing, SLA, reporting and intake have said. Kept, because lost topics are written from it.",
            "short",
            [Query(greatest("bitacora_outbox_rows", "service"), "{{service}}")],
        ),
    ],
)

CONSUMING: Final = Row(
    "Consuming",
    [
        Panel(
            "Events applied",
            "Events that each service applies, by topic.",
            "ops",
            [Query(rate_of("bitacora_consumed_total", "service, topic"), "{{service}} {{topic}}")],
        ),
        Panel(
            "Records behind",
            "Records between the last polled one and the end, as Kafka last told.",
            "short",
            [
                Query(
                    'service_topic:bitacora_consumer_lag_records:sum{service=~"$service"}',
                    "{{service}} {{topic}}",
                )
            ],
            bad=1_000,
            worse=100_000,
        ),
        Panel(
            "Time to apply a poll (p95)",
            "The transaction that applies one poll's records, commit included.",
            "s",
            [Query(quantile(0.95, "bitacora_consumer_apply_seconds", by="group"), "{{group}}")],
            bad=1,
            worse=10,
        ),
        Panel(
            "Records of a poll (median)",
            "Large polls are a consumer that catches up, or the batching of a busy system.",
            "short",
            [Query(quantile(0.5, "bitacora_consumer_batch_size", by="group"), "{{group}}")],
        ),
        Panel(
            "Connected and held",
            "Connected: Kafka tells where partitions end (1). Held: the group cannot go on (0 is well).",
            "short",
            [
                Query(greatest("bitacora_consumer_connected", "group"), "connected {{group}}"),
                Query(greatest("bitacora_consumer_held", "group"), "held {{group}}"),
            ],
        ),
        Panel(
            "Duplicates, gaps, unknown types",
            "Duplicates are usual after a restart; gaps heal or are parked; unknown types ask for an upgrade.",
            "ops",
            [
                Query(
                    rate_of("bitacora_duplicates_skipped_total", "service"),
                    "duplicates {{service}}",
                ),
                Query(rate_of("bitacora_sequence_gaps_total", "service"), "gaps {{service}}"),
                Query(rate_of("bitacora_unknown_events_total", "type"), "unknown {{type}}"),
            ],
        ),
    ],
)

PARKED: Final = Row(
    "Parked",
    [
        Panel(
            "Parked messages",
            "What lies parked, by service, topic and reason. `gap` waits behind the others.",
            "short",
            [
                Query(
                    'service_topic_code:bitacora_parked_depth_messages:max{service=~"$service"}',
                    "{{service}} {{topic}} {{code}}",
                )
            ],
            worse=1,
            width=12,
        ),
        Panel(
            "Age of the oldest parked message",
            "How long nobody has mended it.",
            "s",
            [
                Query(
                    greatest("bitacora_parked_oldest_seconds", "service, topic"),
                    "{{service}} {{topic}}",
                )
            ],
            bad=3_600,
            worse=86_400,
            width=12,
        ),
    ],
)

PROCESSES: Final = Row(
    "Processes",
    [
        Panel(
            "Memory",
            "Resident memory of each process.",
            "bytes",
            [Query(f"process_resident_memory_bytes{{{MINE}}}", "{{service}} {{instance}}")],
        ),
        Panel(
            "Processor",
            "Processors that each process keeps busy. Near 1: it cannot do more.",
            "short",
            [
                Query(
                    f"rate(process_cpu_seconds_total{{{MINE}}}[{RATE}])", "{{service}} {{instance}}"
                )
            ],
            bad=0.8,
            worse=0.95,
        ),
        Panel(
            "Size of the databases",
            "Grows for ever with what is kept for ever.",
            "bytes",
            [Query(greatest("bitacora_database_size_bytes", "service"), "{{service}}")],
        ),
        Panel(
            "Open files",
            "Open files and connections of each process.",
            "short",
            [Query(f"process_open_fds{{{MINE}}}", "{{service}} {{instance}}")],
        ),
        Panel(
            "Time since start",
            "Falls to 0 at every restart.",
            "s",
            [Query(f"time() - process_start_time_seconds{{{MINE}}}", "{{service}} {{instance}}")],
        ),
        Panel(
            "Versions",
            "Processes by version: more than one line is an upgrade under way.",
            "short",
            [Query(f"count by (version) (bitacora_build_info{{{MINE}}})", "{{version}}")],
        ),
    ],
)

ROUTES: Final = Row(
    "By route",
    [
        Panel(
            "Requests by route",
            "Requests by service and route.",
            "reqps",
            [
                Query(
                    rate_of("bitacora_http_request_seconds_count", "service, route"),
                    "{{service}} {{route}}",
                )
            ],
            width=12,
        ),
        Panel(
            "Time to answer by route (p95)",
            "19 of 20 requests are answered within this time.",
            "s",
            [
                Query(
                    'service_route:bitacora_http_request_seconds:p95_5m{service=~"$service"}',
                    "{{service}} {{route}}",
                )
            ],
            bad=0.3,
            worse=1,
            width=12,
        ),
        Panel(
            "Requests by status",
            "Statuses of 500 and above are the service's fault, 4xx the caller's; 499: the caller hung up.",
            "reqps",
            [
                Query(
                    rate_of("bitacora_http_request_seconds_count", "service, status"),
                    "{{service}} {{status}}",
                )
            ],
            width=24,
        ),
    ],
)
