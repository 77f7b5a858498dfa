"""Completion in bash, zsh and fish themselves, where they are installed: their rules for colons and quotes count."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = Path(sys.executable).with_name("llama-bedrock")
# Words, of which the last is completed, and the only thing that it can become.
WORDS = {
    "a model, with colons": ("chat --model meta.llama3-3", "meta.llama3-3-70b-instruct-v1:0"),
    "a region": ("models --region eu-central-", "eu-central-1"),
    "a thread": ("chat --thread wo", "work"),
}


def in_bash(line, script):
    words = line.split()
    run = (
        f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
        '_llama_bedrock_completion llama-bedrock; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return ["bash", "--norc", "-c", run]


def in_zsh(line, script):
    # _arguments wants a person's terminal; what it is given says what it would offer.
    run = (
        f"compdef() {{ :; }}; _arguments() {{ print -r -- $2; }}; source {script}; "
        f"words=({line}); CURRENT=${{#words}}; _llama_bedrock_completion"
    )
    return ["zsh", "-f", "-c", run.replace("$2", '"$*"')]


def in_fish(line, script):
    return ["fish", "--no-config", "-c", f'source {script}; complete -C "{line}"']


@pytest.mark.parametrize("shell", [in_bash, in_zsh, in_fish], ids=lambda shell: shell.__name__)
def test_a_shell_completes(tmp_path, shell):
    name = shell.__name__.removeprefix("in_")
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "XDG_DATA_HOME": str(tmp_path), "HOME": str(tmp_path)}
    conversations = tmp_path / "llama-bedrock" / "conversations.sqlite"
    conversations.parent.mkdir()
    with sqlite3.connect(conversations) as database:
        database.execute("CREATE TABLE checkpoints (thread_id TEXT)")
        database.executemany("INSERT INTO checkpoints VALUES (?)", [("chat:work",), ("chat:home",)])
    database.close()
    script = tmp_path / "script"
    asked = {**environment, "_LLAMA_BEDROCK_COMPLETE": f"source_{name}"}
    script.write_text(subprocess.run([PROGRAM], env=asked, capture_output=True, text=True, check=True).stdout)
    for what, (words, whole) in WORDS.items():
        command = shell(f"llama-bedrock {words}", script)
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert whole in run.stdout.replace("\\", ""), (what, run.stdout, run.stderr)
        assert "home" not in run.stdout
