"""Names of secrets that people use, and the forms in which a secret travels."""

import base64
import html
import json
import re
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus

USUAL = [
    "ACCESS_TOKEN", "ADMIN_PASSWORD", "API_KEY", "API_TOKEN", "APIKEY", "APP_SECRET", "ARM_ACCESS_KEY",
    "ARM_CLIENT_SECRET", "AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_CLIENT_SECRET",
    "AZURE_DEVOPS_EXT_PAT", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN",
    "BASIC_AUTH", "BEARER_TOKEN", "BORG_PASSPHRASE", "CI_JOB_TOKEN", "CLIENT_SECRET", "CLOUDFLARE_API_TOKEN",
    "CONSUL_HTTP_TOKEN", "COOKIE_SECRET", "DATABRICKS_TOKEN", "DB_PASS", "DB_PASSWD", "DB_PASSWORD", "DB_PW",
    "DBPASSWORD", "DD_API_KEY", "DD_APP_KEY", "DEPLOY_KEY", "DJANGO_SECRET_KEY", "DOCKER_AUTH_CONFIG",
    "DOCKER_PASSWORD", "ENCRYPTION_KEY", "EXA_PWD", "FERNET_KEY", "FTP_PASSWORD", "GH_PAT", "GH_TOKEN",
    "GITHUB_TOKEN", "GITLAB_TOKEN", "GOOGLE_API_KEY", "GPG_PASSPHRASE", "HTTP_PASSWORD", "JWT_SECRET",
    "KEYSTORE_PASSWORD", "KUBE_TOKEN", "LDAP_BIND_PASSWORD", "MAIL_PASSWORD", "MARIADB_PASSWORD",
    "MONGO_INITDB_ROOT_PASSWORD", "MSSQL_SA_PASSWORD", "MYSQL_PWD", "MYSQL_ROOT_PASSWORD", "NEW_RELIC_LICENSE_KEY",
    "OAUTH_TOKEN", "ORACLE_PASSWORD", "ORACLE_PWD", "PASSPHRASE", "PASSWD", "PGPASSWORD", "POSTGRES_PASSWORD",
    "PRIVATE_KEY", "PROXY_PASSWORD", "RABBITMQ_DEFAULT_PASS", "RCLONE_CONFIG_PASS", "REDIS_PASSWORD",
    "REDISCLI_AUTH", "REFRESH_TOKEN", "RESTIC_PASSWORD", "SA_PASSWORD", "SAP_PASSWD", "SECRET_KEY",
    "SECRET_KEY_BASE", "SENDGRID_API_KEY", "SENTRY_AUTH_TOKEN", "SENTRY_DSN", "SESSION_SECRET", "SFTP_PASSWORD",
    "SIGNING_KEY", "SLACK_BOT_TOKEN", "SLACK_WEBHOOK_URL", "SMB_PASSWD", "SMTP_PASS", "SMTP_PASSWORD",
    "SNOWFLAKE_PASSWORD", "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "SSH_PASSPHRASE", "SSH_PRIVATE_KEY", "SSHPASS",
    "SSL_KEY_PASSWORD", "STRIPE_SECRET_KEY", "TABLEAU_PAT", "TEAMS_WEBHOOK_URL", "TELEGRAM_BOT_TOKEN",
    "TWILIO_AUTH_TOKEN", "VAULT_TOKEN", "X-API-KEY", "clientSecret", "db_password", "pwd", "userPassword",
]  # fmt: skip
NONE = [
    "AUTHOR", "BYPASS", "COMPASS", "CONNECTION", "CREDENTIALS_FILE", "DB_HOST", "FOREIGN_KEY", "GIT_ASKPASS", "KEY",
    "KEYBOARD", "MONKEY", "OLDPWD", "PARTITION_KEY", "PASSAGE", "PASSENGERS", "PASSWORD_FILE", "PATH", "PATTERN",
    "PGPASSFILE", "PRIMARY_KEY", "PUBLIC_KEY", "PWD", "SECRET_NAME", "SORT_KEY", "SSH_ASKPASS", "SSH_AUTH_SOCK",
    "SURPASS", "TOKEN_ENDPOINT", "TOKEN_PATH", "TOKEN_URL", "TOKENS_LEFT", "XAUTHORITY", "key", "patience",
    "password_url", "tokenizer",
    "AETHERFLOW_SECRETS_MODULE",
]  # fmt: skip
CANARY = "tr0ub4dor&3/\"it's <Ä>\\+ %"
"""Characters that every form writes in another way."""
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "HEXADECIMAL": lambda text: text.encode().hex().upper(),
    "URL": lambda text: quote(text, safe=""),
    "URL, small letters": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "URL, blanks as plus": quote_plus,
    "URL, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": html.escape,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, not only ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON, slashes escaped": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "SQL": lambda text: text.replace("'", "''"),
    "SQL name": lambda text: text.replace('"', '""'),
    "shell": shlex.quote,
    "Python": lambda text: repr(text)[1:-1],
}
