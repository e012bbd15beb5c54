"""The works that the glossary names: as one cites them, and where to read them."""

from __future__ import annotations

from dataclasses import dataclass

from braindash.errors import BraindashError, closest
from braindash.reports.references import REFERENCES


@dataclass(frozen=True)
class Source:
    """One work: ``cite`` as in running text, ``link`` where it can be read."""

    cite: str
    link: str


_DOI, _ARXIV = "https://doi.org/", "https://arxiv.org/abs/"

# where the works that a methods text cites can be read
_LINKS: dict[str, str] = {
    "alain2016understanding": f"{_ARXIV}1610.01644",
    "benjamini1995controlling": f"{_DOI}10.1111/j.2517-6161.1995.tb02031.x",
    "benjamini2001control": f"{_DOI}10.1214/aos/1013699998",
    "crosse2016multivariate": f"{_DOI}10.3389/fnhum.2016.00604",
    "friston1998event": f"{_DOI}10.1006/nimg.1997.0306",
    "glasser2016multi": f"{_DOI}10.1038/nature18933",
    "hewitt2019designing": f"{_ARXIV}1909.03368",
    "hoerl1970ridge": f"{_DOI}10.1080/00401706.1970.10488634",
    "hu2022lora": f"{_ARXIV}2106.09685",
    "kornblith2019similarity": f"{_ARXIV}1905.00414",
    "kriegeskorte2008representational": f"{_DOI}10.3389/neuro.06.004.2008",
    "moussa2025improving": f"{_ARXIV}2410.09230",
    "nili2014toolbox": f"{_DOI}10.1371/journal.pcbi.1003553",
    "phipson2010permutation": f"{_DOI}10.2202/1544-6115.1585",
    "schoppe2016measuring": f"{_DOI}10.3389/fncom.2016.00010",
    "vattikonda2025brainwavlm": f"{_ARXIV}2502.08866",
}

SOURCES: dict[str, Source] = {
    **{key: Source(REFERENCES[key].cite, link) for key, link in _LINKS.items()},
    "deheer2017": Source("de Heer et al., 2017", f"{_DOI}10.1523/JNEUROSCI.3267-16.2017"),
    "diedrichsen2021": Source("Diedrichsen et al., 2021", f"{_ARXIV}2007.02789"),
    "dupre2022": Source("Dupré la Tour et al., 2022", f"{_DOI}10.1016/j.neuroimage.2022.119728"),
    "huth2016": Source("Huth et al., 2016", f"{_DOI}10.1038/nature17637"),
    "moussa2025language": Source("Moussa & Toneva, 2025", f"{_ARXIV}2506.03832"),
    "moussa2025multi": Source("Moussa & Toneva, NeurIPS 2025", f"{_ARXIV}2510.21520"),
    "naselaris2011": Source("Naselaris et al., 2011", f"{_DOI}10.1016/j.neuroimage.2010.07.073"),
    "nunez2019": Source("Nunez-Elizalde, Huth & Gallant, 2019", f"{_DOI}10.1016/j.neuroimage.2019.04.012"),
    "walther2016": Source("Walther et al., 2016", f"{_DOI}10.1016/j.neuroimage.2015.12.012"),
}


def source(key: str) -> Source:
    """Return a work.

    Raises
    ------
    BraindashError
        Where the key is unknown.
    """
    if key not in SOURCES:
        raise BraindashError(f"The glossary has no source {key!r}.", closest(key, SOURCES))
    return SOURCES[key]
