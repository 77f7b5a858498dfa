"""Instrumentations that wrap botocore's answers or LangChain's calls leave every answer as it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = {
    "traceloop": "opentelemetry-instrumentation-bedrock",
    "openinference": "openinference-instrumentation-bedrock",
    "genai": "opentelemetry-instrumentation-genai-langchain",
    "ddtrace": "ddtrace",
}
PROGRAM = Path(__file__).with_name("instrumented.py")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PACKAGES)
def test_every_kind_of_call_answers_under(name, beside):
    environment = {
        **os.environ,
        "PYTHONPATH": beside("opentelemetry-sdk", *PACKAGES.values()),
        "DD_TRACE_ENABLED": "false",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    }
    done = subprocess.run(
        [sys.executable, str(PROGRAM), name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.strip().endswith("all answers came"), done.stderr[-3000:]
