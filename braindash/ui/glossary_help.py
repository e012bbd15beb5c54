"""What a label means, in the hover help beside it."""

from __future__ import annotations

from braindash.glossary import source, term
from braindash.ui.layout import GLOSSARY
from braindash.ui.text import escape


def explain(*keys: str) -> str:
    """Return the glossary's short text of one or more terms with their sources, as Markdown for ``help=``.

    Raises
    ------
    BraindashError
        Where the glossary has no such term.
    """
    return "\n\n".join(_one(key, titled=len(keys) > 1) for key in keys)


def _one(key: str, titled: bool) -> str:
    one = term(key)
    parts = [f"**{escape(one.title)}.**"] if titled else []
    parts.append(escape(one.text))
    links = [f"[{escape(work.cite)}]({work.link})" for work in map(source, one.sources)]
    links.append(f"[Glossary]({GLOSSARY.url}?term={key})")
    return f"{' '.join(parts)} {' · '.join(links)}"
