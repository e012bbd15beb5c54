"""``python -m braindash``: the same as the ``braindash`` command."""

from braindash.cli import main

if __name__ == "__main__":
    main()
