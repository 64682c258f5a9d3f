"""Run the command line: `python -m selfsup_lifting`."""

from selfsup_lifting.cli import main

if __name__ == "__main__":
    main()
