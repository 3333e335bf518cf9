"""A runtime that picks the planes of weights to fetch by the activations they will multiply.

SmartQuant's premise: which weights matter depends on the context. Before a product, its activations
are known; a unit of weights whose activations are small is fetched at few planes, or not at all.
Weights themselves are not looked at before they are fetched: what a policy knows of them are
statistics made when they were stored.
"""

from lamina_sim.workload.runtime.placement import UNITS, Placed, Region, place
from lamina_sim.workload.runtime.policy import ByContext, Fixed, Known, Policy, price_of
from lamina_sim.workload.runtime.products import Fetch, Runtime
from lamina_sim.workload.runtime.survey import survey

__all__ = [
    "UNITS",
    "ByContext",
    "Fetch",
    "Fixed",
    "Known",
    "Placed",
    "Policy",
    "Region",
    "Runtime",
    "place",
    "price_of",
    "survey",
]
