"""Remove .venv and what tools left behind.

Runs, notebooks and the cache of fetched data stay.
"""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_BEHIND = [".venv", "build", "dist", "*.egg-info", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"]

for pattern in LEFT_BEHIND:
    for folder in ROOT.glob(pattern):
        folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)
for folder in [
    path for top in ("benchmarks", "labkit", "scripts", "tests") for path in (ROOT / top).rglob("__pycache__")
]:
    shutil.rmtree(folder)
