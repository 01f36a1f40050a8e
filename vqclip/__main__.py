"""Entry point of ``python -m vqclip``, which is the command ``vqclip``."""

from vqclip.cli.app import main

if __name__ == "__main__":
    main()
