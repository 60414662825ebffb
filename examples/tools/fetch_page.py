"""Fetches a web page and writes its text: {"url": "https://…"} on standard input."""

import html.parser
import ipaddress
import json
import os
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


def page_text(url):
    """The text of the page at a public address."""
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
    return "\n".join(line for line in lines if line)


if __name__ == "__main__":
    print(page_text(json.load(sys.stdin).get("url") or sys.exit("the argument `url` is missing")))
