"""``python -m vqclip`` is ``vqclip``."""

from vqclip.cli.app import main

if __name__ == "__main__":
    main()
