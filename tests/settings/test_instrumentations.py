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


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the instrumentations: beside this environment's packages, not among them."""
    folder = tmp_path_factory.mktemp("instrumentations")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-compile",
        "--target",
        str(folder),
        "opentelemetry-sdk",
    ]
    done = subprocess.run([*command, *PACKAGES.values()], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the instrumentations cannot be installed: {done.stderr[-300:]}")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PACKAGES)
def test_every_kind_of_call_answers_under(name, installed):
    environment = {
        **os.environ,
        "PYTHONPATH": str(installed),
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
