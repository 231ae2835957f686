"""Built-in text is kept as long as its generators stay as they are."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llmctl.data import generated

FOLDER = Path(generated.__file__).parent
_IMPORTED = """
import sys
from llmctl.data import builtin
next(builtin.stories(1)), next(builtin.reviews(1))
print(*[name for name in sys.modules if name.startswith("llmctl.data.")])
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's code that may be edited."""
    for path in FOLDER.glob("*.py"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(generated, "__file__", str(tmp_path / "generated.py"))
    return tmp_path


def test_the_digest_changes_with_all_that_generates_and_nothing_else(package: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _IMPORTED], capture_output=True, text=True, check=True)
    generators = {name.rpartition(".")[2] + ".py" for name in done.stdout.split()}
    assert {"stories.py", "reviews.py", "_grammar.py"} <= generators
    before = generated.code_digest()
    for path in sorted(package.glob("*.py")):
        code = path.read_bytes()
        path.write_bytes(code + b"\n# an edit\n")
        assert (generated.code_digest() != before) == (path.name in generators), path.name
        path.write_bytes(code)
    assert generated.code_digest() == before
