"""The ABC scripts: the same for every design, so that ratios compare designs and not scripts."""

__all__ = ["SCRIPTS", "script"]

#: Mapping, most loads of a gate (10 where nothing is said) and aim are the script's.
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

#: By name: how it maps, and whether it aims at a period.
SCRIPTS = {
    "fast": ("map -B 0.9", False),  # as fast as the gates allow
    "lean": ("amap -m", True),  # as small as the gates allow, whatever the period
    "clock": ("map -a -B 0.9", True),  # small gates, sized up to meet a period
    "clock-lean": ("amap -m", True),
    "clock-sparing": ("amap -m -Q 0.2", True),  # the same, not quite blind to delay; fewer buffers
    "clock-balanced": ("amap -m -Q 1", True),  # between that and the next
    "clock-fast": ("map{delay}", True),  # fast gates, and small ones where there is time
}
#: The scripts that buffer from 24 loads on.
_FEW_BUFFERS = ("clock-sparing", "clock-balanced")
#: Time that no path takes, in ps.
_NO_HURRY = 1_000_000


def script(name: str, delay_ps: float | None = None) -> str:
    """Return the ABC script ``name``, which sizes gates for paths of ``delay_ps``."""
    mapping, aims = SCRIPTS[name]
    delay = f" -D {delay_ps or _NO_HURRY:.0f}" if aims else ""
    loads = " -N 24" if name in _FEW_BUFFERS else ""
    return _MAP.format(map=mapping.format(delay=delay), loads=loads, delay=delay)
