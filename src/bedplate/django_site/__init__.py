"""Django on the same tables, rules and tokens: models, admin site, REST framework.

Beside FastAPI it is loaded by the first request that is for it. In a Django project of
one's own it is an app: `INSTALLED_APPS += ["bedplate.django_site"]`.
"""
