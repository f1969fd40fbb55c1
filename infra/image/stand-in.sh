#!/usr/bin/env bash
# Makes python:<version>, which has a C compiler, and python:<version>-slim of Debian's packages, for machines that reach
# no registry of images. Debian 12 has 3.11.
set -euo pipefail
version=$1
shift # the rest: buildah's options
have() { command -v "$1" >/dev/null; }
have mmdebstrap || DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends mmdebstrap >/dev/null

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/Containerfile" <<'X'
FROM scratch
ADD root.tar /
RUN rm -f /usr/lib/python3.11/EXTERNALLY-MANAGED \
 && ln -s /usr/bin/python3 /usr/local/bin/python && ln -s /usr/bin/pip3 /usr/local/bin/pip
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
X

make() { # tag, packages, buildah's options
  local tag=$1 packages=$2
  shift 2
  mmdebstrap --quiet --variant=minbase --include="$packages" bookworm "$folder/root.tar"
  buildah "$@" bud -q --isolation chroot --tag "docker.io/library/python:$tag" "$folder" >/dev/null
}
python=python3,python3-pip,python3-venv,ca-certificates
make "$version" "$python,python3-dev,gcc,libc6-dev" "$@"
make "$version-slim" "$python" "$@"
