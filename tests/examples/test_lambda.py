"""examples/lambda: its template against cfn-lint and our own table, its package, and the function under the
adapter's contract: started by run.sh, asked for readiness, called over HTTP, told to stop by SIGTERM."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import boto3
import httpx
import pytest
import yaml

from llama_bedrock.iam import model_resources, policy
from llama_bedrock.local import LocalBedrock
from llama_bedrock.retrievers import FAISSStore, index_folder
from tests.examples.bare import ROOT, link, size
from tests.examples.processes import free_port, started, status_when_it_listens

FOLDER = ROOT / "examples" / "lambda"
REQUIREMENTS = [
    name
    for line in (FOLDER / "requirements.txt").read_text("utf-8").splitlines()
    if (name := line.partition("#")[0].strip())
]


class _Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms as ``{tag: value}``."""


def _short_form(loader, tag, node):
    kinds = {yaml.ScalarNode: "scalar", yaml.SequenceNode: "sequence", yaml.MappingNode: "mapping"}
    return {tag: getattr(loader, f"construct_{kinds[type(node)]}")(node)}


_Template.add_multi_constructor("!", _short_form)


@pytest.fixture(scope="module")
def template():
    return yaml.load((FOLDER / "template.yaml").read_text("utf-8"), _Template)


@pytest.fixture(scope="module")
def function(template):
    return template["Resources"]["App"]["Properties"]


def statements(template):
    for rule in template["Resources"]["Role"]["Properties"]["Policies"]:
        yield from rule["PolicyDocument"]["Statement"]


def test_the_role_may_do_what_the_table_says_and_no_more(template):
    wanted = {action for one in policy(["chat", "index-in-s3"])["Statement"] for action in one["Action"]}
    given = [action for one in statements(template) for action in one["Action"]]
    logs = {"logs:CreateLogStream", "logs:PutLogEvents"}  # what every function needs
    assert sorted(given) == sorted(wanted | logs)
    assert "ManagedPolicyArns" not in template["Resources"]["Role"]["Properties"]
    assert all(one["Resource"] != "*" for one in statements(template))


def test_the_role_may_call_the_default_model_only(template):
    parameters = template["Parameters"]
    arns = [arn.strip() for arn in parameters["ModelArns"]["Default"].split(",")]
    assert arns == model_resources(parameters["Model"]["Default"], "us-east-2")
    models = next(one for one in statements(template) if "bedrock:InvokeModel" in one["Action"])
    assert models["Resource"] == {"Ref": "ModelArns"}


def test_answers_are_streamed_by_url_and_adapter_alike(function):
    assert function["FunctionUrlConfig"]["InvokeMode"] == "RESPONSE_STREAM"  # cfn-lint takes any text
    variables = function["Environment"]["Variables"]
    assert variables["AWS_LWA_INVOKE_MODE"] == "response_stream"
    assert variables["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/bootstrap"
    (layer,) = function["Layers"]
    (architecture,) = function["Architectures"]
    kind = {"x86_64": "X86", "arm64": "Arm64"}[architecture]
    assert f":753240598075:layer:LambdaAdapterLayer{kind}:" in layer["Sub"]
    assert os.access(FOLDER / function["Handler"], os.X_OK)


@pytest.mark.slow
def test_cfn_lint_finds_nothing():
    pytest.importorskip("cfnlint")
    program = Path(sys.executable).with_name("cfn-lint")
    command = [str(program), "--include-checks", "I", "--", str(FOLDER / "template.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.slow
def test_the_package_is_smaller_than_lambda_takes():
    assert size(REQUIREMENTS) < 250 * 2**20


@contextmanager
def function_started(tmp_path, template, **variables):
    """The function, started as the adapter does, with nothing installed but its package; gives its address."""
    task, port = tmp_path / "task", free_port()
    task.mkdir()
    link(REQUIREMENTS, task)
    for name in ("app.py", "run.sh"):
        shutil.copy(FOLDER / name, task)
    (tmp_path / "bin").mkdir()
    python = Path(sys.executable).resolve()  # without the packages of this environment
    (tmp_path / "bin" / "python3").symlink_to(python)
    given = template["Resources"]["App"]["Properties"]["Environment"]["Variables"]
    environment = {
        **{name: value for name, value in given.items() if isinstance(value, str)},
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.defpath}",
        "LAMBDA_TASK_ROOT": str(task),
        "PYTHONNOUSERSITE": "1",
        "AWS_LWA_PORT": str(port),
        "AUTH_TYPE": "AWS_IAM",
        "MODEL": template["Parameters"]["Model"]["Default"],
        "INDEX_FOLDER": str(tmp_path / "index"),
    } | variables
    with started([str(task / "run.sh")], tmp_path / "log", env=environment, cwd="/") as process:
        path = given["AWS_LWA_READINESS_CHECK_PATH"]
        address = f"http://127.0.0.1:{port}"
        assert status_when_it_listens(f"{address}{path}", process, tmp_path / "log") == 200
        yield address, process


@pytest.fixture
def index(bucket, tmp_path):
    """An index of the examples' documents in S3, copied there file by file."""
    store = FAISSStore()
    index_folder(ROOT / "examples" / "documents", store, save=tmp_path / "made")
    s3 = boto3.client("s3", region_name="us-east-1")
    for file in (tmp_path / "made").rglob("*"):
        if file.is_file():
            key = f"index/1/{file.relative_to(tmp_path / 'made').as_posix()}"
            s3.upload_file(str(file), bucket.removeprefix("s3://"), key)
    return f"{bucket}/index/1"


@pytest.mark.slow
def test_the_function_answers_under_the_adapters_contract(index, tmp_path, template):
    body = {
        "model": "documents",
        "messages": [{"role": "user", "content": "Which token ends a turn?"}],
        "stream": True,
    }
    with (
        LocalBedrock(token_delay=0.03) as bedrock,
        function_started(
            tmp_path, template, INDEX=index, AWS_ENDPOINT_URL_BEDROCK_RUNTIME=bedrock.endpoint_url
        ) as (
            address,
            process,
        ),
    ):
        # As a function URL names the host, and with the signature's header, which is not ours to read.
        headers = {
            "Host": "abc.lambda-url.us-east-2.on.aws",
            "Authorization": "AWS4-HMAC-SHA256 Credential=A",
        }
        with httpx.stream(
            "POST", f"{address}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False
        ) as answer:
            assert answer.status_code == 200
            arrived = [(time.monotonic(), line) for line in answer.iter_lines() if line.startswith("data: {")]
        events = [json.loads(line.removeprefix("data: ")) for _, line in arrived]
        text = "".join(one["choices"][0]["delta"].get("content") or "" for one in events if one["choices"])
        assert "<|eot|>" in text
        assert arrived[-1][0] - arrived[0][0] > 0.1  # streamed, as the adapter passes it on
        process.send_signal(signal.SIGTERM)  # Lambda's Shutdown: two seconds, then SIGKILL
        assert process.wait(60) == -signal.SIGTERM  # uvicorn closes, then passes it on


@pytest.fixture
def app_module(monkeypatch):
    spec = importlib.util.spec_from_file_location("lambda_app", FOLDER / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("MODEL", "us.meta.llama3-3-70b-instruct-v1:0")
    return module


@pytest.mark.slow
def test_a_function_that_cannot_work_says_why(bucket, app_module, monkeypatch):
    monkeypatch.setenv("AUTH_TYPE", "NONE")
    monkeypatch.setenv("INDEX", f"{bucket}/index/2")
    with pytest.raises(SystemExit, match="needs the parameter Key"):
        app_module.make_app()
    monkeypatch.setenv("LLAMA_BEDROCK_KEY", "a-key-of-ours")
    with pytest.raises(FileNotFoundError, match=f"there is no index at {bucket}/index/2"):
        app_module.make_app()
