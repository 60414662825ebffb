"""Has an image model paint a picture of a text: {"prompt": "…"} on standard input, or {"input": "…"} from GLM-4's own tool.

The model is behind an endpoint of OpenAI's form: PAINT_IMAGE_ENDPOINT=https://host/v1, with PAINT_IMAGE_MODEL and, where it
asks for one, PAINT_IMAGE_KEY.
"""

import base64
import json
import os
import sys
import tempfile
import urllib.error
import urllib.request

MOST_BYTES = 64_000_000
SECONDS = 110
SIZE = "1024x1024"


def ask(endpoint, prompt):
    """The endpoint's answer to a wish for one picture."""
    wish = {"prompt": prompt, "n": 1, "size": SIZE, "response_format": "b64_json"}
    if os.environ.get("PAINT_IMAGE_MODEL"):
        wish["model"] = os.environ["PAINT_IMAGE_MODEL"]
    headers = {"Content-Type": "application/json", "User-Agent": "glm4v-example-tool"}
    if os.environ.get("PAINT_IMAGE_KEY"):
        headers["Authorization"] = f"Bearer {os.environ['PAINT_IMAGE_KEY']}"
    address = endpoint.rstrip("/") + "/images/generations"
    request = urllib.request.Request(address, json.dumps(wish).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return json.loads(response.read(MOST_BYTES))
    except urllib.error.HTTPError as error:
        sys.exit(f"{address} answered {error.code}: {error.read(300).decode(errors='replace')}")
    except (OSError, ValueError) as error:
        sys.exit(f"{address}: {error}")


def main():
    wish = json.load(sys.stdin)
    prompt = wish["prompt"] if "prompt" in wish else wish["input"]
    endpoint = os.environ.get("PAINT_IMAGE_ENDPOINT")
    if not endpoint:
        sys.exit("no image model: set PAINT_IMAGE_ENDPOINT to an endpoint of OpenAI's form, such as http://127.0.0.1:8080/v1")
    answer = ask(endpoint, prompt)
    try:
        picture = base64.b64decode(answer["data"][0]["b64_json"], validate=True)
    except (KeyError, IndexError, TypeError, ValueError):
        sys.exit(f"{endpoint} sent no picture in b64_json")
    path = os.path.join(tempfile.mkdtemp(prefix="glm4v-painted-"), "picture.png")
    with open(path, "xb") as file:
        file.write(picture)
    print(f"The picture is at {path}")


if __name__ == "__main__":
    main()
