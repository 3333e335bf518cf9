# amaranth: UnusedElaboratable=no
"""docs/datapath.md: its widths are the generator's, its examples compute what they say."""

import doctest
import re
from pathlib import Path

import pytest

from lamina.system import System
from lamina_gen.configurations import settings_of
from lamina_gen.describe import describe_ports
from lamina_gen.registry import find, make_parameters

PAGE = Path(__file__).parents[2] / "docs" / "datapath.md"
TEXT = PAGE.read_text()
WIDTHS = re.findall(r"^\| `([\w.]+)` `(\w+)` \| (\d+) \|", TEXT, re.M)

#: Where the parameters of a part are found among those of the system.
PARTS = {
    "store.fetcher": "fetcher",
    "store.assembler": "assembler",
    "anda.element": "element",
    "pacq.operand_buffer": "operand_buffer",
    "pacq.dot": "dot",
}


@pytest.mark.parametrize(("module", "port", "bits"), WIDTHS)
def test_widths(module, port, bits):
    parameters = make_parameters(find("system"), settings_of("tiny", "system"))
    if module != "system":
        parameters = getattr(parameters, PARTS[module])
    ports = {port["name"]: port for port in describe_ports(find(module).component(parameters))}
    assert ports[port]["shape"]["width"] == int(bits)


def test_picture_has_the_same_widths():
    picture = TEXT.partition("```\n")[2].partition("```")[0]
    assert len(WIDTHS) > 10
    missing = [bits for _, _, bits in WIDTHS if not re.search(rf"\b{bits}\b", picture)]
    assert not missing


def test_every_stream_of_the_system_is_in_the_table():
    parameters = make_parameters(find("system"), settings_of("tiny", "system"))
    streams = {p["name"] for p in describe_ports(System(parameters)) if p["kind"] == "stream"}
    assert streams == {port for module, port, _ in WIDTHS if module == "system"}


def test_examples():
    source = re.sub(r"^```.*$", "", TEXT, flags=re.M)
    test = doctest.DocTestParser().get_doctest(source, {}, PAGE.name, str(PAGE), 0)
    assert len(test.examples) >= 8
    assert doctest.DocTestRunner().run(test).failed == 0
