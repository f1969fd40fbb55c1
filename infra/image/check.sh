#!/usr/bin/env bash
# Builds the image and runs it as the platforms do. Needs buildah and podman: installs them from Debian's or Ubuntu's
# packages. Where no registry for base images can be reached, a stand-in for
# the base images is made of the distribution's own packages. See check.py for what is asked of the image.
set -euo pipefail
cd "$(dirname "$0")/../.."

have() { command -v "$1" >/dev/null; }

if [ "$(id -u)" != 0 ]; then
  echo "image-check must run as root: it reads what the kernel says of a process that belongs to another user" >&2
  exit 1
fi
if ! { have buildah && have podman; }; then
  if ! have apt-get; then
    echo "image-check needs buildah and podman: install them" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends buildah podman crun netavark aardvark-dns >/dev/null
fi

# A machine that reaches no registry of images is taken for a container, too: plain copies in a place of our own instead
# of overlays, which it may not mount.
options=()
python=$(sed -n 's/^ARG PYTHON_VERSION=//p' Dockerfile)
pull() { timeout 300 buildah pull -q "docker.io/library/python:$1" >/dev/null 2>&1; }
if ! { pull "$python-slim" && pull "$python"; }; then
  store=${IMAGE_CHECK_STORE:-/var/tmp/openai-lb-image-check}
  options=(--root "$store/root" --runroot "$store/run" --storage-driver vfs)
  python=3.11
  made() { buildah "${options[@]}" inspect --type image "docker.io/library/python:$1" >/dev/null 2>&1; }
  if ! { made "$python" && made "$python-slim"; }; then
    infra/image/stand-in.sh "$python" "${options[@]}"
  fi
  echo "base image: a stand-in of Debian's packages with Python $python, since no registry could be reached"
fi

build=(--isolation chroot --build-arg "PYTHON_VERSION=$python")
# A machine's own roots and package index settings, where it has some, are for the build only.
for file in /etc/ssl/certs /etc/pip.conf; do
  if [ -e "$file" ]; then build+=(--volume "$file:$file:ro"); fi
done
buildah "${options[@]}" bud -q "${build[@]}" --tag openai-lb:check . >/dev/null

exec .venv/bin/python infra/image/check.py openai-lb:check "docker.io/library/python:$python-slim" "${options[@]}"
