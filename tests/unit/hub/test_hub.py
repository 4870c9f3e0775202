"""Styles from folders, the bundle and the Hub: strict, and with words that help when it fails."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from toonify import hub
from toonify.models import MODELS, AnimeGANGenerator

HALF, FULL = hub.WEIGHTS


@pytest.fixture
def style(tmp_path, make_style):
    """A toy style that the test may spoil."""
    return make_style(tmp_path / "mine")


@pytest.fixture
def bundle(tmp_path, make_style, use_bundled):
    """Two bundled styles."""
    use_bundled(tmp_path / "weights")
    make_style(tmp_path / "weights" / "another")
    make_style(tmp_path / "weights" / hub.DEFAULT_STYLE)
    return tmp_path / "weights"


# Where a style lies ---------------------------------------------------------------------------


def test_folder_is_found_by_its_path(style, monkeypatch):
    assert hub.resolve_model(style) == style
    assert hub.resolve_model(str(style)) == style
    monkeypatch.chdir(style.parent)
    assert hub.resolve_model("mine").resolve() == style


def test_bundled_style_is_found_by_its_name(bundle):
    assert hub.resolve_model("another") == bundle / "another"
    style = hub.read_style(bundle / "another", "another")
    assert (style.name, style.title, style.source) == ("another", "Toy", "bundled")
    assert style.eye_distance == (30.0, 110.0)


def test_styles_begin_with_the_default(bundle):
    assert [style.name for style in hub.styles()] == [hub.DEFAULT_STYLE, "another"]


def test_families_are_listed_apart(bundle):
    """What draws photos, what draws faces through w, and the parts of the latter."""
    family = {"a": "stylegan", "b": "stylegan-base", "c": "stylegan-encoder"}
    for name, kind in family.items():
        shutil.copytree(bundle / "another", bundle / name)
        said = json.loads((bundle / name / "style.json").read_text())
        (bundle / name / "style.json").write_text(json.dumps(said | {"family": kind}))
    assert {"a", "b", "c"}.isdisjoint(style.name for style in hub.styles())
    assert [style.name for style in hub.styles("stylegan")] == ["a"]
    (bundle / "a" / "style.json").write_text('{"family": "biggan"}')
    with pytest.warns(UserWarning, match=r"family is 'biggan', expected one of animegan, stylegan"):
        assert hub.styles("stylegan") == []


def test_every_bundled_style_loads():
    """The ones that are really in the package."""
    for style in (*hub.styles(), *hub.styles("stylegan")):
        if style.source == "bundled":
            folder = hub.resolve_model(style.name)
            assert hub.load_model(folder, MODELS).training is False
            assert (folder / "README.md").is_file()
            assert style.license != "unknown"


@pytest.mark.parametrize(
    "source, words",
    [
        ("anothr", "did you mean 'another'"),
        ("nothing like it", "expected a folder, owner/name on the Hub, or one of film, another"),
        ("", "expected a folder"),
        ("./nowhere", "it does not exist"),
        ("/tmp", "found no config.json"),
        ("../weights", "expected a folder"),
        ("a/b/c", "expected a folder"),
        ("owner/..repo", "not a valid repository ID"),
    ],
)
def test_an_invalid_source_is_a_value_error(bundle, source, words):
    with pytest.raises(ValueError, match="style=") as error:
        hub.resolve_model(source)
    assert words in str(error.value)


def test_revision_needs_a_hub_style(style):
    with pytest.raises(ValueError, match="revision='v2'"):
        hub.resolve_model(style, revision="v2")


def test_folder_without_safetensors_is_refused(style):
    """A pickle beside it changes nothing."""
    (style / HALF).rename(style / "diffusion_pytorch_model.bin")
    with pytest.raises(ValueError, match="found neither"):
        hub.resolve_model(style)


# The network in it ----------------------------------------------------------------------------


def test_half_precision_file_becomes_a_float32_network(style):
    network = hub.load_model(style, MODELS)
    assert type(network) is AnimeGANGenerator and not network.training
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    saved = load_file(style / HALF)
    assert {value.dtype for value in saved.values()} == {torch.float16}
    for key, value in network.state_dict().items():
        assert torch.equal(value, saved[key].float())


def test_loaded_network_draws_what_the_saved_one_drew(tmp_path):
    torch.manual_seed(2)
    network = AnimeGANGenerator(width=4, depth=2, norm_eps=1e-3).eval()
    network.save_pretrained(tmp_path)
    batch = torch.rand(1, 3, 32, 32)
    again = hub.load_model(tmp_path, MODELS)
    assert again.config.norm_eps == 1e-3
    with torch.inference_mode():
        assert torch.equal(network(batch), again(batch))


def spoil(style, change):
    """Rewrites the weights after change(tensors)."""
    tensors = load_file(style / HALF)
    change(tensors)
    save_file({key: value.contiguous() for key, value in tensors.items()}, style / HALF)


KEY = "block_a.0.1.weight"


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda t: t.pop(KEY), f"missing: {KEY}"),
        (lambda t: t.update(extra=torch.zeros(1)), "unexpected: extra"),
        (lambda t: t.update({KEY: torch.zeros(4, 3, 3, 3)}), f"{KEY} is (4, 3, 3, 3) instead of"),
        (lambda t: t[KEY].view(-1)[:1].fill_(float("nan")), f"{KEY} holds values that are not"),
    ],
)
def test_weights_that_do_not_fit_are_named(style, change, words):
    spoil(style, change)
    with pytest.raises(ValueError, match=HALF) as error:
        hub.load_model(style, MODELS)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"_class_name": "DinoGenerator"}, "_class_name is 'DinoGenerator', expected one of"),
        ({"_class_name": None}, "_class_name is None"),
        ({"_class_name": {}}, "_class_name is {}"),
        ({"shiny": 1}, "no setting 'shiny'; the model needs another version of Toonify"),
        ({"tail": 6}, "no setting 'tail'"),  # of an older version; 0 changed nothing
        ({"width": "wide"}, "invalid for AnimeGANGenerator"),
        ({"width": 2048}, "instead of (2048, 3, 7, 7)"),
        ({"depth": 2**63}, f"depth is {2**63}, expected numbers up to 4096"),
        ({"upsample": "nearest"}, "upsample='nearest'"),
    ],
)
def test_settings_that_do_not_fit_are_named(style, change, words):
    config = json.loads((style / hub.CONFIG).read_text())
    (style / hub.CONFIG).write_text(json.dumps({**config, **change}))
    with pytest.raises(ValueError) as error:
        hub.load_model(style, MODELS)
    assert words in str(error.value)
    (style / hub.CONFIG).write_text(json.dumps({**config, "tail": 0}))  # it changes nothing
    hub.load_model(style, MODELS)


def test_damaged_files_are_named(style):
    whole = (style / HALF).read_bytes()
    (style / HALF).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        hub.load_model(style, MODELS)
    (style / hub.CONFIG).write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        hub.load_model(style, MODELS)


HAIR = {"hair": ["black", "dyed"]}


@pytest.mark.parametrize(
    "said",
    [
        *(
            {"scope": "hands"},
            {"title": 3},
            {"hair": "wig"},
            {"hair": True},
            {"short_side": 20},
            {"short_side": "large"},
            [],
        ),
        *({"eye_distance": value} for value in ([110, 30], 30, [True, "x"])),
        *({"attributes": value} for value in (["mouth"], {"mouth": "laugh"}, {"mouth": ["laugh"]})),
        *({"attributes": {"mouth": values}} for values in (["laugh", "laugh"], ["laugh", 2])),
        *({"attributes": HAIR, "colors": value} for value in (["hair"], {"hair": "#000000"})),
        {"attributes": HAIR, "colors": {"hair": {"red": "#ff0000"}}},
        {"attributes": HAIR, "colors": {"hair": {"black": "black"}}},
        {"colors": {"hair": {"black": "#000000"}}},
        *({"attributes": HAIR, "hidden_attributes": value} for value in ("hair", ["hat"], [["a"]])),
    ],
)
def test_style_json_is_checked(style, said):
    (style / hub.STYLE).write_text(json.dumps(said))
    with pytest.raises(ValueError, match=r"style\.json"):
        hub.read_style(style)


def test_attributes_may_have_colors(style):
    said = {"attributes": HAIR, "colors": {"hair": {"black": "#221a17"}}}
    (style / hub.STYLE).write_text(json.dumps(said))
    assert hub.read_style(style).colors == {"hair": {"black": "#221a17"}}


def test_menus_leave_hidden_attributes_out(style):
    said = {"attributes": HAIR | {"freckles": ["no", "yes"]}, "hidden_attributes": ["freckles"]}
    (style / hub.STYLE).write_text(json.dumps(said))
    found = hub.read_style(style)
    assert list(found.attributes) == ["hair", "freckles"]  # the network has them all
    assert list(found.offered_attributes) == ["hair"]


def test_style_json_may_be_missing_or_newer(style):
    (style / hub.STYLE).write_text(json.dumps({"title": "T", "brush": "wide"}))
    assert hub.read_style(style).title == "T"
    (style / hub.STYLE).unlink()
    assert hub.read_style(style).title == "mine"


def test_old_keys_of_style_json_are_read_with_a_warning(style):
    old = {"licence": "MIT", "attributes": {"hair_colour": ["#000000", "#ffffff"]}}
    (style / hub.STYLE).write_text(json.dumps(old))
    with pytest.warns(DeprecationWarning) as warned:
        found = hub.read_style(style)
    assert (found.license, list(found.attributes)) == ("MIT", ["hair_color"])
    said = [str(w.message) for w in warned if "is now called" in str(w.message)]
    assert [text.partition("the ")[2] for text in said] == [
        "key 'licence' is now called 'license'",
        "attribute 'hair_colour' is now called 'hair_color'",
    ]


def test_fingerprint_follows_the_content(style):
    files = (style / hub.CONFIG, style / HALF)
    before = hub.fingerprint(*files)
    assert hub.fingerprint(*files) == before
    spoil(style, lambda tensors: tensors[KEY].view(-1)[:1].add_(0.5))
    assert hub.fingerprint(*files) != before


# The Hub, through the real client --------------------------------------------------------------

CLIENT = """
import json, sys, time
from toonify import hub
answers = []
for source, revision in json.load(sys.stdin):
    start = time.perf_counter()
    try:
        folder = hub.resolve_model(source, revision)
        answer = {"folder": str(folder), "files": sorted(path.name for path in folder.iterdir()),
                  "source": hub.read_style(folder, source).source}
    except (ValueError, OSError) as error:
        answer = {"error": type(error).__name__, "text": str(error)}
    answers.append({**answer, "seconds": time.perf_counter() - start})
print(json.dumps(answers))
"""


@pytest.fixture
def ask(server, tmp_path):
    """ask((source, revision), ..., **environment): what a new process finds; the cache stays."""

    def ask(*questions, **environment):
        settings = {"HF_TOKEN": "hf_secret", **environment}
        return json.loads(server.ask(CLIENT, questions, tmp_path / "home", **settings))

    return ask


@pytest.fixture
def files(toy_style):
    """A style's repository, with things in it that must not be fetched."""
    data = {path.name: path.read_bytes() for path in toy_style.iterdir()}
    return {**data, "pytorch_model.bin": b"pickle", "code.py": b"print()", "samples/a.png": b"png"}


def test_hub_style_is_fetched_once_and_then_needs_no_hub(server, ask, files):
    """A pinned commit costs no request then; a branch's copy serves while the Hub is away."""
    commit = server.put("me/toy", files)
    first, again = ask(("me/toy", commit), ("me/toy", commit))
    assert first["files"] == sorted(["README.md", "config.json", "style.json", HALF])
    assert first["source"] == f"hub me/toy@{commit[:12]}"
    assert again["folder"] == first["folder"]
    assert server.leaked == []

    server.requests.clear()
    (pinned,) = ask(("me/toy", commit))
    assert pinned["folder"] == first["folder"] and server.requests == []
    (branch,) = ask(("me/toy", None))
    assert branch["folder"] == first["folder"]
    server.requests.clear()
    (branch,) = ask(("me/toy", None))
    assert server.requests == ["GET /api/models/me/toy"]

    server.down = True
    for answer in ask(("me/toy", commit), ("me/toy", "main"), ("me/toy", None)):
        assert answer.get("folder") == first["folder"], answer
        assert answer["seconds"] < 3
    server.requests.clear()
    for answer in ask(("me/toy", commit), ("me/toy", None), HF_HUB_OFFLINE="1"):
        assert answer.get("folder") == first["folder"], answer
    assert server.requests == []


def test_branch_follows_the_hub(server, ask, files):
    old = server.put("me/toy", files)
    (before,) = ask(("me/toy", None))
    new = server.put("me/toy", {**files, "README.md": b"# New\n"})
    after, pinned = ask(("me/toy", None), ("me/toy", old))
    assert before["folder"].endswith(old) and after["folder"].endswith(new)
    assert pinned["folder"] == before["folder"]


def test_errors_from_the_hub_say_what_to_do(server, ask, files):
    commit = server.put("me/toy", files)
    server.put("me/gated", files)
    server.gated.add("me/gated")
    server.put("me/private", files)
    server.private.add("me/private")
    server.put("me/pickle", {"config.json": b"{}", "diffusion_pytorch_model.bin": b"pickle"})
    server.put("me/empty", {"README.md": b""})
    expected = [
        (("me/nothing", None), "ValueError", "no such repository on the Hub"),
        (("me/private", None), "ValueError", "if it is private, log in with `hf auth login`"),
        (("me/gated", None), "PermissionError", "ask for access"),
        (("me/toy", "v9"), "ValueError", "no such revision"),
        (("me/toy", "f" * 40), "ValueError", "no such revision"),
        (("me/pickle", None), "ValueError", "safetensors"),
        (("me/empty", None), "ValueError", "config.json"),
    ]
    answers = ask(*(question for question, _, _ in expected))
    for (question, kind, words), answer in zip(expected, answers, strict=True):
        assert (answer.get("error"), words in answer.get("text", "")) == (kind, True), answer
        assert repr(question[0]) in answer["text"]
        assert answer["seconds"] < 3
    assert commit not in str(answers)


def test_an_unreachable_hub_is_an_error_at_once(server, ask, files):
    commit = server.put("me/toy", files)
    server.down = True
    answers = ask(("me/toy", commit), ("me/toy", None))
    answers += ask(("me/toy", commit), HF_ENDPOINT="http://127.0.0.1:9")
    answers += ask(("me/toy", commit), HF_HUB_OFFLINE="1")
    for answer in answers:
        assert answer["error"] == "ConnectionError" and answer["seconds"] < 3, answer
    assert "does not answer" in answers[0]["text"]
    assert "HF_HUB_OFFLINE is set" in answers[-1]["text"]


def test_a_toon_may_name_the_switch_it_is_best_at(tmp_path):
    file = tmp_path / "style.json"
    for text, blend in (('{"blend": 1024}', 1024), ("{}", 128)):
        file.write_text(text)
        assert hub.read_style(tmp_path).blend == blend
    for wrong in ("33", "true", '"64"', "[4]"):
        file.write_text(f'{{"blend": {wrong}}}')
        with pytest.raises(ValueError, match=r"blend is .*, expected one of 4, 8"):
            hub.read_style(tmp_path)
