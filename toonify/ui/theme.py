"""The comic look: colors, theme and style sheet."""

import gradio as gr

from toonify.ui.i18n import gettext

INK, YELLOW, PAPER, NIGHT = "#1d1a2b", "#ffcf3f", "#fff9ec", "#17141f"
FONT = ["ui-rounded", "SF Pro Rounded", "Nunito", "Segoe UI", "system-ui", "sans-serif"]
THEME = gr.themes.Base(
    primary_hue="amber", neutral_hue="stone", radius_size="lg", font=FONT, font_mono=["monospace"]
).set(
    body_background_fill=PAPER,
    body_background_fill_dark=NIGHT,
    body_text_color_subdued="#57534e",
    block_border_width="2px",
    block_border_color=INK,
    block_border_color_dark="#4c465e",
    block_background_fill_dark="#231f2f",
    block_label_background_fill_dark="#231f2f",
    block_radius="14px",
    container_radius="14px",
    button_large_radius="14px",
    button_border_width="2px",
    button_primary_border_color=INK,
    button_primary_border_color_hover=INK,
    button_primary_border_color_dark=INK,
    button_primary_border_color_hover_dark=INK,
    button_primary_background_fill=YELLOW,
    button_primary_background_fill_hover="#ffdd75",
    button_primary_background_fill_dark=YELLOW,
    button_primary_background_fill_hover_dark="#ffdd75",
    button_primary_text_color=INK,
    button_primary_text_color_dark=INK,
    button_secondary_background_fill="white",
    button_secondary_border_color=INK,
    slider_color="#f0584c",
    slider_color_dark="#f0584c",
)
CSS = """
/* The comic look: ink lines, halftone dots, hard shadows. Colors as in the theme above. */
.app { padding: 12px clamp(12px, 3vw, 32px) !important; }
.gradio-container { width: 100%; max-width: 1160px !important; margin: 0 auto !important;
  --dot: #ffcf3f66; }
.dark .gradio-container, .gradio-container.dark { --dot: #ffcf3f1c; }
#header { padding: 14px 4px 10px;
  background: radial-gradient(var(--dot) 2px, transparent 2.5px) 0 0/16px 16px; }
#header h1 { font-size: 3rem; font-weight: 900; line-height: 1; letter-spacing: -.03em;
  color: #ffcf3f; -webkit-text-stroke: 7px #1d1a2b; paint-order: stroke fill; }
#header p { display: inline-block; margin: 10px 0 0; padding: 3px 14px;
  font-size: .95rem; font-weight: 600;
  color: #1d1a2b; background: #fff; border: 2px solid #1d1a2b; border-radius: 14px 14px 14px 2px; }
:is(#examples, #portrait-examples, #twin-examples) .gallery {
  display: grid; grid-template-columns: repeat(6, 1fr); }
:is(#examples, #portrait-examples, #twin-examples) .gallery :is(button, span, div, img) {
  display: block; width: 100%; height: auto; max-width: none; max-height: none; aspect-ratio: 1; }
:is(#settings, #video-settings, #live-settings, #portrait-settings, #new-settings, #random-person) {
  border: 0; }
:is(#settings, #video-settings, #live-settings, #portrait-settings, #new-settings, #random-person)
  > .styler {
  border: 2px solid var(--block-border-color); border-radius: 14px; }
:is(#draw, #download, #video-draw, #video-download, #portrait-draw, #portrait-download, #npz,
    #new-draw, #new-download, #sticker, #many-draw, #many-download) {
  box-shadow: 3px 3px 0 #1d1a2b; }
:is(#draw, #download, #video-draw, #video-download, #portrait-draw, #portrait-download, #npz,
    #new-draw, #new-download, #sticker, #many-draw, #many-download):active {
  transform: translate(3px, 3px); box-shadow: none; }
:is(#compare, #portrait-compare) .empty { min-height: min(380px, 80vw); }
:is(#about, #video-about, #live-about, #portrait-about) {
  padding: 0 12px 8px; background: var(--block-background-fill); }
:is(#report, #previews-report, #privacy, #video-limits, #video-report, #video-privacy,
    #live-report, #live-privacy,
    #portrait-report, #portrait-privacy) { padding: 0 4px; }
#video-limits { font-size: .9rem; opacity: .8; }
#tabs [role=tab] { font-weight: 700; color: var(--body-text-color); }
#tabs [role=tab][aria-selected=true] { background: #ffcf3f; color: #1d1a2b;
  border: 2px solid #1d1a2b; border-bottom: 0; border-radius: 14px 14px 0 0; }
#tabs [role=tab]::after { display: none; }
/* No tab hides in gradio's menu: it measures a copy of the row, whose buttons have no role. Where
   they do not fit beside each other, they wrap. */
#tabs .tab-container button:not([role=tab]) { width: 0; padding: 0; font-size: 0; }
@media (max-width: 700px) {
  #tabs .tab-wrapper, #tabs [role=tablist] { height: auto; }
  #tabs [role=tablist] { flex-wrap: wrap; gap: 4px; overflow: visible; padding-bottom: 4px; }
  #tabs [role=tablist]::after { display: none; }
  #tabs [role=tab] { height: 34px; padding: 0 10px; font-size: .875rem;
    border: 2px solid var(--block-border-color); border-radius: 17px; }
  #tabs [role=tab][aria-selected=true] { border: 2px solid #1d1a2b; border-radius: 17px; } }
:is(#options, #video-options, #likeness, #edits, #moves, #loop, #mix) .form {
  border: 0; background: none; }
:is(#edits, #moves) .form {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); }
:is(#strip, #crowd, #favorites) .grid-wrap { min-height: 0; height: auto; }
:is(#crowd, #favorites) .grid-container {
  grid-template-columns: repeat(4, minmax(0, 1fr));
  grid-template-rows: none; grid-auto-rows: auto; }
:is(#crowd, #favorites) :is(.gallery-item, .thumbnail-item) {
  width: 100%; height: auto; aspect-ratio: 1; }
:is(#crowd, #favorites) .caption-label {
  padding: 0 4px; font-size: 10px; line-height: 1.4; } /* otherwise it covers the mouth */
:is(#crowd, #favorites) .grid-wrap { padding-top: 32px; } /* otherwise the label covers a head */
#previews .grid-wrap { min-height: 0; height: auto; max-height: none; overflow: visible;
  padding-top: 32px; }
#previews .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr));
  grid-template-rows: none; grid-auto-rows: auto; }
#many-results .grid-wrap { min-height: 0; height: auto; max-height: none; padding-top: 32px; }
#many-results .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr));
  grid-template-rows: none; grid-auto-rows: auto; }
#many-results :is(.gallery-item, .thumbnail-item) { width: 100%; height: auto; aspect-ratio: 1; }
#previews :is(.gallery-item, .thumbnail-item) { width: 100%; height: auto; aspect-ratio: 1; }
#previews .caption-label { font-weight: 700; }
#previews-row { align-items: center; flex-wrap: nowrap; min-height: 34px; }
#previews-stop { flex: 0 0 auto; }
/* Small images, shown large. */
:is(#new-face, #shapes, #colors, #loop-animation) .image-frame { width: min(100%, 384px); }
:is(#new-face, #shapes, #colors, #loop-animation) img {
  width: 100%; height: auto; aspect-ratio: 1; object-fit: contain; }
#video-source video { max-height: 240px; }
/* Small images, shown large; and the page does not jump when the camera starts or stops. */
#live-toon :is(.image-container, .image-frame, img) { width: 100%; }
#live-toon :is(img, .empty) { aspect-ratio: 4/3; height: auto; object-fit: contain; }
#live-camera-place { min-height: 300px; }
@media (max-width: 700px) { /* The cartoon right below the camera, and settings last. */
  #live-left { display: contents; }
  #live-left > * { flex: 1 1 100%; }
  #live-settings { order: 1; } }
#people .grid-wrap { min-height: 0; height: auto; padding-top: 32px; }
#people .grid-container { grid-template-columns: repeat(auto-fill, minmax(84px, 1fr));
  grid-template-rows: none; grid-auto-rows: auto; }
#people :is(.gallery-item, .thumbnail-item) { width: 100%; height: auto; aspect-ratio: 1; }
#people .caption-label { padding: 0 4px; font-size: 11px; line-height: 1.4; }
@media (max-width: 700px) {
  #header { padding: 6px 4px; }
  #header h1 { font-size: 2.2rem; } }
@media (max-width: 700px) { /* The large drawing above the fold: right below a smaller photo. */
  :is(#photo-left, #photo-right) { display: contents; }
  :is(#photo-left, #photo-right) > * { flex: 1 1 100%; order: 4; }
  #photo-row #photo { order: 0; }
  #photo-row #examples { order: 1; }
  #photo-row :is(#compare, #report, #downloads) { order: 2; }
  #photo-row :is(#found, #previews, #previews-row, #styles-sheet, .form:has(#background)) {
    order: 3; }
  #previews .caption-label { padding: 0 4px; font-size: 11px; line-height: 1.5; }
  #photo-row :is(#comparison, #privacy) { order: 5; }
  #photo-row:has(#photo img) #photo { height: 150px !important; }
  #photo-row:has(#photo img) #examples { order: 6; }
  #photo-row #compare:has(.empty) { order: 5; } }
.camera-error { padding: 0 4px; color: #c2321f; font-weight: 600; }
.dark .camera-error { color: #ff8d80; }
.camera-error:has(p:empty) { display: none; }
#blend label { padding: 4px 8px; }
footer .divider { display: none; }
"""


def make_header() -> str:
    """Return the HTML of the page's head."""
    return f"<h1>Toonify</h1><p>{gettext('Turn your portrait into a cartoon.')}</p>"
