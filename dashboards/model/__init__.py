"""Dashboards and rules as data: signals, boards, rules, and the parts of their queries."""
