"""Terms of the other analyses: probes, representational similarity, and the way from sound to meaning."""

from __future__ import annotations

from braindash.glossary.base import DEPTH, PROBES, RSA, Term, model_term

TERMS: dict[str, Term] = {
    "probe": Term(
        "Probe", PROBES,
        "A linear classifier or ridge regression that reads one thing, such as the phone or the part of speech, from "
        "the states of one layer. How well it does shows how easy that is to find there, not that the model uses "
        "it.",
        sources=("alain2016understanding",), see=("selectivity", "chance"), words="task linear",
    ),
    "score": Term(
        "Score of a probe", PROBES,
        "R² for values (such as MFCCs), mean F1 over classes for labels (such as phones), both on held-out examples.",
        see=("macro_f1", "r2", "chance"), words="metric",
    ),
    "macro_f1": Term(
        "F1 (macro)", PROBES,
        "How well a class is found: the harmonic mean of precision and recall, averaged over classes so that rare "
        "ones count as much as frequent ones.",
        "F1 = 2 · precision · recall / (precision + recall)", see=("chance", "baseline"), words="macro F1 accuracy",
    ),
    "chance": Term(
        "Chance", PROBES,
        "What guessing by frequency is expected to score: 0 for R², 1/K for K classes, the mean share of examples "
        "that have a label where several may apply.",
        see=("baseline", "shuffled_labels"), words="guessing",
    ),
    "baseline": Term(
        "Baseline", PROBES,
        "The best answer that hears nothing, on the same folds: the mean of the training part, the most frequent "
        "class, or all labels always.",
        see=("chance",), words="majority",
    ),
    "shuffled_labels": Term(
        "Shuffled labels", PROBES,
        "What the same probe reaches when labels are dealt out at random, between word types where these are kept "
        "apart: what folds and frequencies alone give away.",
        sources=("hewitt2019designing",), see=("selectivity",), words="control task",
    ),
    "selectivity": Term(
        "Selectivity", PROBES,
        "The probe's score minus that of the same probe taught with shuffled labels: what is read from the layer, "
        "less what a probe of this size could learn by heart.",
        "selectivity = score − score with shuffled labels", ("hewitt2019designing",), ("shuffled_labels",),
    ),
    "random_weights": model_term("random_weights", PROBES, see=("probe",)),
    "rsa": Term(
        "RSA", RSA,
        "Representational similarity analysis: do a layer and a brain region find the same moments of a story alike? "
        "Nothing is fitted, so it is a second opinion on the encoding models.",
        sources=("kriegeskorte2008representational",), see=("rdm", "rsa_similarity"),
        words="representational similarity analysis geometry",
    ),
    "rdm": Term(
        "RDM", RSA,
        "Representational dissimilarity matrix: how different the patterns of any two conditions (stretches of a "
        "story, TRs or words) are, in a layer or in a region.",
        sources=("kriegeskorte2008representational", "nili2014toolbox"), see=("rsa_similarity", "crossnobis"),
        words="dissimilarity matrix",
    ),
    "rsa_similarity": Term(
        "Similarity of RDMs", RSA,
        "How well two RDMs agree over all pairs of conditions; Spearman's correlation unless the analysis says "
        "otherwise. Pairs that are close in time are left out.",
        sources=("nili2014toolbox", "diedrichsen2021"), see=("rdm", "rsa_ceiling", "partial_rsa"),
        words="similarity Spearman whitened",
    ),
    "partial_rsa": Term(
        "Beyond the sound (partial RSA)", RSA,
        "The similarity with the RDM of the sound's log-mel spectrum held constant, so that acoustics alone gain "
        "nothing.",
        see=("rsa_similarity",), words="partial correlation",
    ),
    "crossnobis": Term(
        "Crossnobis distance", RSA,
        "A dissimilarity from independent repeats: noise that differs between repeats cancels, so it is 0 on average "
        "where two patterns are equal, and can be negative.",
        sources=("walther2016", "diedrichsen2021"), see=("rdm",), words="cross-validated Mahalanobis",
    ),
    "rsa_ceiling": Term(
        "Ceiling of a region (RSA)", RSA,
        "How similar the region's own geometry is across subjects: no model can be expected above the upper bound, "
        "and one at the lower bound is as good as another subject.",
        sources=("nili2014toolbox",), see=("rsa_similarity",), words="noise ceiling bound",
    ),
    "cka": Term(
        "CKA", RSA,
        "Centred kernel alignment: how alike two layers arrange the same conditions, 1 being the same up to rotation "
        "and scale, 0 unrelated. The debiased linear one is used; no brain takes part.",
        sources=("kornblith2019similarity",), see=("rsa_similarity",), words="centred kernel alignment layers moved",
    ),
    "mds": Term(
        "Plane of layers and regions", RSA,
        "Classical scaling: points are placed so that near means alike RDMs. Directions mean nothing; the stress "
        "says how much the plane distorts, and above about .2 it misleads.",
        see=("rsa_similarity",), words="multidimensional scaling MDS stress",
    ),
    "centre_of_mass": Term(
        "Centre of mass", DEPTH,
        "The mean layer, each layer weighted by how far it does better than the worst one: how deep in the model "
        "something lies, even where several layers do almost equally well.",
        "Σ w·k / Σ w over layers k, with w = score − lowest score", see=("peak_layer", "flat"), words="depth",
    ),
    "peak_layer": Term(
        "Peak layer", DEPTH,
        "The layer that does best. Where neighbours do nearly as well, the peak can jump by chance; the centre of "
        "mass does not.",
        see=("centre_of_mass",), words="best layer",
    ),
    "flat": Term(
        "No clear peak", DEPTH,
        "All layers do about equally well, or none does better than chance. Then depth has no meaning.",
        see=("centre_of_mass",), words="flat profile",
    ),
    "order": Term(
        "Rank correlation", DEPTH,
        "Whether two orders agree: +1 the same order, 0 unrelated, −1 reversed. Here: the order of tasks by depth "
        "against acoustic, phonetic, lexical, semantic; or that of brain regions against primary auditory, early "
        "auditory, late language.",
        see=("centre_of_mass",), words="Spearman rho hierarchy",
    ),
    "verdict": Term(
        "Verdict", DEPTH,
        "Supported, not supported, or cannot tell: by a criterion fixed beforehand, the same for all. A rise must "
        "exceed 0 and every matched control; that an interval merely holds 0 supports nothing.",
        see=("interval", "control"), words="findings supported",
    ),
    "forgetting": Term(
        "Forgetting", DEPTH,
        "What fell after tuning: tasks and regions whose change lies below 0 at q < .05, among the layers that "
        "tuning can have changed.",
        see=("q", "delta"), words="catastrophic",
    ),
    "transfer": Term(
        "Transfer", DEPTH,
        "Whether gains carry to subjects who were not tuned on. The regression is fitted anew for each subject, so "
        "no head is needed.",
        sources=("vattikonda2025brainwavlm", "moussa2025multi"), see=("head",), words="generalise other subjects",
    ),
    "reliance": Term(
        "Reliance on simple features", DEPTH,
        "How much of a layer's prediction goes when simple features are removed from it. Less after tuning: the "
        "prediction owes less to sound alone.",
        sources=("moussa2025improving",), see=("removal",), words="low-level",
    ),
}  # fmt: skip
