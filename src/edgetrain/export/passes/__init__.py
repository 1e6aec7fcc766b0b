"""Graph passes, each named after what it leaves behind, each with a before/after test."""
