"""Draws shapes into a PNG file: {"width", "height", "background", "shapes"} on standard input."""

import json
import os
import struct
import sys
import tempfile
import zlib

LARGEST = 2048
MOST_SHAPES = 500


def colour(text):
    digits = text.lstrip("#")
    if len(digits) != 6:
        sys.exit(f"a colour is written #rrggbb, not {text}")
    return bytes.fromhex(digits)


def fill(rows, y, left, right, paint):
    """Paints a stretch of a row, as far as it lies in the picture."""
    if 0 <= y < len(rows):
        width = len(rows[y]) // 3
        left, right = max(0, round(left)), min(width, round(right))
        if left < right:
            rows[y][3 * left : 3 * right] = paint * (right - left)


def rectangle(rows, shape, paint):
    left, top, right, bottom = shape["box"]
    for y in range(max(0, round(top)), min(len(rows), round(bottom))):
        fill(rows, y, left, right, paint)


def circle(rows, shape, paint):
    (x, middle), radius = shape["centre"], shape["radius"]
    for y in range(max(0, round(middle - radius)), min(len(rows), round(middle + radius) + 1)):
        half = max(0.0, radius**2 - (y + 0.5 - middle) ** 2) ** 0.5
        fill(rows, y, x - half, x + half, paint)


def line(rows, shape, paint):
    (x1, y1), (x2, y2) = shape["from"], shape["to"]
    half = max(1.0, shape.get("width", 2)) / 2
    steps = min(2 * LARGEST, int(max(abs(x2 - x1), abs(y2 - y1))) + 1)
    for step in range(steps + 1):
        at = step / steps
        centre = [x1 + (x2 - x1) * at, y1 + (y2 - y1) * at]
        circle(rows, {"centre": centre, "radius": half}, paint)


KINDS = {"rectangle": rectangle, "circle": circle, "line": line}


def png(rows, width):
    def chunk(kind, data):
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, len(rows), 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def main():
    wish = json.load(sys.stdin)
    width, height = int(wish["width"]), int(wish["height"])
    if not (0 < width <= LARGEST and 0 < height <= LARGEST):
        sys.exit(f"width and height must be from 1 to {LARGEST}")
    ground = colour(wish.get("background", "#ffffff"))
    rows = [bytearray(ground * width) for _ in range(height)]
    for shape in wish["shapes"][:MOST_SHAPES]:
        draw = KINDS.get(shape.get("kind"))
        if draw is None:
            sys.exit(f"a shape is one of {', '.join(KINDS)}, not {shape.get('kind')}")
        draw(rows, shape, colour(shape.get("colour", "#000000")))
    path = os.path.join(tempfile.mkdtemp(prefix="glm4v-"), "drawn.png")
    with open(path, "wb") as file:
        file.write(png(rows, width))
    print(path)


if __name__ == "__main__":
    main()
