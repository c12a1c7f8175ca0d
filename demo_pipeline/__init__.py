"""A shop of eight services that shows `tracing` at work: one order, one trace.

`python -m demo_pipeline run` starts a broker and all services, places orders over HTTP, checks
that every order is in exactly one trace, and shows where the time went. Each service is a set of
functions over dataclasses (`services/`); `app/bootstrap` builds the real clients around them.
"""
