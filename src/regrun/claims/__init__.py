"""Claims: a paper's sentence as one line over metrics of arms, its statistics, and its verdict."""

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
