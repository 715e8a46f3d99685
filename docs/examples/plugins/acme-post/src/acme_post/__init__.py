"""Mails through the HTTP API of Acme Post."""
