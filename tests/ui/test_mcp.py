"""The MCP server, as the client of the official SDK sees it."""

import asyncio
import base64
import io

import httpx
import pytest
from PIL import Image

from tests.fixtures import toy_app
from tests.fixtures.mark_readers import DRAWN, read_source_type
from toonify.images import marks
from toonify.ui import components, gateway, outputs
from toonify.ui.handlers import photo as photo_tab

PORTRAIT = components.EXAMPLES[0]
PATH = "/gradio_api/mcp/"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of an app that serves MCP."""
    pytest.importorskip("mcp", reason="needs the extra mcp")
    toys = toy_app.Toys()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(photo_tab, "find_faces", toy_app.find_faces)
        with toy_app.served(toys, mcp_server=True) as url:
            yield url


def ask(address, work):
    """The result of `work(session)`."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def run():
        connected = streamablehttp_client(address + PATH)
        async with connected as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            return await work(session)

    return asyncio.run(run())


def encode(path) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()


def test_tools_are_listed_with_descriptions_and_types(address):
    tools = {tool.name: tool for tool in ask(address, lambda session: session.list_tools()).tools}
    assert {"toonify", "toonify_video", "portrait", "faces", "list_styles"} <= set(tools)
    for tool in tools.values():
        assert tool.description, tool.name
    described = tools["toonify"].inputSchema["properties"]
    assert "Draw the cartoon of a photo" in tools["toonify"].description
    assert "to 1, the full cartoon" in described["strength"]["description"]
    assert tools["toonify"].inputSchema["required"] == ["photo"]


def test_a_client_gets_a_cartoon(address):
    values = {"photo": encode(PORTRAIT), "style": "toy"}
    answer = ask(address, lambda session: session.call_tool("toonify", values))
    assert not answer.isError
    image = next(part for part in answer.content if part.type == "image")
    with Image.open(io.BytesIO(base64.b64decode(image.data))) as toon:
        assert toon.size == (512, 512)
    link = next(part.text for part in answer.content if part.type == "text")
    assert httpx.get(link.partition("URL: ")[2]).content.startswith(b"\x89PNG")


def test_an_uploaded_photo_is_named_by_its_address_and_links_elsewhere_are_refused(address):
    files = {"files": ("me.jpg", PORTRAIT.read_bytes())}
    path = httpx.post(f"{address}/gradio_api/upload", files=files).json()[0]
    for photo_url, fails in (
        (f"{address}/gradio_api/file={path}", False),
        (f"{address}/gradio_api/file=/etc/passwd", True),
        ("https://example.com/me.jpg", True),
    ):
        values = {"photo": photo_url, "style": "toy"}
        answer = ask(address, lambda session, values=values: session.call_tool("toonify", values))
        assert answer.isError == fails, photo_url


def test_images_in_answers_keep_their_mark(photo):
    data = outputs.encode_base64(marks.mark(photo.copy(), marks.DRAWN), "png")
    assert read_source_type(base64.b64decode(data)) == DRAWN


def test_the_caller_cannot_name_another_address():
    scope = {"path": PATH, "client": ("192.0.2.7", 1), "headers": [(b"x-forwarded-for", b"::1")]}
    assert gateway.name_caller(scope)["headers"] == [(b"x-forwarded-for", b"192.0.2.7")]
    page = {**scope, "path": "/"}
    assert gateway.name_caller(page) is page


def test_it_is_off_by_default(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        with toy_app.served(toy_app.Toys()) as url:
            assert httpx.get(url + PATH).status_code == 404
            assert httpx.post(url + PATH, json={}).status_code == 404
