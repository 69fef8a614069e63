"""``python -m regrun``, where the ``regrun`` script is not on the path."""

from regrun.cli import main

if __name__ == "__main__":
    main()
