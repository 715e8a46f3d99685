"""Base classes and helpers of all database connectors."""
