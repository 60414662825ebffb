"""GLM-4's `simple_browser`: {"input": "search(\\"tides\\", recency_days=7)"} on standard input.

It knows `search`, `mclick`, which opens results of the last search, and `open_url`. Searches go to the SearXNG instance
whose address SEARCH_URL names (such as https://searx.example.org/search); it must allow the format `json`.
"""

import ast
import concurrent.futures
import json
import os
import pathlib
import sys
import time
import urllib.parse
import urllib.request

from fetch_page import page_text

SECONDS = 20
MOST_RESULTS = 10
# Characters of each of several pages.
PAGE_CHARACTERS = 4000
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "glm4v" / "browse"
# Results are kept between calls for the program that calls this one.
RESULTS = CACHE / f"{os.getppid()}.json"
DAY = 24 * 3600


def search(query, recency_days=None):
    address = os.environ.get("SEARCH_URL")
    if not address:
        sys.exit("there is no search engine: set SEARCH_URL to the address of a SearXNG instance's search")
    question = {"q": query, "format": "json"}
    if recency_days and recency_days > 0:
        question["time_range"] = "day" if recency_days <= 1 else "month" if recency_days <= 31 else "year"
    request = urllib.request.Request(f"{address}?{urllib.parse.urlencode(question)}", headers={"Accept": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            found = json.load(response)["results"][:MOST_RESULTS]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{address} did not answer the search: {error}")
    results = [{key: result.get(key) or "" for key in ("title", "url", "content")} for result in found]
    keep(results)
    lines = [f"{mark(i, result)}\n{result['content']}" for i, result in enumerate(results)]
    return "\n".join(lines) or "nothing was found"


def keep(results):
    """Keeps the results for `mclick`, and forgets those of programs that ended long ago."""
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in CACHE.glob("*.json"):
        if time.time() - old.stat().st_mtime > DAY:
            old.unlink(missing_ok=True)
    RESULTS.write_text(json.dumps(results), encoding="utf-8")


def mark(number, result):
    return f"【{number}†{result['title']}†{result['url']}】"


def mclick(ids):
    try:
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    except FileNotFoundError:
        sys.exit("nothing was searched for yet")
    wanted = [(i, results[i]) for i in ids[:MOST_RESULTS] if 0 <= i < len(results)]
    if not wanted:
        sys.exit(f"none of {ids} is a result; there are 0 to {len(results) - 1}")
    with concurrent.futures.ThreadPoolExecutor(len(wanted)) as pool:
        pages = pool.map(lambda entry: open_result(entry[1]["url"]), wanted)
        return "\n\n".join(f"{mark(*entry)}\n{page}" for entry, page in zip(wanted, pages))


def open_result(url):
    """The beginning of a page, or why there is none: others may still be of use."""
    try:
        return page_text(url)[:PAGE_CHARACTERS]
    except (OSError, SystemExit, ValueError) as error:
        return f"could not be opened: {error}"


FUNCTIONS = {"search": search, "mclick": mclick, "open_url": page_text}


def called(text):
    """What a call gives, such as `open_url("https://…")`, whose arguments are literals."""
    try:
        call = ast.parse(text.strip(), mode="eval").body
        function = FUNCTIONS[call.func.id]
        arguments = [ast.literal_eval(argument) for argument in call.args]
        named = {argument.arg: ast.literal_eval(argument.value) for argument in call.keywords}
    except (SyntaxError, ValueError, AttributeError, KeyError):
        sys.exit(f"not a call of {', '.join(FUNCTIONS)}: {text}")
    try:
        return function(*arguments, **named)
    except TypeError as error:
        sys.exit(f"{text}: {error}")


if __name__ == "__main__":
    print(called(json.load(sys.stdin)["input"]))
