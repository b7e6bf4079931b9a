# The image of the API, the courier, and a worker without torch (GrabCut).
# Build it from the repository's root: docker build -f compose/api.Dockerfile -t nukki-api .
FROM python:3.12.12-slim-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_CONSTRAINT=/src/constraints.txt
RUN python -m venv /opt/nukki
ENV PATH=/opt/nukki/bin:$PATH
# Requirements come first, in a layer that a change of our code does not rebuild.
COPY pyproject.toml constraints.txt ./
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
      > requirements.txt \
 && pip install -r requirements.txt
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
# Only /tmp needs to be writable.
ENV PATH=/opt/nukki/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /var/lib/nukki
USER 10001:10001
EXPOSE 8000
CMD ["nukki", "api", "--host", "0.0.0.0", "--port", "8000"]
