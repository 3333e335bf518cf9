"""Precision search: the fewest bit operations within a tolerated loss."""

from lamina_sim.workload.search.guided import guided_search
from lamina_sim.workload.search.layers import layer_search
from lamina_sim.workload.search.paper import paper_search
from lamina_sim.workload.search.trace import Outcome, Step

__all__ = ["Outcome", "Step", "guided_search", "layer_search", "paper_search"]
