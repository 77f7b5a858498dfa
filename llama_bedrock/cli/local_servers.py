"""A Llama on this machine: servers that are noticed, the models they have, and which Llama a model is.

Nothing here is used unasked: a server that runs is named in one line, `--engine` asks it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_bedrock.prompts.formats import PromptFormat

# Where they listen unless told otherwise (their documentation): Ollama, LM Studio, llama.cpp's server, vLLM.
KNOWN = (("Ollama", 11434), ("LM Studio", 1234), ("llama.cpp", 8080), ("vLLM", 8000))
_CONNECT_SECONDS = 0.1  # loopback refuses at once
_ANSWER_SECONDS = 1.0
_MOST_BYTES = 1 << 20
_LLAMA = re.compile(
    r"llama[-_ ]?(?P<major>[234])(?:[.\-_](?P<minor>[123])(?![\d.]*b))?(?![\d.])", re.IGNORECASE
)


def noticed_server() -> str | None:
    """The first known server that runs here and has a model, as a line for people; None if there is none."""
    for name, port in KNOWN:
        if not _listens(port):
            continue
        url = f"http://localhost:{port}/v1"
        try:
            found = models_of(url, timeout=_ANSWER_SECONDS)
        except (OSError, ValueError):  # something else listens there
            continue
        if found:
            named = next((model for model in found if llama_of(model)), found[0])
            return f"{name} runs on this machine: --engine openai:{url}#{named} asks its model instead."
    return None


def _listens(port: int) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def models_of(url: str, timeout: float = 5.0) -> list[str]:
    """The models that a server offers.

    Args:
        url: Its address up to the version.
        timeout: Seconds for each step of the call.

    Raises:
        OSError: It cannot be reached.
        ValueError: It does not answer as OpenAI's API does.
    """
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("GET", f"{parts.path}/models", headers={"Accept": "application/json"})
        answer = connection.getresponse()
        told: Any = json.loads(answer.read(_MOST_BYTES))
        entries = told["data"]
        return [str(entry["id"]) for entry in entries or ()]
    except (HTTPException, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{url}/models is not answered as OpenAI's API does ({type(error).__name__})"
        ) from None
    finally:
        connection.close()


def llama_of(model: str) -> PromptFormat | None:
    """Which Llama a name means, such as ``llama3.2:3b`` or ``Meta-Llama-3.1-8B-Instruct.gguf``.

    None where it does not say.
    """
    from llama_bedrock.prompts.formats import FORMATS

    found = _LLAMA.search(model)
    if found is None:
        return None
    name = f"llama{found['major']}" + (f".{found['minor']}" if found["minor"] else "")
    return next((known for known in FORMATS if known == name), None)


def choose_model(url: str, models: Sequence[str]) -> str:
    """The only model of a server.

    Raises:
        ValueError: It has none, or several.
    """
    if len(models) == 1:
        return models[0]
    if not models:
        raise ValueError(f"{url} has no model; give it one, such as by `ollama pull llama3.2`")
    shown = ", ".join(models[:8]) + (", …" if len(models) > 8 else "")
    raise ValueError(f"{url} has several models: name one, as in --engine openai:{url}#{models[0]} ({shown})")
