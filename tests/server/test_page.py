"""The page at ``/``: one file that a browser lets call this server alone."""

import base64
import hashlib
import re

import httpx

from myxtts.server.keys import read_keys
from myxtts.server.page import FILE, policy
from tests.server.stand_in import HummingEngine, served, settings

OWN_SCHEMES = ("data:", "blob:")


def test_the_page_asks_nothing_of_others(client):
    answer = client.get("/")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    # An SVG needs its name space; nothing is fetched there.
    text = answer.text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"(?<!\w)(?:https?:)?//[\w.-]+\.\w", text)
    for address in re.findall(r'(?:src|href)="([^"]*)"', text):
        assert address.startswith(("#", *OWN_SCHEMES)) or client.get(address).is_success, address


def test_the_policy_names_the_pages_own_script_and_style(client):
    answer = client.get("/")
    rules = answer.headers["content-security-policy"]
    assert rules == policy() and "default-src 'none'" in rules and "unsafe" not in rules
    assert "connect-src 'self'" in rules and "frame-ancestors 'none'" in rules
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in rules
    assert not re.search(r"<[^>]+\s(?:style|on\w+)=", answer.text)


def test_every_field_has_a_label(client):
    text = client.get("/").text
    for tag in re.findall(r"<(?:input|select|textarea)[^>]*>", text):
        (name,) = re.findall(r' id="([\w-]+)"', tag)
        assert f'for="{name}"' in text or "aria-label" in tag or name == "consent", tag


def test_the_page_opens_without_a_key_and_tells_nothing(tmp_path):
    path = tmp_path / "keys"
    path.write_text("a key of these tests")
    with served(HummingEngine(), settings(tmp_path), read_keys(path)) as (address, _):
        answer = httpx.get(f"{address}/")
        assert answer.status_code == 200 and "&quot;key&quot;: true" in answer.text
        assert "hana" not in answer.text and "humming" not in answer.text
        assert httpx.get(f"{address}/v1/models").status_code == 401


def test_the_page_is_package_data():
    setup = FILE.parents[2] / "setup.py"
    assert FILE.is_file() and '"myxtts.server": ["page.html"]' in setup.read_text()
