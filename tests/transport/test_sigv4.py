"""Our signatures are botocore's, whatever is signed."""

import string
from datetime import datetime
from types import SimpleNamespace

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from llama_bedrock.transport.signing import _moment
from llama_bedrock.transport.sigv4 import Scope

NAMES = st.text(string.ascii_letters + "-", min_size=3, max_size=12).map(lambda name: f"X-{name}")
VALUES = st.text(string.ascii_letters + string.digits + " {}:,", max_size=20)


@given(
    path=st.text("abcXYZ019-._~%/:$", max_size=20).map(
        lambda text: "/model/x" + text.replace("..", "").replace("./", "")
    ),
    headers=st.dictionaries(NAMES, VALUES, max_size=5),
    body=st.binary(max_size=100),
    token=st.none() | st.text(string.ascii_letters, min_size=1),
    host=st.sampled_from(
        [
            "https://bedrock-runtime.us-east-2.amazonaws.com",
            "http://127.0.0.1:8080",
            "https://h:443",
            "http://[::1]:9",
        ]
    ),
)
def test_a_signature_is_botocores(path, headers, body, token, host):
    if "//" in path or path.endswith("/."):
        return  # botocore makes one of two slashes; no path of ours has them
    headers = {name.lower(): value for name, value in headers.items()}
    credentials = Credentials("AKID", "secret", token)
    request = AWSRequest(method="POST", url=host + path, headers=headers, data=body)
    SigV4Auth(credentials, "bedrock", "us-east-2").add_auth(request)
    theirs = dict(request.headers.items())
    scope = Scope.of(theirs["Authorization"])
    frozen = SimpleNamespace(access_key="AKID", secret_key="secret", token=token)
    assert scope.sign(frozen, "POST", host + path, headers, body, theirs["X-Amz-Date"]) == theirs


@pytest.mark.parametrize("header", ["", "Bearer abc", "AWS4-ECDSA-P256-SHA256 Credential=a/b"])
def test_what_is_signed_another_way_has_no_scope(header):
    assert Scope.of(header) is None


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)))
def test_a_moment_is_written_as_strftime_does(now):
    assert _moment(now) == now.strftime("%Y%m%dT%H%M%SZ")
