#!/usr/bin/env bash
# Runs Python with a Chromium to drive, which CHROMIUM names. Without one it is installed from Debian's packages, where it may be.
set -euo pipefail
cd "$(dirname "$0")/../.."

found() { command -v "${CHROMIUM:-}" chromium chromium-browser google-chrome 2>/dev/null | head -n 1; }

if [ -z "$(found)" ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "the page is driven in Chromium: install it, or name it in CHROMIUM" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
fi
CHROMIUM=$(found)
export CHROMIUM PYTHONPATH=$PWD
exec .venv/bin/python "$@"
