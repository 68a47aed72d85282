"""What holds for every application and resource, as suites of tests to inherit.

class TestApplication(ApplicationContract):
    public = {"GET /api/v1/prices"}
"""

from collections.abc import Sequence
from typing import ClassVar

from bedplate import migrate
from bedplate.config import Settings
from bedplate.main import Application, create_app
from bedplate.module import Module, migrations_of
from bedplate.modules import BUILT_IN
from bedplate.runtime import make_database
from bedplate.testing.guards import (
    public_operations,
    responses_without_schema,
    unbounded_inputs,
)


class ApplicationContract:
    """The whole of an application: what no test of a single module would notice."""

    public: ClassVar[set[str]] = set()
    """The operations of its own modules that need no credentials."""

    def test_no_operation_is_open_by_accident(
        self, settings: Settings, app: Application
    ) -> None:
        ours = public_operations(create_app(settings, BUILT_IN).openapi())
        assert public_operations(app.openapi()) - ours == self.public

    def test_every_input_has_a_limit(self, app: Application) -> None:
        assert unbounded_inputs(app.openapi()) == []

    def test_every_success_says_what_it_holds(self, app: Application) -> None:
        assert responses_without_schema(app.openapi()) == []

    async def test_the_models_are_what_the_migrations_made(
        self, settings: Settings, modules: Sequence[Module]
    ) -> None:
        """When this fails: `bedplate add migration "what changes"`."""
        database = make_database(settings)
        try:
            await migrate.check(database, migrations_of(modules))
        finally:
            await database.close()
