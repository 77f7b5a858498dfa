import pytest


@pytest.fixture
def vcr():
    """What langchain-tests asks for before it sees that nothing is recorded here."""
