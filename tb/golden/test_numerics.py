"""The worked examples of docs/numerics.md."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "numerics.md"


def test_examples():
    """Every example runs in order in one namespace and prints what the page says."""
    text = PAGE.read_text()
    # Fences blanked out line by line, so that a failure names the line of the page.
    source = re.sub(r"^```.*$", "", text, flags=re.M)
    test = doctest.DocTestParser().get_doctest(source, {}, PAGE.name, str(PAGE), 0)
    assert len(test.examples) > 40
    result = doctest.DocTestRunner().run(test)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples fail; see above."
