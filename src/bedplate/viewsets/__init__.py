"""The REST framework viewsets of the built-in modules."""
