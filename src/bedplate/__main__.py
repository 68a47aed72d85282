"""`python -m bedplate` is `bedplate`."""

from bedplate.cli import main

if __name__ == "__main__":
    main()
