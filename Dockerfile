# docintake in a container. Two kinds: VARIANT=cpu (the default) and VARIANT=cuda, whose torch brings CUDA's libraries
# with it, so that the machine needs NVIDIA's driver and container toolkit, and nothing else.
#   docker build -t docintake:cpu .
#   docker build -t docintake:cuda --build-arg VARIANT=cuda .
# Base images are pinned by version; pin them by digest where you build (docs/deploy.md says how).
ARG VARIANT=cpu

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/venv/bin:$PATH
WORKDIR /app
RUN python -m venv /opt/venv
COPY constraints.txt ./

FROM build AS torch-cpu
RUN pip install --no-cache-dir --constraint constraints.txt --no-deps \
    --index-url https://download.pytorch.org/whl/cpu torch==2.13.0

FROM build AS torch-cuda
RUN pip install --no-cache-dir --constraint constraints.txt torch==2.13.0

# hadolint ignore=DL3006
FROM torch-${VARIANT} AS libraries
WORKDIR /app
COPY . ./
RUN pip install --no-cache-dir --constraint constraints.txt -e '.[remote,monitor,tracing]' -e core/contract \
    && python -m compileall -q core db worker

FROM python:3.11.14-slim-bookworm
COPY --from=libraries /opt/venv /opt/venv
COPY --from=libraries /app /app
# What is mounted here later is the container's user's to write. It has a name: Celery is wary of groups without one.
RUN groupadd --gid 10001 docintake \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin docintake \
    && install --directory --owner=10001 --group=10001 /var/lib/docintake/data /var/lib/docintake/checkpoints
# HOME: libraries keep caches there, which may go. HF_HOME: models, fetched by hand (docs/deploy.md).
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    HF_HOME=/models \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /app
USER 10001:10001
STOPSIGNAL SIGTERM
# Whoever runs it knows what it runs: compose and Kubernetes have checks of their own.
HEALTHCHECK NONE
ENTRYPOINT ["docintake"]
CMD ["--help"]
