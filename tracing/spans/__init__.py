"""Starting spans: through the API on any provider, or faster where a proof shows equal results."""
