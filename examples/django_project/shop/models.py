from django.conf import settings
from django.db import models


class Basket(models.Model):
    """A model of the project itself. Django migrates its table."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    note = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.note
