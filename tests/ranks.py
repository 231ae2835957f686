"""Several commands of ``llmctl`` in each of the processes that run this: the libraries are imported once for all.

``python -m tests.ranks FILE`` is one process, ``torchrun --nproc-per-node 2 -m tests.ranks FILE`` two. FILE is a JSON
list of command lines.
"""

import gc
import json
import sys
from pathlib import Path

from llmctl import ranks
from llmctl.cli.main import run_command


def main() -> None:
    """Exit with 1 when a command does."""
    codes = []
    for arguments in json.loads(Path(sys.argv[1]).read_text()):
        codes.append(run_command(arguments))
        gc.freeze()  # the libraries are no garbage
        if ranks.count() == 1 or codes[-1]:
            print(arguments[:1], codes[-1], file=sys.stderr, flush=True)
    sys.exit(any(codes))


if __name__ == "__main__":
    main()
