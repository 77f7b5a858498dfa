"""Every code block of README and docs runs, against the local endpoint, as a reader would run it."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from llama_bedrock.local import LocalBedrock
from tests.control.conftest import write_tiny_llama

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Programs that run one by one: test_coming_from_langchain_aws, tests/observability/test_recipes, test_notebooks.
APART = [
    *(ROOT / "docs" / name for name in ("coming-from-langchain-aws.md", "observability.md")),
    *sorted((ROOT / "docs" / "notebooks").glob("*.md")),
]
_REDIS = "redis://localhost:6379"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
# Run by CI itself on a clean clone, not from inside the test suite.
_TO_POSTGRES = "llama-bedrock index migrate docs --to postgresql://"  # tests/retrievers/indexing/test_pgvector.py runs it
_RUN_BY_CI = (
    _TO_POSTGRES,
    "make ",
    "git clone",
    "cd ",
    "pip install",
    "python -m pip",
    ".ci/run",
    "#",
    "export ",
)


def blocks(page, *languages):
    return [body for language, body in _FENCE.findall(page.read_text()) if language in languages]


def run_of(*languages):
    """The pages with such blocks. Each page imports and starts what it needs: those of docs/ are slow together."""
    found = [page for page in PAGES if page not in APART and blocks(page, *languages)]
    return [
        page if page.name == "README.md" else pytest.param(page, marks=pytest.mark.slow) for page in found
    ]


@pytest.fixture
def with_s3(request, tmp_path):
    """For pages about jobs: S3 with the bucket `my-bucket`, a tiny Llama in `my-llama`, and `train.jsonl`."""
    page = request.node.callspec.params.get("page")
    if page is None or "my-bucket" not in page.read_text():
        return
    endpoint = request.getfixturevalue("s3_endpoint")
    request.getfixturevalue("monkeypatch").setenv("AWS_ENDPOINT_URL_S3", endpoint)
    s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket="my-bucket")
    write_tiny_llama(tmp_path / "my-llama")
    examples = ({"prompt": f"What is {n}?", "completion": f"It is {n}."} for n in range(100))
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, examples)))


@pytest.fixture
def reader(tmp_path, aws_credentials, monkeypatch, with_s3):
    """A folder with the documents, and an environment in which AWS calls reach the local endpoint."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    with LocalBedrock() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        yield tmp_path


@pytest.mark.parametrize("page", run_of("python"), ids=lambda page: page.name)
def test_python_blocks_of_a_page_run_one_after_the_other(page, reader, request):
    found = blocks(page, "python")
    script = reader / "page.py"
    program = "\n\n".join(found)
    if _REDIS in program:
        program = program.replace(_REDIS, request.getfixturevalue("redis_url"))
    script.write_text(program)
    run = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)], cwd=reader, capture_output=True, text=True, timeout=100
    )
    assert run.returncode == 0, f"{page.name}:\n{run.stdout[-2000:]}\n{run.stderr[-3000:]}"


@pytest.mark.parametrize("page", run_of("bash", "sh", "shell"), ids=lambda page: page.name)
def test_commands_of_a_page_run(page, reader):
    for body in blocks(page, "bash", "sh", "shell"):
        for line in body.replace("\\\n", " ").splitlines():
            if not line.strip() or line.startswith(_RUN_BY_CI):
                continue
            assert line.startswith("llama-bedrock "), f"{page.name}: nobody runs this command: {line}"
            if line.startswith(
                tuple(f"llama-bedrock {name}" for name in ("serve", "chat", "agent", "ui", "api", "mcp"))
            ):
                line = f"{line.split('#')[0].split(' <')[0].split()[0]} {line.split()[1]} --help"
            run = subprocess.run(
                line, shell=True, cwd=reader, capture_output=True, text=True, timeout=100, check=False
            )
            assert run.returncode == 0, f"{page.name}: {line}\n{run.stdout[-1500:]}\n{run.stderr[-1500:]}"


def test_every_fence_names_its_language_and_known_ones_only():
    # "js" is run by tests/app/page/test_foreign_front_end.py
    allowed = {"python", "bash", "text", "json", "toml", "console", "yaml", "js"}
    for page in PAGES:
        for language, body in _FENCE.findall(page.read_text()):
            assert language in allowed, f"{page.name}: {language!r} before {body[:60]!r}"


def test_no_code_inside_a_line_is_broken_over_two():
    for page in PAGES:
        for line in _FENCE.sub("", page.read_text()).splitlines():
            assert line.count("`") % 2 == 0, f"{page.name}: {line}"
