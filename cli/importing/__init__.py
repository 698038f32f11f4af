"""Imports: real histories from other systems, as commands with their business times.

`servicenow` reads the audit log of a ServiceNow instance, `event_log` any event log in CSV by a
mapping file. Both make the same commands again from the same file (ids are derived from the source's
name, the case and the row), so that an import can be repeated and resumed without harm.
"""
