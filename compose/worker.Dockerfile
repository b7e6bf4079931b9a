# The image of the GPU worker: sam2, and torch with the CUDA libraries that it brings.
# Build it from the repository's root: docker build -f compose/worker.Dockerfile -t nukki-worker .
# The host needs NVIDIA's driver and container toolkit, but not CUDA.
FROM python:3.12.12-slim-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_CONSTRAINT=/src/constraints.txt
RUN python -m venv /opt/nukki
ENV PATH=/opt/nukki/bin:$PATH
COPY pyproject.toml constraints.txt ./
# torch comes first, because sam2 is built from source against it. A CPU build of torch is refused: it
# would leave the GPU idle.
# hadolint ignore=DL3013
RUN pip install "setuptools>=77" wheel \
 && pip install torch \
 && python -c 'import sys, torch; sys.exit(None if torch.version.cuda else "this torch has no CUDA")'
RUN python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; print(*project["dependencies"], *project["optional-dependencies"]["sam"], sep="\n")' \
      > requirements.txt \
 && SAM2_BUILD_CUDA=0 pip install --no-build-isolation -r requirements.txt
COPY README.md LICENSE ./
COPY api api
COPY nukki nukki
COPY shared shared
COPY worker worker
RUN pip install --no-deps .

FROM python:3.12.12-slim-bookworm
RUN groupadd --gid 10001 nukki \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin nukki \
 && install -d -o nukki -g nukki /var/lib/nukki /var/lib/nukki/models
COPY --from=build /opt/nukki /opt/nukki
# `utility` provides NVML, with which the launcher lists the devices.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Only /tmp needs to be writable.
ENV PATH=/opt/nukki/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /var/lib/nukki
USER 10001:10001
EXPOSE 9101
CMD ["nukki", "worker"]
