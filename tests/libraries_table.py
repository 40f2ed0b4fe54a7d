"""The table of docs/libraries.md: which libraries run, in which versions, how fast.

python tests/libraries_table.py [LIBRARY ...]
"""

import re
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from registry import LIBRARIES, ROOT, NotInstalledError, beside, run_beside

print("| library | version | unmodified | `GLB-v0` | `ResidualGLB-v0` |")
print("| --- | --- | --- | --- | --- |")
for library in sys.argv[1:] or LIBRARIES:
    needed = LIBRARIES[library]
    name, _, tried = needed.partition("==")
    if library == "sb3":
        name, tried = "stable-baselines3", version("stable-baselines3")
    script = ROOT / "tests" / "libraries" / f"{library}_.py"
    with tempfile.TemporaryDirectory() as folder:
        try:
            packages = beside(needed, Path(folder)) if needed else None
            told = run_beside(script, packages=packages, folder=Path(folder))
            works, rates = "yes", re.findall(r"(\d+) steps per CPU-second", told)
        except NotInstalledError:
            works, rates = "not installed", ["", ""]
        except AssertionError as error:
            works, rates = f"no: {str(error).strip().splitlines()[-1]}", ["", ""]
    row = [name or "CleanRL's loop", tried, works, *rates]
    print(f"| {' | '.join(row)} |", flush=True)
