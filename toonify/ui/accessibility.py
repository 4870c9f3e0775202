"""What gradio's page lacks for people who use a keyboard or a screen reader."""

from toonify.ui import i18n

WEBCAM = "Click to Access Webcam"  # gradio says it in English alone
# Gradio names empty places and buttons in other words than those that they show, or not at all.
# Names and texts of images are mended whenever the page changes.
NAME_ELEMENTS = f"""() => {{
const texts = {i18n.for_script("Example", "Original", "Cartoon", "Before and after", WEBCAM)};
const all = (selector) => document.querySelectorAll(selector);
const name = (element, attribute, value) => {{
    if (element.getAttribute(attribute) !== value) element.setAttribute(attribute, value) }};
// Gradio's line between before and after follows the mouse alone.
const move = (event) => {{
    const step = {{ArrowLeft: -0.05, ArrowRight: 0.05, Home: -1, End: 1}}[event.key];
    if (!step) return;
    event.preventDefault();
    const line = event.currentTarget, frame = line.parentElement.getBoundingClientRect();
    const place = () => {{
        const box = line.getBoundingClientRect();
        return {{x: box.left + box.width / 2, y: box.top + box.height / 2}} }};
    const {{x, y}} = place();
    const send = (target, type, clientX) => target.dispatchEvent(
        new MouseEvent(type, {{view: window, bubbles: true, clientX, clientY: y}}));
    send(line, 'mousedown', x);
    send(window, 'mousemove', x + step * frame.width);
    send(window, 'mouseup', x + step * frame.width);
    requestAnimationFrame(() => line.setAttribute('aria-valuenow',
        Math.round(100 * (place().x - frame.left) / frame.width)));
}};
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
    for (const line of all(
        ':is(#compare, #portrait-compare) [data-testid=slider]:not([tabindex])')) {{
        Object.entries({{role: 'slider', tabindex: 0, 'aria-label': texts['Before and after'],
            'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-valuenow': 50}}).forEach(
            ([key, value]) => line.setAttribute(key, value));
        line.addEventListener('keydown', move) }}
    for (const part of all('button, button *'))
        for (const text of part.childNodes)
            if (text.nodeType === Node.TEXT_NODE && text.nodeValue.trim() === '{WEBCAM}'
                && texts['{WEBCAM}'] !== '{WEBCAM}')
                text.nodeValue = ` ${{texts['{WEBCAM}']}}`;
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
  *, ::before, ::after { scroll-behavior: auto !important; transition-duration: 1ms !important;
    animation-duration: 1ms !important; animation-iteration-count: 1 !important; } }
"""
