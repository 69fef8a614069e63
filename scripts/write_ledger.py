"""Write REPRODUCTIONS.md and the README's table from the committed ledger."""

from __future__ import annotations

from pathlib import Path

from regrun.ledger import read_entry
from regrun.report.documents import write_documents

ROOT = Path(__file__).parents[1]


def main() -> None:
    """See the module."""
    write_documents(ROOT, [read_entry(file) for file in sorted((ROOT / "outputs" / "ledger").glob("*.json"))])


if __name__ == "__main__":
    main()
