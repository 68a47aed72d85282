"""The admin site. Every change goes through a service; Django's ORM only reads."""

from django.contrib import admin

from bedplate.django_site.admin.register import register
from bedplate.django_site.conf import dialect, installed_modules

# Django imports this module after all models are loaded, and not before.
register(admin.site, installed_modules(), dialect())
