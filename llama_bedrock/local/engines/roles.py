"""What a text field is for, told from its name and description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from llama_bedrock.local.engines.lexicon import words


@dataclass(frozen=True, slots=True)
class Role:
    """A kind of text field.

    Attributes:
        takes: ``"request"`` the whole request, ``"body"`` a passage of text, ``"name"`` a name, ``"value"`` a
            value of a certain form, ``"text"`` whatever is there.
        kinds: The kinds of mentions it takes, the best first.
        prepositions: Words before a mention that speak for it.
        other_prepositions: Words before a mention that speak against it.
        needs_preposition: Nothing without one of the prepositions fits.
    """

    takes: Literal["request", "body", "name", "value", "text"]
    kinds: Sequence[str] = ("quoted", "name", "number")
    prepositions: frozenset[str] = frozenset()
    other_prepositions: frozenset[str] = frozenset()
    needs_preposition: bool = False


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_REQUEST = Role("request")
_BODY = Role("body", ("quoted",), _set("saying says that text message note body content"))
_DESCRIPTION = Role("text", ("quoted",), _set("as being"))
_TEXT = Role("text", ("quoted", "name", "number"))
_DATE = Role("value", ("date", "time"))
_TIME = Role("value", ("time", "date"))
_EMAIL = Role("value", ("email",))
_URL = Role("value", ("url",))
_EXPRESSION = Role("value", ("expression",))
_ORIGIN = Role("name", ("name", "quoted"), _set("from leaving departing starting"), _set("to for into"))
_RECIPIENT = Role("name", ("email", "name", "quoted"), _set("to for"), _set("from"))
_DESTINATION = Role("name", ("name", "quoted"), _set("to into for arriving reaching"), _set("from"))
_PLACE = Role("name", ("name", "quoted"), _set("in at for near of around to"), _set("named called by from"))
_PERSON = Role(
    "name", ("quoted", "name"), _set("named called name by for with is i'm am to"), _set("in at near")
)
_LANGUAGE = Role("name", ("name", "quoted"), _set("in to into from"), frozenset(), True)

_BY_FORMAT = {"date": _DATE, "date-time": _DATE, "time": _TIME, "email": _EMAIL, "uri": _URL}
_BY_NAME: tuple[tuple[frozenset[str], Role], ...] = (
    (_set("email mail e-mail"), _EMAIL),
    (_set("url uri link website webpage"), _URL),
    (_set("expression expr formula equation calculation"), _EXPRESSION),
    (_set("date day deadline birthday checkin checkout"), _DATE),
    (_set("time hour when"), _TIME),
    (_set("origin source departure"), _ORIGIN),
    (_set("to cc bcc recipient recipients receiver addressee"), _RECIPIENT),
    (_set("destination target arrival"), _DESTINATION),
    (_set("query question q search keyword keywords request prompt task instruction instructions"), _REQUEST),
    (_set("location city place country region state town address airport venue area capital"), _PLACE),
    (_set("language locale"), _LANGUAGE),
    (_set("body content message text note comment"), _BODY),
    (_set("summary description details reason explanation answer"), _DESCRIPTION),
    (_set("name title person user customer author employee company product symbol ticker id brand"), _PERSON),
)


def role_of(name: str, description: str, form: str = "") -> Role:
    """The role of a text field.

    Args:
        name: Its name, such as ``"customer_name"``; the last word counts most.
        description: Its description.
        form: The ``format`` of its schema.
    """
    if form in _BY_FORMAT:
        return _BY_FORMAT[form]
    parts = words(name.replace("_", " "))
    for at, part in enumerate(reversed(parts)):
        for names, role in _BY_NAME:
            if part in names and (at == 0 or role.takes in ("value", "name")):
                if role is _PLACE and {"from", "origin", "source", "departure"} & set(parts):
                    return _ORIGIN
                if role is _PLACE and {"to", "destination", "target", "arrival"} & set(parts):
                    return _DESTINATION
                return role
    said = words(description)
    for names, role in _BY_NAME:
        if role.takes in ("value", "request", "name") and names & set(said[:6]):
            return role
    return _TEXT
