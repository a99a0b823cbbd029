#!/usr/bin/env python3
"""Lines "KIND NODES DECISIONS_PER_S" on standard input; a picture (SVG) of microseconds over nodes, both logarithmic."""
import math
import sys

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 360, 60, 50, 20, 110
COLOURS = {"simple": "#1f6feb", "mixed": "#d1570b"}

points = {}
for line in sys.stdin:
    kind, nodes, per_s = line.split()
    points.setdefault(kind, []).append((float(nodes), 1e6 / float(per_s)))

all_x = [x for p in points.values() for x, _ in p]
all_y = [y for p in points.values() for _, y in p]
decades_x = range(math.floor(math.log10(min(all_x))), math.ceil(math.log10(max(all_x))) + 1)
decades_y = range(math.floor(math.log10(min(all_y))), math.ceil(math.log10(max(all_y))) + 1)


def place(x, y):
    across = (math.log10(x) - decades_x[0]) / (decades_x[-1] - decades_x[0])
    up = (math.log10(y) - decades_y[0]) / (decades_y[-1] - decades_y[0])
    return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)


out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
       f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
for d in decades_x:
    x, y = place(10 ** d, 10 ** decades_y[0])
    out.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
    out.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{10 ** d:,}</text>')
for d in decades_y:
    x, y = place(10 ** decades_x[0], 10 ** d)
    out.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
    out.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{10 ** d:g}</text>')
for kind, line in points.items():
    colour = COLOURS.get(kind, "#444")
    at = [place(x, y) for x, y in line]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in at]
    out.append(f'<text x="{at[-1][0] + 8:.1f}" y="{at[-1][1] + 4:.1f}" fill="{colour}">{kind}</text>')
out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">nodes</text>')
out.append(f'<text x="14" y="{(TOP + HEIGHT - BOTTOM) / 2}" text-anchor="middle" '
           f'transform="rotate(-90 14 {(TOP + HEIGHT - BOTTOM) / 2})">µs for a decision</text>')
out.append("</svg>")
print("\n".join(out))
