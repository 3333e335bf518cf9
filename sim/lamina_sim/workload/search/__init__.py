"""Precision search: the fewest bit operations within a tolerated loss."""

from lamina_sim.workload.search.guided import guided_search
from lamina_sim.workload.search.layers import layer_search
from lamina_sim.workload.search.paper import paper_search
from lamina_sim.workload.search.planes import PlaneOutcome, plane_search
from lamina_sim.workload.search.trace import Outcome, Step

__all__ = [
    "Outcome",
    "PlaneOutcome",
    "Step",
    "guided_search",
    "layer_search",
    "paper_search",
    "plane_search",
]
