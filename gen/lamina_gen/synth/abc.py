"""The ABC scripts: the same for every design, so that ratios compare designs and not scripts."""

__all__ = ["SCRIPTS", "script"]

#: Mapping, most loads of a gate and aim are the script's.
_MAP = """\
strash
dch -f
{map}
topo
buffer -c{loads}
topo
upsize{delay}
dnsize{delay}
stime -p
"""

#: By name: how it maps, whether it aims at a period, and most loads of a gate, if not 10.
SCRIPTS = {
    "fast": ("map -B 0.9", False, None),  # as fast as the gates allow
    "lean": ("amap -m", True, None),  # as small as the gates allow, whatever the period
    "clock": ("map -a -B 0.9", True, None),  # small gates, sized up to meet a period
    "clock-lean": ("amap -m", True, None),
    "clock-sparing": ("amap -m -Q 0.2", True, 24),  # the same, not quite blind to delay
    "clock-balanced": ("amap -m -Q 1", True, 24),  # between that and the next
    "clock-fast": ("map{delay}", True, None),  # fast gates, and small ones where there is time
}
#: Time that no path takes, in ps.
_NO_HURRY = 1_000_000


def script(name: str, delay_ps: float | None = None) -> str:
    """Return the ABC script ``name``, which sizes gates for paths of ``delay_ps``."""
    mapping, aims, most = SCRIPTS[name]
    delay = f" -D {delay_ps or _NO_HURRY:.0f}" if aims else ""
    loads = f" -N {most}" if most else ""
    return _MAP.format(map=mapping.format(delay=delay), loads=loads, delay=delay)
