"""The soak in small: `make soak` is the same with 60,000 requests."""

import pytest
from soak import soak
from soak_plan import ABSORBED


@pytest.mark.slow
@pytest.mark.timeout(300)  # half a minute on a machine of its own
async def test_mixed_requests_through_every_kind_of_fault_see_no_error_and_leave_nothing_behind() -> None:
    findings = await soak(rounds=2, total=1800, width=100, wait_for_idle=False, patience=5)
    assert not findings.wrong, "\n".join(findings.wrong)
    assert len(findings.missing(1)) <= 3  # what happens is drawn, and so few requests may miss a rare one
    assert sum(findings.absorbed[kind] for kind in ABSORBED) > 300
    assert findings.after == findings.before
