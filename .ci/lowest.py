"""Print the requirements of this project at their lower bounds: ``lowest.py local agents …`` names extras.
Those of the tests follow as they are.

No lock file is kept; this turns ``name>=1.2`` of pyproject.toml into ``name==1.2``, for a test run at the
oldest versions that are claimed to work.
"""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
wanted = [*project["dependencies"], *(line for name in sys.argv[1:] for line in extras[name])]
for requirement in wanted:
    if not requirement.startswith("llama-bedrock"):
        print(re.sub(r">=\s*", "==", requirement, count=1))
print(*extras["test"], sep="\n")
