"""The project's text on a package page: README.md, whose relative links and pictures lead nowhere there.

All else of the package stands in pyproject.toml. The project has no published address yet that those
links could be put under.
"""

import re
from pathlib import Path

CODE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"^!\[[^\]]*\]\((?!https?:)[^)]*\)\n", re.MULTILINE)
LINK = re.compile(r"\[([^\[\]]+)\]\((?!https?:)([^)#]*)[^)]*\)")
NOTE = "\nFiles named here are in the source archive.\n"


def package_page(readme: str) -> str:
    """README without relative pictures, and with the names of files (none in tables) in place of links."""
    parts = CODE.split(readme)
    for number in range(0, len(parts), 2):
        lines = PICTURE.sub("", parts[number]).split("\n")
        parts[number] = "\n".join(
            LINK.sub(r"\1" if line.startswith("|") else r"\1 (`\2`)", line) for line in lines
        )
    return "".join(parts) + NOTE


if __name__ == "__main__":  # also in a build: setuptools runs the file so
    from setuptools import setup

    setup(
        long_description=package_page(Path("README.md").read_text(encoding="utf-8")),
        long_description_content_type="text/markdown",
    )
