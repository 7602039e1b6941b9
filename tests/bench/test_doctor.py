"""The doctor finds what is wrong and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import doctor
from bench.doctor import Finding, examine


def by_name(store: Path) -> dict[str, Finding]:
    return {f.what: f for f in examine(store, deep=False)}


def test_this_machine_is_fit_for_the_tests(tmp_path: Path) -> None:
    found = by_name(tmp_path)
    assert [f for f in found.values() if f.state == "fail"] == []
    assert "torch 2." in found["packages"].found
    assert "ldm" in found["plugins: generator"].found
    assert all(f.advice for f in found.values() if f.state != "ok")


def test_a_missing_and_an_old_package_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor, "requires", lambda name: ["numpy>=99", "no-such-package>=1", "rich>=13", "x; extra == 'test'"]
    )
    found = by_name(tmp_path)
    assert found["numpy"].advice == "pip install 'numpy>=99'"
    assert found["no-such-package"].found == "missing"
    assert found["packages"].found.startswith("rich ")
    assert "x" not in found


def test_a_mixed_pair_of_torch_and_torchvision_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.11.0", "torchvision": "0.27.1"}
    monkeypatch.setattr(doctor, "version", lambda name: versions.get(name, "999"))
    finding = by_name(tmp_path)["torch with torchvision"]
    assert finding.state == "fail"
    assert "2.11.0" in finding.found
    assert "pip install --upgrade torch torchvision" in finding.advice


def test_two_builds_of_the_right_versions_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor.version
    builds = {"torch": "+cu126", "torchvision": "+cpu"}
    monkeypatch.setattr(doctor, "version", lambda name: real(name).split("+")[0] + builds.get(name, ""))
    finding = by_name(tmp_path)["torch with torchvision"]
    assert finding.state == "warn"
    assert "cu126" in finding.found


def test_a_full_disk_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MINIMUM_FREE_GB", 1e9)
    assert by_name(tmp_path / "not" / "there" / "yet")["disk"].state == "warn"


def test_an_entry_point_that_leads_nowhere_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, target = doctor.registry.names, doctor.registry.target
    monkeypatch.setattr(doctor.registry, "names", lambda k: [*names(k), "lost"] if k == "generator" else names(k))
    monkeypatch.setattr(doctor.registry, "target", lambda k, n: "no_such_module:X" if n == "lost" else target(k, n))
    assert by_name(tmp_path)["generator lost"].state == "fail"
