"""Every failure as one line on stderr and an exit code: 1 for service and machine, 2 for bad input."""

from __future__ import annotations

import re
import sys
import traceback

from llama_bedrock.cli.output import note

SERVICE_FAILURE = 1
BAD_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count

_LONGEST_LINE = 2000
# How botocore begins the text of an error, which the library keeps for code that reads it.
_BOTOCORE = re.compile(r"^An error occurred \((\w+)\) when calling the (\w+) operation(?: \([^)]*\))?: ")


def exit_code(error: BaseException) -> int:
    """The exit code that an error ends the program with."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    own = getattr(error, "exit_code", None)  # click's usage errors
    if isinstance(own, int):
        return own
    # FileNotFoundError and its like are about a path the user gave; a full disk or a taken port are not.
    bad_path = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, FileExistsError)
    if isinstance(error, (ValueError, TypeError, ImportError, UnicodeError, *bad_path)):
        return SERVICE_FAILURE if _is_service_error(error) else BAD_INPUT
    return SERVICE_FAILURE


def report(error: BaseException, *, debug: bool) -> int:
    """Show an error to the user.

    Args:
        error: What ended the command.
        debug: Show the traceback too.

    Returns:
        The exit code.
    """
    if debug and not isinstance(error, KeyboardInterrupt):
        traceback.print_exception(error, file=sys.stderr)
    line = one_line(error)
    if line:  # the error of a call without arguments has shown the help instead
        note(f"llama-bedrock: {line}", style="none")
    return exit_code(error)


def one_line(error: BaseException) -> str:
    """What an error says, without line breaks and without what only a traceback explains."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    format_message = getattr(error, "format_message", None)  # click's
    if callable(format_message):
        text = str(format_message())
        if type(error).__name__ in ("NoSuchOption", "UsageError") and text:
            text = f"{text if text.endswith('?') else text.rstrip('.') + ';'} --help shows what there is"
    elif errors := _validation_errors(error):
        text = "; ".join(errors)
    elif isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error) or type(error).__name__
    if (
        exit_code(error) == SERVICE_FAILURE
        and not _is_service_error(error)
        and not isinstance(error, OSError)
    ):
        text = f"unexpected {type(error).__name__}: {text} (--debug shows where)"
    text = _BOTOCORE.sub(r"\2: \1: ", text).replace("region_name=…", "--region")
    line = " ".join(text.replace("\nHint: ", " - ").split())
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"


def _validation_errors(error: BaseException) -> list[str]:
    """The messages of a pydantic ValidationError, which itself spreads over many lines."""
    if type(error).__name__ != "ValidationError":
        return []
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return []
    return [_validation_message(item) for item in errors()]


def _validation_message(item: dict[str, object]) -> str:
    message = str(item.get("msg", "")).removeprefix("Value error, ")
    location = item.get("loc")
    where = ".".join(str(part) for part in location) if isinstance(location, tuple) else ""
    return f"{where}: {message}" if where else message


def _is_service_error(error: BaseException) -> bool:
    """True for the library's errors of the service, and for AWS's own where another library called it."""
    if any(cls.__module__ == "botocore.exceptions" for cls in type(error).__mro__):
        return True
    if "llama_bedrock.errors" not in sys.modules:
        return False
    from llama_bedrock.errors import LlamaBedrockError

    return isinstance(error, LlamaBedrockError)
