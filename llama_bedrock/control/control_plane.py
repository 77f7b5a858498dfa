"""How the control plane is reached: three services, each of which may have an endpoint of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from llama_bedrock.imported_models import control_endpoint
from llama_bedrock.settings import BedrockConnection
from llama_bedrock.transport.clients import region_of
from llama_bedrock.transport.steps import Steps, Transports, Work, adrive, drive
from llama_bedrock.transport.sync import SyncTransport
from llama_bedrock.unknown_arguments import Named

Result = TypeVar("Result")

# Of `bedrock-runtime` alone, or not to be shared between services.
_OF_ONE_SERVICE = {"client", "endpoint_url", "s3_endpoint_url", "runtime_endpoint_url"}


class ControlPlane(BedrockConnection):
    """How to reach Bedrock's control plane, the bucket that its jobs read, and the models that they make.

    Args:
        endpoint_url: Another endpoint for ``bedrock``; else ``AWS_ENDPOINT_URL_BEDROCK``.
        s3_endpoint_url: Another endpoint for S3; else ``AWS_ENDPOINT_URL_S3``.
        runtime_endpoint_url: Another endpoint for ``bedrock-runtime``. Default: `endpoint_url` where that is
            on this machine, else AWS's.
        client: A boto3 client of your own for ``bedrock``, for synchronous calls.

    The other settings are those of `BedrockConnection`. S3 takes AWS credentials, never an API key.
    """

    s3_endpoint_url: Named | None = None
    runtime_endpoint_url: str | None = None

    @property
    def region(self) -> str:
        """The region that jobs run in.

        Raises:
            ValueError: None is set.
        """
        return region_of(self._transport_settings())

    def run(self, steps: Steps[Result]) -> Result:
        """Do a job; see `llama_bedrock.transport.steps.drive`."""
        return drive(steps, self._services())

    async def arun(self, steps: Steps[Result]) -> Result:
        """Do a job without blocking the event loop."""
        return await adrive(steps, self._services())

    def part(self, steps: Steps[Any]) -> Work:
        """A job of this plane as one step of a job of another, such as of another region."""
        return Work(lambda _: self.run(steps), lambda: self.arun(steps))

    def in_region(self, region: str) -> ControlPlane:
        """The same account in another region."""
        return self.model_copy(update={"region_name": region, "client": None})

    def s3(self) -> SyncTransport:
        """How S3 is called; boto3 sends what it is given, from threads where a loop runs."""
        return self._transports.of_sync(
            replace(self._transport_settings(), endpoint_url=self.s3_endpoint_url, api_key=None, client=None)
        )

    def runtime_settings(self) -> dict[str, Any]:
        """What a chat model needs to reach the models that jobs make."""
        names = BedrockConnection.model_fields.keys() - _OF_ONE_SERVICE
        own = {name: getattr(self, name) for name in names if name in self.model_fields_set}
        endpoint = self.runtime_endpoint_url or control_endpoint(self.endpoint_url)
        return own | ({"endpoint_url": endpoint} if endpoint else {})

    def _services(self) -> Transports:
        return Transports(
            lambda service: self.s3() if service == "s3" else self._sync_transport(),
            lambda _: self._async_transport(),
        )
