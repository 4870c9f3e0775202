"""Requests that are made from the app's own OpenAPI schema: valid, wrong and odd ones; no 500.

`TOONIFY_FUZZ` says how many requests each operation gets; the default keeps the suite short.
"""

import json
import os
import random
import urllib.parse

import httpx
import pytest

from tests.fixtures import toy_app
from tests.fixtures.mutations import NASTY, mutate
from toonify.ui import components, gateway
from toonify.ui.handlers import photo

COUNT = int(os.environ.get("TOONIFY_FUZZ", "8"))
PORTRAIT = components.EXAMPLES[0]
ODD_IDS = ["x", "0" * 32, "../../etc/passwd", "%00", "a\nb", "é" * 40, "f" * 4000, "{event_id}"]
ODD_TYPES = ["", "text/plain", "application/json; charset=utf-7", "multipart/form-data"]


@pytest.fixture(scope="module")
def http(tmp_path_factory):
    """A client of a page with toys, whose limits on numbers of requests are off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(photo, "find_faces", toy_app.find_faces)
        patch.setattr(gateway, "UPLOADS", 10**6)
        patch.setattr(gateway, "UPLOADED", 10**12)
        patch.setattr(gateway, "CALLS", 10**6)
        with toy_app.served(toy_app.Toys()) as url, httpx.Client(base_url=url, timeout=60) as http:
            yield http


@pytest.fixture(scope="module")
def schema(http) -> dict:
    return http.get("/gradio_api/openapi.json").json()


def make(schema: dict, rng: random.Random, file: dict):
    """A value of a schema; files are the one that was uploaded."""
    if schema.get("format") == "filepath" or "path" in schema.get("properties", {}):
        return file
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "const" in schema:
        return schema["const"]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return make(rng.choice(schema[key]), rng, file)
    kind = schema.get("type")
    if kind in ("number", "integer"):
        low, high = schema.get("minimum", 0), schema.get("maximum", 3)
        return rng.randint(int(low), int(high)) if kind == "integer" else rng.uniform(low, high)
    if kind == "array":
        return [make(schema.get("items", {}), rng, file) for _ in range(rng.randrange(3))]
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: make(inner, rng, file) for name, inner in properties.items()}
    if kind == "boolean":
        return rng.random() < 0.5
    return rng.choice(("toy", "", "all", "x" * 300)) if kind == "string" else None


def make_body(properties: dict, rng: random.Random, file: dict) -> bytes:
    """The body of a call: valid, or with values replaced, left out or added; or other text."""
    values = {name: make(inner, rng, file) for name, inner in properties.items()}
    for _ in range(rng.choice((0, 1, 1, 2))):
        name = rng.choice([*properties, "unknown", "data", "session_hash", "event_data"])
        if rng.random() < 0.2:
            values.pop(name, None)
        else:
            values[name] = rng.choice(NASTY)
    text = json.dumps(values).encode()
    return next(mutate([text], 1, rng.randrange(10**6))) if rng.random() < 0.2 else text


def upload(http) -> dict:
    with open(PORTRAIT, "rb") as opened:
        [path] = http.post("/gradio_api/upload", files={"files": opened}).json()
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def find_operations(schema: dict, method: str) -> dict[str, dict]:
    return {path: item[method] for path, item in schema["paths"].items() if method in item}


def test_calls_by_the_schema_are_answered_in_words(http, schema, capfd):
    calls = find_operations(schema, "post")
    calls.pop("/gradio_api/upload")
    assert len(calls) >= 10
    file, faults, completed = upload(http), [], set()
    for path, operation in calls.items():
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        for number in range(COUNT):
            rng = random.Random(f"{path} {number}")
            content = make_body(body["properties"], rng, file)
            odd = rng.random() < 0.1
            headers = {"content-type": rng.choice(ODD_TYPES) if odd else "application/json"}
            answer = http.post(path, content=content, headers=headers)
            text = answer.text
            if answer.status_code == 200:
                result = path.replace("/call/v2/", "/call/") + f"/{answer.json()['event_id']}"
                text = http.get(result).text
                completed |= {path} if "event: complete" in text else set()
            if answer.status_code >= 500 or '"error": null' in text or "Traceback" in text:
                faults.append((path, content[:300], answer.status_code, text[:200]))
    assert faults == []
    assert len(completed) >= 3
    assert "Traceback" not in "".join(capfd.readouterr())


def test_results_of_odd_events_are_refused(http, schema, capfd):
    gets = find_operations(schema, "get")
    assert len(gets) >= 10
    for path in gets:
        for odd in ODD_IDS:
            answer = http.get(path.replace("{event_id}", urllib.parse.quote(odd, safe="")))
            assert answer.status_code < 500, (path, odd, answer.text[:200])
            assert "Traceback" not in answer.text and '"error": null' not in answer.text
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("identifier", ["", "x" * 3000, "../../x", "\0", "é", "a b", "1"])
def test_uploads_with_odd_identifiers_and_bodies_are_answered(http, identifier, capfd):
    form = (
        b'--b\r\ncontent-disposition: form-data; name="files"; filename="a.png"\r\n\r\nxyz\r\n--b--'
    )
    headers = {"content-type": "multipart/form-data; boundary=b"}
    query = {"upload_id": identifier}
    for number, body in enumerate((form, b"", *mutate([form], COUNT, len(identifier)))):
        answer = http.post("/gradio_api/upload", params=query, content=body, headers=headers)
        assert answer.status_code < 500, (number, body, answer.text[:200])
    for odd in ODD_TYPES:
        answer = http.post("/gradio_api/upload", content=form, headers={"content-type": odd})
        assert answer.status_code < 500, (odd, answer.text[:200])
    assert "Traceback" not in "".join(capfd.readouterr())
