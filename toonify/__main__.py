"""`python -m toonify`: the command line."""

import sys

from toonify.cli import main

if __name__ == "__main__":
    sys.exit(main())
