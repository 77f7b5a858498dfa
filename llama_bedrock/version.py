"""The version of this distribution; a test compares it with pyproject.toml and CHANGELOG.md."""

__version__ = "0.1.0"
