"""Region, endpoint, credentials, proxies and certificates: as boto3 finds them, the same for both shells."""

import asyncio
import base64
import contextlib
import copy
import os
import pickle
import socket
import socketserver
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta

import boto3
import botocore
import pytest
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import CredentialRetrievalError

from llama_bedrock import errors as E
from llama_bedrock.transport import clients
from llama_bedrock.transport.aio import AsyncTransport
from llama_bedrock.transport.clients import boto_client, region_of
from llama_bedrock.transport.connection import Timeout, TransportSettings
from llama_bedrock.transport.limiter import AdaptiveConcurrency
from llama_bedrock.transport.signing import signing_client
from llama_bedrock.transport.sync import SyncTransport

KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"}
OK = b'{"generation":"ok","prompt_token_count":1,"generation_token_count":1,"stop_reason":"stop"}'


class Recorder(socketserver.ThreadingTCPServer):
    """A bare HTTP/1.1 server that keeps the head of each request and answers `OK`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, context=None):
        self.heads = []
        self.context = context
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self):
        sock, address = super().get_request()
        if self.context is not None:
            sock = self.context.wrap_socket(sock, server_side=True)
        return sock, address

    def handle_error(self, request, client_address):
        pass

    @property
    def url(self):
        scheme = "https" if self.context is not None else "http"
        return f"{scheme}://127.0.0.1:{self.server_address[1]}"

    def header(self, name, number=-1):
        for line in self.heads[number].split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None

    def target(self, number=-1):
        return self.heads[number].split("\r\n")[0].split(" ")[1]


class _Handler(socketserver.StreamRequestHandler):
    def handle(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.rfile.read(1)
            if not byte:
                return
            head += byte
        text = head.decode()
        self.server.heads.append(text)
        for line in text.split("\r\n"):
            if line.lower().startswith("content-length:"):
                self.rfile.read(int(line.split(":")[1]))
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(OK) + OK)


@contextlib.contextmanager
def running(kind):
    """What starts servers of a kind, which run until the end of the block."""
    servers = []

    def start(*arguments):
        server = kind(*arguments)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def serve():
    with running(Recorder) as start:
        yield start


@pytest.fixture
def call(mode, make_request):
    """Make one call with settings given by keyword; return its outcome."""

    def call(**settings):
        return mode.run(TransportSettings(**settings), make_request(), False)

    return call


def ok(outcome):
    assert outcome.error is None, outcome.error
    return outcome.text == "ok"


# --- region -------------------------------------------------------------------------------------------------


def write_profile(monkeypatch, tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))


def test_region_is_found_in_the_order_argument_environment_profile(monkeypatch, tmp_path):
    write_profile(
        monkeypatch, tmp_path, "[default]\nregion = eu-west-3\n[profile work]\nregion = eu-west-1\n"
    )
    assert region_of(TransportSettings()) == "eu-west-3"
    assert region_of(TransportSettings(credentials_profile_name="work")) == "eu-west-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-1")
    assert region_of(TransportSettings()) == "us-west-1"
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    assert region_of(TransportSettings()) == "us-west-2"
    assert region_of(TransportSettings(region_name="us-east-2")) == "us-east-2"


def test_missing_region_names_the_three_ways_to_set_it(call, mode):
    outcome = call(**KEYS)
    assert type(outcome.error) is ValueError
    for way in ("region_name=", "AWS_REGION", "~/.aws/config"):
        assert way in str(outcome.error)


# --- credentials --------------------------------------------------------------------------------------------


def test_missing_credentials_say_how_to_give_them(call, serve):
    server = serve()
    error = call(region_name="us-east-2", endpoint_url=server.url).error
    assert type(error) is E.BedrockCredentialsError
    assert "aws sso login" in error.hint
    assert server.heads == []


def test_unknown_profile_is_named(call):
    error = call(region_name="us-east-2", credentials_profile_name="nobody").error
    assert type(error) is E.BedrockCredentialsError
    assert "nobody" in str(error)


def test_requests_are_signed_for_bedrock_in_the_region(call, serve):
    server = serve()
    assert ok(call(region_name="eu-west-1", endpoint_url=server.url, aws_session_token="tok", **KEYS))
    assert "AKIDEXAMPLE" in server.header("authorization")
    assert "/eu-west-1/bedrock/aws4_request" in server.header("authorization")
    assert server.header("x-amz-security-token") == "tok"


def test_both_shells_sign_the_same_way(monkeypatch, serve, make_request):
    """At one moment both send the same signature, but for botocore's own two headers."""
    from botocore import auth

    monkeypatch.setattr(auth, "get_current_datetime", lambda: datetime(2026, 11, 21, 12, 0, 0))
    server = serve()
    settings = TransportSettings(region_name="us-east-2", endpoint_url=server.url, **KEYS)
    asyncio.run(AsyncTransport(settings).invoke(make_request()))
    SyncTransport(settings).invoke(make_request())
    for name in ("x-amz-date", "content-type", "accept", "host"):
        assert server.header(name, 0) == server.header(name, 1)
    assert server.header("user-agent", 0) == server.header("user-agent", 1)
    assert server.target(0) == server.target(1)
    scope = "Credential=AKIDEXAMPLE/20261121/us-east-2/bedrock/aws4_request"
    assert scope in server.header("authorization", 0)
    assert scope in server.header("authorization", 1)


def test_profile_of_the_configuration_file(call, serve, monkeypatch, tmp_path):
    server = serve()
    write_profile(
        monkeypatch,
        tmp_path,
        "[profile work]\nregion = eu-west-1\naws_access_key_id = AKIDWORK\naws_secret_access_key = s\n",
    )
    assert ok(call(credentials_profile_name="work", endpoint_url=server.url))
    assert "AKIDWORK" in server.header("authorization")
    assert "/eu-west-1/" in server.header("authorization")


def test_api_keys_are_of_one_instance_and_never_in_the_environment(serve, mode, make_request):
    server = serve()
    for key in ("key-one", "key-two"):
        settings = TransportSettings(region_name="us-east-2", endpoint_url=server.url, api_key=key)
        assert ok(mode.run(settings, make_request(), False))
        assert server.header("authorization") == f"Bearer {key}"
        assert not any(key in value for value in os.environ.values())
        assert key not in repr(settings)


def test_api_key_of_the_environment_is_used(call, serve, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "env-key")
    server = serve()
    assert ok(call(region_name="us-east-2", endpoint_url=server.url))
    assert server.header("authorization") == "Bearer env-key"


@pytest.mark.parametrize("passed_on", [False, True], ids=["not given", "given as api_key"])
def test_explicit_credentials_win_over_an_api_key_of_the_environment(call, serve, monkeypatch, passed_on):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "env-key")
    server = serve()
    more = {"api_key": "env-key"} if passed_on else {}
    assert ok(call(region_name="us-east-2", endpoint_url=server.url, **KEYS, **more))
    assert server.header("authorization").startswith("AWS4-HMAC-SHA256")


def test_api_key_is_not_sent_unencrypted_to_another_machine(call):
    error = call(region_name="us-east-2", endpoint_url="http://bedrock.example.com", api_key="k").error
    assert type(error) is ValueError
    assert "unencrypted" in str(error)


class SlowRefresh:
    """A credential source that blocks, as IMDS and STS do, and counts."""

    def __init__(self, lifetime, fail=False):
        self.calls = 0
        self.lifetime = lifetime
        self.fail = fail
        self.began = self.ended = 0.0
        self.done = threading.Event()

    def __call__(self):
        self.calls += 1
        self.began = time.monotonic()
        time.sleep(0.3)
        self.ended = time.monotonic()
        self.done.set()
        if self.fail:
            raise CredentialRetrievalError(provider="test", error_msg="no answer")
        expiry = datetime.now(UTC) + timedelta(seconds=self.lifetime)
        return {
            "access_key": f"AKID{self.calls}",
            "secret_key": "s",
            "token": "t",
            "expiry_time": expiry.isoformat(),
        }


def refreshing_client(url, source, seconds_left):
    """A boto3 client whose credentials end soon."""
    expiry = datetime.now(UTC) + timedelta(seconds=seconds_left)
    session = boto3.Session(region_name="us-east-2")
    session._session._credentials = RefreshableCredentials("AKID0", "s", "t", expiry, source, "test")
    return session.client("bedrock-runtime", endpoint_url=url)


@pytest.mark.parametrize(
    "seconds_left", [-1, 60, 700], ids=["expired", "must be renewed", "should be renewed"]
)
def test_credentials_are_renewed_once_and_the_loop_goes_on(seconds_left, server, make_request):
    server.faults = ()
    source = SlowRefresh(3600)
    settings = TransportSettings(client=refreshing_client(server.endpoint_url, source, seconds_left))

    ticks = []

    async def tick():
        while True:
            await asyncio.sleep(0.005)
            ticks.append(time.monotonic())

    async def main():
        async with AsyncTransport(settings) as transport:
            await transport._way(clients.RUNTIME)
            ticker = asyncio.create_task(tick())
            await asyncio.gather(*(transport.invoke(make_request()) for _ in range(20)))
            await asyncio.to_thread(source.done.wait)  # calls need not wait for a renewal before it is due
            ticker.cancel()

    asyncio.run(main())
    meanwhile = [moment for moment in ticks if source.began < moment < source.ended]
    assert len(meanwhile) > 2
    assert source.calls == 1


def test_a_failing_renewal_of_good_credentials_is_not_repeated_by_every_call(server, make_request):
    server.faults = ()
    source = SlowRefresh(3600, fail=True)
    settings = TransportSettings(client=refreshing_client(server.endpoint_url, source, 700))

    async def main():
        async with AsyncTransport(settings) as transport:
            for _ in range(5):
                await transport.invoke(make_request())

    asyncio.run(main())
    assert source.calls == 1


def test_a_failing_renewal_of_expired_credentials_is_a_credentials_error(server, make_request, mode):
    server.faults = ()
    source = SlowRefresh(3600, fail=True)
    settings = TransportSettings(client=refreshing_client(server.endpoint_url, source, -1), max_retries=0)
    error = mode.run(settings, make_request(), False).error
    assert type(error) is E.BedrockCredentialsError
    assert "no answer" in str(error)


# --- endpoint -----------------------------------------------------------------------------------------------


def test_endpoint_of_the_environment_and_of_the_configuration_file(call, serve, monkeypatch, tmp_path):
    one, two, three = serve(), serve(), serve()
    write_profile(
        monkeypatch,
        tmp_path,
        f"[default]\nservices = local\n[services local]\nbedrock_runtime =\n  endpoint_url = {one.url}\n",
    )
    assert ok(call(region_name="us-east-2", **KEYS))
    assert len(one.heads) == 1
    monkeypatch.setenv("AWS_ENDPOINT_URL", two.url)
    monkeypatch.delenv("AWS_CONFIG_FILE")
    assert ok(call(region_name="us-east-2", **KEYS))
    assert len(two.heads) == 1
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", three.url)
    assert ok(call(region_name="us-east-2", **KEYS))
    assert len(three.heads) == 1


@pytest.mark.parametrize(
    ("region", "config", "host"),
    [
        ("us-east-2", {}, "bedrock-runtime.us-east-2.amazonaws.com"),
        ("us-east-1", {"use_fips_endpoint": True}, "bedrock-runtime-fips.us-east-1.amazonaws.com"),
        ("us-gov-west-1", {}, "bedrock-runtime.us-gov-west-1.amazonaws.com"),
        ("us-east-1", {"use_dualstack_endpoint": True}, "bedrock-runtime.us-east-1.api.aws"),
    ],
)
def test_aws_endpoint_follows_botocores_rules(region, config, host):
    settings = TransportSettings(region_name=region, config=Config(**config), **KEYS)
    signing = signing_client(boto_client(settings))
    assert signing.url("InvokeModel", "/model/m/invoke") == f"https://{host}/model/m/invoke"


def test_endpoint_with_a_path_keeps_it(call, serve):
    server = serve()
    assert ok(call(region_name="us-east-2", endpoint_url=server.url + "/gateway/", **KEYS))
    assert server.target() == "/gateway/model/meta.llama3-3-70b-instruct-v1%3A0/invoke"


def test_region_that_does_not_exist_says_what_to_check(mode, make_request, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    settings = TransportSettings(region_name="us-east-99", max_retries=3, **KEYS)
    outcome = mode.run(settings, make_request(), False)
    assert type(outcome.error) is E.BedrockConnectionError
    assert "cannot resolve" in str(outcome.error)
    assert "region_name='us-east-99'" in outcome.error.hint
    assert outcome.seconds < 1.0  # not retried


def test_nobody_listening_says_so(call):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    error = call(region_name="us-east-2", endpoint_url=url, max_retries=0, **KEYS).error
    assert type(error) is E.BedrockConnectionError
    assert url in str(error)
    assert "endpoint_url" in error.hint


@contextlib.contextmanager
def silent():
    """A listener whose queue is full drops what comes: the nearest thing to a firewall on loopback."""
    with socket.socket() as full, contextlib.ExitStack() as fillers:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        time.sleep(0.05)
        yield full.getsockname()


def test_connection_that_is_never_accepted_passes_the_connect_deadline(call):
    with silent() as (host, port):
        url = f"http://{host}:{port}"
        timeout = Timeout(connect=0.3)
        outcome = call(region_name="us-east-2", endpoint_url=url, max_retries=0, timeout=timeout, **KEYS)
    assert type(outcome.error) is E.BedrockTimeoutError
    assert outcome.error.deadline == "connect"
    assert outcome.seconds < 1.5


# --- proxies and certificates -------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["environment", "config"])
def test_requests_go_through_the_proxy(where, call, serve, monkeypatch):
    proxy = serve()
    address = proxy.url.replace("://", "://user:pa%20ss@")
    settings = {"region_name": "us-east-2", "endpoint_url": "http://bedrock.example.com", **KEYS}
    if where == "environment":
        monkeypatch.setenv("HTTP_PROXY", address)
    else:
        settings["config"] = Config(proxies={"http": address})
    assert ok(call(**settings))
    assert proxy.target().startswith("http://bedrock.example.com/model/")
    assert proxy.header("proxy-authorization") == "Basic " + base64.b64encode(b"user:pa ss").decode()


def test_no_proxy_is_honoured(call, serve, monkeypatch):
    server, proxy = serve(), serve()
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert ok(call(region_name="us-east-2", endpoint_url=server.url, **KEYS))
    assert proxy.heads == []


class Tunnel(socketserver.ThreadingTCPServer):
    """A proxy that opens tunnels, or says why not."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, status):
        self.status = status
        self.asked = []
        super().__init__(("127.0.0.1", 0), _Tunnel)


class _Tunnel(socketserver.StreamRequestHandler):
    def handle(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.rfile.read(1)
        self.server.asked.append(head.decode())
        self.wfile.write(b"HTTP/1.1 %s\r\nVia: me\r\n\r\n" % self.server.status)
        if not self.server.status.startswith(b"200"):
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        with socket.create_connection((host, int(port))) as upstream:
            threading.Thread(target=self.copy, args=(upstream, self.connection), daemon=True).start()
            self.copy(self.connection, upstream)

    def copy(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def tunnel():
    with running(Tunnel) as start:
        yield start


def test_tls_goes_through_the_proxys_tunnel(call, tunnel, tls_server, certificate, monkeypatch):
    proxy = tunnel(b"200 Connection established")
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:pa%20ss@127.0.0.1:{proxy.server_address[1]}")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate / "cert.pem"))
    assert ok(call(region_name="us-east-2", endpoint_url=tls_server.url, **KEYS))
    asked = proxy.asked[0].split("\r\n")
    assert asked[0] == f"CONNECT 127.0.0.1:{tls_server.server_address[1]} HTTP/1.1"
    assert "Proxy-Authorization: Basic " + base64.b64encode(b"user:pa ss").decode() in asked
    assert "/model/" in tls_server.target()
    assert tls_server.header("proxy-authorization") is None


def test_a_proxy_that_refuses_says_so(call, tunnel, tls_server, monkeypatch):
    proxy = tunnel(b"407 Proxy Authentication Required")
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
    error = call(region_name="us-east-2", endpoint_url=tls_server.url, max_retries=0, **KEYS).error
    assert type(error) is E.BedrockConnectionError
    assert "the proxy answers 407" in str(error)
    assert tls_server.heads == []


# --- names ------------------------------------------------------------------------------------------------


def addresses(monkeypatch, *found):
    """Have a name lead to some addresses; return how often it was asked for."""
    asked, real = [], socket.getaddrinfo

    def look_up(host, port, *arguments, **options):
        if host != "bedrock.test":
            return real(host, port, *arguments, **options)
        if options.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def test_the_next_address_of_a_name_is_tried(call, serve, monkeypatch):
    server = serve()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        addresses(monkeypatch, nobody.getsockname(), server.server_address)
        assert ok(call(region_name="us-east-2", endpoint_url="http://bedrock.test:80", **KEYS))


def test_an_address_that_keeps_silent_is_not_waited_for(serve, make_request, monkeypatch):
    server = serve()
    with silent() as full:
        addresses(monkeypatch, full, server.server_address, server.server_address)
        url = f"http://bedrock.test:{server.server_address[1]}"
        settings = TransportSettings(region_name="us-east-2", endpoint_url=url, **KEYS)
        started = time.monotonic()
        assert asyncio.run(AsyncTransport(settings).invoke(make_request())).text == "ok"
    assert time.monotonic() - started < 8  # the deadline for a connection is 10


def test_a_name_is_looked_up_once_for_many_calls_and_again_after_a_failure(serve, make_request, monkeypatch):
    server = serve()
    asked = addresses(monkeypatch, server.server_address)
    url = f"http://bedrock.test:{server.server_address[1]}"
    settings = TransportSettings(region_name="us-east-2", endpoint_url=url, max_retries=0, **KEYS)

    async def main():
        async with AsyncTransport(settings) as transport:
            await asyncio.gather(*(transport.invoke(make_request()) for _ in range(20)))
            assert len(asked) == 1
            server.shutdown()
            server.server_close()
            for times in (1, 2):
                with pytest.raises(E.BedrockConnectionError):
                    await transport.invoke(make_request())
                assert len(asked) == times

    asyncio.run(main())


@pytest.fixture
def tls_server(serve, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return serve(context)


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_ca_bundle_of_the_environment_is_trusted(variable, call, tls_server, certificate, monkeypatch):
    monkeypatch.setenv(variable, str(certificate / "cert.pem"))
    assert ok(call(region_name="us-east-2", endpoint_url=tls_server.url, **KEYS))


def test_unknown_certificate_is_refused_with_a_hint(call, tls_server):
    error = call(region_name="us-east-2", endpoint_url=tls_server.url, **KEYS).error
    assert type(error) is E.BedrockConnectionError
    assert "not trusted" in str(error)
    assert "AWS_CA_BUNDLE" in error.hint
    assert tls_server.heads == []


# --- the client itself --------------------------------------------------------------------------------------


def test_user_agent_names_us_and_the_callers_own_addition(call, serve):
    server = serve()
    config = Config(user_agent_extra="my-app/2")
    assert ok(call(region_name="us-east-2", endpoint_url=server.url, config=config, **KEYS))
    agent = server.header("user-agent")
    assert "llama-bedrock/" in agent
    assert "my-app/2" in agent
    assert "Boto3/" in agent


def test_client_of_the_callers_own_is_used_with_its_hooks(call, serve):
    server = serve()
    client = boto3.client("bedrock-runtime", region_name="us-east-2", endpoint_url=server.url, **KEYS)

    def add_header(request, **_):
        request.headers["X-Team"] = "search"

    client.meta.events.register("before-sign.bedrock-runtime", add_header)
    assert ok(call(client=client))
    assert server.header("x-team") == "search"


@pytest.mark.parametrize("wrong", [object(), "agent"])
def test_wrong_kind_of_client_is_named(wrong, call):
    if wrong == "agent":
        wrong = boto3.client("bedrock-agent-runtime", region_name="us-east-2", **KEYS)
    error = call(client=wrong).error
    assert type(error) is ValueError
    assert "bedrock-runtime" in str(error)


def test_equal_settings_share_a_client_and_others_do_not(monkeypatch):
    def client(**changes):
        return boto_client(TransportSettings(**{"region_name": "us-east-2", **KEYS, **changes}))

    assert client() is client(max_retries=1, model_ready_timeout=1)
    assert client() is not client(region_name="us-east-1")
    assert client() is not client(aws_access_key_id="AKIDOTHER")
    first = client()
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    assert client() is not first


def test_botocore_never_retries_a_client_of_ours():
    client = boto_client(
        TransportSettings(region_name="us-east-2", config=Config(retries={"max_attempts": 9}), **KEYS)
    )
    assert client.meta.config.retries["total_max_attempts"] == 1


@pytest.mark.parametrize(
    ("settings", "retries"),
    [
        ({}, 4),
        ({"max_retries": 0}, 0),
        ({"config": Config(retries={"max_attempts": 2})}, 2),
        ({"config": Config(retries={"total_max_attempts": 2})}, 1),
        ({"max_retries": 7, "config": Config(retries={"max_attempts": 2})}, 7),
    ],
)
def test_number_of_retries_is_taken_from_where_it_is_set(settings, retries):
    made = TransportSettings(region_name="us-east-2", **KEYS, **settings)
    assert clients.policy_of(made, boto_client(made)).max_retries == retries


def test_retries_of_the_callers_own_client_are_left_to_it(make_request):
    own = boto3.client(
        "bedrock-runtime", region_name="us-east-2", config=Config(retries={"max_attempts": 3}), **KEYS
    )
    assert clients.policy_of(TransportSettings(client=own, max_retries=5), own).max_retries == 0
    none = Config(retries={"total_max_attempts": 1})
    own = boto3.client("bedrock-runtime", region_name="us-east-2", config=none, **KEYS)
    assert clients.policy_of(TransportSettings(client=own, max_retries=5), own).max_retries == 5


def test_deadlines_in_the_callers_config_count_where_timeout_is_not_given():
    config = Config(connect_timeout=3, read_timeout=77)
    deadlines = clients.deadlines_of(TransportSettings(config=config))
    assert (deadlines.connect, deadlines.first_token, deadlines.idle) == (3, 77, 77)
    assert clients.deadlines_of(TransportSettings(config=config, timeout=5)) == Timeout(total=5)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"aws_access_key_id": "a"}, "go together"),
        ({"aws_session_token": "t"}, "aws_session_token needs"),
        ({"max_retries": -1}, "max_retries=-1"),
        ({"max_connections": 0}, "max_connections=0"),
        ({"model_ready_timeout": -1}, "model_ready_timeout=-1"),
        ({"timeout": 0}, "total=0"),
        ({"timeout": -3.0}, "total=-3.0"),
        ({"timeout": "10"}, "total='10'"),
        ({"timeout": True}, "total=True"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, why):
    with pytest.raises(ValueError, match=why):
        TransportSettings(**settings)


def test_names_of_botocore_that_begin_with_an_underscore_are_still_there():
    client = boto3.client("bedrock-runtime", region_name="us-east-2", **KEYS)
    assert callable(client._request_signer.sign)
    assert callable(client._resolve_endpoint_ruleset)
    assert callable(client._get_credentials)
    assert hasattr(client, "_user_agent_creator")
    http = client._endpoint.http_session
    if tuple(map(int, botocore.__version__.split(".")[:2])) >= (1, 44):  # older ones have no such bound
        assert callable(http._get_request_timeout)
    assert hasattr(http, "_verify")
    assert callable(http._proxy_config.proxy_url_for)
    assert Config(read_timeout=1)._user_provided_options == {"read_timeout": 1}
    assert True


def test_transports_are_copied_and_pickled_without_their_clients(faulty, make_settings, make_request, answer):
    """As Ray does to use a model in another process."""
    settings = make_settings(faulty().endpoint_url, limiter=AdaptiveConcurrency(initial=7))
    sync, async_ = SyncTransport(settings), AsyncTransport(settings)
    assert sync.invoke(make_request()).text == answer
    assert asyncio.run(async_.invoke(make_request())).text == answer
    assert pickle.loads(pickle.dumps(sync)).invoke(make_request()).text == answer
    assert asyncio.run(copy.deepcopy(async_).invoke(make_request())).text == answer
    assert pickle.loads(pickle.dumps(settings)).limiter.limit == 7


def test_copies_of_a_model_share_its_limiter():
    limiter = AdaptiveConcurrency()
    assert copy.copy(limiter) is limiter
    assert copy.deepcopy({"limiter": limiter})["limiter"] is limiter
