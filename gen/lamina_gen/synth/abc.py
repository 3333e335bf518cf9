"""The ABC scripts: the same for every design, so that ratios compare designs and not scripts."""

from dataclasses import dataclass

__all__ = ["SCRIPTS", "Script"]

# Mapping, most loads of a gate and aim are the script's.
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
#: Time that no path takes, in ps.
_NO_HURRY = 1_000_000


@dataclass(frozen=True)
class Script:
    """How gates are chosen.

    ``mapping``: ABC's command. ``aims``: at a period. ``most_loads`` of a gate, ABC's default if
    None. ``load_share``: most load of a cell, as a share of what the library lets it drive; a
    larger one is slow.
    """

    mapping: str
    aims: bool = True
    most_loads: int | None = None
    load_share: float = 1.0

    def text(self, delay_ps: float | None = None) -> str:
        """Return the ABC script, which sizes gates for paths of ``delay_ps``."""
        delay = f" -D {delay_ps or _NO_HURRY:.0f}" if self.aims else ""
        loads = f" -N {self.most_loads}" if self.most_loads else ""
        return _MAP.format(map=self.mapping.format(delay=delay), loads=loads, delay=delay)


#: The load share where speed is all: with less, cells grow and paths hardly get shorter.
_HURRIED = 0.35

#: By name.
SCRIPTS = {
    # As fast as the gates allow.
    "fast": Script("map -B 0.9", aims=False, load_share=_HURRIED),
    # As small as the gates allow, whatever the period.
    "lean": Script("amap -m"),
    # Small gates, sized up to meet a period.
    "clock": Script("map -a -B 0.9"),
    "clock-lean": Script("amap -m"),
    # The same, not quite blind to delay, and between that and the next.
    "clock-sparing": Script("amap -m -Q 0.2", most_loads=24),
    "clock-balanced": Script("amap -m -Q 1", most_loads=24),
    # Fast gates, and small ones where there is time.
    "clock-fast": Script("map{delay}", load_share=_HURRIED),
}
