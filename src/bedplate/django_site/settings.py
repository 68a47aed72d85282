"""Django's settings, derived from ours: the same database, keys and hosts."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from bedplate.config import Settings
from bedplate.database.engines import SQLITE_PRAGMAS, libpq_options
from bedplate.database.sqlite import SqliteConnection
from bedplate.module import Module
from bedplate.runtime import timeouts_of

STATIC_URL = "/django/static/"
_PREFIXES = ("/admin", "/django")

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_TEMPLATES = "django.template.backends.django.DjangoTemplates"
_CONTEXT = "django.template.context_processors.request"


def is_djangos(path: str) -> bool:
    """Return whether Django serves a path. FastAPI serves all others."""
    return path.startswith(_PREFIXES) and f"/{path.split('/', 2)[1]}" in _PREFIXES


def django_settings(settings: Settings, modules: Sequence[Module]) -> dict[str, Any]:
    """Return the arguments of `django.conf.settings.configure`.

    Raises:
        SettingsError: the secret key is unavailable.
    """
    key, *previous_keys = (key.hex() for key in settings.keys_for("django"))
    return {
        "BEDPLATE": settings,
        "BEDPLATE_MODULES": modules,
        "SECRET_KEY": key,
        "SECRET_KEY_FALLBACKS": previous_keys,
        "ALLOWED_HOSTS": list(allowed_hosts(settings)),
        "DATABASES": {"default": database(settings)},
        "ROOT_URLCONF": "bedplate.django_site.urls",
        "AUTH_USER_MODEL": "bedplate.User",
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "STATIC_URL": STATIC_URL,
        "USE_TZ": True,
        "TIME_ZONE": "UTC",
        "FORMAT_MODULE_PATH": "bedplate.django_site.formats",
        "LOGGING_CONFIG": None,  # structlog is already configured
        **_APPS,
        **_sign_in(settings),
        **_REST,
    }


def database(settings: Settings) -> dict[str, Any]:
    """Return our database as an entry of Django's `DATABASES`."""
    url = settings.resolved_database_url
    if url.drivername == "sqlite":
        pragmas = [f"PRAGMA {pragma}" for pragma in SQLITE_PRAGMAS]
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": url.database,
            # A transaction that reads first and writes later fails immediately if
            # another one wrote in between; the busy timeout doesn't cover that.
            "OPTIONS": {
                "factory": SqliteConnection,
                "transaction_mode": "IMMEDIATE",
                "init_command": ";".join(pragmas),
            },
        }
    query: dict[str, Any] = dict(url.query)
    if "ssl" in query:
        query["sslmode"] = query.pop("ssl")  # asyncpg's name and libpq's
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.database,
        "USER": url.username or "",
        "PASSWORD": url.password or "",
        "HOST": query.pop("host", url.host or ""),
        "PORT": url.port or "",
        # A pool: under ASGI a persistent connection (`CONN_MAX_AGE`) would belong to a
        # thread that ends with its request.
        "OPTIONS": {
            **libpq_options(
                timeouts_of(settings), transaction_pooler=settings.transaction_pooler
            ),
            **query,
            "pool": {
                "min_size": 0,
                "max_size": settings.pool_size,
                "timeout": settings.pool_timeout,
            },
        },
        "DISABLE_SERVER_SIDE_CURSORS": settings.transaction_pooler,
    }


def allowed_hosts(settings: Settings) -> Sequence[str]:
    """Return the accepted `Host` headers.

    They are the configured ones; by default the public URL's host and, in development,
    the local ones.
    """
    if settings.allowed_hosts:
        return settings.allowed_hosts
    public = urlsplit(settings.public_url or "").hostname
    local = () if settings.is_production else _LOCAL_HOSTS
    return (*local, *([public] if public else ()))


_APPS: dict[str, Any] = {
    "INSTALLED_APPS": [
        "bedplate.django_site",  # first: its templates replace the admin's
        "bedplate.django_site.apps.AdminConfig",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.staticfiles",
        "rest_framework",
        "drf_spectacular",
        "drf_spectacular_sidecar",
    ],
    # The admin's own log is off: its foreign key would prevent the deletion of users,
    # and the audit trail records the same changes.
    "MIGRATION_MODULES": {"admin": None},
    "MIDDLEWARE": [
        "bedplate.django_site.middleware.OriginMiddleware",
        "django.middleware.security.SecurityMiddleware",
        "bedplate.django_site.middleware.ContentPolicyMiddleware",
        "bedplate.django_site.middleware.AdminCookiesMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "bedplate.django_site.middleware.SignedInMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        "bedplate.django_site.middleware.RefusalMiddleware",
    ],
    "TEMPLATES": [
        {
            "BACKEND": _TEMPLATES,
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    _CONTEXT,
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
}


def _sign_in(settings: Settings) -> dict[str, Any]:
    """Return the settings of sessions: a signed cookie with the id of our session."""
    tls = settings.is_https
    public = urlsplit(settings.public_url or "")
    return {
        "AUTHENTICATION_BACKENDS": ["bedplate.django_site.authentication.Backend"],
        "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
        **_cookies(tls=tls),
        # Behind a proxy, the `Host` that we get may differ from the browser's.
        "CSRF_TRUSTED_ORIGINS": [f"{public.scheme}://{public.netloc}"]
        * bool(public.netloc),
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_AGE": settings.admin_session_hours * 3600,
        "CSRF_COOKIE_HTTPONLY": True,
        "SECURE_SSL_REDIRECT": tls,
        "SECURE_PROXY_SSL_HEADER": None,  # `bedplate.dispatcher` sets the scheme
        "SECURE_HSTS_SECONDS": 365 * 24 * 3600 if tls else 0,
        # HSTS for subdomains and preloading are the domain owner's decision.
        "SILENCED_SYSTEM_CHECKS": ["security.W005", "security.W021"],
        "SECURE_REFERRER_POLICY": "same-origin",
        "X_FRAME_OPTIONS": "DENY",
        "LOGIN_URL": "admin:login",
    }


def _cookies(*, tls: bool) -> dict[str, Any]:
    """Return the names and paths of cookies.

    Over TLS a browser accepts `__Host-` cookies only from this exact host, so other
    hosts of the domain can't plant one. They must have the path `/` (RFC 6265bis,
    4.1.3.2). Messages are stored in the session's cookie, not in their own.
    """
    prefix, path = ("__Host-", "/") if tls else ("", "/admin/")
    return {
        "SESSION_COOKIE_NAME": f"{prefix}bedplate_admin",
        "CSRF_COOKIE_NAME": f"{prefix}bedplate_csrf",
        "SESSION_COOKIE_PATH": path,
        "CSRF_COOKIE_PATH": path,
        "SESSION_COOKIE_SECURE": tls,
        "CSRF_COOKIE_SECURE": tls,
        "MESSAGE_STORAGE": "django.contrib.messages.storage.session.SessionStorage",
    }


_REST: dict[str, Any] = {
    "REST_FRAMEWORK": {
        "DEFAULT_AUTHENTICATION_CLASSES": [
            "bedplate.django_site.authentication.BearerAuthentication"
        ],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
        "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
        "UNAUTHENTICATED_USER": None,
    },
}
