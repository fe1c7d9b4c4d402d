# SPDX-License-Identifier: MIT
"""A plot of a few lines as SVG text, with nothing but the standard library."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 44, 56
COLOURS = ("#c2410c", "#1d4ed8", "#15803d", "#7e22ce", "#0f766e", "#57534e")


def nice_ceiling(value):
    """The least of 1, 2, 2.5, 5 or 10 times a power of ten that is not below 'value'."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * 0.999999)


def text(x, y, words, anchor="middle", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(words)}</text>'


def line(x1, y1, x2, y2, colour):
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" fill="none"/>'


def short(value):
    """A figure for an axis: 65536 is 64k."""
    if value >= 1024 and value % 1024 == 0:
        return f"{value // 1024:g}k"
    return f"{value:g}"


class Scale:
    """Figures to places."""

    def __init__(self, growth):
        points = [point for found in growth.lines.values() for point in found]
        self.log = growth.log_x
        self.ticks = sorted({x for x, _ in points})
        self.low = 0.0 if not self.log else self.mapped(min(self.ticks))
        self.high = self.mapped(max(self.ticks))
        self.most = nice_ceiling(max(y for _, y in points))

    def mapped(self, x):
        return math.log2(x) if self.log else x

    def x(self, value):
        part = (self.mapped(value) - self.low) / ((self.high - self.low) or 1)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        return HEIGHT - BOTTOM - value / self.most * (HEIGHT - TOP - BOTTOM)


def axes(growth, scale):
    parts = [text(WIDTH / 2, 20, growth.title, extra=' font-weight="bold"')]
    for step in range(5):
        value = scale.most * step / 4
        parts.append(line(LEFT, scale.y(value), WIDTH - RIGHT, scale.y(value), "#d6d3d1"))
        parts.append(text(LEFT - 6, scale.y(value) + 4, f"{value:g}", "end"))
    for value in scale.ticks:
        parts.append(text(scale.x(value), HEIGHT - BOTTOM + 18, short(value)))
    parts.append(text(WIDTH / 2, HEIGHT - 10, growth.x_label))
    turned = f' transform="rotate(-90 16 {HEIGHT / 2})"'
    parts.append(text(16, HEIGHT / 2, growth.y_label, extra=turned))
    return parts


def plot(growth):
    scale = Scale(growth)
    parts = axes(growth, scale)
    for number, (name, points) in enumerate(growth.lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [(scale.x(x), scale.y(y)) for x, y in sorted(points)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        parts.append(text(LEFT + 8 + 130 * number, 37, name, "start", f' fill="{colour}"'))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
