#!/usr/bin/env bash
# Installs what the tests need from the system: with CI=true or AETHERFLOW_INSTALL_SERVICES=1 through apt, else it prints
# the line to type. Without a server its tests are skipped; with CI=true a skip is a failure.
set -euo pipefail

PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
for bin in /usr/lib/postgresql/*/bin; do PATH="$PATH:$bin"; done

missing=()
need() { # package, then the command that succeeds if it is there
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
need openssh-server command -v sshd
need openssh-client command -v sftp   # tests/benchmarks: what transfers are measured against
need samba command -v smbd
need proftpd-core command -v proftpd # docs/examples/plugins/acme-remote
need smbclient command -v smbclient # tests/benchmarks: what transfers are measured against
need postgresql command -v postgres
need mariadb-server command -v mariadbd
need strace command -v strace        # tests/torture: faults at system calls
need e2fsprogs command -v mkfs.ext4  # tests/torture: power cuts on a file system of their own
need sqlite3 command -v sqlite3 # docs/examples/programs
need libreoffice-calc command -v soffice # tests/system/builtins_reports: a second reader of workbooks
need poppler-utils command -v pdftoppm # the same: pages of its PDFs as pictures
need cron command -v cron            # tests/torture: what the scheduler is compared with, and what runs exported crontabs
need systemd command -v systemd-analyze # tests/system/scheduler, tests/system/deploy: timers and units, checked without a running systemd
need logrotate command -v logrotate # tests/system/deploy
need tini command -v tini         # the same: process 1 of the container
need python3-uno /usr/bin/python3 -c 'import uno' # tests/services/office_insert.py: LibreOffice inserts rows
need firebird4.0-server-core sh -c 'ls /usr/lib/*/firebird/4.0/plugins/libEngine13.so' # docs/examples/plugins/acme-firebird
need libfbclient2 sh -c 'ls /usr/lib/*/libfbclient.so.2' # the same
need redis-server command -v redis-server # docs/examples/plugins/acme-runlog, tests/system/scheduler/launchers
need rabbitmq-server test -x /usr/lib/rabbitmq/bin/rabbitmq-server # tests/system/scheduler/launchers
need libfaketime sh -c 'ls /usr/lib/*/faketime/libfaketime.so.1'
need 7zip command -v 7z       # reads our archives, and makes some
need unzip command -v unzip
need zip command -v zip
need zstd command -v zstd
need git command -v git
need curl command -v curl         # tests/benchmarks: what downloads are compared with
need python3-venv /usr/bin/python3 -c 'import ensurepip, venv' # make's first choice; Debian's cannot make a virtual environment alone

[ ${#missing[@]} -gt 0 ] || exit 0

if [ "${CI:-}" != true ] && [ "${AETHERFLOW_INSTALL_SERVICES:-}" != 1 ]; then
    echo "Some tests will be skipped. What they need: apt-get install --no-install-recommends ${missing[*]}"
    exit 0
fi

sudo=
if [ "$(id -u)" -ne 0 ]; then sudo=sudo; fi

# apt would start each server, which then holds its usual port; the tests start their own. This file denies it meanwhile.
policy=/usr/sbin/policy-rc.d
kept=$policy.kept-by-aetherflow
log=$(mktemp)
restore() {
    rm -f "$log"
    $sudo rm -f "$policy"
    if [ -e "$kept" ]; then $sudo mv "$kept" "$policy"; fi
}
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [ -e "$policy" ]; then $sudo mv "$policy" "$kept"; fi
printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
$sudo chmod 755 "$policy"

echo "installing ${missing[*]} ..."
install() {
    $sudo apt-get update -qq &&
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"
}
if ! install >"$log" 2>&1; then # apt's own words are worth reading only then
    cat "$log" >&2
    echo "tests/services/install.sh: could not install ${missing[*]}" >&2
    exit 1
fi
