"""What an adversary tried, one test per kind."""
