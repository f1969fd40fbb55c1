# Two stages: the first compiles and installs, the second only runs. No HEALTHCHECK: the platform asks /healthz and /readyz itself.
ARG PYTHON_VERSION=3.13
# What is installed: with extras.txt, all that a deployment's settings can switch on: telemetry, an audit, budgets shared
# through Redis. run.txt is what always runs, for who wants the image smaller.
ARG REQUIREMENTS=extras.txt

# With a C compiler, for the modules that every request runs through (setup.py).
FROM python:${PYTHON_VERSION} AS build
ARG REQUIREMENTS
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# The environment gets no pip of its own: the stage's pip installs into it, only wheels whose hashes are in the files.
RUN python -m venv --without-pip /opt/lb
COPY requirements/run.txt requirements/extras.txt requirements/compile.txt requirements/
RUN python -m pip --python /opt/lb/bin/python install --require-hashes --only-binary :all: -r "requirements/$REQUIREMENTS" \
 && python -m venv /opt/build \
 && /opt/build/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/extras.txt -r requirements/compile.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY lb lb
RUN LB_COMPILE=1 /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && python -m pip --python /opt/lb/bin/python install --no-deps --no-index /wheels/*.whl \
 && python -m compileall -q /opt/lb/lib

FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="openai-lb" \
      org.opencontainers.image.description="One base URL in front of several Azure OpenAI endpoints" \
      org.opencontainers.image.licenses="MIT"
# What runs needs no installer.
RUN python -m pip uninstall --yes --quiet --root-user-action ignore pip
COPY --from=build /opt/lb /opt/lb
# The code is compiled already and the root file system may be read-only; /tmp takes what does not fit into memory.
ENV PATH=/opt/lb/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
WORKDIR /tmp
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["lb"]
CMD ["serve"]
