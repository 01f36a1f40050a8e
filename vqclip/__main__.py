"""Entry point for ``python -m vqclip``, which is equivalent to the command ``vqclip``."""

from vqclip.cli.app import main

if __name__ == "__main__":
    main()
