"""``python -m llmctl``: the same program as the ``llmctl`` console script."""

from llmctl.cli.main import main

if __name__ == "__main__":
    main()
