"""Claims: one-line expressions over metrics of arms, their statistics, and their verdicts."""

from regrun.claims.bounds import Bounds
from regrun.claims.comparing import Part, Verdict
from regrun.claims.config import Claim, read_claims
from regrun.claims.expressions import Reduction
from regrun.claims.judgement import Judgement
from regrun.claims.verdict import NotRunError, Results, judge

__all__ = [
    "Bounds",
    "Claim",
    "Judgement",
    "NotRunError",
    "Part",
    "Reduction",
    "Results",
    "Verdict",
    "judge",
    "read_claims",
]
