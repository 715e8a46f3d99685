"""Groups, spellings and the distribution that ships each of our own names."""

from collections.abc import Iterable

STEPS = "aetherflow.steps"
CONNECTORS = "aetherflow.connectors"
BUNDLE_SOURCES = "aetherflow.bundle_sources"
HOOKS = "aetherflow.hooks"
DOCUMENTS = "aetherflow.documents"
"""Kinds of documents of other programs; looked for when a file is of none of the core's own kinds."""
LEGACY = "aetherflow.plugins"
"""The old group: an object that registers steps and connectors when it is called."""
KINDS = {STEPS: "step", CONNECTORS: "connector", BUNDLE_SOURCES: "bundle source"}
"""Entry-point group to the word that users read, for all that flows and manifests use."""
WORDS = {**KINDS, HOOKS: "hook", DOCUMENTS: "kind of document"}
"""Likewise for every group."""

_STEP_EXTRAS = {
    "db": ("db_check", "db_execute", "db_extract", "db_extract_stream", "db_fetch_small", "db_load"),
    "sftp": ("sftp_delete_files", "sftp_download_files", "sftp_list_files", "sftp_move_files", "sftp_upload_files"),
    "smb": ("smb_delete_files", "smb_download_files", "smb_list_files", "smb_move_files", "smb_upload_files"),
    "mail": ("mail_send",),
    "zip": ("archive_list", "archive_test", "unzip", "zip"),
    "excel": (
        "excel_fill_from_file",
        "excel_fill_small",
        "excel_read",
        "excel_validate_template",
        "excel_write",
    ),
    "rest": ("http_download", "http_paginate", "http_poll", "http_request", "http_upload", "webhook_notify"),
}
_CONNECTOR_EXTRAS = {
    "db": ("db.sqlite3",),
    "duckdb": ("db.duckdb",),
    "postgres": ("db.postgres",),
    "mysql": ("db.mysql",),
    "oracle": ("db.oracledb",),
    "sqlalchemy": ("db.sqlalchemy",),
    "exasol": ("db.exasol",),
    "sftp": ("sftp.local", "sftp.paramiko"),
    "smb": ("smb.local", "smb.pysmb", "smb.smbclient"),
    "mail": ("mail.file", "mail.smtp"),
    "zip": ("archive.external", "archive.os", "archive.pyminizip", "archive.pyzipper", "archive.zipfile"),
    "rest": ("rest.httpx",),
}
_SOURCE_EXTRAS: dict[str, tuple[str, ...]] = {name: (name,) for name in ("db", "rest", "sftp", "smb")}
_EXTRAS: dict[str, dict[str, tuple[str, ...]]] = {
    STEPS: _STEP_EXTRAS,
    CONNECTORS: _CONNECTOR_EXTRAS,
    BUNDLE_SOURCES: _SOURCE_EXTRAS,
}
_DISTRIBUTIONS = {
    "aetherflow-builtins-db": ("db", "duckdb", "exasol", "mysql", "oracle", "postgres", "sqlalchemy"),
    "aetherflow-builtins-transfer": ("mail", "sftp", "smb", "zip"),
    "aetherflow-builtins-reports": ("excel",),
    "aetherflow-builtins-rest": ("rest",),
}
_IMPLIED = {"db": frozenset(_DISTRIBUTIONS["aetherflow-builtins-db"]) - {"db"}}
"""An extra without a library of its own, and those that bring its distribution too."""


def extra_for(group: str, name: str) -> str | None:
    """The extra of aetherflow-core that brings `name`, if it is one of ours."""
    return next((extra for extra, names in _EXTRAS.get(group, {}).items() if name in names), None)


def distribution_for(extra: str) -> str:
    """The distribution behind an extra."""
    return next(name for name, extras in _DISTRIBUTIONS.items() if extra in extras)


def without_implied(extras: Iterable[str]) -> list[str]:
    """The extras, sorted, without those that another one of them brings along."""
    wanted = set(extras)
    return sorted(extra for extra in wanted if not wanted & _IMPLIED.get(extra, frozenset()))


def shown(group: str, name: str) -> str:
    """A name as users read it: connectors as `kind:driver`."""
    return name.replace(".", ":", 1) if group == CONNECTORS else name
