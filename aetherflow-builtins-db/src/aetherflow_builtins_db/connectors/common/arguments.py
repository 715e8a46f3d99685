"""The classes of arguments that drivers get as they are. An argument that no list has is code.

Files that name other files (`read_default_file`, `config_dir`) are in no list: their content isn't checked.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from aetherflow.core.api import Arguments, Holds

Named = Iterator[tuple[str, Any, Holds]]
_PLAIN_DRIVER = re.compile(r"[\w .()-]+")
"""A driver's name in odbcinst.ini; unixODBC takes others for a library, or for further settings."""
_FILES = {"sqlite": "sqlite3", "duckdb": "duckdb"}
"""Schemes of URLs that name a file."""
_USUAL = {"postgresql": "psycopg2", "mssql": "pyodbc", "oracle": "oracledb", "sqlite": "pysqlite", "duckdb": "duckdb"}
"""Schemes of SQLAlchemy to their drivers, where a URL names none and the driver is known here."""


def _classes(data: str, host: str = "", reads: str = "", writes: str = "") -> dict[str, Holds]:
    lists = {Holds.DATA: data, Holds.HOST: host, Holds.READS: reads, Holds.WRITES: writes}
    return {name: holds for holds, names in lists.items() for name in names.split()}


_LIBPQ = _classes(
    "user password dbname port service channel_binding connect_timeout client_encoding options application_name "
    "fallback_application_name keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout "
    "sslmode sslnegotiation sslcompression sslcertmode sslpassword sslsni requirepeer require_auth "
    "ssl_min_protocol_version ssl_max_protocol_version min_protocol_version max_protocol_version gssencmode krbsrvname "
    "gsslib gssdelegation replication target_session_attrs load_balance_hosts scram_client_key scram_server_key "
    "autocommit prepare_threshold",
    host="host hostaddr",
    reads="passfile sslcert sslkey sslrootcert sslcrl sslcrldir",
    writes="sslkeylogfile",
)
_PYMYSQL = _classes(
    "user passwd password database db port charset collation sql_mode use_unicode init_command connect_timeout "
    "read_timeout write_timeout read_default_group autocommit max_allowed_packet binary_prefix program_name "
    "server_public_key ssl_disabled ssl_key_password ssl_verify_cert ssl_verify_identity compress ssl.cipher "
    "ssl.check_hostname ssl.verify_mode ssl.password",
    host="host unix_socket bind_address",
    reads="ssl_ca ssl_cert ssl_key ssl.ca ssl.capath ssl.cert ssl.key",
)
_ORACLE = _classes(
    "user proxy_user password newpassword wallet_password access_token port protocol https_proxy_port service_name "
    "instance_name sid server_type cclass purity expire_time retry_count retry_delay tcp_connect_timeout "
    "ssl_server_dn_match ssl_server_cert_dn events externalauth mode disable_oob stmtcachesize edition tag matchanytag "
    "appcontext shardingkey supershardingkey connection_id_prefix sdu pool_boundary use_tcp_fast_open ssl_version "
    "program machine terminal osuser driver_name use_sni transaction_priority",
    host="host https_proxy debug_jdwp",
    reads="wallet_location",
)
_EXASOL = _classes(
    "user password schema autocommit snapshot_transactions connection_timeout socket_timeout query_timeout compression "
    "encryption fetch_dict fetch_size_bytes lower_ident quote_ident json_lib verbose_error debug resolve_hostnames "
    "client_name client_version client_os_username protocol_version access_token refresh_token "
    "websocket_sslopt.cert_reqs websocket_sslopt.check_hostname websocket_sslopt.ciphers "
    "websocket_sslopt.server_hostname websocket_sslopt.password",
    host="dsn udf_output_bind_address udf_output_connect_address http_proxy",
    reads="websocket_sslopt.ca_certs websocket_sslopt.ca_cert_path websocket_sslopt.certfile websocket_sslopt.keyfile",
    writes="debug_logdir udf_output_dir",
)
_ODBC = _classes(
    "driver database uid pwd encrypt trustservercertificate trusted_connection authentication applicationintent "
    "multisubnetfailover app wsid language mars_connection hostnameincertificate connectretrycount "
    "connectretryinterval autocommit timeout ansi unicode_results readonly",
    host="server",
)
_PYSQLITE = _classes(
    "check_same_thread timeout isolation_level detect_types cached_statements uri mode cache immutable nolock "
    "autocommit native_datetime"
)
_SQLITE_PRAGMAS = _classes(
    "analysis_limit application_id auto_vacuum automatic_index busy_timeout cache_size cache_spill case_sensitive_like "
    "cell_size_check checkpoint_fullfsync defer_foreign_keys encoding foreign_keys fullfsync hard_heap_limit "
    "ignore_check_constraints journal_mode journal_size_limit legacy_alter_table locking_mode max_page_count mmap_size "
    "optimize page_size query_only read_uncommitted recursive_triggers reverse_unordered_selects secure_delete "
    "soft_heap_limit synchronous temp_store threads trusted_schema user_version wal_autocheckpoint",
    writes="temp_store_directory data_store_directory",
)
_DUCKDB = _classes(
    "calendar timezone access_mode arrow_large_buffer_size arrow_lossless_conversion checkpoint_threshold "
    "default_collation default_null_order default_order disabled_filesystems disabled_optimizers "
    "enable_external_access enable_http_metadata_cache enable_object_cache enable_optimizer enable_profiling "
    "enable_progress_bar enable_progress_bar_print errors_as_json explain_output external_threads force_compression "
    "http_keep_alive http_proxy_password http_proxy_username http_retries http_retry_backoff http_retry_wait_ms "
    "http_timeout ieee_floating_point_ops immediate_transaction_mode integer_division lock_configuration max_memory "
    "max_expression_depth max_temp_directory_size memory_limit null_order ordered_aggregate_threshold "
    "perfect_ht_threshold pivot_limit prefer_range_joins preserve_identifier_case preserve_insertion_order "
    "progress_bar_time s3_access_key_id s3_region s3_secret_access_key s3_session_token s3_url_style s3_use_ssl "
    "scalar_subquery_error_on_multiple_rows schema search_path threads wal_autocheckpoint worker_threads",
    host="http_proxy s3_endpoint",
    reads="file_search_path",
    writes="temp_directory log_query_path profile_output profiling_output",
)
_LISTS: Mapping[str, Mapping[str, Holds]] = {
    **dict.fromkeys(("postgres", "psycopg", "psycopg2"), _LIBPQ),
    **dict.fromkeys(("mysql", "pymysql"), _PYMYSQL),
    **dict.fromkeys(("oracledb", "cx_oracle"), _ORACLE),
    "exasol": _EXASOL,
    "pyodbc": _ODBC,
    "pysqlite": _PYSQLITE,
    "sqlite3": _SQLITE_PRAGMAS,
    "duckdb": _DUCKDB,
}


def _in_map(value: Any, resource: Mapping[str, Any]) -> Named:
    """The arguments in a map; those of a map inside of it have both names."""
    known = _LISTS.get(_driver_of(resource), {})
    for name, given in _leaves(value) if isinstance(value, Mapping) else ():
        yield name, given, _class_of(known, name, given)


def _in_url(value: Any, resource: Mapping[str, Any]) -> Named:
    """The options in a URL, and its file, if it names one."""
    try:
        split = urlsplit(value if isinstance(value, str) else "")
    except ValueError:
        return  # the connector reports it
    if resource.get("driver") == "sqlalchemy" and split.scheme and _driver_of(resource) not in _LISTS:
        yield "", value, Holds.CODE
        return
    yield from _in_map(dict(parse_qsl(split.query, keep_blank_values=True)), resource)
    path = unquote(split.path.removeprefix("/"))
    if split.scheme.partition("+")[0] in _FILES and path and not path.startswith(":memory:"):
        is_uri = path.startswith("file:")  # relative to the current folder
        yield "", str(Path(path.removeprefix("file:")).absolute()) if is_uri else path, Holds.WRITES


def _in_dsn(value: Any, resource: Mapping[str, Any]) -> Named:
    """Oracle's connect string, which can name a file with settings, and a wallet."""
    del resource
    leads_on = isinstance(value, str) and re.search(r"^\s*config-|wallet|directory", value, re.IGNORECASE)
    yield "", value, Holds.CODE if leads_on else Holds.HOST


IN_MAP, IN_URL, IN_DSN = Arguments(_in_map), Arguments(_in_url), Arguments(_in_dsn)


def _driver_of(resource: Mapping[str, Any]) -> str:
    if (driver := str(resource.get("driver"))) != "sqlalchemy":
        return driver
    config = resource.get("config")
    url = config.get("url") if isinstance(config, Mapping) else None
    database, _, named = str(url).partition(":")[0].partition("+")
    return named or _USUAL.get(database, "")


def _class_of(known: Mapping[str, Holds], name: str, value: Any) -> Holds:
    if name == "sslkey" and ":" in str(value):  # of an engine of OpenSSL, which libpq loads
        return Holds.CODE
    if name.lower() == "driver" and not _PLAIN_DRIVER.fullmatch(str(value)):
        return Holds.CODE
    return known.get(name.lower(), Holds.CODE)


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
