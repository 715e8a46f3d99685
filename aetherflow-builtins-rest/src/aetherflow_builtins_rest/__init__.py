"""Reserved for HTTP: a connector and its steps. Holds no plugin yet."""
