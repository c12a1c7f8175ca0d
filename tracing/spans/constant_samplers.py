"""What the SDK's constant samplers decide, known beforehand: they need not be asked every time."""

from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler

SAMPLED = 0x01


def constant_decisions(sampler: Sampler) -> dict[tuple[bool, int] | None, bool]:
    """What the SDK's constant samplers decide, by parent: remote and sampled, or none.

    Such a sampler need not be asked for every message. Only where it is known to be constant is
    there an entry: all other samplers, and all parents that lead to them, are asked.
    """
    constant = {ALWAYS_ON: True, ALWAYS_OFF: False}
    parents: list[tuple[bool, int] | None] = [
        None, (True, SAMPLED), (True, 0), (False, SAMPLED), (False, 0),
    ]  # fmt: skip
    if sampler in constant:
        return dict.fromkeys(parents, constant[sampler])
    if type(sampler) is not ParentBased:
        return {}
    by_parent = {
        None: getattr(sampler, "_root", None),
        (True, SAMPLED): getattr(sampler, "_remote_parent_sampled", None),
        (True, 0): getattr(sampler, "_remote_parent_not_sampled", None),
        (False, SAMPLED): getattr(sampler, "_local_parent_sampled", None),
        (False, 0): getattr(sampler, "_local_parent_not_sampled", None),
    }
    return {parent: constant[found] for parent, found in by_parent.items() if found in constant}
