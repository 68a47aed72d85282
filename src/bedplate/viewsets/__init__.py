"""The REST framework's viewsets of built-in modules, above Django and the modules."""
