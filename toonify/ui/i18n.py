"""The app's words in the visitor's language. A catalog for each language has them, by the English.

The browser translates what stands on the page, through gradio's own `I18n`: `mark_config` marks it.
What a handler returns or raises is translated here, for the language of its request. The texts in
the catalogs are plain or have names in braces: "{count} faces".
"""

import contextlib
import contextvars
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import LocalContext

FOLDER = Path(__file__).parent / "locales"
CATALOG: dict[str, dict[str, str]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted(FOLDER.glob("*.json"))
}
ENGLISH = "en"
CHINESE = ("zh-CN", "zh-TW")  # what gradio has; its page is English for other kinds
# Properties of components that gradio translates, and those whose value is text of the page.
PROPERTIES = ("label", "info", "placeholder", "title")
TEXTS = ("button", "html", "markdown")

_chosen: contextvars.ContextVar[str | None] = contextvars.ContextVar("language", default=None)
# Texts of the page that are put together when it is built: language -> English -> translation.
_page: dict[str, dict[str, str]] = {language: {} for language in CATALOG}


def choose_language(accepted: str | None) -> str:
    """Return the language that gradio's page has for a browser.

    Args:
        accepted: its Accept-Language header, the visitor's first language first.

    Returns:
        The name of a catalog, or "en".
    """
    first = re.split("[,;]", accepted or "")[0].strip()
    base = first.split("-")[0].lower()
    known = first in CHINESE if base == "zh" else base in CATALOG
    return base if known else ENGLISH


def get_language() -> str:
    """Return the language of the request that is being handled; "en" outside of requests."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    request = LocalContext.request.get(None)
    headers = getattr(request, "headers", None)
    return choose_language(headers.get("accept-language") if headers else None)


@contextlib.contextmanager
def use_language(language: str) -> Iterator[None]:
    """Translate into this language, whatever the request says, as long as the context lasts."""
    token = _chosen.set(language)
    try:
        yield
    finally:
        _chosen.reset(token)


def gettext(message: str, **values: Any) -> str:
    """Translate a text of the catalogs.

    Args:
        message: the English text.
        values: what stands in place of its names in braces.

    Returns:
        The text in the language of the request; in English if the catalog lacks it.
    """
    found = CATALOG.get(get_language(), {}).get(message, message)
    return found.format(**values) if values else found


def ngettext(one: str, many: str, count: int, **values: Any) -> str:
    """Do the same for a text that depends on a number: `many`, or `one` if `count` is 1."""
    return gettext(one if count == 1 else many, count=count, **values)


def translate(sentence: str) -> str:
    """Translate a complete sentence, such as that of an error: names in braces are filled already.

    Args:
        sentence: in English.

    Returns:
        The sentence in the language of the request, as it is if no catalog has it.
    """
    if get_language() == ENGLISH:
        return sentence
    exact = gettext(sentence)
    if exact != sentence:
        return exact
    for message, pattern in compile_patterns():
        if found := pattern.fullmatch(sentence):
            return gettext(message, **{k: translate(v) for k, v in found.groupdict().items()})
    return sentence


@functools.cache
def compile_patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Return the texts that have names in braces, the longest first, as regular expressions."""
    texts = {text for catalog in CATALOG.values() for text in catalog if "{" in text}
    return [(text, compile_pattern(text)) for text in sorted(texts, key=len, reverse=True)]


def compile_pattern(text: str) -> re.Pattern[str]:
    """Return the regular expression of a text with names in braces, which become its groups."""
    parts = re.split(r"\{(\w+)\}", text)
    groups = (f"(?P<{part}>.+)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
    return re.compile("".join(groups), re.DOTALL)


def for_page(make: Callable[[], str]) -> str:
    """Put a text of the page together in all languages.

    Args:
        make: makes it, by `gettext`.

    Returns:
        The English text.
    """
    with use_language(ENGLISH):
        english = make()
    for language, texts in _page.items():
        with use_language(language):
            texts[english] = make()
    return english


def mark_config(config: Any) -> gr.I18n:
    """Mark the texts of a page's configuration for translation by the browser.

    Args:
        config: gradio's, of which components are changed.

    Returns:
        The translations of the marked texts.
    """
    known = {language: CATALOG[language] | _page[language] for language in CATALOG}
    texts = set().union(*known.values())
    used: set[str] = set()

    def mark(value: Any) -> Any:
        if not isinstance(value, str) or value not in texts:
            return value
        used.add(value)
        return str(gr.i18n.I18nData(value))

    for component in config["components"]:
        props = component["props"]
        props |= {name: mark(props[name]) for name in PROPERTIES if name in props}
        if component["type"] in TEXTS:
            props["value"] = mark(props.get("value"))
        if props.get("choices"):
            props["choices"] = [(mark(shown), value) for shown, value in props["choices"]]
    return gr.I18n(**{name: select(catalog, used) for name, catalog in known.items()})


def select(catalog: Mapping[str, str], texts: set[str]) -> dict[str, str]:
    """Return the part of a catalog that has these texts."""
    return {text: catalog[text] for text in sorted(texts) if text in catalog}


def for_script(*texts: str) -> str:
    """Return JavaScript, an expression: an object with the texts in the page's language, by the
    English."""
    catalog = {ENGLISH: {text: text for text in texts}}
    catalog |= {language: select(known, set(texts)) for language, known in CATALOG.items()}
    known = json.dumps(catalog).replace("<", "\\u003c")
    return f"((all) => all[document.documentElement.lang.split('-')[0]] ?? all.en)({known})"


def show_info(message: str) -> None:
    """Show the visitor a message, translated."""
    gr.Info(translate(message), title=gettext("Info"))


def show_warning(message: str) -> None:
    """Show the visitor a warning, translated."""
    gr.Warning(translate(message), title=gettext("Warning"))
