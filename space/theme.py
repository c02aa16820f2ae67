"""The page's style: quiet, light or dark, so that the covers are the only colour. Colours are those of page_style."""

import json
from pathlib import Path

import gradio as gr

from album_gan.page_style import stylesheet

STATIC = Path(__file__).parent / "static"
GROUND, TEXT, MUTED, LINE, PANEL = (f"var(--{name})" for name in ("ground", "text", "muted", "line", "panel"))


def theme() -> gr.themes.Base:
    """A gradio theme with the page's colours and font, for light and dark mode."""
    look = gr.themes.Base(
        primary_hue="stone",
        neutral_hue="stone",
        radius_size="sm",
        font=["Inter Text", "ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    ).set(
        body_background_fill_dark=GROUND,
        body_text_color_dark=TEXT,
        body_text_color_subdued_dark=MUTED,
        background_fill_primary_dark=GROUND,
        background_fill_secondary_dark=PANEL,
        block_background_fill_dark=GROUND,
        block_border_width="0px",
        block_border_width_dark="0px",
        block_label_background_fill_dark=GROUND,
        block_label_text_color_dark=MUTED,
        block_title_text_color_dark=MUTED,
        block_info_text_color_dark=MUTED,
        block_title_text_weight="400",
        block_padding="0px",
        border_color_primary_dark=LINE,
        border_color_accent_dark=TEXT,
        color_accent_soft_dark=PANEL,
        input_background_fill_dark=PANEL,
        input_border_color_dark=LINE,
        input_border_color_focus_dark=TEXT,
        input_placeholder_color_dark=MUTED,
        button_primary_background_fill_dark=TEXT,
        button_primary_background_fill_hover_dark=MUTED,
        button_primary_text_color_dark=GROUND,
        button_secondary_background_fill_dark=PANEL,
        button_secondary_background_fill_hover_dark=LINE,
        button_secondary_text_color_dark=TEXT,
        button_secondary_border_color_dark=LINE,
        checkbox_background_color_dark=PANEL,
        checkbox_background_color_selected_dark=TEXT,
        checkbox_border_color_dark=MUTED,
        checkbox_border_color_selected_dark=TEXT,
        checkbox_label_background_fill_dark=PANEL,
        checkbox_label_background_fill_hover_dark=LINE,
        checkbox_label_background_fill_selected_dark=LINE,
        checkbox_label_text_color_dark=TEXT,
        slider_color_dark=TEXT,
        error_text_color_dark="var(--bad)",
    )
    # The same tokens for both modes: the CSS variables change with the mode.
    for token, value in list(vars(look).items()):
        if token.endswith("_dark") and value is not None:
            setattr(look, token.removesuffix("_dark"), value)
    return look


def head(setup: dict) -> str:
    """Inline style and scripts for the page's <head>, so that the page requests only covers.

    `setup` is passed to the scripts: see `app.browser_setup`.
    """
    style, *scripts = ((STATIC / name).read_text(encoding="utf-8") for name in ("style.css", "page.js", "present.js"))
    known = json.dumps(setup).replace("<", "\\u003c")
    return f"<style>{stylesheet()}{style}</style><script>{scripts[0]}; albumGan.setup = {known}; {scripts[1]}</script>"


def lesson_page(name: str) -> str:
    """A standalone page of the Learn tab, static/learn/NAME, with the shared stylesheet inlined."""
    return (STATIC / "learn" / name).read_text(encoding="utf-8").replace("{{style}}", stylesheet())
