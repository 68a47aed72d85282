"""The contract under Django REST framework: what a module's viewsets are made of."""
