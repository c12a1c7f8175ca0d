"""Starting spans: through the API for every provider, faster where that is proven equal."""
