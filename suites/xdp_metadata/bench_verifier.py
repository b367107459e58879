"""What the verifier does with this suite's programs: a change to it, or to what it knows of a helper, shows here."""

from meter import Meter
from verified import objects_of, record_verified


@objects_of("xdp_metadata")
def bench_verified_insns(meter: Meter, source: str):
    """Instructions that it walks through, over all paths."""
    record_verified(meter, source, "insns verified")


@objects_of("xdp_metadata")
def bench_verified_states(meter: Meter, source: str):
    """States that it keeps to compare with."""
    record_verified(meter, source, "states")
