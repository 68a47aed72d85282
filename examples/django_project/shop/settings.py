"""Settings of a Django project. The lines marked `Bedplate` are the ones it needs."""

from bedplate import Settings
from bedplate.django_site import database

BEDPLATE = Settings.load()  # Bedplate: reads BEDPLATE_… variables
SECRET_KEY, *SECRET_KEY_FALLBACKS = (k.hex() for k in BEDPLATE.keys_for("django"))
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
DATABASES = {"default": database(BEDPLATE)}  # Bedplate: both share one database
AUTH_USER_MODEL = "bedplate.User"  # Bedplate
AUTHENTICATION_BACKENDS = ["bedplate.django_site.authentication.Backend"]  # Bedplate
ROOT_URLCONF = "shop.urls"
STATIC_URL = "static/"
USE_TZ = True
INSTALLED_APPS = [
    "bedplate.django_site",  # Bedplate: first, so that its templates win
    "bedplate.django_site.apps.AdminConfig",  # Bedplate: or django.contrib.admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "shop",
]
MIGRATION_MODULES = {"admin": None}  # Bedplate: the audit trail replaces it
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "bedplate.django_site.middleware.OriginMiddleware",  # Bedplate
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "bedplate.django_site.middleware.SignedInMiddleware",  # Bedplate
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "bedplate.django_site.authentication.BearerAuthentication"  # Bedplate
    ]
}
