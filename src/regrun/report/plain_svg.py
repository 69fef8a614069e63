"""Compact SVG: coordinates in tenths of a point, elements with equal style merged into one path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from regrun.report.style import INK, STYLE

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
SCALE = 10  # units per point
FONT_SIZE = SCALE * STYLE["font.size"]
KEPT = ("fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-linecap")

Element = ElementTree.Element
Point = tuple[float, float]
Place = tuple[Element, str, Point]
"""An element, the id of what clips it, and where its group lies."""
Looks = tuple[str, str]
"""The colour of a path, and its other attributes."""


def plain_svg(svg: str) -> str:
    """Compress a matplotlib SVG to about a fifth of its bytes, on white.

    Args:
        svg: output of ``savefig`` with curves and dots, and ``svg.fonttype: none``.
    """
    root = ElementTree.fromstring(svg)
    width, height = (units(float(end)) for end in root.attrib["viewBox"].split()[2:])
    shapes = {path.attrib["id"]: path for path in root.iter(f"{SVG}path") if "id" in path.attrib}
    clips = {clip.attrib["id"]: clip[0].attrib for clip in root.iter(f"{SVG}clipPath")}
    names = {clip: f"c{k}" for k, clip in enumerate(clips)}
    paths: dict[Looks, list[str]] = {}
    texts = []
    for element, clip, place in walk(root, "", (0.0, 0.0)):
        if element.tag == f"{SVG}text":
            texts.append(text_of(element, place))
        elif drawn := path_of(element, shapes):
            (color, rest), course = drawn
            inside = f' clip-path="url(#{names[clip]})"' if clip else ""
            paths.setdefault((color, rest + inside), []).append(course)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width // SCALE}pt" height="{height // SCALE}pt" '
            f'font-family="DejaVu Sans,Verdana,sans-serif" font-size="{FONT_SIZE}" stroke-linejoin="round">',
            '<rect width="100%" height="100%" fill="#fff"/>',
            *(
                f'<clipPath id="{names[clip]}"><rect {rectangle(box)}/></clipPath>'
                for clip, box in clips.items()
            ),
            *groups_of(paths),
            f'<g fill="{INK}">',
            *texts,
            "</g>",
            "</svg>\n",
        ]
    )


def groups_of(paths: dict[Looks, list[str]]) -> Iterator[str]:
    """Merge paths of equal style, and group paths that differ only by colour."""
    for rest, alike in groupby(paths, lambda looks: looks[1]):
        yield f"<g{rest}>"
        yield from (f'<path{color} d="{"".join(paths[color, rest])}"/>' for color, _ in alike)
        yield "</g>"


def walk(element: Element, clip: str, place: Point) -> Iterator[Place]:
    """The paths, shape uses and texts of a drawing."""
    if element.tag in (f"{SVG}defs", f"{SVG}clipPath"):
        return
    if found := re.fullmatch(r"url\(#(\w+)\)", element.get("clip-path", "")):
        clip = found[1]
    if found := re.fullmatch(r"translate\((\S+) (\S+)\)", element.get("transform", "")):
        place = (float(found[1]), float(found[2]))
    if element.tag in (f"{SVG}path", f"{SVG}use", f"{SVG}text"):
        yield element, clip, place
        return
    for child in element:
        yield from walk(child, clip, place)


def path_of(element: Element, shapes: dict[str, Element]) -> tuple[Looks, str] | None:
    """Style and geometry of a path or a used shape; ``None`` if it is invisible."""
    shape, x, y = element, 0.0, 0.0
    if element.tag == f"{SVG}use":
        shape = shapes[element.attrib[HREF][1:]]
        x, y = float(element.attrib["x"]), float(element.attrib["y"])
    looks = style_of(shape) | style_of(element)
    commands = re.findall(r"([MLCz])([^MLCz]*)", shape.get("d", ""))
    if not commands or (looks.get("fill") == "none" and "stroke" not in looks):
        return None
    if any(command == "C" for command, _ in commands):  # a dot: the end of a line of no length
        size = 2 * max(abs(float(end)) for _, ends in commands for end in ends.split())
        looks = {"stroke": looks["fill"], "stroke-width": str(size), "stroke-linecap": "round"}
        return attributes(looks), f"M{units(x)} {units(y)}h0"
    if "stroke" in looks and all(command != "z" for command, _ in commands):
        looks["fill"] = "none"
    course, last, lead = [], (0, 0), "l"
    for command, ends in commands:
        if command == "z":
            course.append("z")
            continue
        along, down = map(float, ends.split())
        at = (units(x + along), units(y + down))
        if command == "M":
            course.append(f"M{at[0]} {at[1]}")
            lead = "l"
        elif at != last:
            dx, dy = at[0] - last[0], at[1] - last[1]
            course.append(f"{lead or ' ' * (dx >= 0)}{dx}{' ' * (dy >= 0)}{dy}")
            lead = ""
        last = at
    return attributes(looks), "".join(course)


def attributes(looks: dict[str, str]) -> Looks:
    """A style as attributes, with widths in units."""
    if "stroke-width" in looks:
        looks = looks | {"stroke-width": f"{SCALE * float(looks['stroke-width']):g}"}
    kept = {name: f' {name}="{looks[name]}"' for name in KEPT if name in looks}
    color = kept.pop("stroke", None) or kept.pop("fill")
    return color, "".join(kept.values())


def style_of(element: Element) -> dict[str, str]:
    """The properties in an element's ``style`` attribute."""
    pairs = (word.split(":", 1) for word in element.get("style", "").split(";") if ":" in word)
    return {name.strip(): value.strip() for name, value in pairs}


def text_of(element: Element, place: Point) -> str:
    """Texts at their positions; a formula yields one per height and size."""
    lines = []
    for (y, size), parts in groupby(
        list(element) or [element], lambda part: (start(part, "y"), style_of(part)["font-size"])
    ):
        first, *rest = parts
        words = escape("".join(part.text or "" for part in (first, *rest)))
        anchor = style_of(first).get("text-anchor", "start")
        height = SCALE * float(size.removesuffix("px"))
        lines.append(
            f'<text x="{units(place[0] + start(first, "x"))}" y="{units(place[1] + y)}"'
            + (f' font-size="{height:g}"' if height != FONT_SIZE else "")
            + (f' text-anchor="{anchor}"' if anchor != "start" else "")
            + f">{words}</text>"
        )
    return "".join(lines)


def start(part: Element, axis: str) -> float:
    """The start of a text; some elements give it per letter."""
    return float(part.get(axis, "0").split()[0])


def rectangle(box: dict[str, str]) -> str:
    """A rectangle's attributes, in units."""
    return " ".join(f'{name}="{units(float(value))}"' for name, value in box.items())


def units(points: float) -> int:
    """A length in units."""
    return round(SCALE * points)
