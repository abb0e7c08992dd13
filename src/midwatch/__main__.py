"""``python -m midwatch``: the command line, where its script is not on the path."""

from midwatch.faces.cli.app import main

if __name__ == "__main__":
    main()
