"""`doctor` on set-ups that are broken before the first call: files, logins, programs, addresses, proxies."""

import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from llama_bedrock.cli.main import app
from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine

pytestmark = pytest.mark.slow

SSO = """[profile work]
sso_session = my
sso_account_id = 123456789012
sso_role_name = Reader
[sso-session my]
sso_region = us-east-1
sso_start_url = https://x.awsapps.com/start
"""
ROLE = """[default]
role_arn = arn:aws:iam::123456789012:role/reader
source_profile = base
"""


@pytest.fixture
def doctor(monkeypatch, tmp_path):
    """Function: (files of ~/.aws, variables, arguments) → what `doctor --json` says by name, and the exit code."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_REGION", "us-east-2")

    def run(*arguments, files=None, **variables):
        for name, text in (files or {}).items():
            path = tmp_path / ".aws" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        result = CliRunner().invoke(app, ["doctor", "--json", *arguments])
        told = json.loads(result.stdout)
        assert all("\n" not in one["found"] for one in told)
        return {one["name"]: (one["state"], one["found"]) for one in told}, result.exit_code

    return run


@pytest.fixture
def bedrock(monkeypatch):
    with LocalBedrock(engine=ScriptedEngine(["Hello"])) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
        yield server


KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}


@pytest.mark.parametrize(
    ("files", "variables", "said"),
    [
        ({}, {"AWS_ACCESS_KEY_ID": "any"}, "is set without AWS_SECRET_ACCESS_KEY: set both"),
        ({}, {"AWS_SECRET_ACCESS_KEY": "any"}, "is set without AWS_ACCESS_KEY_ID: set both"),
        (
            {"credentials": "[default]\naws_access_key_id = any\n"},
            {},
            "without aws_secret_access_key: write it into",
        ),
        ({"config": "[default]\nregion = a\n[profile\n"}, {}, "config, line 3, is no configuration of AWS"),
        ({"credentials": "aws_access_key_id = any\n"}, KEYS, "credentials, line 1, is no configuration"),
        ({}, {"AWS_PROFILE": "nobody"}, "no profile 'nobody' in ~/.aws: set AWS_PROFILE"),
        (
            {"config": ROLE},
            {},
            'source_profile "base" referenced in the profile "default" does not exist; mend',
        ),
        (
            {"config": "[default]\ncredential_process = sh -c 'echo no token >&2; exit 3'\n"},
            {},
            "credential_process sh gives none: no token; run it by hand",
        ),
        (
            {"config": "[default]\ncredential_process = echo hello\n"},
            {},
            "echo gives none: it prints no JSON",
        ),
        (
            {"config": "[default]\ncredential_process = /no/such/program\n"},
            {},
            "/no/such/program gives none: No such file",
        ),
        ({"config": SSO}, {"AWS_PROFILE": "work"}, "there is no login: aws sso login --profile work"),
        (
            {},
            {"AWS_WEB_IDENTITY_TOKEN_FILE": "/no/token", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/x"},
            "/no/token (AWS_WEB_IDENTITY_TOKEN_FILE) cannot be read: No such file",
        ),
        (
            {},
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/x"},
            "container's service of credentials at http://127.0.0.1:9/x gives none",
        ),
        (
            {},
            {**KEYS, "AWS_SESSION_TOKEN": "any", "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z"},
            "have expired: aws sso login",
        ),
    ],
)
def test_credentials_that_are_not_to_be_had(doctor, bedrock, files, variables, said):
    told, code = doctor(files=files, **variables)
    assert (told["credentials"][0], code) == ("broken", 1)
    assert said in told["credentials"][1]
    assert told["aws"][0] == "note"
    assert not told.keys() & {"identity", "access", "quotas", "call"}


@pytest.mark.parametrize(("minutes", "state"), [(-5, "broken"), (90, "ok")])
def test_what_a_program_gives_may_have_expired(doctor, bedrock, tmp_path, minutes, state):
    program = tmp_path / "keys.py"
    ends = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
    given = {
        "Version": 1,
        "AccessKeyId": "a",
        "SecretAccessKey": "b",
        "SessionToken": "c",
        "Expiration": ends,
    }
    program.write_text(f"print({json.dumps(given)!r})")
    told, _ = doctor(
        "--no-call", files={"config": f"[default]\ncredential_process = {sys.executable} {program}\n"}
    )
    assert told["credentials"][0] == state
    assert ("has expired" if state == "broken" else "valid for 90 minutes") in told["credentials"][1]


def test_a_login_has_expired(bedrock, tmp_path):
    token = {"accessToken": "x", "expiresAt": "2020-01-01T00:00:00Z", "region": "us-east-1"}
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    (cache / f"{hashlib.sha1(b'my').hexdigest()}.json").write_text(json.dumps(token))
    (tmp_path / "config").write_text(SSO)
    of_aws = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_PROFILE": "work", "AWS_REGION": "us-east-2"}
    # botocore looks for its cache of logins in the home that it was imported in
    ran = subprocess.run(
        [sys.executable, "-c", "from llama_bedrock.cli.main import main; main()", "doctor", "--json"],
        env=os.environ | {"HOME": str(tmp_path)} | of_aws,
        capture_output=True,
        text=True,
        check=False,
    )
    told = {one["name"]: (one["state"], one["found"]) for one in json.loads(ran.stdout)}
    assert (told["credentials"][0], ran.returncode) == ("broken", 1)
    assert told["credentials"][1] == "the login has expired or is not valid: aws sso login --profile work"


def test_a_role_is_refused(doctor, monkeypatch):
    with LocalBedrock(credentials={"any": "the secret"}) as server:
        base = "[profile base]\naws_access_key_id = any\naws_secret_access_key = another\n"
        told, code = doctor(files={"config": ROLE + base}, AWS_ENDPOINT_URL=server.endpoint_url)
    assert (told["credentials"][0], code) == ("broken", 1)
    assert "role/reader is not to be had: SignatureDoesNotMatch" in told["credentials"][1]


def test_keys_that_are_refused_are_told_once(doctor, monkeypatch):
    with LocalBedrock(credentials={"any": "the secret"}) as server:
        told, code = doctor(AWS_ENDPOINT_URL=server.endpoint_url, **KEYS)
    assert (told["identity"][0], code) == ("broken", 1)
    assert "key is wrong" in told["identity"][1]
    assert "cannot be known before that is mended" in told["aws"][1]
    assert not told.keys() & {"access", "quotas", "call"}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AWS_EC2_METADATA_DISABLED": "true"}, "turned off: AWS_EC2_METADATA_DISABLED"),
        (
            {
                "AWS_EC2_METADATA_DISABLED": "false",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9",
            },
            "gives none at http://127.0.0.1:9, AWS_EC2_METADATA_SERVICE_ENDPOINT",
        ),
    ],
)
def test_the_metadata_service_gives_none(doctor, bedrock, variables, said):
    told, code = doctor(**variables)
    assert (told["credentials"][0], code) == ("note", 0)
    assert said in told["credentials"][1]


@pytest.mark.parametrize(
    ("region", "state", "said"),
    [
        ("us-esat-2", "note", "none that botocore knows: us-west-2 or us-east-2"),
        ("US-EAST-2", "note", "none that botocore knows: us-east-2?"),
        ('"us-east-2"', "broken", "is no name of a Region: us-east-2?"),
        ("Ohio (us-east-2)", "broken", "is no name of a Region"),
    ],
)
def test_the_region_is_misspelt(doctor, bedrock, region, state, said):
    told, code = doctor("--region", region, "--no-call", **KEYS)
    assert (told["region"][0], code) == (state, 1)
    assert said in told["region"][1]


def test_without_a_region_nothing_works_though_there_are_keys(doctor, monkeypatch):
    monkeypatch.delenv("AWS_REGION")
    told, code = doctor(**KEYS)
    assert (told["region"][0], code) == ("broken", 1)


@contextmanager
def _answering(data):
    """The address of a server that reads a request and answers with these bytes; with None, never."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve():
        while True:
            try:
                taken, _ = listening.accept()
            except OSError:
                return
            with taken:
                taken.recv(65536)
                if data is None:
                    over.wait()
                else:
                    taken.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://127.0.0.1:9", "AWS_ENDPOINT_URL is no address (ftp://127.0.0.1:9): write https://HOST"),
        ("127.0.0.1:9", "AWS_ENDPOINT_URL is no address"),
        ("localhost", "AWS_ENDPOINT_URL is no address"),
        ("http://name:secret@127.0.0.1:99999", "AWS_ENDPOINT_URL is no address (http://***@127.0.0.1:99999)"),
    ],
)
def test_the_address_is_none(doctor, url, said):
    told, code = doctor(AWS_ENDPOINT_URL=url, **KEYS)
    assert (told["endpoint"][0], code) == ("broken", 1)
    assert said in told["endpoint"][1]
    assert "identity" not in told


@pytest.mark.parametrize(
    ("scheme", "answer", "said"),
    [
        ("http", None, "accepts connections, but does not answer"),
        ("http", b"\x15\x03\x03\x00\x02\x02\x46", "does not speak HTTP"),
        ("http", b"", "does not speak HTTP"),
        ("https", b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"),
    ],
)
def test_somebody_else_listens_there(doctor, scheme, answer, said):
    with _answering(answer) as place:
        told, code = doctor(AWS_ENDPOINT_URL=f"{scheme}://{place}", **KEYS)
    assert (told["endpoint"][0], code) == ("broken", 1)
    assert said in told["endpoint"][1]


def test_a_page_of_a_captive_portal_is_not_aws(doctor):
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<p>Log in</p>"
    with _answering(page) as place:
        told, code = doctor(AWS_ENDPOINT_URL=f"http://{place}", **KEYS)
    assert (told["identity"][0], code) == ("broken", 1)
    assert "what answers is not AWS" in told["identity"][1]


@pytest.mark.parametrize(
    ("status", "said"),
    [(407, "give it a name and a password: HTTPS_PROXY="), (403, "check what it lets through")],
)
def test_the_proxy_refuses(doctor, status, said):
    with _answering(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()) as place:
        told, code = doctor(HTTPS_PROXY=f"http://name:secret@{place}", **KEYS)
    assert (told["endpoint"][0], code) == ("broken", 1)
    assert f"the proxy answers {status}" in told["endpoint"][1]
    assert said in told["endpoint"][1]
    assert place in told["endpoint"][1]
    assert "secret" not in told["endpoint"][1]


def test_a_certificate_is_trusted_by_the_bundle_that_calls_use(doctor, certificate, monkeypatch):
    with LocalBedrock(engine=ScriptedEngine(["Hello"])) as server:
        port = int(server.endpoint_url.rpartition(":")[2])
        with _tls_before(port, certificate) as place:
            unknown, code = doctor(AWS_ENDPOINT_URL=f"https://{place}", **KEYS)
            trusted, good = doctor(AWS_CA_BUNDLE=str(certificate / "cert.pem"))
            no_file, bad = doctor(AWS_CA_BUNDLE="/no/cert.pem")
            no_pem, worse = doctor(AWS_CA_BUNDLE=__file__)
    assert (unknown["endpoint"][0], code) == ("broken", 1)
    assert "is not trusted: self-signed certificate; set AWS_CA_BUNDLE" in unknown["endpoint"][1]
    assert (trusted["endpoint"][0], trusted["clock"][0], trusted["call"][0], good) == ("ok", "ok", "ok", 0)
    assert (bad, worse) == (1, 1)
    for told in (no_file, no_pem):
        assert "no certificates to trust can be read of AWS_CA_BUNDLE=" in told["endpoint"][1]


@contextmanager
def _tls_before(port, certificate):
    """The address of a server that speaks TLS and hands on to a port of this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    listening = socket.create_server(("127.0.0.1", 0))
    threads = []

    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            one.close()

    def serve():
        while True:
            try:
                taken, _ = listening.accept()
            except OSError:
                return
            try:
                taken = context.wrap_socket(taken, server_side=True)
            except OSError:
                taken.close()
                continue
            behind = socket.create_connection(("127.0.0.1", port))
            for ends in ((taken, behind), (behind, taken)):
                threads.append(threading.Thread(target=pump, args=ends, daemon=True))
                threads[-1].start()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def test_the_endpoint_of_the_configuration_file_is_the_one_that_is_asked(doctor):
    with LocalBedrock(engine=ScriptedEngine(["Hello"])) as server:
        url = server.endpoint_url
        told, code = doctor(files={"config": f"[default]\nendpoint_url = {url}\n"}, **KEYS)
    assert code == 0
    assert told["endpoint"] == ("ok", f"{url} accepts connections")
    assert told["call"][0] == "ok"
