"""Fetches a web page and writes its text: {"url": "https://…"} on standard input.

GLM-4's own tool sends {"input": "open_url(\"https://…\")"}; there is no search engine behind its other functions.
"""

import html.parser
import ipaddress
import json
import os
import re
import socket
import sys
import urllib.parse
import urllib.request

MOST_BYTES = 2_000_000
SECONDS = 20
# For tests alone: one address, such as 127.0.0.1, that is fetched from though it is not public.
ALSO_ALLOWED = os.environ.get("FETCH_PAGE_ALSO_ALLOWED")


def check(url):
    """Refuses addresses that are not public, such as those of the user's own network."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        sys.exit(f"not an http or https address: {url}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    for *_, address in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM):
        address = address[0].split("%")[0]
        if address != ALSO_ALLOWED and not ipaddress.ip_address(address).is_global:
            sys.exit(f"{parts.hostname} is not a public address")


class Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, response, code, message, headers, url):
        check(url)
        return super().redirect_request(request, response, code, message, headers, url)


class Text(html.parser.HTMLParser):
    """The text of a page, a line a block."""

    HIDDEN = {"script", "style", "noscript", "template", "svg"}
    BLOCKS = {"p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "table"}

    def __init__(self):
        super().__init__()
        self.hidden = 0
        self.parts = []

    def handle_starttag(self, tag, attributes):
        self.hidden += tag in self.HIDDEN
        if tag in self.BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag):
        self.hidden -= tag in self.HIDDEN and self.hidden > 0
        if tag in self.BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data):
        if not self.hidden:
            self.parts.append(data)


def address(arguments):
    """The address to fetch, out of either form of a call."""
    if "url" in arguments:
        return arguments["url"]
    call = re.fullmatch(r"""\s*open_url\((?:url\s*=\s*)?(["'])(.+)\1\)\s*""", arguments["input"])
    if not call:
        sys.exit('only open_url("https://…") is supported; there is no search engine')
    return call[2]


def main():
    url = address(json.load(sys.stdin))
    check(url)
    opener = urllib.request.build_opener(Redirects)
    request = urllib.request.Request(url, headers={"User-Agent": "glm4v-example-tool"})
    with opener.open(request, timeout=SECONDS) as response:
        charset = response.headers.get_content_charset() or "utf-8"
        kind = response.headers.get_content_type()
        body = response.read(MOST_BYTES).decode(charset, errors="replace")
    if kind == "text/html":
        page = Text()
        page.feed(body)
        body = "".join(page.parts)
    lines = (" ".join(line.split()) for line in body.splitlines())
    print("\n".join(line for line in lines if line))


if __name__ == "__main__":
    main()
