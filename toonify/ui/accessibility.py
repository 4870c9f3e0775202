"""What gradio's page lacks for people who use a keyboard or a screen reader."""

from toonify.ui import i18n

# Gradio names empty places and buttons in other words than those that they show, or not at all.
# Names and texts of images are mended whenever the page changes.
NAME_ELEMENTS = f"""() => {{
const texts = {i18n.for_script("Example", "Original", "Cartoon")};
const all = (selector) => document.querySelectorAll(selector);
const name = (element, attribute, value) => {{
    if (element.getAttribute(attribute) !== value) element.setAttribute(attribute, value) }};
const mend = () => {{
    waits = false;
    for (const empty of all('.empty[aria-label]')) empty.removeAttribute('aria-label');
    for (const button of all('button:is(.thumbnail-item, [aria-dropeffect])[aria-label]'))
        if (button.textContent.trim()) button.removeAttribute('aria-label');
    for (const gallery of all('.gallery'))
        gallery.querySelectorAll('button.gallery-item').forEach((button, index) =>
            name(button, 'aria-label', `${{texts.Example}} ${{index + 1}}`));
    for (const result of all('#compare, #portrait-compare')) {{
        const [before, after] = result.querySelectorAll('img');
        if (after) {{ name(before, 'alt', texts.Original); name(after, 'alt', texts.Cartoon) }} }}
    for (const image of all('.block img:not([alt]), .block img[alt=""]'))
        name(image, 'alt', image.closest('.block').querySelector('label')?.innerText.trim() ?? '');
}};
let waits = false;
const plan = () => {{ if (!waits) {{ waits = true; requestAnimationFrame(mend) }} }};
new MutationObserver(plan).observe(document.body,
    {{childList: true, subtree: true, attributeFilter: ['aria-label', 'alt', 'src']}});
plan();
}}"""
CSS = """
:focus-visible { outline: 3px solid #1d4ed8 !important; outline-offset: 2px; }
.dark :focus-visible { outline-color: #93c5fd !important; }
@media (prefers-reduced-motion: reduce) {
  *, ::before, ::after { animation-duration: 1ms !important; animation-iteration-count: 1 !important;
    transition-duration: 1ms !important; scroll-behavior: auto !important; } }
"""
