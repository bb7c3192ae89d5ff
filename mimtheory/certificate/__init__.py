"""Certificates: what is proved of the rank and the eigenvalues of C, in a file that can be checked by itself.

A certificate says `proved` (all eigenvalues are away from 0, with bounds), `degenerate` (an exact argument why C is
singular) or `undecided` (the radius that was reached in the time). `check_certificate` reads only the file, computes C
again by the second route of `enclosures`, and recounts the eigenvalues by the second route of `rank_bounds`.
"""

from mimtheory.certificate.checking import Check, check_certificate
from mimtheory.certificate.degeneracy import why_degenerate
from mimtheory.certificate.making import certify
from mimtheory.certificate.record import Certificate

__all__ = ["Certificate", "Check", "certify", "check_certificate", "why_degenerate"]
