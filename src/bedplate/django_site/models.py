"""Django models of every mapped class of every module, made when Django starts.

`model_of(User)` is the Django model of the SQLAlchemy class `User`: unmanaged, on the
same table. Alembic owns the tables, and the services are the only writers.
"""

from bedplate.django_site.bridge import make_models, model_of
from bedplate.django_site.conf import dialect, installed_modules

make_models(installed_modules(), dialect())

__all__ = ["model_of"]
