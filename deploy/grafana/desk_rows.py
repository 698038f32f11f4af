"""The desk in rows: what comes in, who waits, what is due, what is reported."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import Panel, Query, Row
from deploy.grafana.queries import JOB, greatest, quantile, rate_of

INTAKE: Final = Row(
    "Intake",
    [
        Panel(
            "Commands",
            "Commands by what became of them, at intake and at routing.",
            "ops",
            [
                Query(
                    rate_of("bitacora_commands_total", "service, outcome"),
                    "{{service}} {{outcome}}",
                )
            ],
        ),
        Panel(
            "Time to decide",
            "From when commands reach intake until they are decided and committed.",
            "s",
            [
                Query(quantile(0.5, "bitacora_intake_decision_seconds", JOB), "median"),
                Query(quantile(0.99, "bitacora_intake_decision_seconds", JOB), "p99"),
            ],
            bad=0.1,
            worse=1,
        ),
        Panel(
            "Commands of a commit (median)",
            "How many commands share one commit: more when many come at once.",
            "short",
            [Query(quantile(0.5, "bitacora_commit_batch_size", JOB), "commands")],
        ),
        Panel(
            "Ledger",
            "What came in by channel and what became of it, since the store was made.",
            "short",
            [
                Query(
                    f'max by (channel, outcome) (bitacora_intake_ledger_messages{{{JOB},outcome!="received"}}) > 0',
                    "{{channel}} {{outcome}}",
                )
            ],
            width=12,
        ),
        Panel(
            "Ledger difference",
            "Anything but 0 is wrong: see BitacoraLedgerDifference.",
            "short",
            [
                Query(f"max(bitacora_intake_ledger_difference_messages{{{JOB}}})", "messages"),
                Query(f"max(bitacora_intake_ledger_difference_tickets{{{JOB}}})", "tickets"),
            ],
            worse=1,
            width=12,
        ),
    ],
)

ROUTING: Final = Row(
    "Routing",
    [
        Panel(
            "Waiting tickets",
            "Tickets that wait for an agent, by queue.",
            "short",
            [Query(greatest("bitacora_routing_waiting_tickets", "queue", JOB), "{{queue}}")],
        ),
        Panel(
            "Longest wait",
            "How long the ticket that waits longest has been without an agent, by queue (the service's clock).",
            "s",
            [Query("queue:bitacora_routing_oldest_waiting_seconds:max", "{{queue}}")],
            bad=1_800,
            worse=14_400,
        ),
        Panel(
            "Agents",
            "Agents by presence, and those who can be given tickets now.",
            "short",
            [
                Query(greatest("bitacora_routing_agents", "presence", JOB), "{{presence}}"),
                Query(f"max(bitacora_routing_agents_on_duty{{{JOB}}})", "on duty"),
            ],
        ),
        Panel(
            "Offers and assignments under way",
            "Offers that agents have not answered, and assignments that intake has not decided.",
            "short",
            [Query(greatest("bitacora_routing_reserved_tickets", "kind", JOB), "{{kind}}")],
            width=12,
        ),
        Panel(
            "Notifications",
            "What agents were told by a second channel. Failed is for good.",
            "ops",
            [
                Query(
                    rate_of("bitacora_notifications_total", "channel, outcome", JOB),
                    "{{channel}} {{outcome}}",
                )
            ],
            width=12,
        ),
    ],
)

SLA: Final = Row(
    "SLA",
    [
        Panel(
            "Running clocks",
            "Clocks by what they will state next.",
            "short",
            [Query(greatest("bitacora_sla_timers_waiting", "kind", JOB), "{{kind}}")],
        ),
        Panel(
            "Next due",
            "Seconds (of the service's clock) until the next warning or breach; below 0 it is overdue.",
            "s",
            [Query(f"min(bitacora_sla_next_due_seconds{{{JOB}}})", "next due")],
            bad=0,
            worse=-60,
            below=True,
        ),
        Panel(
            "Lateness of verdicts",
            "From when a warning or breach is due until it is committed (the service's clock).",
            "s",
            [
                Query(quantile(0.5, "bitacora_timer_lateness_seconds", JOB), "median"),
                Query(quantile(0.99, "bitacora_timer_lateness_seconds", JOB), "p99"),
            ],
            bad=10,
            worse=60,
        ),
        Panel(
            "Warnings and breaches",
            "What was stated as it fell due, by metric.",
            "ops",
            [
                Query(
                    rate_of("bitacora_sla_timers_fired_total", "kind, metric", JOB),
                    "{{kind}} {{metric}}",
                )
            ],
            width=12,
        ),
        Panel(
            "Overdue",
            "Warnings and breaches that are due and not stated yet: 0 but for moments.",
            "short",
            [Query(f"max(bitacora_sla_overdue_timers{{{JOB}}})", "overdue")],
            bad=1,
            worse=100,
            width=12,
        ),
    ],
)

REPORTING: Final = Row(
    "Reporting",
    [
        Panel(
            "Facts behind",
            "For how long something has been in reporting's database and not in its fact tables.",
            "s",
            [
                Query(
                    greatest("bitacora_reporting_facts_behind_seconds", "instance", JOB),
                    "{{instance}}",
                )
            ],
            bad=5,
            worse=60,
        ),
        Panel(
            "Transactions not in the facts",
            "Transactions of reporting's database that its fact tables do not hold yet, and whether there "
            "are fact tables to answer from (1).",
            "short",
            [
                Query(
                    greatest("bitacora_reporting_facts_lag_revisions", "instance", JOB),
                    "behind {{instance}}",
                ),
                Query(
                    greatest("bitacora_reporting_facts_ready", "instance", JOB),
                    "ready {{instance}}",
                ),
            ],
        ),
        Panel(
            "Time to compute a report",
            "Reports that were not known since the last change of the facts.",
            "s",
            [
                Query(quantile(0.5, "bitacora_reporting_query_seconds", JOB), "median"),
                Query(quantile(0.95, "bitacora_reporting_query_seconds", JOB), "p95"),
            ],
            bad=0.3,
            worse=1,
        ),
        Panel(
            "Open pages",
            "Pages of the desk that are open in a browser.",
            "short",
            [Query(f"sum(bitacora_reporting_open_pages{{{JOB}}})", "pages")],
        ),
    ],
)
