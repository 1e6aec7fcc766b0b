"""The pydantic models every stage is configured by, and how files and flags become them."""
