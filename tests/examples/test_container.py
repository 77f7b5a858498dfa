"""examples/container: what the Dockerfile starts, started as the image would: nothing installed but what its
RUN installs, a user who may write nowhere but in /data, a root file system that is read-only."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from llama_bedrock.local import LocalBedrock
from tests.examples.bare import ROOT, link
from tests.examples.processes import free_port, started, status_when_it_listens

KEY = "a-key-for-tests"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="images are for Linux"),
]


class Dockerfile:
    """The instructions of the last stage, and the extras that the first one installs."""

    def __init__(self, path):
        text = path.read_text("utf-8").replace("\\\n", " ")
        (extras,) = re.findall(r'pip install --no-cache-dir "\.\[([\w,]+)\]"', text)
        self.requirements = [f"llama-bedrock[{extras}]"]
        last = text[text.rindex("\nFROM ") :]
        self.instructions = dict(re.findall(r"^([A-Z]+) +(.*)$", last, re.M))
        self.variables = dict(part.split("=", 1) for part in shlex.split(self.instructions["ENV"]))

    def command(self, *names):
        """What exec forms say, one after the other."""
        texts = [re.search(r"\[.*\]", self.instructions[name])[0] for name in names]
        return [word for text in texts for word in json.loads(text)]


@pytest.fixture
def image(tmp_path):
    """The Dockerfile, and a folder with its programs and packages."""
    link_to = tmp_path / "packages"
    link_to.mkdir()
    dockerfile = Dockerfile(ROOT / "examples" / "container" / "Dockerfile")
    link(dockerfile.requirements, link_to)
    programs = tmp_path / "bin"
    programs.mkdir()
    python = Path(sys.executable).resolve()
    (programs / "python").symlink_to(python)
    start = f"#!{python}\nfrom llama_bedrock.cli.main import main\nmain()\n"
    (programs / "llama-bedrock").write_text(start)
    (programs / "llama-bedrock").chmod(0o755)
    return dockerfile


def confined(command, data):
    """The command as the image's user, who may read everything, with all but ``data`` read-only.

    Where the tests do not run as root, as whoever runs them.
    """
    if os.getuid() != 0 or not shutil.which("setpriv") or not shutil.which("unshare"):
        return command
    mounts = (
        'mount --bind "$0" "$0" && for at in $(findmnt -rno TARGET | grep -v "^$0"); do '
        'mount -o remount,bind,ro "$at" 2> /dev/null; done; exec "$@"'
    )
    user = [
        "setpriv",
        "--reuid=10001",
        "--regid=10001",
        "--clear-groups",
        "--bounding-set=-all,+dac_read_search",
    ]
    user += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    os.chown(data, 10001, 10001)
    return ["unshare", "--mount", "sh", "-c", mounts, str(data), *user, *command]


def test_the_image_serves_is_healthy_and_ends_when_told(image, tmp_path, aws_credentials):
    port, data = free_port(), tmp_path / "data"
    data.mkdir(mode=0o700)
    places = {"/documents": str(ROOT / "examples" / "documents"), "8720": str(port)}
    own = {name: value.replace("/data", str(data)) for name, value in image.variables.items()}
    with LocalBedrock(token_delay=0.03) as bedrock:
        environment = {
            **own,
            **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.endpoint_url,
            "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.defpath}",
            "PYTHONPATH": str(tmp_path / "packages"),
            "PYTHONNOUSERSITE": "1",
            "LLAMA_BEDROCK_KEY": KEY,
        }

        def healthy():
            code = [word.replace("8720", str(port)) for word in image.command("HEALTHCHECK")]
            return subprocess.run(code, env=environment, capture_output=True, timeout=60).returncode == 0

        assert not healthy()
        command = image.command("ENTRYPOINT", "CMD")
        command = confined([places.get(word, word) for word in [*command, "--port", str(port)]], data)
        with started(command, tmp_path / "log", env=environment, cwd="/") as process:
            address = f"http://127.0.0.1:{port}"
            assert status_when_it_listens(f"{address}/healthz", process, tmp_path / "log") == 200
            assert healthy()
            bearer = {"Authorization": f"Bearer {KEY}"}
            body = {"thread": "one", "question": "Which token ends a turn?"}
            lines = []
            with httpx.stream(
                "POST", f"{address}/api/ask", json=body, headers=bearer, trust_env=False, timeout=100
            ) as answer:
                assert answer.status_code == 200
                for line in answer.iter_lines():
                    lines.append(line)
                    if line == "event: text" and lines.count(line) == 1:  # the answer has begun
                        process.send_signal(signal.SIGTERM)
            assert "event: done" in lines, lines
            assert process.wait(60) == 0
    assert bedrock.stats.cancelled == 0
    assert KEY not in (tmp_path / "log").read_text()  # CloudWatch keeps it
    written = {path.relative_to(data).parts[0] for path in data.rglob("*") if path.is_file()}
    assert written == {"cache", "llama-bedrock"}  # the index and the conversations
    assert {path.stat().st_uid for path in data.rglob("*")} == {10001 if os.getuid() == 0 else os.getuid()}


def test_the_task_definition_for_ecs_is_one():
    import botocore.session
    from botocore.validate import ParamValidator

    (text,) = re.findall(
        r"^```json\n(.*?)^```", (ROOT / "examples" / "ecs.md").read_text("utf-8"), re.M | re.S
    )
    task = json.loads(text)
    shape = botocore.session.get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition")
    assert not ParamValidator().validate(task, shape.input_shape).generate_report()
    (container,) = task["containerDefinitions"]
    image = Dockerfile(ROOT / "examples" / "container" / "Dockerfile")
    wanted = image.command("CMD")
    assert container["command"][: len(wanted)] == wanted
    assert {mount["containerPath"] for mount in container["mountPoints"]} == {"/documents", "/data"}
