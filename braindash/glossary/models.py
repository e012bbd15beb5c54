"""Terms of the speech model: its layers, how it is tuned, and the controls."""

from __future__ import annotations

from braindash.glossary.base import CONTROLS, MODEL, Term, model_term

TERMS: dict[str, Term] = {
    "layer": Term(
        "Layer", MODEL,
        "Layer k is what the k-th transformer block passes on (hidden_states[k]); layer 0 is what enters the first "
        "one.",
        see=("state_0", "best_layer"), words="hidden state depth block",
    ),
    "state_0": Term(
        "Layer 0 (front end)", MODEL,
        "What the model makes of the sound before its first transformer block: convolutions and what follows them. "
        "No recipe trains it, so it is the same before and after tuning.",
        see=("layer",), words="state 0 CNN",
    ),
    "pretrained": model_term("pretrained", MODEL, see=("brain_tuned",)),
    "brain_tuned": model_term(
        "brain_tuned", MODEL, see=("recipe", "loss", "control"), sources=("moussa2025improving", "moussa2025language")
    ),
    "recipe": Term(
        "Recipe", MODEL,
        "What is trained: small adapters and the head (LoRA), all weights of the transformer blocks and the head "
        "(full), or the head alone.",
        see=("lora", "head"), words="full tuning",
    ),
    "lora": Term(
        "LoRA", MODEL,
        "Low-rank adaptation: the pretrained weights stay as they are, and beside each chosen linear layer a product "
        "of two thin matrices is learnt. Few parameters, and easy to take off again.",
        "W x + (alpha / rank) · B A x", ("hu2022lora",), ("rank", "recipe"), "adapter",
    ),
    "rank": Term(
        "Rank", MODEL,
        "Of LoRA: the width of the thin matrices, so how much a layer may change. Of a low-rank head: through how "
        "many numbers everything passes on its way to the targets.",
        sources=("hu2022lora",), see=("lora", "head"), words="r bottleneck",
    ),
    "head": Term(
        "Head", MODEL,
        "The read-out on top of the speech model that predicts all targets while it is tuned. It is thrown away "
        "afterwards: models are judged by a ridge regression fitted anew, so that a head that fits well counts for "
        "nothing.",
        see=("encoding_model", "rank"), words="read-out linear",
    ),
    "loss": Term(
        "Loss", MODEL,
        "What tuning makes small: the squared error, or minus a correlation, between predicted and measured "
        "responses.",
        see=("mse_loss", "spatial_loss", "temporal_loss"), words="objective",
    ),
    "mse_loss": Term(
        "Mean squared error", MODEL,
        "The squared difference of predicted and measured (z-scored) response, averaged over TRs and targets.",
        sources=("moussa2025improving",), see=("loss",), words="MSE loss",
    ),
    "spatial_loss": Term(
        "Spatial loss", MODEL,
        "Minus the correlation across targets, averaged over TRs: at every moment the pattern over the cortex should "
        "be right, whatever its level.",
        "−mean over TRs of r across targets", ("vattikonda2025brainwavlm",), ("loss", "temporal_loss"), "correlation",
    ),
    "temporal_loss": Term(
        "Temporal loss", MODEL,
        "Minus the correlation across TRs, averaged over targets: for every target the time course should be right, "
        "whatever its level.",
        "−mean over targets of r across TRs", see=("loss", "spatial_loss"), words="correlation",
    ),
    "validation_r": Term(
        "Validation r", MODEL,
        "r on the validation stories by a ridge regression fitted anew after each epoch; the epoch with the largest "
        "is kept. It chooses, so it is no result: results come from the test stories.",
        see=("test_stories", "epoch"), words="early stopping best epoch",
    ),
    "epoch": Term(
        "Epoch", MODEL,
        "One pass over all tuning stories. Epoch 0 is the pretrained model.", see=("validation_r",), words="step",
    ),
    "seed": Term(
        "Seed", MODEL,
        "The number from which everything random begins; the same seed repeats the run. Runs that differ in the seed "
        "alone show how much of a result is chance.",
        words="random spread",
    ),
    "control": Term(
        "Control", CONTROLS,
        "The same tuning, with as many steps and the same seed, without one thing that could explain a gain. What "
        "brain-tuning owes to that thing is brain-tuned minus the control.",
        see=("block_permuted", "stimulus_only", "delta"), words="baseline matched",
    ),
    **{
        name: model_term(name, CONTROLS, see=("control",))
        for name in (
            "block_permuted", "story_permuted", "random_responses", "stimulus_only", "random_model", "head_only",
        )
    },
}  # fmt: skip
