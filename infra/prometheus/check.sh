#!/usr/bin/env bash
# The dashboard and the alert rules against a real Prometheus that reads the real command under load. Needs prometheus
# and promtool: installs them from Debian's or Ubuntu's packages where it may.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! { command -v prometheus && command -v promtool; } >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "check-metrics needs prometheus and promtool: install them" >&2
    exit 1
  fi
  apt-get update -qq
  # The package would start a server of its own; that one is not wanted.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends prometheus >/dev/null
fi
.venv/bin/python -m pytest -c infra/pytest.ini -p no:asyncio -p no:aiohttp infra/prometheus
