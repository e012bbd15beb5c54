"""Terms of predicting responses: scores, tests, time, and regions of the cortex."""

from __future__ import annotations

from braindash.glossary.base import REGIONS, SCORES, TIME, Term

TERMS: dict[str, Term] = {
    "encoding_model": Term(
        "Encoding model", SCORES,
        "A ridge regression that predicts the response of one target from the hidden states of one layer. It is "
        "fitted anew on the frozen model, in the same way for every model, and scored on the test stories.",
        sources=("naselaris2011", "hoerl1970ridge"), see=("r", "penalty", "fir_delays", "test_stories"),
        words="ridge voxelwise",
    ),
    "target": Term(
        "Target", SCORES,
        "What one response belongs to: a voxel, a vertex of the cortical surface, a parcel or an electrode. n counts "
        "the targets behind a number.",
        see=("parcel", "excluded"), words="voxel vertex electrode n",
    ),
    "r": Term(
        "r", SCORES,
        "Pearson's correlation of predicted and measured response over all test stories, not corrected for noise. Of "
        "a region: the mean over its targets.",
        see=("noise_ceiling", "r_norm", "interval"), words="correlation accuracy score",
    ),
    "noise_ceiling": Term(
        "Noise ceiling", SCORES,
        "The largest r that the noise of the responses allows any model. It is estimated from repeats of the test "
        "stories, from the other subjects, or comes with the study; where nothing repeats there is none, and the "
        "target is left out and counted.",
        "1 / √(1 + (1/SP − 1)/N) for N repeats with signal power SP (total power 1)",
        ("schoppe2016measuring",), ("r_norm", "excluded"), "cc_max reliability explainable",
    ),
    "r_norm": Term(
        "r / noise ceiling", SCORES,
        "r as a share of the noise ceiling: 1 means as good as any model could be. It is not clipped, so noise can "
        "bring it above 1. Targets whose ceiling is too low to divide by are left out and counted.",
        "r_norm = r / ceiling", ("schoppe2016measuring",), ("noise_ceiling", "delta"), "r_norm normalised cc_norm",
    ),
    "delta": Term(
        "Change (Δ)", SCORES,
        "The score of the brain-tuned model (or of a control) minus that of the pretrained one, target by target and "
        "then averaged. Of the ceiling: in units of r / noise ceiling, so +0.020 is two hundredths of what is "
        "possible.",
        "Δ = r_norm(tuned) − r_norm(pretrained)", see=("r_norm", "interval", "control"),
        words="difference gain delta of the ceiling",
    ),
    "interval": Term(
        "95 % interval", SCORES,
        "Where the true value plausibly lies, were other stories heard and other targets measured: an error from "
        "resampled test stories and targets together, times t for few stories. One that excludes 0 says that a "
        "change is more than chance would give.",
        see=("q", "delta"), words="confidence CI whiskers bands bootstrap",
    ),
    "q": Term(
        "q", SCORES,
        "A p value corrected for looking at many targets, regions or layers at once: among all that pass q < .05, "
        "about 5 % are expected to be false discoveries.",
        sources=("benjamini1995controlling", "benjamini2001control"), see=("permutation_test",),
        words="FDR false discovery rate multiple comparisons",
    ),
    "permutation_test": Term(
        "Block permutation", SCORES,
        "The test behind p and q of a target: blocks of predicted TRs are put into random order, many times, and r "
        "is compared with what that gives. Whole blocks are moved because neighbouring TRs resemble each other.",
        "p = (1 + number of permutations with r as high) / (1 + number of permutations)",
        ("phipson2010permutation",), ("q",), "p value significance",
    ),
    "penalty": Term(
        "Penalty (alpha)", SCORES,
        "How strongly the ridge regression keeps its weights small. It is added to the diagonal of X'X and chosen "
        "for every target by cross-validation within the fitting stories. Some packages square the number first.",
        "b minimises ‖y − Xb‖² + alpha·‖b‖²", ("hoerl1970ridge",), ("leave_one_story_out",), "ridge lambda",
    ),
    "leave_one_story_out": Term(
        "Leave one story out", SCORES,
        "How the penalty is chosen: each fitting story is held out in turn and predicted from the others; the "
        "penalty with the best mean score wins. Test stories take no part.",
        see=("penalty", "test_stories"), words="cross-validation CV fold",
    ),
    "excluded": Term(
        "Left out", SCORES,
        "Targets whose responses are not finite or do not vary are left out of everything; those without a usable "
        "noise ceiling are left out of r / noise ceiling alone. All are counted, none is filled in.",
        see=("noise_ceiling",), words="excluded NaN constant",
    ),
    "unique_variance": Term(
        "Unique variance", SCORES,
        "What one feature space explains of the responses that the others together do not. It can fall below 0 where "
        "a space helps in the fit and not on the test stories.",
        "unique(s) = R²(all) − R²(all but s)", ("deheer2017", "nunez2019", "dupre2022"),
        ("shared_variance", "removal", "r2"), "variance partitioning banded ridge",
    ),
    "shared_variance": Term(
        "Shared variance", SCORES,
        "What several feature spaces explain alike, so that nothing says to which of them it is owed.",
        sources=("deheer2017",), see=("unique_variance",), words="variance partitioning",
    ),
    "removal": Term(
        "Removing simple features", SCORES,
        "Simple features (spectrum, articulation, word rate …) are regressed out of a layer; how far r falls then is "
        "what the layer's prediction owes to them.",
        sources=("moussa2025improving",), see=("unique_variance", "reliance"), words="residual low-level",
    ),
    "r2": Term(
        "R²", SCORES,
        "The share of the variance that is explained on held-out data: 1 is everything, 0 no better than the mean of "
        "the training part; it can be negative.",
        "R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)²", see=("unique_variance", "chance"), words="variance explained",
    ),
    "best_layer": Term(
        "Best layer", SCORES,
        "The layer whose hidden states predict a region or a target best. Where neighbours do nearly as well it can "
        "jump by chance; the centre of mass does not.",
        see=("layer", "centre_of_mass"), words="peak",
    ),
    "gain_accuracy": Term(
        "Gain × accuracy", SCORES,
        "Two things in one colour of a map: the hue says what tuning changed (blue worse, mauve the same, orange "
        "better), the lightness how well the better of the two models predicts the target.",
        see=("delta", "r"), words="two-dimensional map",
    ),
    "tr": Term(
        "TR", TIME,
        "The time from one fMRI volume to the next, in seconds; also such a volume: a row of the responses.",
        see=("fir_delays", "block"), words="repetition time volume row",
    ),
    "hrf": Term(
        "Haemodynamic response (HRF)", TIME,
        "How the blood signal follows a moment of activity: it rises for about 5 s and takes some 20 s to settle. "
        "braindash uses the double gamma of SPM where the shape is fixed.",
        sources=("friston1998event",), see=("fir_delays", "head"), words="BOLD canonical",
    ),
    "fir_delays": Term(
        "FIR delays", TIME,
        "Copies of the features shifted by 1 to 4 TRs, side by side, so that the regression finds each target's own "
        "response shape. They never cross from one story into the next.",
        sources=("huth2016",), see=("hrf", "lags"), words="finite impulse response",
    ),
    "lags": Term(
        "Lags", TIME,
        "For electrodes, what delays are for fMRI: copies of the features shifted by 0 to 0.4 s, a temporal response "
        "function.",
        sources=("crosse2016multivariate",), see=("fir_delays",), words="TRF EEG MEG",
    ),
    "window": Term(
        "Window, stride, read-out", TIME,
        "The speech model hears the sound in windows of so many seconds, one begun every stride; the read-out says "
        "which of a window's frames become the features of a TR. A run holds what it used.",
        see=("tr", "layer"), words="context",
    ),
    "test_stories": Term(
        "Tuned on, chosen on, tested on", TIME,
        "Stories are divided once, in the study: some to tune on, some to choose the epoch on, some to test on. "
        "Nothing that is tuned, chosen or fitted has heard a test story; a run that would is refused (leak check).",
        see=("leave_one_story_out", "validation_r"), words="split leak train validation held out",
    ),
    "block": Term(
        "Block", TIME,
        "Neighbouring TRs that a permutation moves together, because responses change slowly and single TRs would "
        "look more independent than they are.",
        see=("permutation_test", "block_permuted"), words="TRs",
    ),
    "lag_scan": Term(
        "Timing check", TIME,
        "The word rate is shifted by whole TRs and correlated with the responses; where words and responses are "
        "aligned, the best shift is near 0. Dotted: what words shifted far away reach by chance.",
        sources=("friston1998event",), see=("tr", "hrf"), words="lag alignment",
    ),
    "simulated": Term(
        "Simulated subjects", TIME,
        "The responses were made by a program with known effects, not measured in people. They show whether the "
        "software finds what was planted, and say nothing of brains.",
        words="embedded demo study planted truth",
    ),
    "parcel": Term(
        "Parcel", REGIONS,
        "One of 180 areas of each hemisphere in the HCP-MMP1 parcellation, such as A1 or STSda.",
        sources=("glasser2016multi",), see=("region_groups",), words="Glasser area HCP MMP1",
    ),
    "region_groups": Term(
        "Named regions", REGIONS,
        "Groups of HCP-MMP1 parcels that published work uses, so some share parcels. A study can have regions of its "
        "own as well.",
        sources=("glasser2016multi", "moussa2025language", "moussa2025multi"),
        see=("primary_auditory", "early_auditory", "late_language", "ag", "ltc", "ifg", "mfg"), words="ROI group",
    ),
    "primary_auditory": Term(
        "Primary auditory", REGIONS, "Parcel A1: where sound reaches the cortex.", "A1",
        ("moussa2025language",), ("region_groups",), "A1 Heschl",
    ),
    "early_auditory": Term(
        "Early auditory", REGIONS, "Primary auditory cortex with its belt and parabelt.",
        "A1, LBelt, MBelt, PBelt, RI, A4", ("moussa2025language",), ("region_groups",), "auditory belt AC",
    ),
    "late_language": Term(
        "Late language", REGIONS,
        "Temporal, inferior frontal and angular areas that follow meaning over words and sentences: where brain-"
        "tuning is expected to show.",
        "A5, 44, 45, IFJa, IFSp, PGi, PGp, PGs, TPOJ1, TPOJ2, TPOJ3, STGa, STSda, STSdp, TA2, STSva",
        ("moussa2025language",), ("region_groups",), "language network",
    ),
    "ag": Term(
        "Angular gyrus", REGIONS, "Parietal areas of the language group.", "PFm, PGs, PGi, TPOJ2, TPOJ3",
        ("moussa2025multi",), ("region_groups",), "AG",
    ),
    "ltc": Term(
        "Lateral temporal", REGIONS, "Temporal areas of the language group.",
        "STSda, STSva, STGa, TE1a, TE2a, TGv, TGd, A5, STSdp, STSvp, PSL, STV, TPOJ1",
        ("moussa2025multi",), ("region_groups",), "LTC",
    ),
    "ifg": Term(
        "Inferior frontal", REGIONS, "Frontal areas of the language group, Broca's among them.", "44, 45, IFJa, IFSp",
        ("moussa2025multi",), ("region_groups",), "IFG Broca",
    ),
    "mfg": Term(
        "Middle frontal", REGIONS, "One parcel before the premotor cortex.", "55b",
        ("moussa2025multi",), ("region_groups",), "MFG",
    ),
}  # fmt: skip
