#!/usr/bin/env bash
# Makes python:<version>-slim of Debian's packages, for machines that reach no registry of images. Debian 12 has 3.11.
set -euo pipefail
version=$1
shift # the rest: buildah's options
have() { command -v "$1" >/dev/null; }
have mmdebstrap || DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends mmdebstrap >/dev/null

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mmdebstrap --quiet --variant=minbase --include=python3,python3-pip,python3-venv,ca-certificates bookworm "$folder/root.tar"
cat >"$folder/Containerfile" <<'X'
FROM scratch
ADD root.tar /
RUN rm -f /usr/lib/python3.11/EXTERNALLY-MANAGED \
 && ln -s /usr/bin/python3 /usr/local/bin/python && ln -s /usr/bin/pip3 /usr/local/bin/pip
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
X
buildah "$@" bud -q --isolation chroot --tag "docker.io/library/python:$version-slim" "$folder" >/dev/null
