"""Values: the template grammar, `when`, scopes, parameters, dates. Pure: no environment, no files."""
