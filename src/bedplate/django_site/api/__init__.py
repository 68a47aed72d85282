"""The API contract under Django REST framework: the parts of viewsets."""
