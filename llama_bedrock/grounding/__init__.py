"""Answers and what backs them: citation marks, quotes and their places, verification."""
