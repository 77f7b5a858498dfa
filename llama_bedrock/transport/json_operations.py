"""JSON operations of other services, such as `Retrieve`: coded by botocore's service model, sent by either
shell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.transport.error_mapping import CallContext, DamagedAnswerError, check_json
from llama_bedrock.transport.eventstream import Frame
from llama_bedrock.transport.exchange import HttpForm, Outgoing
from llama_bedrock.transport.response import EventReader


class JsonOperation:
    """One operation of a REST-JSON service.

    Args:
        client: A boto3 client of the service.
        method: boto3's name of the method, such as `retrieve_and_generate_stream`.

    Raises:
        ValueError: The service has no such operation.
    """

    def __init__(self, client: Any, method: str) -> None:
        name = client.meta.method_to_api_mapping.get(method)
        if name is None:
            raise ValueError(f"{client.meta.service_model.service_name} has no operation {method!r}")
        self.name: str = name
        self._method = method
        self._model = client.meta.service_model.operation_model(name)
        self._protocol: str = client.meta.service_model.resolved_protocol

    @property
    def stream_member(self) -> str | None:
        """The member of the answer that is a stream of events, if one is."""
        shape = self._model.output_shape
        return str(shape.event_stream_name) if shape and shape.event_stream_name else None

    def outgoing(self, arguments: Mapping[str, Any]) -> Outgoing:
        """Return a request as it is sent; tokens against a second effect are filled in, as botocore does."""
        given = {name: str(uuid4()) for name in self._model.idempotent_members} | dict(arguments)
        boto = (self._method, given, self.stream_member)
        return Outgoing(self.name, None, lambda: self.encode(given), lambda: boto)

    def encode(self, arguments: Mapping[str, Any]) -> HttpForm:
        """Return method, path with query, headers and body of a request.

        Raises:
            ValueError: The arguments do not fit the operation.
        """
        from botocore.exceptions import ParamValidationError
        from botocore.serialize import create_serializer
        from botocore.utils import percent_encode_sequence

        try:
            request = create_serializer(self._protocol).serialize_to_request(dict(arguments), self._model)
        except ParamValidationError as error:
            raise ValueError(f"{self.name}: {error}") from None
        path = request["url_path"]
        if request["query_string"]:
            path += ("&" if "?" in path else "?") + percent_encode_sequence(request["query_string"])
        body = request["body"]
        return (
            request["method"],
            path,
            dict(request["headers"]),
            body.encode() if isinstance(body, str) else body,
        )

    def decode(
        self, status: int, headers: Mapping[str, str], body: bytes, context: CallContext
    ) -> dict[str, Any]:
        """Return the answer as boto3 does; without the member that is a stream.

        Raises:
            BedrockStreamError: It is not what the service model says.
        """
        from botocore.awsrequest import HeadersDict
        from botocore.parsers import ResponseParserError, create_parser

        answer = {
            "body": body,
            "headers": HeadersDict(headers),
            "status_code": status,
            "context": {"operation_name": self.name},
        }
        try:
            check_json(body)  # botocore reads half an object as an answer without members
            parsed: dict[str, Any] = create_parser(self._protocol).parse(answer, self._model.output_shape)
        except DamagedAnswerError as error:
            raise context.damaged(str(error), headers) from error
        except (ResponseParserError, ValueError, RecursionError) as error:
            raise context.damaged(f"the answer cannot be read: {error}", headers) from error
        if self.stream_member is not None:
            parsed.pop(self.stream_member, None)
        return parsed

    def events(self, headers: Mapping[str, str], context: CallContext) -> EventParser:
        """Return a parser for the stream of an answer."""
        member = self.stream_member
        if member is None:
            raise ValueError(f"{self.name} does not answer with a stream")
        return EventParser(self._model.output_shape.members[member], headers, context)


class EventParser(EventReader):
    """Reads a stream of modelled events, each as a dict with one key."""

    def __init__(self, shape: Any, headers: Mapping[str, str], context: CallContext) -> None:
        from botocore.parsers import EventStreamJSONParser

        super().__init__(headers, context)
        self._shape = shape
        self._parser = EventStreamJSONParser()

    def _read(self, frames: list[Frame], found: list[Any]) -> None:
        for headers, payload in frames:
            if headers.get(":message-type", "event") != "event":
                raise self._context.from_frame(headers, payload, self._headers)
            answer = {"status_code": 200, "headers": headers, "body": payload}
            event = self._parser.parse(answer, self._shape)
            if event:
                found.append(event)

    def _last(self) -> list[Any]:
        return []

    def broken(self, error: LlamaBedrockError) -> LlamaBedrockError:
        return error  # events leave no text
