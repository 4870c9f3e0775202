"""Writes toonify/weights/SHA256SUMS, the hashes of the bundled weights: after each change of them.

python -m release.checksums
"""

import argparse

from toonify import hub
from toonify.files import atomic_write
from toonify.hub import checksums


def main(arguments: list[str] | None = None) -> None:
    argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0]).parse_args(arguments)
    text = checksums.format_list(hub.BUNDLED, checksums.find_listed(hub.BUNDLED))
    with atomic_write(hub.BUNDLED / checksums.LIST) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"{checksums.LIST}: {len(text.splitlines())} files")


if __name__ == "__main__":
    main()
