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


@pytest.mark.parametrize(("load", "verdict"), [(0.4, "good"), (4.0, "good"), (4.1, "note"), (30.0, "note")])
def test_more_work_than_cores_is_named_with_what_to_do(
    load: float, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (load, 99.0, 99.0), raising=False)
    (found,) = [each for each in examination(network=False).findings if each.subject == "load"]
    assert found.verdict == verdict and f"{load} processes want the 4 cores" in found.found
    assert bool(found.remedy) == (verdict == "note")


def test_a_system_that_counts_no_load_is_examined_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(doctor.os, "getloadavg", raising=False)
    assert "load" in [each.subject for each in examination(network=False).findings]
