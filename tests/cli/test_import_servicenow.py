from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import uuid5

import pytest

from cli.importing.changes import NAMESPACE, name_id
from cli.importing.columns import COLUMNS, REQUIRED
from cli.importing.compare import Comparison
from cli.importing.errors import BadFile, BadRow
from cli.importing.run import Import, Options, Result
from cli.importing.table import CELL_LIMIT
from tests.cli.importing import (
    REAL_DATA,
    SAMPLE,
    Quiet,
    csv_text,
    incident,
    said,
    servicenow,
    translate,
    write,
)

WHOLE = REAL_DATA / "incident_event_log.csv.gz"


def history(
    tmp_path: Path, *changes: dict[str, str], **first: str
) -> list[tuple[str, str | None, dict[str, object]]]:
    path = write(tmp_path / "log.csv", csv_text(incident(*changes, **first)))
    return said(translate(*servicenow(path))["INC1"])


async def checked(path: Path, **options: object) -> Result:
    table, translator = servicenow(path)
    return await Import(table, translator, Options(check=True, **options), Quiet()).run(None)  # type: ignore[arg-type]


def comparison(result: Result) -> Comparison:
    assert result.comparison is not None
    return result.comparison


# ------------------------------------------------------------------------------ one incident


def test_the_first_row_creates_the_ticket_when_it_was_opened(tmp_path: Path) -> None:
    assert history(tmp_path) == [
        (
            "CreateTicket",
            "2016-02-29T01:16:00Z",
            {
                "subject": "INC1 · Category 5 · Subcategory 7",
                "requester": {"id": "Caller 1"},
                "channel": "phone",
                "priority": "medium",
                "category": "Category 5",
                "subcategory": "Subcategory 7",
                "custom_fields": {"impact": "2 - Medium"},
                "group": "Group 1",
                "imported_from": "servicenow",
                "external_ref": "INC1",
            },
        )
    ]


def test_a_call_solved_at_once_is_solved_at_the_time_of_its_row(tmp_path: Path) -> None:
    created, solved = history(tmp_path, incident_state="Resolved", assigned_to="Resolver 3")
    assert "status" not in created[2]
    assert created[2]["agent"] == "Resolver 3"
    assert solved == ("ChangeStatus", "2016-02-29T01:23:00Z", {"status": "solved"})


def test_saved_in_the_minute_of_opening_it_is_created_with_its_status(tmp_path: Path) -> None:
    (created,) = history(
        tmp_path, incident_state="Awaiting Vendor", sys_updated_at="29/2/2016 01:16"
    )
    assert (created[2]["status"], created[2]["substatus"]) == ("on_hold", "Awaiting Vendor")


def test_opened_after_the_first_row_it_is_created_with_that_row(tmp_path: Path) -> None:
    (created,) = history(tmp_path, opened_at="29/2/2016 09:41")
    assert created[1] == "2016-02-29T01:23:00Z"
    assert created[2]["custom_fields"]["opened_at"] == "2016-02-29T09:41:00Z"  # type: ignore[index]


def test_each_change_becomes_its_own_command_in_a_fixed_order(tmp_path: Path) -> None:
    after = {
        "sys_updated_at": "1/3/2016 10:00",
        "incident_state": "Resolved",
        "assignment_group": "Group 2",
        "assigned_to": "Resolver 9",
        "reassignment_count": "1",
        "priority": "1 - Critical",
        "category": "Category 6",
        "location": "Location 1",
        "made_sla": "false",
    }
    at = "2016-03-01T10:00:00Z"
    assert history(tmp_path, after)[1:] == [
        ("AssignTicket", at, {"group": "Group 2", "agent": "Resolver 9"}),
        ("ChangePriority", at, {"priority": "critical"}),
        ("ChangeCategory", at, {"category": "Category 6", "subcategory": "Subcategory 7"}),
        ("ChangeCustomField", at, {"field": "location", "value": "Location 1"}),
        ("ChangeStatus", at, {"status": "solved"}),
    ]


def test_a_reopening_comes_before_what_else_changed(tmp_path: Path) -> None:
    solved = {"incident_state": "Resolved", "sys_updated_at": "1/3/2016 10:00"}
    again = {
        "incident_state": "Active",
        "sys_updated_at": "2/3/2016 10:00",
        "assigned_to": "Resolver 2",
        "reopen_count": "1",
    }
    assert [kind for kind, _, _ in history(tmp_path, solved, again)[2:]] == [
        "ChangeStatus",
        "AssignTicket",
    ]


def test_no_group_and_no_person_means_that_nobody_holds_it(tmp_path: Path) -> None:
    after = {"assignment_group": "?", "reassignment_count": "1"}
    assert [kind for kind, _, _ in history(tmp_path, after)] == ["CreateTicket", "UnassignTicket"]


def test_a_state_without_meaning_keeps_the_one_before_and_is_counted(tmp_path: Path) -> None:
    rows = incident(
        {"incident_state": "Active"}, {"incident_state": "-100"}, {"incident_state": "Active"}
    )
    table, translator = servicenow(write(tmp_path / "log.csv", csv_text(rows)))
    kinds = [kind for kind, _, _ in said(translate(table, translator)["INC1"])]
    assert kinds == ["CreateTicket", "ChangeStatus"]
    assert translator.counts.rules["unknown_state"] == 1
    assert translator.counts.unknown_words["incident_state", "-100"] == 1
    assert translator.counts.rules["rows_without_change"] == 2


def test_columns_without_meaning_are_counted(tmp_path: Path) -> None:
    rows = incident({"made_sla": "false", "sys_mod_count": "1"}, {"sys_mod_count": "2"})
    table, translator = servicenow(write(tmp_path / "log.csv", csv_text(rows)))
    translate(table, translator)
    changes = {one["column"]: one["changes"] for one in translator.columns_json()}
    assert (changes["made_sla"], changes["sys_mod_count"], changes["notify"]) == (1, 2, 0)


def test_a_column_that_nobody_knows_is_named_in_the_report(tmp_path: Path) -> None:
    rows = [row | {"u_colour": colour} for row, colour in zip(incident({}), "ab", strict=True)]
    table, translator = servicenow(write(tmp_path / "log.csv", csv_text(rows)))
    translate(table, translator)
    (colour,) = [one for one in translator.columns_json() if one["column"] == "u_colour"]
    assert (colour["treatment"], colour["changes"]) == ("unknown", 1)


def test_the_zone_of_the_file_can_be_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "log.csv",
        csv_text(incident(opened_at="1/7/2016 01:00", sys_updated_at="1/7/2016 01:00")),
    )
    (created,) = said(translate(*servicenow(path, zone="Europe/Lisbon"))["INC1"])
    assert created[1] == "2016-07-01T00:00:00Z"


def test_open_tickets_can_be_handed_to_the_desk(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", csv_text(incident({"incident_state": "Active"})))
    kinds = [kind for kind, _, _ in said(translate(*servicenow(path, activate_open=True))["INC1"])]
    assert kinds == ["CreateTicket", "ChangeStatus", "ActivateImportedTicket"]


# ------------------------------------------------------------------------------------- ids


def test_ids_are_uuid5_of_what_they_name() -> None:
    assert name_id("servicenow", "INC1", "3", "status") == str(
        uuid5(NAMESPACE, "servicenow\x1fINC1\x1f3\x1fstatus")
    )


def test_the_same_file_gives_the_same_commands_and_no_id_twice() -> None:
    first, second = translate(*servicenow(SAMPLE)), translate(*servicenow(SAMPLE))
    assert first == second
    ids = Counter(command["command_id"] for commands in first.values() for command in commands)
    assert ids.most_common(1)[0][1] == 1


# ------------------------------------------------------------------------------- whole files


async def test_the_sample_folds_to_what_its_last_rows_say() -> None:
    result = await checked(SAMPLE)
    found = comparison(result)
    assert result.good
    assert (found.tickets, found.equal, found.unexplained, found.missing) == (300, 283, 0, 0)
    ((rule, tickets),) = found.explained.items()
    assert rule.startswith("hidden_hand_over")
    assert tickets == 17
    # No command says what is already so: each led to exactly one event.
    assert result.sent is not None
    assert result.sent.accepted == result.sent.events == result.sent.commands == 2_215


async def test_every_column_of_the_sample_has_its_treatment() -> None:
    result = await checked(SAMPLE)
    lines = {one["column"]: one for one in result.as_json()["columns"]}
    assert set(lines) == set(COLUMNS)
    assert "unknown" not in {one["treatment"] for one in lines.values()}
    assert lines["closed_code"]["cases_with_value"] > 0


async def test_from_and_limit_choose_cases_of_the_file() -> None:
    whole = translate(*servicenow(SAMPLE))
    result = await checked(SAMPLE, first=11, limit=5)
    assert result.translator.counts.cases == 5
    names = list(whole)[10:15]
    assert result.sent is not None
    assert result.sent.commands == sum(len(whole[name]) for name in names)


@pytest.mark.slow
@pytest.mark.skipif(not WHOLE.exists(), reason="the whole log is not here: set BITACORA_TEST_DATA")
async def test_all_incidents_of_the_whole_log_fold_to_their_last_rows() -> None:
    result = await checked(WHOLE)
    found = comparison(result)
    assert (found.tickets, found.equal, found.unexplained, found.missing) == (24_918, 24_827, 0, 0)
    assert sum(found.explained.values()) == 91
    counts = result.translator.counts
    assert (counts.rows, counts.rules["unknown_state"]) == (141_712, 5)
    assert counts.rules["hidden_hand_over"] == 93


# ---------------------------------------------------------------------------------- bad input


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    rows = [{n: v for n, v in row.items() if n != "priority"} for row in incident()]
    path = write(tmp_path / "log.csv", csv_text(rows))
    with pytest.raises(BadFile, match=r"no column 'priority'.*number, incident_state"):
        servicenow(path)
    assert "priority" in REQUIRED


def test_another_delimiter_is_guessed_at(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", csv_text(incident(), delimiter=";"))
    with pytest.raises(BadFile, match="really what separates the cells"):
        servicenow(path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("sys_updated_at", "31/2/2016 01:00", r"line 3: sys_updated_at: '31/2/2016 01:00'"),
        ("opened_at", "?", r"line 3: opened_at: '\?' is not a time of the form"),
        ("priority", "urgent", "line 3: priority: 'urgent' does not begin with"),
        ("number", "?", "line 3: the incident has no number"),
        ("reassignment_count", "many", "line 3: reassignment_count: 'many' is no number"),
        ("category", "x" * 201, "line 3: category: 201 characters; at most 200"),
        ("location", "x" * 100_001, "line 3: location: 100001 characters"),
    ],
)
def test_a_broken_cell_is_named_with_its_line(
    tmp_path: Path, column: str, value: str, message: str
) -> None:
    rows = incident({"sys_mod_count": "1"})
    rows[1][column] = value
    path = write(tmp_path / "log.csv", csv_text(rows))
    with pytest.raises(BadRow, match=message) as caught:
        translate(*servicenow(path))
    assert "--skip-bad-rows" in str(caught.value)
    assert "Nothing was sent" in str(caught.value)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda text: text + b"INC2,New,true\n", "line 4: 3 cells where the header has 36"),
        (lambda text: text.replace(b"Caller 1", b"Caf\xe9", 1), "line 2: byte 0xe9 is not text"),
        (lambda text: text.replace(b"Caller 1", b"a\x00b", 1), "line 2: the row holds a zero byte"),
        (
            lambda text: text.replace(b"Caller 1", b'"never closed' + b"x" * CELL_LIMIT, 1),
            "this is not CSV: field larger than field limit",
        ),
    ],
)
def test_a_broken_row_is_named_with_its_line(
    tmp_path: Path, break_it: Callable[[bytes], bytes], message: str
) -> None:
    text = csv_text(incident({"sys_mod_count": "1"})).encode()
    path = write(tmp_path / "log.csv", break_it(text))
    with pytest.raises(BadRow, match=message):
        translate(*servicenow(path))


def test_the_line_of_a_row_counts_lines_inside_of_quotes(tmp_path: Path) -> None:
    rows = incident({"location": "two\nlines"}, {"priority": "none"}, location="a\nb\nc")
    path = write(tmp_path / "log.csv", csv_text(rows))
    with pytest.raises(BadRow, match="line 7: priority"):
        translate(*servicenow(path))


def test_cases_with_a_broken_row_are_left_out_when_asked(tmp_path: Path) -> None:
    good, bad = incident(), incident({"priority": "none"}, {}, number="INC2")
    path = write(tmp_path / "log.csv", csv_text([*good, *bad]) + "INC2,short\n\n")
    table, translator = servicenow(path)
    assert list(translate(table, translator, skip_bad_rows=True)) == ["INC1"]


@pytest.mark.parametrize("broken", ["INC2,short", "INC2" + "," * 40, "INC2,a\0b" + "," * 34])
def test_a_row_that_is_broken_as_such_takes_its_whole_case_out(tmp_path: Path, broken: str) -> None:
    text = csv_text([*incident(), *incident(number="INC2"), *incident(number="INC3")])
    path = write(tmp_path / "log.csv", text + broken + "\n")
    table, translator = servicenow(path)
    assert list(translate(table, translator, skip_bad_rows=True)) == ["INC1", "INC3"]


@pytest.mark.parametrize(
    "broken",
    ["?,short", "IN", "IN\0C1" + "," * 35, "," * 35, 'INC1,"open,quote\nINC2,New,true'],
    ids=["no-number", "cut-off", "zero-byte", "empty", "open-quote"],
)
def test_a_broken_row_of_no_known_case_cannot_be_skipped(tmp_path: Path, broken: str) -> None:
    text = csv_text([*incident(), *incident(number="INC2")])
    path = write(tmp_path / "log.csv", text + broken + "\n")
    with pytest.raises(BadRow, match=r"log\.csv: line 4: .* mend this row") as caught:
        translate(*servicenow(path), skip_bad_rows=True)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", gzip.compress(b"", mtime=0)], ids=["nothing", "blank", "gzip"]
)
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadFile, match=r"no rows|no column"):
        servicenow(write(tmp_path / "log.csv", content))


def test_a_file_with_nothing_but_a_header_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", csv_text(incident()).splitlines()[0])
    with pytest.raises(BadFile, match="no case can be read"):
        translate(*servicenow(path))


def test_a_gzip_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv.gz", SAMPLE.read_bytes()[:20_000])
    with pytest.raises(BadFile, match="broken or cut off"):
        translate(*servicenow(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="No such file"):
        servicenow(tmp_path / "nothing.csv")


def test_a_column_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="more than once: number"):
        servicenow(write(tmp_path / "log.csv", "number,number\n1,2\n"))


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    text = csv_text(incident()).encode("utf-8-sig")
    assert list(translate(*servicenow(write(tmp_path / "log.csv", text)))) == ["INC1"]


def test_rows_of_a_case_need_not_stand_together(tmp_path: Path) -> None:
    one, two = incident({"incident_state": "Active"}), incident(number="INC2")
    path = write(tmp_path / "log.csv", csv_text([one[0], *two, one[1]]))
    found = translate(*servicenow(path))
    assert {case: len(commands) for case, commands in found.items()} == {"INC1": 2, "INC2": 1}
