"""Laws of the doctor's table: every finding with its remedy, escaped, and no waiting for a network that is not asked for."""

from typing import Any

import pytest

from labkit import doctor
from labkit.doctor import Examination, Finding, examination


def test_the_table_counts_the_verdicts_and_shows_each_remedy_escaped() -> None:
    findings = (Finding("a", "good", "x"), Finding("b", "note", "<y>", "do <z>"), Finding("c", "bad", "w", "mend"))
    page = Examination(findings)._repr_html_()
    assert "<caption>1 good, 1 to know, 1 to mend</caption>" in page
    assert "&lt;y&gt;<br><strong>do &lt;z&gt;</strong>" in page and "<z>" not in page
    assert page.count("<tr>") == 1 + 3 and page.count('scope="row"') == 3
    assert len(str(Examination(findings)).splitlines()) == 5  # two remedies have a line of their own


def test_without_the_network_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Any:
        pytest.fail("the package index was asked")

    monkeypatch.setattr(doctor, "_network", fails)
    subjects = [each.subject for each in examination(network=False).findings]
    assert "Python" in subjects and "network" not in subjects
