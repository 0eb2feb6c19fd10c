# syntax=docker/dockerfile:1
# The service on the CPU. Two stages: the first has a compiler, the second runs.

FROM python:3.12-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md ./
COPY clients ./clients
COPY service ./service
RUN python -m venv /opt/fanin \
    && /opt/fanin/bin/pip install --no-cache-dir '.[service]'
# A build without a compiler falls back to NumPy without a word; an image must not.
RUN ["/opt/fanin/bin/python", "-c", "import fanin; assert fanin.backends.get('native').name == 'native'"]

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home fanin
COPY --from=build /opt/fanin /opt/fanin
ENV PATH=/opt/fanin/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FANIN_HOST=0.0.0.0 \
    FANIN_PORT=8000 \
    FANIN_BACKEND=native
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "from os import environ; from urllib.request import urlopen; urlopen(f'http://127.0.0.1:{environ[\"FANIN_PORT\"]}/readyz', timeout=2)"]
ENTRYPOINT ["fanin", "serve"]
