"""Archive drivers: zipfile, pyzipper, pyminizip, and programs of the system."""
