"""The style: near-black and quiet, so that the covers are the only colour. One mode for everybody."""

import json
from pathlib import Path

import gradio as gr

STATIC = Path(__file__).parent / "static"
INK, PAPER, MUTED, LINE, PANEL = "#0b0b0c", "#f3f0ea", "#a8a5a0", "#2c2b2d", "#151516"


def theme() -> gr.themes.Base:
    """Only fonts that every machine has: nothing is fetched."""
    sans = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    look = gr.themes.Base(
        primary_hue="stone",
        neutral_hue="stone",
        radius_size="sm",
        font=sans,
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    ).set(
        body_background_fill_dark=INK,
        body_text_color_dark=PAPER,
        body_text_color_subdued_dark=MUTED,
        background_fill_primary_dark=INK,
        background_fill_secondary_dark=PANEL,
        block_background_fill_dark=INK,
        block_border_width="0px",
        block_border_width_dark="0px",
        block_label_background_fill_dark=INK,
        block_label_text_color_dark=MUTED,
        block_title_text_color_dark=MUTED,
        block_info_text_color_dark=MUTED,
        block_title_text_weight="400",
        block_padding="0px",
        border_color_primary_dark=LINE,
        border_color_accent_dark=PAPER,
        color_accent_soft_dark=PANEL,
        input_background_fill_dark=PANEL,
        input_border_color_dark=LINE,
        input_border_color_focus_dark=PAPER,
        input_placeholder_color_dark=MUTED,
        button_primary_background_fill_dark=PAPER,
        button_primary_background_fill_hover_dark="#ffffff",
        button_primary_text_color_dark=INK,
        button_secondary_background_fill_dark=PANEL,
        button_secondary_background_fill_hover_dark=LINE,
        button_secondary_text_color_dark=PAPER,
        button_secondary_border_color_dark=LINE,
        checkbox_background_color_dark=PANEL,
        checkbox_background_color_selected_dark=PAPER,
        checkbox_border_color_dark=MUTED,
        checkbox_border_color_selected_dark=PAPER,
        checkbox_label_background_fill_dark=PANEL,
        checkbox_label_background_fill_hover_dark=LINE,
        checkbox_label_background_fill_selected_dark=LINE,
        checkbox_label_text_color_dark=PAPER,
        slider_color_dark=PAPER,
        error_text_color_dark="#ffb4a8",
    )
    for mark in ("checkbox_check", "radio_circle"):  # gradio's are white, on what is nearly white here
        setattr(look, mark, getattr(look, mark).replace("white", "%23" + INK[1:]))
    # A light system setting must not switch to light: the covers were chosen against black.
    for token, value in list(vars(look).items()):
        if token.endswith("_dark") and value is not None:
            setattr(look, token.removesuffix("_dark"), value)
    return look


def head(setup: dict) -> str:
    """Style and scripts for the page's <head>, inline: the page makes no request but for covers.

    `setup` is what the scripts know of the model and the page's address: {model, layouts, invitation}.
    """
    style, *scripts = ((STATIC / name).read_text(encoding="utf-8") for name in ("style.css", "page.js", "present.js"))
    known = json.dumps(setup).replace("<", "\\u003c")
    return (
        f'<meta name="color-scheme" content="dark"><style>{style}</style>'
        f"<script>{scripts[0]}; albumGan.setup = {known}; {scripts[1]}</script>"
    )
