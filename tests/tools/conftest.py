"""Lets the tests of this folder import `parsing`: their tables need it when they are collected."""

import sys
from pathlib import Path

import pytest

pytest.register_assert_rewrite("parsing")
sys.path.insert(0, str(Path(__file__).parent))
