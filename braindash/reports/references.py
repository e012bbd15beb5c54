"""The works that a methods text may cite: how each is named in the text, and its BibTeX entry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """One work: ``cite`` as in running text, and the fields of its BibTeX entry."""

    cite: str
    kind: str
    fields: dict[str, str]

    def bibtex(self, key: str) -> str:
        inner = ",\n".join(f"  {name} = {{{value}}}" for name, value in self.fields.items())
        return f"@{self.kind}{{{key},\n{inner}\n}}"


def _article(cite: str, author: str, title: str, journal: str, volume: str, pages: str, year: str) -> Reference:
    fields = {"author": author, "title": title, "journal": journal, "volume": volume, "pages": pages, "year": year}
    return Reference(cite, "article", {k: v for k, v in fields.items() if v})


def _conference(cite: str, author: str, title: str, booktitle: str, year: str, arxiv: str) -> Reference:
    return Reference(
        cite,
        "inproceedings",
        {"author": author, "title": title, "booktitle": booktitle, "year": year, "note": f"arXiv:{arxiv}"},
    )


REFERENCES: dict[str, Reference] = {
    "hu2022lora": _conference(
        "Hu et al., 2022",
        "Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and Wang, Shean and "
        "Wang, Lu and Chen, Weizhu",
        "{LoRA}: Low-rank adaptation of large language models",
        "International Conference on Learning Representations", "2022", "2106.09685",
    ),
    "loshchilov2019decoupled": _conference(
        "Loshchilov & Hutter, 2019", "Loshchilov, Ilya and Hutter, Frank", "Decoupled weight decay regularization",
        "International Conference on Learning Representations", "2019", "1711.05101",
    ),
    "kingma2015adam": _conference(
        "Kingma & Ba, 2015", "Kingma, Diederik P. and Ba, Jimmy", "{Adam}: A method for stochastic optimization",
        "International Conference on Learning Representations", "2015", "1412.6980",
    ),
    "huber1964robust": _article(
        "Huber, 1964", "Huber, Peter J.", "Robust estimation of a location parameter",
        "The Annals of Mathematical Statistics", "35", "73--101", "1964",
    ),
    "moussa2025improving": _conference(
        "Moussa et al., 2025", "Moussa, Omer and Klakow, Dietrich and Toneva, Mariya",
        "Improving semantic understanding in speech language models via brain-tuning",
        "International Conference on Learning Representations", "2025", "2410.09230",
    ),
    "vattikonda2025brainwavlm": Reference(
        "Vattikonda et al., 2025", "misc",
        {
            "author": "Vattikonda, Nishitha and Vaidya, Aditya R. and Antonello, Richard J. and Huth, Alexander G.",
            "title": "{BrainWavLM}: Fine-tuning speech representations with brain responses to language",
            "year": "2025",
            "note": "arXiv:2502.08866",
        },
    ),
    "baevski2020wav": _conference(
        "Baevski et al., 2020",
        "Baevski, Alexei and Zhou, Henry and Mohamed, Abdelrahman and Auli, Michael",
        "wav2vec 2.0: A framework for self-supervised learning of speech representations",
        "Advances in Neural Information Processing Systems", "2020", "2006.11477",
    ),
    "prichard1994generating": _article(
        "Prichard & Theiler, 1994", "Prichard, Dean and Theiler, James",
        "Generating surrogate data for time series with several simultaneously measured variables",
        "Physical Review Letters", "73", "951--954", "1994",
    ),
    "friston1998event": _article(
        "Friston et al., 1998",
        "Friston, Karl J. and Fletcher, Paul and Josephs, Oliver and Holmes, Andrew and Rugg, Michael D. and "
        "Turner, Robert",
        "Event-related {fMRI}: characterizing differential responses", "NeuroImage", "7", "30--40", "1998",
    ),
    "hoerl1970ridge": _article(
        "Hoerl & Kennard, 1970", "Hoerl, Arthur E. and Kennard, Robert W.",
        "Ridge regression: biased estimation for nonorthogonal problems", "Technometrics", "12", "55--67", "1970",
    ),
    "crosse2016multivariate": _article(
        "Crosse et al., 2016",
        "Crosse, Michael J. and Di Liberto, Giovanni M. and Bednar, Adam and Lalor, Edmund C.",
        "The multivariate temporal response function ({mTRF}) toolbox", "Frontiers in Human Neuroscience", "10", "604",
        "2016",
    ),
    "schoppe2016measuring": _article(
        "Schoppe et al., 2016",
        "Schoppe, Oliver and Harper, Nicol S. and Willmore, Ben D. B. and King, Andrew J. and Schnupp, Jan W. H.",
        "Measuring the performance of neural models", "Frontiers in Computational Neuroscience", "10", "10", "2016",
    ),
    "phipson2010permutation": _article(
        "Phipson & Smyth, 2010", "Phipson, Belinda and Smyth, Gordon K.",
        "Permutation p-values should never be zero: calculating exact p-values when permutations are randomly drawn",
        "Statistical Applications in Genetics and Molecular Biology", "9", "39", "2010",
    ),
    "bartlett1935some": _article(
        "Bartlett, 1935", "Bartlett, M. S.",
        "Some aspects of the time-correlation problem in regard to tests of significance",
        "Journal of the Royal Statistical Society", "98", "536--543", "1935",
    ),
    "benjamini1995controlling": _article(
        "Benjamini & Hochberg, 1995", "Benjamini, Yoav and Hochberg, Yosef",
        "Controlling the false discovery rate: a practical and powerful approach to multiple testing",
        "Journal of the Royal Statistical Society: Series B", "57", "289--300", "1995",
    ),
    "benjamini2001control": _article(
        "Benjamini & Yekutieli, 2001", "Benjamini, Yoav and Yekutieli, Daniel",
        "The control of the false discovery rate in multiple testing under dependency",
        "The Annals of Statistics", "29", "1165--1188", "2001",
    ),
    "glasser2016multi": _article(
        "Glasser et al., 2016", "Glasser, Matthew F. and others",
        "A multi-modal parcellation of human cerebral cortex", "Nature", "536", "171--178", "2016",
    ),
    "alain2016understanding": Reference(
        "Alain & Bengio, 2016", "misc",
        {"author": "Alain, Guillaume and Bengio, Yoshua",
         "title": "Understanding intermediate layers using linear classifier probes", "year": "2016",
         "note": "arXiv:1610.01644"},
    ),
    "hewitt2019designing": Reference(
        "Hewitt & Liang, 2019", "inproceedings",
        {"author": "Hewitt, John and Liang, Percy", "title": "Designing and interpreting probes with control tasks",
         "booktitle": "Proceedings of EMNLP-IJCNLP", "pages": "2733--2743", "year": "2019"},
    ),
    "kriegeskorte2008representational": _article(
        "Kriegeskorte et al., 2008", "Kriegeskorte, Nikolaus and Mur, Marieke and Bandettini, Peter A.",
        "Representational similarity analysis -- connecting the branches of systems neuroscience",
        "Frontiers in Systems Neuroscience", "2", "4", "2008",
    ),
    "nili2014toolbox": _article(
        "Nili et al., 2014",
        "Nili, Hamed and Wingfield, Cai and Walther, Alexander and Su, Li and Marslen-Wilson, William and "
        "Kriegeskorte, Nikolaus",
        "A toolbox for representational similarity analysis", "PLoS Computational Biology", "10", "e1003553", "2014",
    ),
    "kornblith2019similarity": _conference(
        "Kornblith et al., 2019",
        "Kornblith, Simon and Norouzi, Mohammad and Lee, Honglak and Hinton, Geoffrey",
        "Similarity of neural network representations revisited",
        "International Conference on Machine Learning", "2019", "1905.00414",
    ),
}  # fmt: skip
