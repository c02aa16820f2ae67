"""The page as a tool for language models (MCP), where the package mcp is installed in a version that gradio can use."""

import json
import re
import sys
import urllib.request
from importlib.metadata import version
from pathlib import Path

import pytest
from serving import free_port, serve

ROOT = Path(__file__).parents[2]


def test_the_extra_asks_for_a_version_that_gradio_works_with():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert "mcp<2" in extras["mcp"]
    floors = re.findall(r"gradio(?:\[mcp\])?>=([\d.]+)", " ".join([*extras["demo"], *extras["mcp"]]))
    assert len(floors) == 2
    assert len(set(floors)) == 1


@pytest.mark.parametrize(("installed", "served"), [("1.30.0", True), ("2.0.0", False), ("", False)])
def test_a_version_that_would_answer_404_is_not_served(tmp_path, monkeypatch, installed, served):
    from album_gan.space.app import can_serve_mcp

    if installed:
        folder = tmp_path / f"mcp-{installed}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mcp\nVersion: {installed}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert can_serve_mcp() == served


def call(address, method, **params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    with urllib.request.urlopen(urllib.request.Request(f"{address}/gradio_api/mcp/", body, headers)) as answer:
        data = next(line for line in answer.read().decode().splitlines() if line.startswith("data:"))
    return json.loads(data.removeprefix("data:"))["result"]


def test_language_models_find_and_use_the_tools(tiny_model, tmp_path):
    pytest.importorskip("mcp", reason="needs album-gan[mcp]")
    if not version("mcp").startswith("1."):
        pytest.skip("needs mcp below 2")
    with serve(tiny_model, free_port(), tmp_path) as address:
        client = {"name": "test", "version": "1"}
        assert call(address, "initialize", protocolVersion="2025-03-26", capabilities={}, clientInfo=client)
        tools = {tool["name"].rpartition("_")[2]: tool for tool in call(address, "tools/list")["tools"]}
        assert set(tools) == {"generate", "interpolate", "upscale"}
        assert "seeds" in tools["generate"]["inputSchema"]["properties"]
        result = call(address, "tools/call", name=tools["generate"]["name"], arguments={"seeds": "1,2"})
        assert not result.get("isError"), result
        assert json.dumps(result).count(".png") >= 2
