# syntax=docker/dockerfile:1
# The service, as two images from one file:
#
#     docker build --target cpu --tag fanin .
#     docker build --target cuda --build-arg CUDA=12 --tag fanin:cuda12 .
#
# Python packages come from deploy/requirements, pinned by hash; `make lock` writes them anew.

# The digest that public Dockerfiles pin for this tag. Before a new one: docker buildx imagetools inspect python:TAG
ARG PYTHON=python:3.12.12-slim-bookworm@sha256:593bd06efe90efa80dc4eee3948be7c0fde4134606dd40d8dd8dbcade98e669c

FROM ${PYTHON} AS wheel
# Debian keeps one version of a package in a release: a pinned one is gone with the next security fix.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY deploy/requirements ./deploy/requirements
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --no-cache-dir --require-hashes -r deploy/requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY clients/python ./clients/python
COPY clients/lab ./clients/lab
COPY service ./service
RUN /opt/build/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel .

FROM wheel AS venv-cpu
RUN python -m venv /opt/fanin \
    && /opt/fanin/bin/python -m pip install --no-cache-dir --require-hashes -r deploy/requirements/cpu.txt \
    && /opt/fanin/bin/python -m pip install --no-cache-dir --no-deps --no-index /wheel/*.whl
# A build without a compiler falls back to NumPy without a word; an image must not.
RUN ["/opt/fanin/bin/python", "-c", "import fanin; assert fanin.backends.get('native').name == 'native'"]

FROM wheel AS venv-cuda
ARG CUDA=12
RUN python -m venv /opt/fanin \
    && /opt/fanin/bin/python -m pip install --no-cache-dir --require-hashes -r "deploy/requirements/cuda${CUDA}.txt" \
    && /opt/fanin/bin/python -m pip install --no-cache-dir --no-deps --no-index /wheel/*.whl
RUN ["/opt/fanin/bin/python", "-c", "import cupy, fanin; assert fanin.backends.get('native').name == 'native'"]

FROM ${PYTHON} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="fanin" \
      org.opencontainers.image.description="Initial weights for neural networks from a recipe and a seed: the same bits on every machine" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.12.12-slim-bookworm"
# Nothing is written: the root may be read-only.
ENV PATH=/opt/fanin/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FANIN_HOST=0.0.0.0 \
    FANIN_PORT=8000
# A number, since Kubernetes' runAsNonRoot cannot look names up.
USER 10001:10001
WORKDIR /
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "from os import environ; from urllib.request import urlopen; urlopen(f'http://127.0.0.1:{environ[\"FANIN_PORT\"]}/readyz', timeout=2)"]
ENTRYPOINT ["fanin", "serve"]

FROM runtime AS cuda
COPY --from=venv-cuda /opt/fanin /opt/fanin
# Compiled kernels stay in memory: the root is read-only.
ENV CUPY_CACHE_IN_MEMORY=1

FROM runtime AS cpu
COPY --from=venv-cpu /opt/fanin /opt/fanin
ENV FANIN_BACKEND=native
