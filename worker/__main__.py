"""`python -m worker` is `docintake`."""

from worker.cli.main import main

if __name__ == "__main__":
    main()
