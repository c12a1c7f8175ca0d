# The demo and the command line, for compose.yaml, with the versions that CI tests.
FROM python:3.13-slim

WORKDIR /app
COPY requirements.txt pyproject.toml hatch_build.py README.md LICENSE ./
COPY tracing tracing
COPY dashboards dashboards
COPY demo_pipeline demo_pipeline
RUN pip install --no-cache-dir --constraint requirements.txt . ./demo_pipeline

# A run writes only temporary databases.
USER nobody
ENV HOME=/tmp
