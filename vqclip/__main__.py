"""Entry point for ``python -m vqclip``, the same as the command ``vqclip``."""

from vqclip.cli.app import main

if __name__ == "__main__":
    main()
