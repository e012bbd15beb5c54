"""What happens while a model is tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.style import FONT_SIZE, MODEL_STYLE, ThemeName, base_layout, legend_height, theme_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

FRESH, OWN = "Validation r of a fresh ridge", "Validation r of the head in training"


def loss_curves(
    metrics: Sequence[Mapping[str, Any]], *, loss_label: str = "Training loss", theme: ThemeName = "light"
) -> go.Figure:
    """Draw the training loss of each step above the validation correlation of each epoch.

    Parameters
    ----------
    metrics : rows of a run's metrics.jsonl
        Rows of kind "step" with ``step``, ``epoch``, ``loss``, and of kind "epoch" with ``epoch``,
        ``validation_r``, ``best`` and perhaps ``head_validation_r``; epoch 0 is the model before tuning. Others
        are left aside.
    loss_label : str
    theme : "light" | "dark"

    Returns
    -------
    plotly Figure of two panels. The last epoch that says ``best`` is marked: it is the one that is kept. Where the
    head's own score is known and is not the one that chooses, it is a second, dotted curve.

    Raises
    ------
    BraindashError
        If there is neither a step nor an epoch yet.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    from braindash.figures.alt import alt_text

    # a resumed run repeats what came after its last checkpoint: the later row holds
    steps = {int(r["step"]): float(r["loss"]) for r in metrics if r.get("kind") == "step" and r.get("loss") is not None}
    epochs = {int(r["epoch"]): r for r in metrics if r.get("kind") == "epoch" and r.get("validation_r") is not None}
    if not steps and not epochs:
        raise BraindashError("The run has no steps or epochs yet.", "Look again when the first step is done.")
    x, y = np.array(sorted(steps)), np.array([steps[s] for s in sorted(steps)])
    e, r = np.array(sorted(epochs)), np.array([float(epochs[k]["validation_r"]) for k in sorted(epochs)])
    own = {k: float(v) for k, row in epochs.items() if (v := row.get("head_validation_r")) is not None}
    if all(value == float(epochs[k]["validation_r"]) for k, value in own.items()):
        own = {}  # the head itself chooses
    kept = [k for k in sorted(epochs) if epochs[k].get("best")]
    best = kept[-1] if kept else None

    colours = theme_of(theme)
    pre, tuned = MODEL_STYLE["pretrained"], MODEL_STYLE["brain_tuned"]
    fig = make_subplots(rows=2, cols=1, vertical_spacing=0.24)
    fig.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="lines" if len(x) > 1 else "markers",
            line={"color": colours.muted, "width": 1},
            opacity=0.6,
            hovertemplate="step %{x}: %{y:.4g}<extra></extra>",
            showlegend=False,
        ),
        row=1,
        col=1,
    )
    if len(x) >= 8:
        fig.add_trace(
            go.Scatter(
                x=x,
                y=running_mean(y, max(3, len(y) // 20)),
                mode="lines",
                line={"color": tuned.color(theme), "width": 2.2},
                hovertemplate="running mean %{y:.4g}<extra></extra>",
                showlegend=False,
            ),
            row=1,
            col=1,
        )
    fig.add_trace(
        go.Scatter(
            x=e,
            y=r,
            mode="lines+markers",
            line={"color": tuned.color(theme), "width": 2.2},
            marker={
                "opacity": 1,
                "size": [13 if k == best else 8 for k in e],
                "symbol": ["star" if k == best else "circle" for k in e],
                "color": [pre.color(theme) if k == 0 else tuned.color(theme) for k in e],
            },
            hovertemplate="epoch %{x}: r = %{y:.4f}<extra></extra>",
            name=FRESH,
            showlegend=bool(own),
            cliponaxis=False,
        ),
        row=2,
        col=1,
    )
    if own:
        fig.add_trace(
            go.Scatter(
                x=sorted(own),
                y=[own[k] for k in sorted(own)],
                mode="lines+markers",
                line={"color": colours.muted, "width": 1.8, "dash": "dot"},
                marker={"size": 8, "symbol": "diamond-open", "color": colours.muted},
                hovertemplate="epoch %{x}: r = %{y:.4f} by the head in training<extra></extra>",
                name=OWN,
                cliponaxis=False,
            ),
            row=2,
            col=1,
        )
    rises = len(r) > 1 and r[1] >= r[0]  # the label keeps out of the line's way
    for epoch, text, shift in ((0, "before tuning", -16 if rises else 16), (best, "kept", 18)):
        if epoch is not None and epoch in epochs:
            fig.add_annotation(
                x=epoch,
                y=float(epochs[epoch]["validation_r"]),
                text=text,
                showarrow=False,
                yshift=shift,
                xanchor="left" if epoch == 0 else "center",
                font={"size": 12, "color": colours.text},
                row=2,
                col=1,
            )
    fig.update_xaxes(title="Step", row=1, col=1)
    fig.update_xaxes(title="Epoch (0 = before tuning)", row=2, col=1, **_whole_numbers(e))
    fig.update_yaxes(title=loss_label, row=1, col=1)
    if len(r):
        shown = np.array([*r, *own.values()])
        room = 0.25 * float(np.ptp(shown)) or 0.01
        fig.update_yaxes(range=[float(shown.min()) - 1.4 * room, float(shown.max()) + 1.6 * room], row=2, col=1)
    fig.update_yaxes(title="Validation r", row=2, col=1)
    fig.update_xaxes(
        gridcolor=colours.grid, zeroline=False, tickfont={"size": 12}, title_standoff=6, title_font_size=FONT_SIZE
    )
    fig.update_yaxes(
        gridcolor=colours.grid,
        zeroline=False,
        tickfont={"size": 12},
        nticks=5,
        title_standoff=8,
        title_font_size=FONT_SIZE,
    )
    text = alt_text(
        "loss_curves",
        n_steps=len(x),
        last_loss=float(y[-1]) if len(y) else None,
        best_epoch=best,
        best_r=None if best is None else float(epochs[best]["validation_r"]),
        first_r=float(epochs[0]["validation_r"]) if 0 in epochs else None,
        head_r=own[max(own)] if own else None,
    )
    top = legend_height([FRESH, OWN]) if own else 16
    fig.update_layout(
        **base_layout(theme, 444 + top, margin={"l": 72, "r": 16, "t": top, "b": 52}),
        hovermode="closest",
        meta={"alt": text},
    )
    return fig


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Return the mean of each value and those up to ``width // 2`` away on both sides: (n,) → (n,)."""
    half = width // 2
    total = np.concatenate([[0.0], np.cumsum(values)])
    i = np.arange(len(values))
    low, high = np.maximum(i - half, 0), np.minimum(i + half + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def _whole_numbers(epochs: np.ndarray) -> dict[str, Any]:
    """Return axis settings that tick whole epochs only, with room at both ends."""
    last = int(epochs.max(initial=1))
    return {"dtick": max(1, -(-last // 8)), "tick0": 0, "range": [-0.25, last + 0.25]}
