"""Start the office, or do what Django's own commands do: `python manage.py shell`."""

from office import main

if __name__ == "__main__":
    main()
