"""The app in other languages: nothing that a visitor reads is missing from the catalogs."""

import ast
import re
from pathlib import Path

import pytest
from gradio.context import LocalContext
from gradio.route_utils import Request

import app
import toonify
from tests.fixtures.odd_inputs import make_odd_inputs
from toonify import hub, images
from toonify.hub import catalog, labels
from toonify.ui import i18n, inputs, text
from toonify.ui.tabs import about
from training.prepare.heads import attributes, training_set

ROOT = Path(app.__file__).parent
LANGUAGES = ("de", "es", "fr", "zh")
NEUTRAL = re.compile(r"[\d\W]*(px|MP4|GIF|WebP)?|<p role='alert'></p>")  # the same in all
# Calls whose texts visitors read. The library's own sentences are translated as complete ones.
SHOWN = {"gettext", "ngettext", "show_info", "show_warning", "UserError", "Refusal", "Stopped"}
LIBRARY = {"ImageError", "VideoError", "clock"}
LIBRARY_FILES = ("images/io.py", "images/formats.py", "video/decoding.py", "video/animations.py")
LIBRARY_FILES += ("pipelines/animegan.py", "pipelines/stylegan.py")
# Of files as the library writes them, never of the app's; and names of steps beside their texts.
NOT_SHOWN = {
    *("The file is open as text; expected one opened in binary mode.",),
    "{} was given; expected {}: a path, its bytes or an image.",
    *("load", "detect", "draw", "faces", "blend", "engine", "invert {}", "draw {}"),
}


@pytest.fixture
def asked_in():
    """Sets the language of the request that is handled."""
    tokens = []

    def ask(header):
        request = Request(headers={"accept-language": header})
        tokens.append(LocalContext.request.set(request))

    yield ask
    for token in reversed(tokens):
        LocalContext.request.reset(token)


def find_fields(message):
    return sorted(re.findall(r"\{(\w+)\}", message))


def test_catalogs_have_the_same_texts_with_the_same_names_in_braces():
    assert set(i18n.CATALOG) == set(LANGUAGES)
    for language in LANGUAGES:
        assert list(i18n.CATALOG[language]) == sorted(i18n.CATALOG["de"]), language
        for english, translation in i18n.CATALOG[language].items():
            extra = set(find_fields(translation)) - set(find_fields(english))
            assert not extra and translation.strip(), (language, english)
            assert "}" not in re.sub(r"\{\w+\}", "", english), english  # ends gradio's mark


def read_texts(component):
    """What a visitor reads of a component, as gradio's page gets it."""
    props = component["props"]
    texts = [props.get(name) for name in i18n.PROPERTIES]
    texts += [props.get("value")] * (component["type"] in i18n.TEXTS)
    texts += [shown for shown, _ in props.get("choices") or ()]
    return [text for text in texts if text]


def test_every_text_of_the_page_is_translated_by_gradio():
    config = app.demo.get_config_file()
    marked = r'__i18n__\{"__type__": "translation_metadata", "key": "(.+)"\}'
    texts = {text for component in config["components"] for text in read_texts(component)}
    untranslated = [
        text
        for text in texts
        if not re.fullmatch(marked, str(text)) and not NEUTRAL.fullmatch(str(text))
    ]
    assert len(texts) > 100
    assert untranslated == []
    keys = set(config["i18n_translations"]["de"])
    for language in LANGUAGES:
        assert set(config["i18n_translations"][language]) == keys
    assert text.MARK in keys and "Create cartoon" in keys


def test_the_tab_about_names_licenses_limits_and_the_version():
    styles = [
        hub.Style("film", "Film", license="Apache-2.0"),
        hub.Style("x", "<b>X", license="MIT"),
    ]
    shown = about.describe(styles)
    for words in ("Film: Apache-2.0", "&lt;b>X: MIT", toonify.__version__, "NOTICE", text.PRIVACY):
        assert words in shown
    with i18n.use_language("fr"):
        translated = about.describe(styles)
    lines = {line for line in shown.splitlines() if line} & set(translated.splitlines())
    assert lines == {
        "- &lt;b>X: MIT",
        "- Film: Apache-2.0",
        f"Toonify {toonify.__version__}",
        "### Version",
    }


def test_a_text_that_is_not_in_the_catalogs_is_found():
    component = {"type": "button", "props": {"value": "Brand new", "label": "Style"}}
    i18n.mark_config({"components": [component]})
    assert component["props"]["value"] == "Brand new"
    assert component["props"]["label"].startswith("__i18n__")


def find_messages(files, functions):
    """The texts with which functions are called, {} for what is put into them."""
    for file in files:
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            if ast.unparse(call.func).rpartition(".")[2] in functions:
                for argument in call.args:
                    yield from find_shapes(argument)


def find_shapes(node):
    if isinstance(node, ast.IfExp):
        yield from find_shapes(node.body)
        yield from find_shapes(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.sub(r"\{\w+\}", "{}", node.value)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(
            part.value if isinstance(part, ast.Constant) else "{}" for part in node.values
        )


def is_known(shape, known):
    """Whether a text is this one, up to what stands in braces: of two values, one may be in it."""
    return any(
        re.fullmatch(re.escape(one).replace(r"\{\}", ".*"), other)
        for text in known
        for one, other in ((shape, text), (text, shape))
    )


def test_every_message_is_in_the_catalogs():
    package = ROOT / "toonify"
    said = set(find_messages([*package.glob("ui/**/*.py"), ROOT / "app.py"], SHOWN))
    said |= set(find_messages([package / name for name in LIBRARY_FILES], LIBRARY))
    known = {re.sub(r"\{\w+\}", "{}", english) for english in i18n.CATALOG["de"]}
    missing = [shape for shape in said - NOT_SHOWN if not is_known(shape, known)]
    assert len(said) > 100
    assert missing == []


def test_titles_and_descriptions_of_bundled_styles_are_translated():
    styles = [*catalog.styles(), *catalog.styles("stylegan")]
    assert len(styles) >= 6
    for style in styles:
        for words in (style.title, style.description):
            assert words in i18n.CATALOG["zh"], words


def test_the_language_is_that_of_the_browser_if_there_is_a_catalog():
    choose = i18n.choose_language
    assert [choose(first) for first in ("de", "de-AT,en;q=0.9", "fr;q=1", "es-MX, de")] == [
        *("de", "de", "fr", "es"),
    ]
    assert [choose(first) for first in ("zh-CN,zh;q=0.9", "zh-TW", "zh")] == ["zh", "zh", "en"]
    assert [choose(first) for first in (None, "", "*", "pt-BR,es", "e n", "en-US")] == ["en"] * 6


def test_handlers_speak_the_language_of_the_request(asked_in):
    assert text.describe_result(1.25, (640, 480)) == "Done in 1.2 s · 640 × 480 px"
    asked_in("de-DE,de;q=0.9,en;q=0.8")
    assert text.describe_result(1.25, (640, 480)) == "Fertig in 1.2 s · 640 × 480 px"
    assert text.describe_faces(1, 1) == "1 Gesicht gefunden, davon 1 einzeln gezeichnet"
    assert text.describe_faces(2, 0) == "2 Gesichter gefunden"
    error = inputs.UserError("Pick a face first.")
    assert (error.message, error.title) == ("Wähle zuerst ein Gesicht.", "Fehler")
    with pytest.raises(inputs.UserError) as refused:
        inputs.check_number("Strength", 2, 0, 1)
    assert refused.value.message == "Stärke: die Zahl ist größer als 1."  # codespell:ignore ist,als


def test_sentences_of_the_library_are_translated_with_what_is_in_them(asked_in, tmp_path):
    asked_in("fr")
    for name, path in make_odd_inputs(tmp_path).items():
        try:
            images.load(str(path))
        except images.ImageError as error:
            translated = i18n.translate(str(error))
            assert translated != str(error) and "expected" not in translated, name
    assert i18n.translate("Drawing 3 faces") == "Dessin de 3 visages"
    assert i18n.translate("what nobody has translated") == "what nobody has translated"


def test_words_of_3d_heads_are_translated():
    tables = [table for name, table in vars(attributes).items() if name.isupper()]
    words = {word for table in tables if isinstance(table, dict) for word in table}
    words |= {*training_set.CLASSES, *training_set.NUMBERS, "tone", "yes", "no"}
    names = {labels.format_name(word) for word in words if isinstance(word, str)}
    assert len(names) > 90
    for language in LANGUAGES:
        assert names <= set(i18n.CATALOG[language]), language


def test_names_of_attributes_and_directions_are_translated():
    names = [*hub.directions().values(), *hub.directions(hub.DEFAULT_FACES).values()]
    assert names and set(names) <= set(i18n.CATALOG["es"])
    menus = [hub.read_style(hub.BUNDLED / it.name) for it in catalog.styles("toongan")]
    assert {style.title for style in menus} <= set(i18n.CATALOG["es"])
    with i18n.use_language("es"):
        assert text.format_name("tone12") == "Tono 12"
        assert text.format_name("longStraight") == "Largo liso"
        assert text.format_name("#a55728") == "Marrón #a55728"
