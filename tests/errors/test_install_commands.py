"""What a missing extra proposes to type is what works: it depends on where the distribution came from."""

import json

import pytest

import llama_bedrock
from llama_bedrock._extras import install_command, require

COMMIT = "7921be1537eac1e97bc40179a57f0349c2aee67d"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Function: what an installer would have written of the origin (PEP 610), None for an index."""

    def write(origin):
        folder = tmp_path / "llama_bedrock-0.1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.4\nName: llama-bedrock\nVersion: 0.1.0\n")
        if origin:
            (folder / "direct_url.json").write_text(json.dumps(origin))
        monkeypatch.syspath_prepend(tmp_path)

    return write


# The examples of PEP 610, with this distribution's name.
ORIGINS = {
    "a checkout": ({"url": "file:///home/user/project", "dir_info": {}}, "/home/user/project[local]"),
    "a checkout with a space": (
        {"url": "file:///home/my%20user/project", "dir_info": {"editable": False}},
        "/home/my user/project[local]",
    ),
    "an editable one": (
        {"url": "file:///home/user/project", "dir_info": {"editable": True}},
        "--editable /home/user/project[local]",
    ),
    "a repository": (
        {
            "url": "https://git.example/llama.git",
            "vcs_info": {"vcs": "git", "requested_revision": "main", "commit_id": COMMIT},
        },
        f"llama-bedrock[local] @ git+https://git.example/llama.git@{COMMIT}",
    ),
    "a file": ({"url": "file:///tmp/a-1.whl", "archive_info": {}}, "/tmp/a-1.whl[local]"),
    "a file elsewhere": (
        {"url": "https://files.example/a-1.whl", "archive_info": {"hash": "sha256=00"}},
        "llama-bedrock[local] @ https://files.example/a-1.whl",
    ),
}


@pytest.mark.parametrize("kind", ORIGINS)
def test_it_names_where_the_distribution_came_from(kind, installed):
    origin, expected = ORIGINS[kind]
    installed(origin)
    assert install_command("local").replace('"', "") == f"pip install {expected}"


def test_in_its_own_folder_a_checkout_is_a_dot(installed, tmp_path, monkeypatch):
    installed({"url": tmp_path.as_uri(), "dir_info": {}})
    monkeypatch.chdir(tmp_path)
    assert install_command("local", "agents") == 'pip install ".[local,agents]"'


def test_the_bare_name_is_for_those_who_have_it_from_an_index(installed, monkeypatch, tmp_path):
    installed(None)
    monkeypatch.setattr(llama_bedrock._extras, "__file__", str(tmp_path / "llama_bedrock" / "_extras.py"))
    assert install_command("local") == 'pip install "llama-bedrock[local]"'


def test_a_checkout_on_the_path_names_itself(installed, monkeypatch, tmp_path):
    installed(None)
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(llama_bedrock._extras, "__file__", str(tmp_path / "llama_bedrock" / "_extras.py"))
    assert install_command("local") == f'pip install "{tmp_path}[local]"'


def test_a_missing_module_brings_the_command():
    with pytest.raises(ImportError, match=r"no_such_module is not installed.*pip install .*\[local\]"):
        require("no_such_module", "local")
