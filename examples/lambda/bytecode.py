"""Compile the modules of this folder that app.py imports, and all of ours.

When they are used, the files' times are not looked at: a ZIP rounds them.
"""

import sys
from pathlib import Path
from py_compile import PycInvalidationMode, compile

folder = Path.cwd()
sys.path.insert(0, str(folder))
sys.dont_write_bytecode = True
import app  # noqa: E402, F401  # of this folder; imported to see what it imports

imported = [
    Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))
]
for file in {*imported, *folder.glob("llama_bedrock/**/*.py")}:
    if file.suffix == ".py" and file.is_relative_to(folder):
        compile(str(file), doraise=True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
