"""An HTTP API with signed requests for AetherFlow."""
