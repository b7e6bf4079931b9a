"""HTTP servers beside each other, under callers who are slow on purpose."""
