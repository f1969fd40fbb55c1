"""`python -m lb` is the same as the `lb` command."""

from lb.cli import main

if __name__ == "__main__":
    main()
