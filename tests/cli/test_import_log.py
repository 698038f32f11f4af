from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.importing.commands import find_mapping
from cli.importing.errors import BadFile, BadMapping, BadRow
from cli.importing.event_log import EventLog
from cli.importing.mapping import read_mapping
from cli.importing.run import Import, Options
from cli.importing.table import Table
from tests.cli.importing import REAL_DATA, ROOT, Quiet, event_log, said, translate, write

HELPDESK = REAL_DATA / "helpdesk.csv.gz"

GERMAN = """\
Exportiert am 31.12.2024
Vorgang;Geändert am;Uhrzeit;Status;Bearbeiter;Team;Prio;Melder;E-Mail;Gerät
4711;01.Mär.2024;08:30;Offen;;Netz;hoch;K-17;eva@example.org;Drucker
4711;01.Mär.2024;09:00;In Arbeit;Müller;Netz;hoch;K-17;eva@example.org;Drucker
4711;02.Mär.2024;10:15;Warten auf Kunde;Müller;Netz;mittel;K-17;eva@example.org;Scanner
4712;02.Mär.2024;10:15;Offen;;Netz;niedrig;;;
4711;03.Apr.2024;10:15;Erledigt;Müller;Netz;mittel;K-17;eva@example.org;
"""

GERMAN_MAP: dict[str, Any] = {
    "name": "altsystem",
    "file": {"encoding": "cp1252", "delimiter": "semicolon", "skip_lines": 1},
    "empty": "clear",
    "case": "Vorgang",
    "time": {
        "column": ["Geändert am", "Uhrzeit"],
        "format": "%d.%b.%Y %H:%M",
        "zone": "Europe/Berlin",
        "replace": {"Mär": "Mar"},
    },
    "activity": {
        "column": "Status",
        "words": {
            "Offen": "new",
            "In Arbeit": "open",
            "Warten auf Kunde": {"status": "pending", "substatus": "Kunde"},
            "Erledigt": [{"status": "solved"}, {"tag": "erledigt"}],
        },
    },
    "resource": "Bearbeiter",
    "group": "Team",
    "priority": {
        "column": "Prio",
        "words": {"hoch": "high", "mittel": "medium", "niedrig": "low"},
    },
    "requester": {"column": "Melder", "email": "E-Mail", "default": "unbekannt"},
    "channel": {"default": "phone"},
    "language": {"default": "de"},
    "subject": "Vorgang {case}: {Geraet}",
    "fields": {"Geraet": "Gerät"},
    "constants": {"Herkunft": "Altsystem"},
    "tags": ["import"],
}

SIMPLE: dict[str, Any] = {
    "name": "simple",
    "case": "case",
    "time": {"column": "time", "format": "iso"},
    "activity": {
        "column": "activity",
        "words": {
            "opened": "new",
            "taken": {"status": "open", "assign": "resource"},
            "done": "solved",
            "end": "closed",
            "looked at": "ignore",
        },
    },
    "resource": {"column": "who", "means": "actor"},
}


def simple(tmp_path: Path, rows: str, **changes: Any) -> tuple[Table, EventLog]:
    path = write(tmp_path / "log.csv", "case,time,activity,who\n" + rows)
    return event_log(path, SIMPLE | changes)


def activity(**changes: Any) -> dict[str, Any]:
    return {"activity": SIMPLE["activity"] | changes}


# ------------------------------------------------------------------------------ whole logs


def test_a_german_export_of_another_desk(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", GERMAN.encode("cp1252"))
    found = translate(*event_log(path, GERMAN_MAP))
    assert said(found["4711"]) == [
        (
            "CreateTicket",
            "2024-03-01T07:30:00Z",
            {
                "subject": "Vorgang 4711: Drucker",
                "requester": {"id": "K-17", "email": "eva@example.org"},
                "channel": "phone",
                "language": "de",
                "priority": "high",
                "tags": ["import"],
                "custom_fields": {"Herkunft": "Altsystem", "Geraet": "Drucker"},
                "group": "Netz",
                "imported_from": "altsystem",
                "external_ref": "4711",
            },
        ),
        ("AssignTicket", "2024-03-01T08:00:00Z", {"group": "Netz", "agent": "Müller"}),
        ("ChangeStatus", "2024-03-01T08:00:00Z", {"status": "open"}),
        ("ChangePriority", "2024-03-02T09:15:00Z", {"priority": "medium"}),
        ("ChangeCustomField", "2024-03-02T09:15:00Z", {"field": "Geraet", "value": "Scanner"}),
        ("ChangeStatus", "2024-03-02T09:15:00Z", {"status": "pending", "substatus": "Kunde"}),
        ("ChangeTags", "2024-04-03T08:15:00Z", {"add": ["erledigt"], "remove": []}),
        ("ChangeCustomField", "2024-04-03T08:15:00Z", {"field": "Geraet"}),
        ("ChangeStatus", "2024-04-03T08:15:00Z", {"status": "solved"}),
    ]
    (other,) = said(found["4712"])
    assert other[2]["requester"] == {"id": "unbekannt"}
    assert other[2]["subject"] == "Vorgang 4712:"


def test_a_log_without_header_with_epoch_milliseconds_and_tabs(tmp_path: Path) -> None:
    path = write(tmp_path / "log.tsv", "1456707360000\tA\t7\n1456707361500\tB\t7\n")
    mapping = {
        "name": "plain",
        "file": {"delimiter": "tab", "header": False, "quote": "none"},
        "case": "3",
        "time": {"column": 1, "format": "epoch_ms"},
        "activity": {"column": 2, "words": {"A": "new", "B": "open"}},
    }
    assert said(translate(*event_log(path, mapping))["7"])[1] == (
        "ChangeStatus",
        "2016-02-29T00:56:01.500000Z",
        {"status": "open"},
    )


HELPDESK_ROWS = """\
concept:name,lifecycle:transition,org:resource,time:timestamp,Activity,Resource,case:concept:name,\
case:variant,case:variant-index,case:creator
x,complete,V 1,2012-04-03 16:55:38+00:00,Assign seriousness,V 1,Case1,Variant 1,1,tool
x,complete,V 2,2012-04-03 16:55:53+00:00,Take in charge ticket,V 2,Case1,Variant 1,1,tool
x,complete,V 2,2012-04-03 16:55:53+00:00,Take in charge ticket,V 2,Case1,Variant 1,1,tool
x,complete,V 2,2012-04-05 17:15:52+00:00,Create SW anomaly,V 2,Case1,Variant 1,1,tool
x,complete,V 2,2012-04-06 17:15:52+00:00,Resolve ticket,V 2,Case1,Variant 1,1,tool
x,complete,V 5,2012-04-09 17:15:52+00:00,Closed,V 5,Case1,Variant 1,1,tool
"""


def test_the_mapping_for_the_help_desk_log(tmp_path: Path) -> None:
    mapping = find_mapping("helpdesk")
    table = Table(write(tmp_path / "helpdesk.csv", HELPDESK_ROWS), mapping.file.layout())
    translator = EventLog(table, mapping)
    found = said(translate(table, translator)["Case1"])
    assert [kind for kind, _, _ in found] == [
        "CreateTicket",
        "AddMessage",
        "AssignTicket",
        "ChangeStatus",
        "ChangeTags",
        "EscalateTicket",
        "ChangeStatus",
        "ChangeStatus",
        "ChangeStatus",
    ]
    assert found[1][2]["author_id"] == "V 1"
    assert found[2][2] == {"agent": "V 2"}
    assert translator.counts.rules["exact_duplicates"] == 1


@pytest.mark.skipif(not HELPDESK.exists(), reason="the log is not here: set BITACORA_TEST_DATA")
async def test_the_whole_help_desk_log_is_decided_without_refusal() -> None:
    mapping = find_mapping("helpdesk")
    table = Table(HELPDESK, mapping.file.layout())
    translator = EventLog(table, mapping)
    result = await Import(table, translator, Options(check=False), Quiet()).run(None)
    counts = result.translator.counts
    assert (counts.rows, counts.cases) == (21_348, 4_580)
    assert counts.rules["exact_duplicates"] == 127
    assert not counts.unknown_words
    assert counts.commands["CreateTicket"] == 4_580


# ------------------------------------------------------------------------- words and actions


def test_words_that_the_mapping_does_not_know_stop_the_import_all_at_once(tmp_path: Path) -> None:
    log = simple(
        tmp_path,
        "1,2024-01-01,opened,\n1,2024-01-02,Eaten,\n1,2024-01-03,Lost,\n1,2024-01-04,Eaten,\n",
    )
    with pytest.raises(BadFile) as caught:
        translate(*log)
    message = str(caught.value)
    assert "'Eaten' in 2 rows, first in line 3" in message
    assert "'Lost' in 1 rows, first in line 4" in message
    assert "activity.words" in message


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("count", []),
        ("tag", [("ChangeTags", {"add": ["Eaten"], "remove": []})]),
        ("field", [("ChangeCustomField", {"field": "activity", "value": "Eaten"})]),
        (
            "note",
            [
                (
                    "AddMessage",
                    {
                        "author": "agent",
                        "author_id": "ben",
                        "visibility": "internal",
                        "body": "Eaten",
                    },
                )
            ],
        ),
    ],
)
def test_unknown_words_may_be_kept(tmp_path: Path, policy: str, expected: list[Any]) -> None:
    rows = "1,2024-01-01,opened,ana\n1,2024-01-02,Eaten,ben\n"
    table, translator = simple(tmp_path, rows, **activity(unknown=policy))
    found = said(translate(table, translator)["1"])[1:]
    assert [(kind, data) for kind, _, data in found] == expected
    assert translator.counts.unknown_words["activity", "Eaten"] == 1


def test_ignored_words_are_counted(tmp_path: Path) -> None:
    table, translator = simple(tmp_path, "1,2024-01-01,opened,\n1,2024-01-02,looked at,\n")
    assert len(translate(table, translator)["1"]) == 1
    assert translator.counts.rules["ignored_words"] == 1


def test_words_may_differ_in_case(tmp_path: Path) -> None:
    log = simple(
        tmp_path, "1,2024-01-01,OPENED,\n1,2024-01-02,Done,\n", **activity(ignore_case=True)
    )
    assert [kind for kind, _, _ in said(translate(*log)["1"])] == ["CreateTicket", "ChangeStatus"]


def test_an_activity_of_several_columns(tmp_path: Path) -> None:
    combined = {"column": ["activity", "who"], "words": {"opened": "new", "done / robot": "closed"}}
    log = simple(
        tmp_path,
        "1,2024-01-01,opened,\n1,2024-01-02,done,robot\n",
        activity=combined,
        resource=None,
    )
    assert said(translate(*log)["1"])[1][2] == {"status": "closed"}


def test_an_actor_holds_the_ticket_only_when_the_activity_says_so(tmp_path: Path) -> None:
    rows = "1,2024-01-01,opened,ana\n1,2024-01-02,taken,ben\n1,2024-01-03,done,cleo\n"
    found = said(translate(*simple(tmp_path, rows))["1"])
    assert "agent" not in found[0][2]
    assert [data for kind, _, data in found if kind == "AssignTicket"] == [{"agent": "ben"}]


def test_assigning_without_a_name_is_counted(tmp_path: Path) -> None:
    table, translator = simple(tmp_path, "1,2024-01-01,opened,\n1,2024-01-02,taken,\n")
    translate(table, translator)
    assert translator.counts.rules["assign_without_name"] == 1


# ------------------------------------------------------------------------------ time and order


def test_rows_are_sorted_by_time_and_ties_keep_the_order_of_the_file(tmp_path: Path) -> None:
    rows = "1,2024-01-02,taken,ana\n1,2024-01-02,done,ana\n1,2024-01-01,opened,\n"
    found = said(translate(*simple(tmp_path, rows))["1"])
    assert [data.get("status") for _, _, data in found] == [None, None, "open", "solved"]


def test_the_order_of_the_file_can_be_kept(tmp_path: Path) -> None:
    rows = "1,2024-01-02,taken,ana\n1,2024-01-01,done,ana\n"
    table, translator = simple(tmp_path, rows, order="file")
    found = said(translate(table, translator)["1"])
    assert [time for _, time, _ in found] == ["2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z"]
    assert translator.counts.rules["time_went_back"] == 1


def test_duplicates_can_be_kept(tmp_path: Path) -> None:
    rows = "1,2024-01-01,opened,\n" + 2 * "1,2024-01-02,Eaten,\n"
    kept = simple(tmp_path, rows, duplicates="keep", **activity(unknown="note"))
    assert Counter(kind for kind, _, _ in said(translate(*kept)["1"]))["AddMessage"] == 2


def test_an_hour_that_the_clock_showed_twice_is_counted(tmp_path: Path) -> None:
    time = {"column": "time", "zone": "Europe/Berlin"}
    table, translator = simple(tmp_path, "1,2024-10-27 02:30,opened,\n", time=time)
    assert said(translate(table, translator)["1"])[0][1] == "2024-10-27T00:30:00Z"
    assert translator.counts.rules["odd_hour"] > 0


def test_a_time_of_creation_of_its_own(tmp_path: Path) -> None:
    path = write(
        tmp_path / "log.csv", "case,time,born,activity,who\n1,2024-01-02,2024-01-01,done,\n"
    )
    created, solved = said(translate(*event_log(path, SIMPLE | {"created": "born"}))["1"])
    assert (created[1], solved[1]) == ("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z")
    assert "status" not in created[2]


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ("yesterday", "line 2: time: 'yesterday' is not a time of the form iso"),
        ("", "line 2: time: '' is not a time"),
        ("0001-01-01 00:00:00+10:00", "line 2: time"),
    ],
)
def test_a_bad_time_is_named_with_its_line(tmp_path: Path, time: str, message: str) -> None:
    with pytest.raises(BadRow, match=message):
        translate(*simple(tmp_path, f"1,{time},opened,\n"))


@pytest.mark.parametrize("time", ["nan", "1e400", "99999999999999999999", "x"])
def test_a_bad_epoch_is_named_with_its_line(tmp_path: Path, time: str) -> None:
    how = {"column": "time", "format": "epoch_s"}
    with pytest.raises(BadRow, match="line 2: time"):
        translate(*simple(tmp_path, f"1,{time},opened,\n", time=how))


# ------------------------------------------------------------------------------ bad mappings


def test_a_column_that_the_file_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"no column 'urgency'.*Mend the column's name"):
        simple(tmp_path, "1,2024-01-01,opened,\n", priority="urgency")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Not A Name"}, "name: "),
        ({"colour": "red"}, "colour: there is no such key"),
        ({"case": None}, "case: "),
        ({"time": {"column": "time", "zone": "Mars/Base"}}, "no time zone is called 'Mars/Base'"),
        ({"time": {"column": "time", "format": "dd.mm.yyyy"}}, "nor a pattern like"),
        ({"file": {"encoding": "klingon"}}, "no encoding is called 'klingon'"),
        ({"file": {"delimiter": "::"}}, "one character, or one of tab"),
        (activity(words={"x": "sovled"}), "'sovled' is not a status"),
        (activity(words={"x": {"substatus": "y"}}), "substatus needs a status"),
        (activity(words={"x": [{"status": "open"}, {"status": "new"}]}), "said twice"),
        (activity(words={"x": {"assign": "group"}}), "assigns a group, but none is mapped"),
        (activity(words={"x": {"escalate": 9}}), "escalate"),
        ({"subject": "{colour}"}, "{colour} is none of"),
        ({"subject": "{case.__class__}"}, "is not a plain name"),
        ({"priority": {"column": "who", "words": {"x": "urgent"}}}, "priority.words.x"),
        ({"channel": {}}, "needs `column`, or `default`"),
        ({"fields": {"a": "who"}, "constants": {"a": "b"}}, "both in fields and in constants"),
    ],
)
def test_a_mistake_in_the_mapping_is_named_with_its_key(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(yaml.safe_dump(SIMPLE | changes), encoding="utf-8")
    with pytest.raises(BadMapping) as caught:
        read_mapping(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["{", "just words", "- a\n- b\n", "\x00"])
def test_a_mapping_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadMapping):
        read_mapping(write(tmp_path / "map.yaml", text))


def test_a_mapping_that_is_not_there() -> None:
    with pytest.raises(BadMapping, match="no mapping that comes along"):
        find_mapping("nothing")


def test_the_mapping_in_the_guide_is_read(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "guides" / "import.md").read_text(encoding="utf-8")
    example = guide.split("```yaml\n")[1].split("```")[0]
    read = read_mapping(write(tmp_path / "map.yaml", example))
    assert read.file.layout().delimiter == ";"
    assert read.time.zone == "Europe/Berlin"
