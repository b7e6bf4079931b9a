"""`python -m nukki`."""

from nukki.command import main

if __name__ == "__main__":
    main()
