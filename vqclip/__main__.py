"""``python -m vqclip`` is ``vqclip``."""

from vqclip.cli.main import main

if __name__ == "__main__":
    main()
