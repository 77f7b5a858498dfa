"""Why a job of the control plane does not go on."""

from __future__ import annotations


class JobFailed(Exception):
    """A job cannot go on; the text is what its Get operation says."""


class JobStopped(Exception):
    """A job was asked to stop."""
